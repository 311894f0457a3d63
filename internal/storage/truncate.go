package storage

import (
	"errors"
	"fmt"
	"slices"

	"ottla/internal/vfs"
)

// TruncateTo removes the batches that reach offset or beyond; the log then ends
// with the last batch below, at offset or before it. It is for followers
// whose log parted from the leader's (R8); never below the high watermark of
// committed records (P11), which is the caller's to see to.
//
// On return the truncation is on disk: bytes that were cut never come back to
// mix with what is appended in their place.
//
//  1. The recovery point on disk is lowered first, if it is above: below it
//     recovery takes everything for flushed. So is the log's start, if it lies
//     inside the batch that is cut first. A crash may then show that batch from
//     its first record on, until the leader tells the start again. The other
//     way round the log would end below its start, and a recovery begin anew
//     and forget the producers.
//  2. Readers see the shorter log.
//  3. Whole segments are removed, the last one first, each removal durable
//     before the next: a crash leaves a prefix of the old log.
//  4. The segment that holds offset is cut and flushed, its indexes with it.
//  5. The producers' state is read again from a snapshot and the batches.
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
	s.size = pos // a reader up to the new end finds nothing behind it
	l.mu.Unlock()
	if err := l.dropSegments(dropped); err != nil {
		return err
	}
	l.dropSnapshotsAbove(end)
	if err := l.cutSegment(s, size, end); err != nil {
		return l.dir.fail(err)
	}
	if l.dirty() {
		l.dir.flushSoon(l) // a flush that began before says nothing
	}
	return l.reloadProducers()
}

// TruncateFullyAndStartAt removes everything; the log is empty then and begins
// at offset. It is for followers whose leader no longer has what would come
// next.
//
// A crash leaves the whole old log or an empty one, for of a part of a
// compacted log nobody could tell what its producers did:
//
//  1. A start above all that there is goes into log-start-offset-checkpoint.
//     From here on a recovery begins anew there.
//  2. The old log is removed, and the new one made durable.
//  3. The start of the new one takes the place of the first.
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
		return l.dir.fail(err) // what is on disk gives the log up already
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
	// What the epochs on disk say of the old log must not be found again: there
	// are no batches that contradict.
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

// giveUpAll writes a start above everything to disk, so that a recovery begins
// anew there; 0 takes it back. The caller holds write.
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

// shorten publishes what readers see after a truncation to end.
func (l *Log) shorten(segments []*segment, end int64) {
	l.generation++
	l.replaceSegments(segments)
	l.end = end
	l.hw, l.flushed = min(l.hw, end), min(l.flushed, end)
	l.start = min(l.start, end)
	l.notified = noOffset // the same offset is another one now
	l.epochs.truncateEnd(end)
	l.recent.reset()
	l.forgetDamage(l.start, end)
	l.touched = true
}

// findCut returns the position of the first batch that reaches offset, and
// where the last one before it ends.
func (l *Log) findCut(s *segment, offset int64) (pos, end int64, err error) {
	h, err := s.file.acquire()
	if err != nil {
		return 0, 0, l.readFailed(err)
	}
	defer s.file.release()
	e, inFile := s.offsets.floorInTail(offset - 1) // a batch that stays
	if inFile > 0 {
		if e, err = s.offsets.floorInFile(offset-1, inFile); err != nil {
			return 0, 0, l.readFailed(err)
		}
	}
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	if s.holes.Load() != nil {
		e.pos = 0 // the entry may be about a batch that is damaged
	}
	pos, end = e.pos, s.base
	scan := s.scanner(h, e.pos, s.size, *buf)
	for scan.next() {
		if scan.header.LastOffset() >= offset {
			return pos, end, nil // damage between the two goes as well
		}
		pos, end = scan.pos+scan.size, scan.header.NextOffset()
	}
	if scan.err != nil {
		return 0, 0, l.scanFailed(s, &scan)
	}
	return s.size, end, nil
}

// dropSegments removes segments that nobody finds any more, the last first. Of
// each the batches go before the indexes: a segment that a crash brings back has
// its transaction index, which cannot be built anew below the recovery point.
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

// cutSegment cuts the file of the active segment, of size bytes, to what the
// segment has, and its indexes to what is below end, all of it durable.
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

// cutEntries is how many offset index entries are kept, and the last of them.
type cutEntries struct {
	n    int
	last offsetEntry
}

// entriesBelow finds which index entries a cut at end leaves: those of the time
// index that were made with a kept one of the offset index, so that one made
// when the segment was finished goes.
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

// noteAgain notes the batches behind the last index entry: there are too few
// for another entry, but one of them may have the largest timestamp.
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

// reloadProducers makes the state of the producers as of the log's end, from
// the newest snapshot that is not above it and the batches that follow.
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

// lowerRecoveryPoint sees to it that a recovery would not take what lies above
// offset for flushed.
func (l *Log) lowerRecoveryPoint(offset int64) error {
	if l.dir.flusher == nil {
		return nil // the owner keeps the recovery point
	}
	return l.dir.lowerRecoveryPoint(l, offset)
}
