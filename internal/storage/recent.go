package storage

import "sort"

// recent remembers where the last batches of a log begin: consumers and
// followers at the end, and the high watermark just below it, are found
// without reading a header.
type recent struct {
	// next is the number of batches noted since reset; the last kept ones are
	// in the rings at their number modulo recentBatches.
	next   int
	last   []int64 // last offset of a batch
	pos    []int32 // where it begins in the active segment
	endPos int64   // where the next one will
}

const recentBatches = 64

// reset forgets everything: another segment is active, or it was truncated.
func (r *recent) reset() { *r = recent{} }

// add notes a batch that follows those before without a gap in the file.
func (r *recent) add(lastOffset, pos, size int64) {
	if r.last == nil {
		r.last, r.pos = make([]int64, recentBatches), make([]int32, recentBatches)
	}
	r.last[r.next%recentBatches], r.pos[r.next%recentBatches] = lastOffset, int32(pos)
	r.next++
	r.endPos = pos + size
}

// find returns the first batch whose last offset is at or above offset, if it
// is remembered and the batch before it as well: else an earlier batch could
// be meant.
func (r *recent) find(offset int64) (pos, size int64, ok bool) {
	first := max(0, r.next-recentBatches)
	i := first + sort.Search(r.next-first, func(i int) bool { return r.last[(first+i)%recentBatches] >= offset })
	if i == first || i == r.next {
		return 0, 0, false
	}
	pos = int64(r.pos[i%recentBatches])
	if i+1 == r.next {
		return pos, r.endPos - pos, true
	}
	return pos, int64(r.pos[(i+1)%recentBatches]) - pos, true
}
