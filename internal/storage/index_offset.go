package storage

import "encoding/binary"

// offsetIndex is the file .index: the positions of batches in the segment, about one entry
// per index.interval.bytes. Its entries, sorted by both fields:
//
//	0  relative offset  int32  last offset of a batch, minus the segment's base
//	4  position         int32  position of that batch, in bytes
//
// Kafka maps the file with segment.index.bytes while the segment is active. So after a
// crash of Kafka the file ends with zeros. An entry is never zero, because the first batch
// of a segment has none.
type offsetIndex struct {
	index
	base int64
}

const offsetEntryLen = 8

// offsetEntry is one entry: offset is the last offset of the batch at pos.
type offsetEntry struct{ offset, pos int64 }

func newOffsetIndex(f *file, base int64) offsetIndex {
	return offsetIndex{index: index{file: f, width: offsetEntryLen}, base: base}
}

func (x *offsetIndex) add(e offsetEntry) {
	var b [offsetEntryLen]byte
	binary.BigEndian.PutUint32(b[:], uint32(e.offset-x.base))
	binary.BigEndian.PutUint32(b[4:], uint32(e.pos))
	x.index.add(b[:])
}

func (x *offsetIndex) decode(b []byte) offsetEntry {
	return offsetEntry{x.base + int64(int32(binary.BigEndian.Uint32(b))), int64(int32(binary.BigEndian.Uint32(b[4:])))}
}

// upTo returns a function that tells whether an entry is at or below offset.
func (x *offsetIndex) upTo(offset int64) func([]byte) bool {
	return func(b []byte) bool { return x.decode(b).offset <= offset }
}

// floorInTail returns the last entry at or below offset if the tail has it; inFile is then
// 0. Otherwise it is among the first inFile entries of the file. If there is no such
// entry, it returns the beginning of the segment. Called under Log.mu.
func (x *offsetIndex) floorInTail(offset int64) (e offsetEntry, inFile int) {
	start := x.tailStart()
	i := x.searchTail(x.upTo(offset))
	if i > start {
		return x.decode(x.inTail(i - 1)), 0
	}
	return offsetEntry{x.base, 0}, start
}

// floorInFile returns the last of the first n entries of the file that is at or below
// offset, or the beginning of the segment.
func (x *offsetIndex) floorInFile(offset int64, n int) (offsetEntry, error) {
	var previous [offsetEntryLen]byte
	i, err := x.searchFile(n, previous[:], x.upTo(offset))
	if err != nil || i == 0 {
		return offsetEntry{x.base, 0}, err
	}
	return x.decode(previous[:]), nil
}

// ceilingInTail returns the first entry of the tail whose batch begins at or after pos, if
// ok. inFile is the number of file entries that may include an earlier one, 0 for none.
// Called under Log.mu.
func (x *offsetIndex) ceilingInTail(pos int64) (e offsetEntry, inFile int, ok bool) {
	start := x.tailStart()
	i := x.searchTail(x.before(pos))
	if i == start {
		inFile = start
	}
	if i < x.count {
		e, ok = x.decode(x.inTail(i)), true
	}
	return e, inFile, ok
}

// ceilingInFile returns the first of the first n entries of the file whose batch begins at
// or after pos, or else the result of ceilingInTail.
func (x *offsetIndex) ceilingInFile(pos int64, n int, tail offsetEntry, ok bool) (offsetEntry, bool, error) {
	var entry [offsetEntryLen]byte
	i, err := x.searchFile(n, entry[:], x.before(pos))
	if err != nil || i == n {
		return tail, ok, err
	}
	h, err := x.file.acquire()
	if err != nil {
		return offsetEntry{}, false, err
	}
	defer x.file.release()
	err = readFull(h, entry[:], int64(i*offsetEntryLen))
	return x.decode(entry[:]), err == nil, err
}

// before returns a function that tells whether an entry's batch begins before pos.
func (x *offsetIndex) before(pos int64) func([]byte) bool {
	return func(b []byte) bool { return x.decode(b).pos < pos }
}

// full tells whether maxBytes (segment.index.bytes) are used up.
func (x *offsetIndex) full(maxBytes int32) bool { return x.count >= int(maxBytes)/offsetEntryLen }

// floorNumber counts the entries in the file up to an offset and returns the last of them.
// After a crash an index may continue with zeros or old content; neither is below the
// recovery point.
func (x *offsetIndex) floorNumber(offset int64) (int, offsetEntry, error) {
	if x.written == 0 {
		return 0, offsetEntry{}, nil
	}
	var previous [offsetEntryLen]byte
	n, err := x.searchFile(x.written, previous[:], func(b []byte) bool {
		e := x.decode(b)
		return e.pos > 0 && e.offset <= offset
	})
	if err != nil || n == 0 {
		return 0, offsetEntry{}, err
	}
	return n, x.decode(previous[:]), nil
}
