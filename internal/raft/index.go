package raft

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// anchor is a position between two entries: index and term of the entry before
// it, and the offset after that entry. The zero anchor is the position before
// the first entry.
type anchor struct {
	index  uint64
	term   int32
	offset int64
}

// index is the table that maps raft's index to offset and term, for the entries
// that the log holds.
//
// An entry is one batch, and a batch covers any number of offsets, so a table
// is needed. It is rebuilt from the batch headers when the log is opened. A
// metadata log may hold a million entries (a week of no-ops). Offsets are
// therefore stored as 4-byte distances from the first of every 512 entries, and
// terms as the indexes where they change. A table of every 64th entry would be
// smaller, but then each lookup would read the log.
type index struct {
	before anchor // before the first entry
	chunks []*chunk
	skip   int // dropped entries of chunks[0]
	count  int
	next   int64     // the offset after the last entry
	terms  []termRun // ascending; the first covers before.index
}

const chunkEntries = 512

// chunk holds the offsets of 512 entries. Batches are limited to MaxBatchBytes
// and a record takes at least 7 bytes, so the distances fit into 32 bits.
type chunk struct {
	base   int64
	deltas [chunkEntries]uint32
}

// termRun begins a term at an index.
type termRun struct {
	from uint64
	term int32
}

// newIndex makes an empty table that begins at a.
func newIndex(a anchor) index {
	return index{before: a, next: a.offset, terms: []termRun{{a.index, a.term}}}
}

// shift renumbers the entries: by is added to every index.
func (x *index) shift(by uint64) {
	x.before.index += by
	for i := range x.terms {
		x.terms[i].from += by
	}
}

// first and last are the indexes of the entries; first is last+1 if the table
// is empty.
func (x *index) first() uint64 { return x.before.index + 1 }
func (x *index) last() uint64  { return x.before.index + uint64(x.count) }

// lastTerm is the term of the last entry, or of the entry before the first.
func (x *index) lastTerm() int32 { return x.terms[len(x.terms)-1].term }

// end is the position after the last entry.
func (x *index) end() anchor { return anchor{x.last(), x.lastTerm(), x.next} }

// add appends an entry with the offsets base to next-1. Offsets have no gaps
// and terms never decrease (P4).
func (x *index) add(term int32, base, next int64) error {
	if base != x.next || next <= base {
		return fmt.Errorf("entry %d takes the offsets [%d, %d), but %d is next", x.last()+1, base, next, x.next)
	}
	if term < x.lastTerm() {
		return fmt.Errorf("entry %d at offset %d has the epoch %d after the epoch %d", x.last()+1, base, term, x.lastTerm())
	}
	at := x.skip + x.count
	if at == len(x.chunks)*chunkEntries {
		x.chunks = append(x.chunks, &chunk{base: base})
	}
	c := x.chunks[at/chunkEntries]
	if base-c.base > math.MaxUint32 {
		return fmt.Errorf("entry %d at offset %d is %d offsets away from %d", x.last()+1, base, base-c.base, c.base)
	}
	c.deltas[at%chunkEntries] = uint32(base - c.base)
	x.count++
	x.next = next
	if term > x.lastTerm() {
		x.terms = append(x.terms, termRun{x.last(), term})
	}
	return nil
}

// offset is the first offset of entry i, from first to last+1.
func (x *index) offset(i uint64) int64 {
	if i == x.last()+1 {
		return x.next
	}
	at := x.skip + int(i-x.first())
	c := x.chunks[at/chunkEntries]
	return c.base + int64(c.deltas[at%chunkEntries])
}

// term is the term of entry i, from first-1 to last.
func (x *index) term(i uint64) int32 {
	after := sort.Search(len(x.terms), func(k int) bool { return x.terms[k].from > i })
	return x.terms[after-1].term
}

// at is the position after entry i, from first-1 to last.
func (x *index) at(i uint64) anchor { return anchor{i, x.term(i), x.offset(i + 1)} }

// find returns the position with the given offset, or false if the offset is
// not between two entries of the table.
func (x *index) find(offset int64) (anchor, bool) {
	k := sort.Search(x.count+1, func(k int) bool { return x.offset(x.first()+uint64(k)) >= offset })
	if k > x.count || x.offset(x.first()+uint64(k)) != offset {
		return anchor{}, false
	}
	return x.at(x.before.index + uint64(k)), true
}

// truncate drops entry i and all later entries.
func (x *index) truncate(i uint64) {
	x.next = x.offset(i)
	x.count = int(i - x.first())
	kept := (x.skip + x.count + chunkEntries - 1) / chunkEntries
	clear(x.chunks[kept:])
	x.chunks = x.chunks[:kept]
	for len(x.terms) > 1 && x.terms[len(x.terms)-1].from >= i {
		x.terms = x.terms[:len(x.terms)-1]
	}
}

// dropTo drops all entries up to entry i, which is in the table.
func (x *index) dropTo(i uint64) {
	if i <= x.before.index {
		return
	}
	to := x.at(i)
	gone := int(i - x.before.index)
	x.count -= gone
	x.skip += gone
	whole := x.skip / chunkEntries
	x.chunks = slices.Clone(x.chunks[whole:])
	x.skip -= whole * chunkEntries
	run := sort.Search(len(x.terms), func(k int) bool { return x.terms[k].from > i })
	x.terms = slices.Clone(x.terms[run-1:])
	x.terms[0].from = i
	x.before = to
}
