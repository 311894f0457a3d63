package storage

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"ottla/internal/config"
)

// IncrementStartOffset moves the log start up to an offset, for DeleteRecords, and
// for a follower when its leader's start has moved. Above the high watermark it
// returns ErrOffsetOutOfRange (P11). At or below the start it does nothing. The next
// CheckRetention removes the segments below.
func (l *Log) IncrementStartOffset(to int64) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if hw := l.HighWatermark(); to > hw {
		return fmt.Errorf("%w: the start of %s cannot be %d, above its high watermark %d", ErrOffsetOutOfRange, l.name(), to, hw)
	}
	l.moveStart(to)
	return nil
}

func (l *Log) moveStart(to int64) {
	if to <= l.start {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = to
	l.epochs.truncateStart(to)
	l.forgetDamage(to, l.end+1)
	l.touched = true
}

// retireSegments moves the log start past the segments that retention.ms and
// retention.bytes expire, and tells whether it moved. It changes no file, except
// that it creates a new active segment if all segments expire.
//
// Only whole segments below the high watermark expire, the oldest first. An empty
// active segment is kept. So the log start never exceeds the committed offset (P11).
func (l *Log) retireSegments() (bool, error) {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(); err != nil {
		return false, err
	}
	c := l.config.Load()
	before := l.start
	if !c.Delete {
		return false, nil
	}
	n, err := l.expired(c)
	if err != nil || n == 0 {
		return false, err
	}
	if n == len(l.segments) {
		if _, err := l.roll(l.end, c); err != nil {
			return false, err
		}
	}
	l.moveStart(l.segments[n].base)
	return l.start > before, nil
}

// expired counts the expired segments, beginning with the first.
func (l *Log) expired(c *config.Topic) (int, error) {
	now, hw := l.env.nowMs(), l.HighWatermark()
	var total int64
	for _, s := range l.segments {
		total += s.size
	}
	excess := total - c.RetentionBytes
	for i, s := range l.segments {
		upper := l.end
		if i+1 < len(l.segments) {
			upper = l.segments[i+1].base
		} else if s.size == 0 {
			return i, nil
		}
		if upper > hw {
			return i, nil
		}
		tooMuch := c.RetentionBytes >= 0 && excess-s.size >= 0
		tooOld, err := l.tooOld(s, c, now)
		if err != nil {
			return 0, err
		}
		if !tooMuch && !tooOld && upper > l.start {
			return i, nil
		}
		excess -= s.size
	}
	return len(l.segments), nil
}

// tooOld tells whether the newest record of a segment is older than retention.ms.
// For a segment without timestamps the modification time of its file counts.
func (l *Log) tooOld(s *segment, c *config.Topic, now int64) (bool, error) {
	if c.RetentionMs < 0 {
		return false, nil
	}
	largest, err := l.largest(s)
	if err != nil {
		return false, err
	}
	if largest.timestamp >= 0 {
		return now-largest.timestamp > c.RetentionMs, nil
	}
	modified, ok := l.lastModifiedMs(s)
	return ok && now-modified > c.RetentionMs, nil
}

// DeleteBelowStart removes the segments that are completely below the log start, and
// returns their number. A Manager calls it after the start is durable, so that a
// crash that leaves some of the files shows no hole. A log without a Manager removes
// the oldest first, and each removal is durable before the next one.
//
// Readers with a Slice of such a segment are not affected. In a Manager the files are
// renamed to .deleted and removed after file.delete.delay.ms. Appends continue
// meanwhile.
func (l *Log) DeleteBelowStart() (int, error) {
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	gone, begin, err := l.belowStart()
	if err != nil || len(gone) == 0 {
		return 0, err
	}
	if err := l.keepSnapshots(gone, begin); err != nil {
		return 0, err
	}
	l.dropFirst(len(gone))
	if err := l.discard(gone); err != nil {
		return len(gone), err
	}
	// If a segment existed after a crash without its snapshot, the earlier state of
	// its producers would be lost.
	if err := l.env.fs.SyncDir(l.path); err != nil {
		return len(gone), l.dir.fail(err)
	}
	l.write.Lock()
	old := l.forgetSnapshots(func(offset int64) bool { return offset < begin })
	l.write.Unlock()
	l.removeSnapshots(old)
	return len(gone), nil
}

// belowStart lists the segments that are completely below the log start on disk, and
// returns the base of the first remaining segment.
func (l *Log) belowStart() (gone []*segment, begin int64, err error) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, 0, err
	}
	limit := l.start
	if l.dir.flusher != nil {
		limit = min(limit, l.dir.startOnDisk(l))
	}
	n := 0
	for n+1 < len(l.segments) && l.segments[n+1].base <= limit {
		n++
	}
	if covered := l.coveredUpTo(n); covered < n {
		l.snapshots.wanted = true
		n = covered
	}
	return l.segments[:n:n], l.segments[n].base, nil
}

