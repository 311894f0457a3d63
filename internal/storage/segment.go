package storage

import (
	"math"
	"path/filepath"
	"sync/atomic"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// segment is a part of the log in one file, with its indexes. Its name is a lower
// bound of its offsets. Only the last segment of a log is appended to.
//
// Log.mu guards the fields that change. They are changed only under Log.write.
type segment struct {
	base    int64
	file    *file
	offsets offsetIndex
	times   timeIndex
	txns    txnIndex

	size int64
	// synced is the number of bytes known to be durable. pinned keeps the file open
	// while synced is less than size.
	synced int64
	pinned vfs.File
	// writing is true while an append uses pinned. Guarded by Log.mu.
	writing bool
	// lastIndexed is the position of the batch of the last index entry.
	lastIndexed int64
	// max is the largest timestamp and the last offset of the first batch with it.
	// For a segment that was loaded without a scan it is the last entry of the time
	// index, which is read on first use.
	max      timeEntry
	maxKnown bool
	// first is the largest timestamp of the first batch, from which segment.ms
	// counts. It is noFirst without a batch, and unknownFirst until it is read.
	first     int64
	createdMs int64
	// foreign is the number of bytes that another process wrote. They are verified
	// before they are sent; checks has the verified ones. See checks.
	foreign  int64
	checks   *checks
	jitterMs int64
	// holes are the known damaged bytes, in order. A scan skips them. gapSeen is
	// true if the gap after the segment was checked.
	holes   atomic.Pointer[[]span]
	gapSeen atomic.Bool
	// foreignTxns are the aborted transactions that another process indexed.
	foreignTxns foreignTxns
}

const (
	noFirst      int64 = math.MinInt64
	unknownFirst int64 = math.MinInt64 + 1
)

// openSegment makes the object. It opens no file.
func openSegment(files *files, dir string, base int64) *segment {
	return openSegmentAs(files, dir, base, "")
}

// openSegmentAs is like openSegment, for files with an additional suffix.
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

// fits tells whether an offset can be stored relative to the base.
func (s *segment) fits(offset int64) bool {
	return offset >= s.base && offset-s.base <= math.MaxInt32
}

// note adds a batch that was written at pos to the indexes:
//
//  1. It updates the largest timestamp, before the index entry that includes it.
//  2. It adds an entry to both indexes if there are more than interval bytes
//     between this batch and the batch of the last entry; none if an index is full.
//
// The content of the indexes depends only on the batches, interval and maxBytes. So
// a rebuilt index is equal to the original (P9).
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

// startEmpty sets the state of an empty segment.
func (s *segment) startEmpty(nowMs int64) {
	s.max, s.maxKnown = s.times.none(), true
	s.times.last, s.times.lastKnown = s.times.none(), true
	s.first, s.createdMs = noFirst, nowMs
}

// finish adds the last entry of the time index when the segment is complete. The
// caller holds Log.mu or owns the segment.
func (s *segment) finish() { s.times.addIfLater(s.max) }

// leftClean tells whether the index files have the sizes that they have after
// finish and spill.
func (s *segment) leftClean() bool {
	times := s.times.count
	if s.max.timestamp > s.times.last.timestamp {
		times++
	}
	return s.offsets.fileSize == int64(s.offsets.count*offsetEntryLen) && s.times.fileSize == int64(times*timeEntryLen)
}

// spill writes new index entries to the files, without Log.mu. spilled then updates
// the state under Log.mu.
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

// retire closes all files permanently when their users have finished. The caller
// holds Log.mu or owns the segment.
func (s *segment) retire() {
	s.unpin()
	for _, f := range s.all() {
		f.retire()
	}
}

// pin keeps the file open until its content is durable. The caller owns the
// segment, which is not yet appended to or flushed.
func (s *segment) pin() (vfs.File, error) {
	if s.pinned != nil {
		return s.pinned, nil
	}
	h, err := s.file.acquire()
	s.pinned = h
	return h, err
}

// pinFor keeps the file open until the bytes of an append are durable. During the
// append no flush closes it. The caller holds Log.write and clears writing, like
// writeFailed.
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

// mayOpen refuses an append that opens or creates a file if the maximum number of
// files is open. A roll is allowed, because the previous file is soon closed.
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

// unpinSynced releases the file if all of its content is durable. The caller holds
// Log.mu.
func (s *segment) unpinSynced() {
	if s.synced == s.size && !s.writing {
		s.unpin()
	}
}

// unpin releases the file. The caller holds Log.mu or owns the segment.
func (s *segment) unpin() {
	if s.pinned != nil {
		s.pinned = nil
		s.file.release()
	}
}
