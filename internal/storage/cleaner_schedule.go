package storage

import (
	"errors"
	"math"
	"slices"
)

// cleanable describes a possible pass over a log at one moment.
type cleanable struct {
	log        *Log
	generation uint64
	// dirty is the first uncompacted offset. end is the end of the pass, the base of
	// a segment.
	dirty, end int64
	// segments has the segments below end.
	segments []*segment
	// clean is the number of bytes below dirty, dirtyBytes that from dirty to end.
	clean, dirtyBytes int64
	// overdue is true if max.compaction.lag.ms has passed for one of them.
	overdue bool
	// published is true if the new segments of the current group are in the log.
	published bool
}

// ratio returns the fraction of uncompacted bytes.
func (c *cleanable) ratio() float64 {
	if c.dirtyBytes == 0 {
		return 0
	}
	return float64(c.dirtyBytes) / float64(c.clean+c.dirtyBytes)
}

// due tells whether the log must be compacted.
func (c *cleanable) due(minRatio float64) bool {
	return c.dirtyBytes > 0 && (c.overdue || c.ratio() > minRatio)
}

// cleanable returns the possible pass over the log. It returns false if there is nothing
// to compact, or if the log must not be compacted. This includes logs whose config is
// not known yet: the broker's default must not cause the compaction of a topic.
//
// A pass stops at the first of
//
//   - the active segment
//   - the segment with the last offset below the last stable one. Records above are
//     not committed, or belong to a transaction that may still be aborted. One offset
//     is left out, so that no truncation lowers the recovery point to the end of the
//     pass (see recoverable).
//   - the first segment with a record younger than min.compaction.lag.ms
//
// It begins at the end of the last pass, or at the log start. Only the start on disk
// counts. After a crash, records below a newer start may exist again, and they must be
// compacted like the rest.
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

// stopAt sets the end of the pass and the fields that depend on it.
func (c *cleanable) stopAt(segments []*segment, limit int64) {
	c.log.mu.Lock() // a truncation may be running
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

// oldEnough returns the base of the first segment with a record later than a time, at
// most limit.
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

// recoverable returns the last segment base, at most limit, from which every recovery can
// restore the producers: it is below the recovery point on disk and has a durable
// snapshot. It returns 0 if there is none. A base that equals the recovery point is not
// sufficient: see recovery.begin.
func (l *Log) recoverable(limit int64) int64 {
	d := l.dir
	d.checkpoints.Lock() // no save may be between taking the snapshots and making them durable
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

// pick chooses the log with the largest fraction of uncompacted bytes, and marks it as
// being compacted. It returns false if none is due. It ignores the logs in skip.
func (c *Cleaner) pick(skip map[*Log]bool) (best cleanable, ok bool) {
	nowMs := c.manager.env.nowMs()
	for _, l := range c.manager.list(nil) {
		if skip[l] {
			continue
		}
		t, due, err := l.cleanable(nowMs)
		if err != nil {
			_ = l.cleaningFailed(err, t.generation) // cleaningFailed logs it, or it is retried
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
	ok = !best.log.cleaning // otherwise another thread has taken it
	best.log.cleaning = true
	return best, ok
}

// bounded limits a pass to the recoverable offset, after a checkpoint if necessary.
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

// once compacts the log that needs it most. more is false if none is due. A log that
// cannot be compacted now is added to skip.
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

// cleaningFailed handles the error of a pass, or of its planning, that began at a
// generation. The log may have changed, so that the result is invalid, or it was closed.
// The disk may be full, or the dir offline. Otherwise the log itself is the cause.
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

// cannotClean excludes a log from compaction until the next start.
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

// cleanedTo durably records the end of a pass.
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

// forgetCleaned durably removes the record that the log was compacted. The caller holds
// write.
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

// Clean compacts all due logs, one after the other, regardless of log.cleaner.enable, and
// returns the number of passes. The error joins those of logs that could not be
// compacted.
func (m *Manager) Clean() (passes int, err error) { return m.cleaner.all(nil) }

// all is Clean. When quit is closed it ends after the current pass.
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

// Uncleanable lists the logs that are excluded from compaction, with the reason.
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
