package storage

import (
	"errors"
	"fmt"
	"slices"

	"ottla/internal/vfs"
)

// TruncateTo removes the batches with an offset at or above offset. The log then
// ends at or below offset. It is for followers whose log diverges from the leader's
// (R8). The caller must not truncate below the high watermark (P11).
//
// On return the truncation is durable: removed bytes never reappear between newly
// appended ones.
//
//  1. If the recovery point on disk is above offset, it is lowered first, because
//     recovery treats everything below it as flushed. The log start is also
//     lowered if it is inside the first removed batch. After a crash that batch
//     may then be visible from its first record until the leader sends the start
//     again. In the other order the log could end below its start; recovery would
//     then empty it and lose the producers.
//  2. Readers see the shorter log.
//  3. Whole segments are removed, the last one first. Each removal is durable
//     before the next one, so a crash leaves a prefix of the old log.
//  4. The segment with offset is truncated and flushed, with its indexes.
//  5. The producers' state is reloaded from a snapshot and the batches.
func (l *Log) TruncateTo(offset int64) error {
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if offset >= l.end {
		return nil
	}
	if offset < l.segments[0].base {
		return l.restart(offset)
	}
	s := l.segments[floor(l.segments, offset)]
	pos, end, err := l.findCut(s, offset)
	if err != nil {
		return err
	}
	if err := l.lowerRecoveryPoint(end); err != nil {
		return err
	}
	keep := slices.Index(l.segments, s) + 1
	dropped := l.segments[keep:]
	size := s.size
	l.mu.Lock()
	l.shorten(l.segments[:keep], end)
	s.size = pos // a reader up to the new end reads nothing after it
	l.mu.Unlock()
	if err := l.dropSegments(dropped); err != nil {
		return err
	}
	l.dropSnapshotsAbove(end)
	if err := l.cutSegment(s, size, end); err != nil {
		return l.dir.fail(err)
	}
	if l.dirty() {
		l.dir.flushSoon(l) // an earlier flush does not cover the new state
	}
	return l.reloadProducers()
}

// TruncateFullyAndStartAt removes everything. The log is then empty and begins at
// offset. It is for followers whose leader no longer has the next offset.
//
// A crash leaves the whole old log or an empty one, because a part of a compacted
// log does not show the state of its producers:
//
//  1. A start above all records is written to log-start-offset-checkpoint. From
//     then on a recovery begins with an empty log there.
//  2. The old log is removed, and the new one is made durable.
//  3. The start of the new log replaces the first one in the checkpoint.
//
// A log outside a Manager has no such checkpoint. It is never compacted, and a
// crash leaves a prefix of it.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.restart(offset)
}

func (l *Log) restart(offset int64) error {
	if err := l.putOnDisk(); err != nil {
		return err
	}
	if err := l.giveUpAll(max(offset, l.end+1)); err != nil {
		return err
	}
	err := l.lowerRecoveryPoint(offset)
	if err == nil {
		err = l.forgetCleaned()
	}
	if err != nil {
		return l.dir.fail(err) // on disk the log is already given up
	}
	old := l.segments
	s := openSegment(l.env.files, l.path, offset)
	s.startEmpty(l.env.nowMs())
	l.mu.Lock()
	l.shorten([]*segment{s}, offset)
	l.start, l.hw, l.flushed = offset, offset, offset
	l.damage = nil
	l.epochs.clear()
	l.producers.reset()
	l.countProducers()
	l.mu.Unlock()
	if err := l.dropSegments(old); err != nil {
		return err
	}
	l.dropSnapshots(func(int64) bool { return true })
	fresh, err := l.createSegment(offset, l.config.Load())
	if err != nil {
		return l.dir.fail(err) // there is no active segment now
	}
	l.mu.Lock()
	l.replaceSegments([]*segment{fresh})
	l.names++
	l.mu.Unlock()
	// A recovery must not load the epochs of the old log: there are no batches that
	// would correct them.
	if err := vfs.WriteFileAtomic(l.env.fs, l.epochsPath(), encodeEpochs(nil), 0o644); err != nil {
		return l.dir.fail(err)
	}
	if err := l.flushHeld(); err != nil {
		return err
	}
	if err := l.giveUpAll(0); err != nil {
		return l.dir.fail(err)
	}
	return nil
}