// coveredUpTo returns how many of the first n segments may be removed. The producer
// state of their batches must be in a snapshot that a recovery uses, even after a
// crash that removed only some of them. This is a snapshot at or below the recovery
// point, or one at the base of each segment that may then be the first. A snapshot
// at the recovery point that is also the base of a segment is not sufficient, see
// recovery.begin. The caller holds write and mu.
func (l *Log) coveredUpTo(n int) int {
	point := l.point
	if l.dir.flusher != nil {
		point = min(point, l.dir.pointOnDisk(l))
	}
	i, found := slices.BinarySearch(l.snapshots.offsets, point)
	if !found || l.isBase(point) {
		i--
	}
	byBase := 0
	for byBase < n && l.hasSnapshot(l.segments[byBase+1].base) {
		byBase++
	}
	if i < 0 {
		return byBase
	}
	byPoint := 0
	for byPoint < n && l.segments[byPoint+1].base <= l.snapshots.offsets[i] {
		byPoint++
	}
	return max(byBase, byPoint)
}

// dropFirst removes the first n segments from the list.
func (l *Log) dropFirst(n int) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	gone := l.segments[:n]
	l.replaceSegments(slices.Clone(l.segments[n:]))
	for _, s := range gone {
		s.unpin()
	}
}

// keepSnapshots makes the producer snapshots of coveredUpTo durable. The caller
// holds Log.reshaping.
func (l *Log) keepSnapshots(gone []*segment, begin int64) error {
	l.write.Lock()
	var unsynced []int64
	for _, offset := range l.snapshots.unsynced {
		if offset > gone[0].base && offset <= max(begin, l.point) {
			unsynced = append(unsynced, offset)
		}
	}
	l.write.Unlock()
	if len(unsynced) == 0 {
		return nil
	}
	for _, offset := range unsynced {
		if err := ignoreMissing(syncFile(l.env.fs, l.snapshotPath(offset))); err != nil {
			return l.dir.fail(err)
		}
	}
	if err := l.env.fs.SyncDir(l.path); err != nil {
		return l.dir.fail(err)
	}
	l.snapshotsSynced(unsynced)
	return nil
}

// discard removes the files of segments that are no longer in the list, at once or
// later.
func (l *Log) discard(gone []*segment) error {
	delay := l.config.Load().FileDeleteDelay
	if l.dir.flusher == nil || delay <= 0 {
		return l.removeNow(gone)
	}
	due := l.env.now().Add(delay)
	for _, s := range gone {
		for _, f := range s.all() {
			path, _ := f.where()
			path += deletedSuffix
			if err := f.retireTo(path); err != nil {
				return l.dir.fail(err)
			}
			l.dir.trash.add(trashItem{path, due})
		}
	}
	return nil
}

func (l *Log) removeNow(gone []*segment) error {
	for _, s := range gone {
		if err := s.removeFiles(); err != nil {
			return l.dir.fail(err)
		}
		if l.dir.flusher != nil {
			continue
		}
		if err := l.env.fs.SyncDir(l.path); err != nil {
			return l.dir.fail(err)
		}
	}
	return nil
}

// removeSegments removes segments from the list and deletes their files at once.
func (l *Log) removeSegments(gone []*segment) error {
	l.mu.Lock()
	l.replaceSegments(slices.DeleteFunc(slices.Clone(l.segments), func(s *segment) bool { return slices.Contains(gone, s) }))
	for _, s := range gone {
		s.unpin()
	}
	l.mu.Unlock()
	return l.removeNow(gone)
}

// trash is the list of files to remove later.
type trash struct {
	mu    sync.Mutex
	items []trashItem
}

// trashItem is a file of a segment, or the folder of a partition.
type trashItem struct {
	path string
	due  time.Time
}

func (t *trash) add(items ...trashItem) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = append(t.items, items...)
}

// take returns the items that are due at now.
func (t *trash) take(now time.Time) []trashItem {
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []trashItem
	t.items = slices.DeleteFunc(t.items, func(item trashItem) bool {
		ready := !item.due.After(now)
		if ready {
			due = append(due, item)
		}
		return ready
	})
	return due
}
