package raft

import (
	"fmt"
	"math"
	"slices"
	"sort"
)

// anchor is a place between two entries: index and term of the entry before it
// and the offset after it. The zero anchor is the beginning of time.
type anchor struct {
	index  uint64
	term   int32
	offset int64
}

// index is the table that leads from raft's index to the offset, for the
// entries that the log holds, and from there to the term.
//
// An entry takes one batch and a batch any number of offsets, so nothing but a
// table can tell; it is rebuilt from the batch headers when the log is opened.
// A metadata log may hold a million entries (a week of no-ops), so that offsets
// are stored as 4-byte distances from the first of every 512, and terms as the
// few places where they change. A table of every 64th entry would be smaller
// still, but then each lookup reads the log.
type index struct {
	before anchor // in front of the first entry
	chunks []*chunk
	skip   int // entries of chunks[0] that are gone
	count  int
	next   int64     // the offset after the last entry
	terms  []termRun // ascending; the first covers before.index
}

const chunkEntries = 512

// chunk holds the offsets of 512 entries. Batches are limited to MaxBatchBytes
// and a record takes at least 7 bytes: the distances fit 32 bits.
type chunk struct {
	base   int64
	deltas [chunkEntries]uint32
}

// termRun begins a term at an index.
type termRun struct {
	from uint64
	term int32
}

// newIndex makes an empty table behind a.
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

// first and last are the indexes of the entries; first is last+1 when there
// are none.
func (x *index) first() uint64 { return x.before.index + 1 }
func (x *index) last() uint64  { return x.before.index + uint64(x.count) }

// lastTerm is the term of the last entry, or of what precedes the first.
func (x *index) lastTerm() int32 { return x.terms[len(x.terms)-1].term }

// end is the place behind the last entry.
func (x *index) end() anchor { return anchor{x.last(), x.lastTerm(), x.next} }

// add appends an entry that takes the offsets from base to next-1. Offsets
// have no gaps and terms never go back (P4).
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

// at is the place behind entry i, from first-1 to last.
func (x *index) at(i uint64) anchor { return anchor{i, x.term(i), x.offset(i + 1)} }

// find returns the place whose offset is given, false when that is not
// between two entries of the table.
func (x *index) find(offset int64) (anchor, bool) {
	k := sort.Search(x.count+1, func(k int) bool { return x.offset(x.first()+uint64(k)) >= offset })
	if k > x.count || x.offset(x.first()+uint64(k)) != offset {
		return anchor{}, false
	}
	return x.at(x.before.index + uint64(k)), true
}

// truncate drops entry i and all behind it.
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

// dropTo drops what precedes the place behind entry i, which is in the table.
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