// giveUpAll writes a log start above all records to disk, so that a recovery begins
// with an empty log there; 0 removes it. The caller holds write.
func (l *Log) giveUpAll(above int64) error {
	if l.dir.flusher == nil {
		return nil
	}
	l.mu.Lock()
	l.givenUp = above
	l.mu.Unlock()
	err := l.dir.writeStarts()
	if err != nil {
		l.mu.Lock()
		l.givenUp = 0
		l.mu.Unlock()
	}
	return err
}

// shorten publishes the state after a truncation to end.
func (l *Log) shorten(segments []*segment, end int64) {
	l.generation++
	l.replaceSegments(segments)
	l.end = end
	l.hw, l.flushed = min(l.hw, end), min(l.flushed, end)
	l.start = min(l.start, end)
	l.notified = noOffset // the same offset now means other records
	l.epochs.truncateEnd(end)
	l.recent.reset()
	l.forgetDamage(l.start, end)
	l.touched = true
}

// findCut returns the position of the first batch to remove, and the end offset of
// the batch before it.
func (l *Log) findCut(s *segment, offset int64) (pos, end int64, err error) {
	h, err := s.file.acquire()
	if err != nil {
		return 0, 0, l.readFailed(err)
	}
	defer s.file.release()
	e, inFile := s.offsets.floorInTail(offset - 1) // a batch that is kept
	if inFile > 0 {
		if e, err = s.offsets.floorInFile(offset-1, inFile); err != nil {
			return 0, 0, l.readFailed(err)
		}
	}
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	if s.holes.Load() != nil {
		e.pos = 0 // the batch of the entry may be damaged
	}
	pos, end = e.pos, s.base
	scan := s.scanner(h, e.pos, s.size, *buf)
	for scan.next() {
		if scan.header.LastOffset() >= offset {
			return pos, end, nil // damage between the two is also removed
		}
		pos, end = scan.pos+scan.size, scan.header.NextOffset()
	}
	if scan.err != nil {
		return 0, 0, l.scanFailed(s, &scan)
	}
	return s.size, end, nil
}

// dropSegments removes segments that are no longer in the list, the last one first.
// It removes the batches before the indexes: a segment that exists after a crash
// then has its transaction index, which cannot be rebuilt below the recovery point.
func (l *Log) dropSegments(dropped []*segment) error {
	for _, s := range slices.Backward(dropped) {
		l.mu.Lock()
		s.unpin()
		l.mu.Unlock()
		if err := s.file.remove(); err != nil {
			return l.dir.fail(err)
		}
		if err := l.env.fs.SyncDir(l.path); err != nil {
			return l.dir.fail(err)
		}
		if err := s.removeFiles(); err != nil {
			return l.dir.fail(err)
		}
	}
	return nil
}

// cutSegment durably truncates the file of the active segment, of size bytes, to
// the segment's size, and its indexes to the entries below end.
func (l *Log) cutSegment(s *segment, size, end int64) error {
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	if s.size < size {
		if err := h.Truncate(s.size); err != nil {
			return err
		}
	}
	if err := h.Sync(); err != nil {
		return err
	}
	offsets, times, last, err := s.entriesBelow(end)
	if err != nil {
		return err
	}
	txns, _, err := s.txns.before(end)
	if err != nil {
		return err
	}
	l.mu.Lock()
	s.synced = s.size
	s.cutChecks(s.size)
	s.unpin()
	s.offsets.cut(offsets.n)
	s.times.cut(times)
	s.txns.cut(txns)
	s.foreignTxns.cut(txns, end)
	s.lastIndexed = offsets.last.pos
	s.max, s.maxKnown = last, true
	s.times.last, s.times.lastKnown = last, true
	if s.size == 0 {
		s.first, s.createdMs = noFirst, l.env.nowMs()
	}
	l.mu.Unlock()
	return l.noteAgain(s)
}

