package storage

import (
	"math"
	"path/filepath"
	"sync/atomic"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// segment is a stretch of the log in one file, with its indexes. Its name is a
// lower bound of its offsets. Only the last segment of a log is appended to.
//
// What changes is guarded by Log.mu and changed only under Log.write.
type segment struct {
	base    int64
	file    *file
	offsets offsetIndex
	times   timeIndex
	txns    txnIndex

	size int64
	// synced is how many bytes are known to be on disk; pinned holds the file
	// open while that is less than size.
	synced int64
	pinned vfs.File
	// writing tells that an append uses pinned. Guarded by Log.mu.
	writing bool
	// lastIndexed is the position of the batch of the last index entry.
	lastIndexed int64
	// max is the largest timestamp and the last offset of the first batch that
	// has it. For a segment that was loaded and not scanned it is the last
	// entry of the time index, read when first asked for.
	max      timeEntry
	maxKnown bool
	// first is the largest timestamp of the first batch, from which segment.ms
	// counts; noFirst while there is none, and unknownFirst until it is read.
	first     int64
	createdMs int64
	// foreign is how many bytes another process wrote, which are checked before
	// they are sent; checks is what is known of them. See checks.
	foreign  int64
	checks   *checks
	jitterMs int64
	// holes are the damaged bytes that are known, in order: a walk passes over
	// them. gapSeen tells that what follows the segment was looked at.
	holes   atomic.Pointer[[]span]
	gapSeen atomic.Bool
	// foreignTxns are the aborted transactions that another process noted.
	foreignTxns foreignTxns
}

const (
	noFirst      int64 = math.MinInt64
	unknownFirst int64 = math.MinInt64 + 1
)

// openSegment makes the object; nothing is opened on disk.
func openSegment(files *files, dir string, base int64) *segment {
	return openSegmentAs(files, dir, base, "")
}

// openSegmentAs is openSegment for files with one more suffix.
func openSegmentAs(files *files, dir string, base int64, more string) *segment {
	path := func(suffix string) string { return filepath.Join(dir, segmentName(base, suffix+more)) }
	return &segment{
		base:    base,
		file:    files.file(path(logSuffix)),
		offsets: newOffsetIndex(files.file(path(offsetSuffix)), base),
		times:   newTimeIndex(files.file(path(timeSuffix)), base),
		txns:    newTxnIndex(files.file(path(txnSuffix))),
		first:   noFirst,
	}
}

// all lists the files of the segment.
func (s *segment) all() [4]*file {
	return [4]*file{s.file, s.offsets.file, s.times.file, s.txns.file}
}

// fits tells whether an offset can be written relative to the base.
func (s *segment) fits(offset int64) bool {
	return offset >= s.base && offset-s.base <= math.MaxInt32
}

// note takes a batch that was written at pos into the indexes:
//
//  1. the largest timestamp so far, before the index entry that includes it
//  2. an entry in both indexes when more than interval bytes lie between this
//     batch and the one of the last entry; none when an index is full
//
// What the indexes hold follows from the batches, interval and maxBytes alone;
// so an index that is built anew is equal to one that was written (P9).
func (s *segment) note(b record.Batch, pos int64, interval, maxBytes int32) {
	if s.first == noFirst {
		s.first = b.MaxTimestamp()
	}
	if b.MaxTimestamp() > s.max.timestamp {
		s.max = timeEntry{b.MaxTimestamp(), b.LastOffset()}
	}
	if pos-s.lastIndexed <= int64(interval) || s.offsets.full(maxBytes) || s.times.full(maxBytes) {
		return
	}
	s.offsets.add(offsetEntry{b.LastOffset(), pos})
	s.times.addIfLater(s.max)
	s.lastIndexed = pos
}

// startEmpty sets what an empty segment knows.
func (s *segment) startEmpty(nowMs int64) {
	s.max, s.maxKnown = s.times.none(), true
	s.times.last, s.times.lastKnown = s.times.none(), true
	s.first, s.createdMs = noFirst, nowMs
}

// finish adds the last entry of the time index: nothing more is appended. The
// caller holds Log.mu or owns the segment.
func (s *segment) finish() { s.times.addIfLater(s.max) }

// leftClean tells whether the index files have the sizes that finish and a
// spill would give them.
func (s *segment) leftClean() bool {
	times := s.times.count
	if s.max.timestamp > s.times.last.timestamp {
		times++
	}
	return s.offsets.fileSize == int64(s.offsets.count*offsetEntryLen) && s.times.fileSize == int64(times*timeEntryLen)
}

// spill writes new index entries to the files, without Log.mu; spilled notes
// it, under Log.mu.
func (s *segment) spill() error {
	for _, x := range s.indexes() {
		if err := x.spill(); err != nil {
			return err
		}
	}
	return nil
}

func (s *segment) spilled(keep int) {
	for _, x := range s.indexes() {
		x.spilled(keep)
	}
}

func (s *segment) indexes() [3]*index {
	return [3]*index{&s.offsets.index, &s.times.index, &s.txns.index}
}

// retire closes all files for good as their users finish. The caller holds
// Log.mu or owns the segment.
func (s *segment) retire() {
	s.unpin()
	for _, f := range s.all() {
		f.retire()
	}
}

// pin holds the file open until what is in it is on disk. The caller owns the
// segment, which nobody appends to or flushes yet.
func (s *segment) pin() (vfs.File, error) {
	if s.pinned != nil {
		return s.pinned, nil
	}
	h, err := s.file.acquire()
	s.pinned = h
	return h, err
}

// pinFor holds the file open until what an append writes is on disk. While the
// append is under way no flush lets go of it. The caller holds Log.write and
// clears writing, as writeFailed does.
func (l *Log) pinFor(s *segment) (vfs.File, error) {
	l.mu.Lock()
	h := s.pinned
	s.writing = h != nil
	l.mu.Unlock()
	if h != nil {
		return h, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	s.pinned, s.writing = h, true
	l.mu.Unlock()
	return h, nil
}

// mayOpen refuses an append that opens or makes a file when no more may be open.
// A roll may: the file before it is soon let go.
func (l *Log) mayOpen() error {
	if !l.env.files.atLimit() || l.active().file.isOpen() {
		return nil
	}
	return &StorageError{Dir: l.dir.path, Err: errTooMany}
}

// writeFailed ends an append that wrote nothing.
func (l *Log) writeFailed(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.writing = false
	s.unpinSynced()
}

// unpinSynced lets go of the file when nothing in it waits for the disk. The
// caller holds Log.mu.
func (s *segment) unpinSynced() {
	if s.synced == s.size && !s.writing {
		s.unpin()
	}
}

// unpin lets go of the file. The caller holds Log.mu or owns the segment.
func (s *segment) unpin() {
	if s.pinned != nil {
		s.pinned = nil
		s.file.release()
	}
}
