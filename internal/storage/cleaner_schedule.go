package storage

import (
	"errors"
	"math"
	"slices"
)

// cleanable is what a pass over a log would read, as of one moment.
type cleanable struct {
	log        *Log
	generation uint64
	// dirty is the first offset that was never compacted; end is where a pass
	// stops, the base of a segment.
	dirty, end int64
	// segments are those below end.
	segments []*segment
	// clean and dirtyBytes are the bytes below dirty and from there to end.
	clean, dirtyBytes int64
	// overdue: max.compaction.lag.ms is over for one of them.
	overdue bool
	// published tells that the segments of the group under way are in the log.
	published bool
}

// ratio is the share of bytes that were never compacted.
func (c *cleanable) ratio() float64 {
	if c.dirtyBytes == 0 {
		return 0
	}
	return float64(c.dirtyBytes) / float64(c.clean+c.dirtyBytes)
}

// due tells whether the log is to be compacted.
func (c *cleanable) due(minRatio float64) bool {
	return c.dirtyBytes > 0 && (c.overdue || c.ratio() > minRatio)
}

// cleanable looks at what could be compacted; false when there is nothing, or
// the log is not to be compacted at all. Not before its config is known: what
// the folder of a topic holds must not be compacted by the default of others.
//
// A pass stops at the first of
//
//   - the active segment
//   - the segment of the last offset below the last stable one: what is above is
//     not committed, or part of a transaction that may still be aborted. With one
//     offset to spare, so that no truncation takes the recovery point back to
//     where the pass stopped (see recoverable)
//   - the first segment with a record younger than min.compaction.lag.ms
//
// It begins where the last one ended, or at the log's start, which counts only
// as it is on disk: a crash may bring back what lies below a newer one, and then
// it must have been compacted like the rest.
func (l *Log) cleanable(nowMs int64) (cleanable, bool, error) {
	l.mu.Lock()
	c := l.config.Load()
	t := cleanable{log: l, generation: l.generation, dirty: l.cleaned}
	segments, limit := l.segments, l.hw
	ready := l.configured && c.Compact && l.uncleanable == nil && !l.cleaning && l.usable() == nil
	start := max(l.dir.startOnDisk(l), segments[0].base)
	limit = min(min(limit, max(l.producers.firstUnstable(), start))-1, l.active().base)
	if t.dirty < start || t.dirty > l.end {
		t.dirty = start
	}
	l.mu.Unlock()
	if !ready || limit <= t.dirty {
		return t, false, nil
	}
	from := floor(segments, t.dirty)
	limit, err := l.oldEnough(segments[from:len(segments)-1], limit, nowMs-c.MinCompactionLagMs, c.MinCompactionLagMs > 0)
	if err != nil {
		return t, false, err
	}
	t.stopAt(segments, limit)
	if t.overdue, err = l.overdue(segments[from:len(segments)-1], nowMs, c.MaxCompactionLagMs); err != nil {
		return t, false, err
	}
	return t, t.due(c.MinCleanableRatio), nil
}

// stopAt sets where the pass stops, and what follows from it.
func (c *cleanable) stopAt(segments []*segment, limit int64) {
	c.log.mu.Lock() // a truncation may be under way
	defer c.log.mu.Unlock()
	n := floor(segments, limit)
	c.end, c.segments = segments[n].base, segments[:n]
	c.clean, c.dirtyBytes = 0, 0
	if c.end <= c.dirty {
		return
	}
	from := floor(segments, c.dirty)
	for i, s := range c.segments {
		if s.base < c.dirty {
			c.clean += s.size
		}
		if i >= from {
			c.dirtyBytes += s.size
		}
	}
}

// oldEnough returns the base of the first segment that has a record later than
// a time, at most limit.
func (l *Log) oldEnough(segments []*segment, limit, latestMs int64, bounded bool) (int64, error) {
	if !bounded {
		return limit, nil
	}
	for _, s := range segments {
		largest, err := l.largest(s)
		if err != nil {
			return 0, err
		}
		if largest.timestamp > latestMs {
			return min(limit, s.base), nil
		}
	}
	return limit, nil
}

// overdue tells whether one of the segments begins before max.compaction.lag.ms.
func (l *Log) overdue(segments []*segment, nowMs, maxLagMs int64) (bool, error) {
	if maxLagMs == math.MaxInt64 {
		return false, nil
	}
	for _, s := range segments {
		l.mu.Lock()
		first := s.first
		l.mu.Unlock()
		if first == unknownFirst {
			first = l.learnFirst(s)
		}
		if first > 0 && first < nowMs-maxLagMs {
			return true, nil
		}
	}
	return false, nil
}

// recoverable returns the last base of a segment, at most limit, from which a
// recovery could learn of the producers whatever happens: below the recovery
// point on disk, with a snapshot that is on disk too. 0 when there is none. A
// base that is the recovery point will not do: see recovery.begin.
func (l *Log) recoverable(limit int64) int64 {
	d := l.dir
	d.checkpoints.Lock() // no save is between taking the snapshots and making them durable
	defer d.checkpoints.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	d.mu.Lock()
	limit = min(limit, d.points[l.key()]-1)
	d.mu.Unlock()
	for _, s := range slices.Backward(l.segments) {
		if s.base <= limit && l.hasSnapshot(s.base) && !slices.Contains(l.snapshots.unsynced, s.base) {
			return s.base
		}
	}
	return 0
}

