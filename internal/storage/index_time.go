package storage

import (
	"encoding/binary"

	"ottla/internal/record"
)

// timeIndex is the file .timeindex: the largest timestamps of a segment. Its entries, sorted
// by both fields:
//
//	0  timestamp        int64  largest so far in the segment, ms
//	8  relative offset  int32  last offset of the first batch with it, minus
//	                           the segment's base
//
// An entry is added with each entry of the offset index if the timestamp has grown, and one
// more when the segment is finished or closed. So the last entry is the largest timestamp
// of the segment.
type timeIndex struct {
	index
	base int64
	last timeEntry // the last entry; valid when lastKnown
	// lastKnown is true if last was read or written; guarded by Log.mu.
	lastKnown bool
}

const timeEntryLen = 12

// timeEntry means that no record up to offset is later than timestamp.
type timeEntry struct{ timestamp, offset int64 }

func newTimeIndex(f *file, base int64) timeIndex {
	return timeIndex{index: index{file: f, width: timeEntryLen}, base: base}
}

// none returns the last entry of an empty index.
func (x *timeIndex) none() timeEntry { return timeEntry{record.NoTimestamp, x.base} }

// addIfLater adds an entry if its timestamp is larger than the last one's.
func (x *timeIndex) addIfLater(e timeEntry) {
	if e.timestamp <= x.last.timestamp {
		return
	}
	var b [timeEntryLen]byte
	binary.BigEndian.PutUint64(b[:], uint64(e.timestamp))
	binary.BigEndian.PutUint32(b[8:], uint32(e.offset-x.base))
	x.index.add(b[:])
	x.last = e
}

func (x *timeIndex) decode(b []byte) timeEntry {
	return timeEntry{int64(binary.BigEndian.Uint64(b)), x.base + int64(int32(binary.BigEndian.Uint32(b[8:])))}
}

func (x *timeIndex) upTo(timestamp int64) func([]byte) bool {
	return func(b []byte) bool { return x.decode(b).timestamp <= timestamp }
}

// floorInTail returns the last entry at or below timestamp if the tail has it; otherwise
// like offsetIndex.floorInTail.
func (x *timeIndex) floorInTail(timestamp int64) (e timeEntry, inFile int) {
	start := x.tailStart()
	i := x.searchTail(x.upTo(timestamp))
	if i > start {
		return x.decode(x.inTail(i - 1)), 0
	}
	return x.none(), start
}

func (x *timeIndex) floorInFile(timestamp int64, n int) (timeEntry, error) {
	var previous [timeEntryLen]byte
	i, err := x.searchFile(n, previous[:], x.upTo(timestamp))
	if err != nil || i == 0 {
		return x.none(), err
	}
	return x.decode(previous[:]), nil
}

// readLast reads the last of n entries from the file.
func (x *timeIndex) readLast(n int) (timeEntry, error) {
	if n == 0 {
		return x.none(), nil
	}
	h, err := x.file.acquire()
	if err != nil {
		return timeEntry{}, err
	}
	defer x.file.release()
	var b [timeEntryLen]byte
	if err := readFull(h, b[:], int64(n-1)*timeEntryLen); err != nil {
		return timeEntry{}, err
	}
	return x.decode(b[:]), nil
}

// full tells whether maxBytes are used up, except for the entry that is added when the
// segment is finished.
func (x *timeIndex) full(maxBytes int32) bool { return x.count >= int(maxBytes)/timeEntryLen-1 }

// upToOffset counts the entries in the file up to an offset and returns the last of them.
func (x *timeIndex) upToOffset(offset int64) (int, timeEntry, error) {
	if x.written == 0 {
		return 0, x.none(), nil
	}
	var previous [timeEntryLen]byte
	n, err := x.searchFile(x.written, previous[:], func(b []byte) bool {
		e := x.decode(b)
		return e != timeEntry{0, x.base} && e.offset <= offset
	})
	if err != nil || n == 0 {
		return 0, x.none(), err
	}
	return n, x.decode(previous[:]), nil
}