// cutEntries is the number of kept offset index entries, and the last of them.
type cutEntries struct {
	n    int
	last offsetEntry
}

// entriesBelow finds the index entries that a truncation at end keeps. A time index
// entry is kept if it was added with a kept offset index entry. So an entry that was
// added when the segment was finished is removed.
func (s *segment) entriesBelow(end int64) (cutEntries, int, timeEntry, error) {
	kept := cutEntries{last: offsetEntry{s.base, 0}}
	err := s.offsets.entries(func(i int, b []byte) error {
		if e := s.offsets.decode(b); e.offset < end {
			kept = cutEntries{i + 1, e}
		}
		return nil
	})
	if err != nil {
		return kept, 0, timeEntry{}, err
	}
	times, last := 0, s.times.none()
	err = s.times.entries(func(i int, b []byte) error {
		if e := s.times.decode(b); kept.n > 0 && e.offset <= kept.last.offset {
			times, last = i+1, e
		}
		return nil
	})
	return kept, times, last, err
}

// noteAgain processes the batches after the last index entry. They are too few for
// another entry, but one of them may have the largest timestamp.
func (l *Log) noteAgain(s *segment) error {
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	scan := s.scanner(h, s.lastIndexed, s.size, *buf)
	c := l.config.Load()
	for scan.next() {
		l.mu.Lock()
		s.note(scan.header, scan.pos, c.IndexIntervalBytes, c.SegmentIndexBytes)
		l.mu.Unlock()
	}
	if scan.err != nil {
		return l.scanFailed(s, &scan)
	}
	return nil
}

// reloadProducers rebuilds the state of the producers at the log's end, from the
// newest snapshot at or below it and the batches after the snapshot.
func (l *Log) reloadProducers() error {
	l.dropSnapshotsAbove(l.end)
	var state producers
	state.reset()
	from := l.segments[0].base
	for _, offset := range slices.Backward(slices.Clone(l.snapshots.offsets)) {
		if list, ok := l.readSnapshot(offset); ok {
			for _, p := range list {
				state.load(p)
			}
			from = offset
			break
		}
	}
	for _, s := range l.segments[floor(l.segments, from):] {
		if err := l.replayProducers(&state, s, from); err != nil {
			return l.dir.fail(err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers = state
	l.countProducers()
	l.producers.replicated(l.hw)
	return nil
}

func (l *Log) replayProducers(state *producers, s *segment, from int64) error {
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	l.mu.Lock()
	t := l.seek(s, from)
	l.mu.Unlock()
	if err := l.resolve(s, &t, h, s.size); errors.Is(err, errNotHere) {
		return nil
	} else if err != nil {
		return err
	}
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	scan := s.scanner(h, t.pos, s.size, *buf)
	for scan.next() {
		if !scan.header.HasProducer() {
			continue
		}
		end, timestamp, err := scan.marker(l.env.codecs)
		if err != nil {
			return fmt.Errorf("segment %d at byte %d: %w", s.base, scan.pos, err)
		}
		if end != nil || !scan.header.IsControl() {
			state.apply(scan.header, end, timestamp)
		}
	}
	if scan.err != nil {
		return l.scanFailed(s, &scan)
	}
	return nil
}

// lowerRecoveryPoint lowers the recovery point to offset, so that a recovery does
// not treat data above it as flushed.
func (l *Log) lowerRecoveryPoint(offset int64) error {
	if l.dir.flusher == nil {
		return nil // the owner stores the recovery point
	}
	return l.dir.lowerRecoveryPoint(l, offset)
}