// pick chooses the log whose share of uncompacted bytes is largest, and marks
// it as being compacted; false when none is due. skip has those that are not to
// be tried again.
func (c *Cleaner) pick(skip map[*Log]bool) (best cleanable, ok bool) {
	nowMs := c.manager.env.nowMs()
	for _, l := range c.manager.list(nil) {
		if skip[l] {
			continue
		}
		t, due, err := l.cleanable(nowMs)
		if err != nil {
			_ = l.cleaningFailed(err, t.generation) // is logged by it, or comes again
		}
		if due && err == nil && (!ok || t.ratio() > best.ratio()) {
			best, ok = t, true
		}
	}
	if !ok {
		return best, false
	}
	best.log.mu.Lock()
	defer best.log.mu.Unlock()
	ok = !best.log.cleaning // or another thread was faster
	best.log.cleaning = true
	return best, ok
}

// bounded cuts a pass at what is recoverable, after a checkpoint if need be.
func (c *Cleaner) bounded(t cleanable) (cleanable, error) {
	l := t.log
	safe := l.recoverable(t.end)
	if safe < t.end {
		if err := l.dir.checkpoint(false); err != nil {
			return t, err
		}
		safe = l.recoverable(t.end)
	}
	t.stopAt(append(slices.Clone(t.segments), &segment{base: t.end}), safe)
	return t, nil
}

// once compacts the log that needs it most; more is false when none is due. A
// log that cannot be compacted now is put into skip.
func (c *Cleaner) once(skip map[*Log]bool) (passed, more bool, err error) {
	t, ok := c.pick(skip)
	if !ok {
		return false, false, nil
	}
	l := t.log
	defer func() {
		l.mu.Lock()
		l.cleaning = false
		l.mu.Unlock()
	}()
	if t, err = c.bounded(t); err != nil || t.dirtyBytes == 0 {
		skip[l] = true
		return false, true, err
	}
	began := c.manager.env.now()
	p, err := c.clean(t)
	if err != nil {
		skip[l] = true
		return false, true, l.cleaningFailed(err, t.generation)
	}
	l.env.log.Info("compacted a log", "log", l.path, "from", p.dirty, "to", p.keys.latest+1, "keys", p.keys.count,
		"before", p.before, "after", p.after, "took", c.manager.env.now().Sub(began))
	return true, true, nil
}

// cleaningFailed sorts what ended a pass, or the look before it, that began at a
// generation: the log has changed, so that what was read means nothing, or goes
// away; the disk is full or its dir is offline, or the log itself is at fault.
func (l *Log) cleaningFailed(err error, generation uint64) error {
	l.mu.Lock()
	truncated := l.generation != generation
	l.mu.Unlock()
	switch {
	case truncated || errors.Is(err, errCleaningAborted) || isClosed(err):
		return nil
	case l.dir.failed() != nil || Passes(err):
		return err
	}
	l.cannotClean(err)
	return err
}

// cannotClean takes a log out of compaction until the next start.
func (l *Log) cannotClean(err error) {
	if isClosed(err) || l.dir.failed() != nil {
		return
	}
	l.mu.Lock()
	first := l.uncleanable == nil
	l.uncleanable = err
	l.mu.Unlock()
	if first {
		l.env.log.Error("a log cannot be compacted and is left as it is until the next start", "log", l.path, "err", err)
	}
}

// cleanedTo notes how far a pass came, durably.
func (l *Log) cleanedTo(offset int64, generation uint64) error {
	l.write.Lock()
	l.mu.Lock()
	err := l.cleaningAllowed(generation)
	if err == nil {
		l.cleaned = offset
	}
	l.mu.Unlock()
	l.write.Unlock()
	if err != nil {
		return err
	}
	return l.dir.writeCleaned()
}

// forgetCleaned takes back, durably, that the log was ever compacted. The
// caller holds write.
func (l *Log) forgetCleaned() error {
	l.mu.Lock()
	known := l.cleaned != noOffset
	l.cleaned = noOffset
	l.mu.Unlock()
	if !known {
		return nil
	}
	return l.dir.writeCleaned()
}

// Clean compacts the logs that are due, one after the other, whatever
// log.cleaner.enable says, and returns how many passes there were. The errors
// are those of logs that could not be compacted.
func (m *Manager) Clean() (passes int, err error) { return m.cleaner.all(nil) }

// all is Clean, which ends after the pass that is under way when quit is closed.
func (c *Cleaner) all(quit <-chan struct{}) (passes int, err error) {
	skip := make(map[*Log]bool)
	for more := true; more && !isDone(quit); {
		var passed bool
		var failed error
		passed, more, failed = c.once(skip)
		err = errors.Join(err, failed)
		if passed {
			passes++
		}
	}
	return passes, err
}

// Uncleanable lists the logs that compaction gave up, with the reason.
func (m *Manager) Uncleanable() map[TopicPartition]error {
	found := make(map[TopicPartition]error)
	for _, l := range m.list(nil) {
		l.mu.Lock()
		if l.uncleanable != nil {
			found[l.tp] = l.uncleanable
		}
		l.mu.Unlock()
	}
	return found
}
