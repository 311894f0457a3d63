package storage

import (
	"cmp"
	"slices"
	"sort"
)

// NoEpoch means an unknown leader epoch.
const NoEpoch int32 = -1

// epochEntry is a leader epoch and its start offset.
type epochEntry struct {
	epoch int32
	start int64
}

// epochs maps leader epochs to their start offsets, strictly ascending in both (P4). It
// results from the leader epochs in the batches, and from the epochs in which this
// replica became leader. Followers use it to find where their log diverges from the
// leader's (KIP-101, KIP-279).
//
// Its file, leader-epoch-checkpoint, is written with the recovery point, not at each
// change. Entries above the recovery point are recovered from the batches. An epoch
// without a batch was never visible to others.
type epochs struct {
	entries []epochEntry
	// changed is true if the file is outdated.
	changed bool
}

func (e *epochs) latest() (epochEntry, bool) {
	if len(e.entries) == 0 {
		return epochEntry{}, false
	}
	return e.entries[len(e.entries)-1], true
}

// assign records that epoch begins at start. It does nothing if epoch is already the
// latest one. Contradicting entries are removed.
func (e *epochs) assign(epoch int32, start int64) {
	if last, ok := e.latest(); epoch < 0 || ok && last.epoch == epoch && last.start <= start {
		return
	}
	for {
		last, ok := e.latest()
		if !ok || last.epoch < epoch && last.start < start {
			break
		}
		e.entries = e.entries[:len(e.entries)-1]
	}
	e.entries = append(e.entries, epochEntry{epoch, start})
	e.changed = true
}

// assignNewer is assign for the batches of a log in order.
func (e *epochs) assignNewer(epoch int32, start int64) {
	if last, ok := e.latest(); !ok || epoch > last.epoch {
		e.assign(epoch, start)
	}
}

// end returns the largest known epoch that is at most epoch, and the start offset of the
// next one (KIP-279). The latest epoch ends at logEnd. For an epoch above all entries, or
// without entries, it returns NoEpoch and -1. For an epoch below all entries it returns
// the epoch itself and the start of the first entry.
func (e *epochs) end(epoch int32, logEnd int64) (int32, int64) {
	last, ok := e.latest()
	switch {
	case epoch < 0 || !ok || epoch > last.epoch:
		return NoEpoch, noOffset
	case epoch == last.epoch:
		return epoch, logEnd
	}
	next := e.above(epoch)
	if next == 0 {
		return epoch, e.entries[0].start
	}
	return e.entries[next-1].epoch, e.entries[next].start
}

// above returns the number of the first entry above epoch.
func (e *epochs) above(epoch int32) int {
	i, found := slices.BinarySearchFunc(e.entries, epoch, func(x epochEntry, epoch int32) int { return cmp.Compare(x.epoch, epoch) })
	if found {
		i++
	}
	return i
}

// at returns the epoch of an offset, NoEpoch if unknown.
func (e *epochs) at(offset int64) int32 {
	i := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].start > offset })
	if i == 0 {
		return NoEpoch
	}
	return e.entries[i-1].epoch
}

// truncateEnd removes the epochs that begin at or above end.
func (e *epochs) truncateEnd(end int64) {
	for {
		last, ok := e.latest()
		if !ok || last.start < end {
			return
		}
		e.entries = e.entries[:len(e.entries)-1]
		e.changed = true
	}
}

// truncateStart makes the epoch of start begin at start, and removes earlier ones.
func (e *epochs) truncateStart(start int64) {
	n := sort.Search(len(e.entries), func(i int) bool { return e.entries[i].start > start })
	if n == 0 || n == 1 && e.entries[0].start == start {
		return
	}
	e.entries = slices.Clone(e.entries[n-1:])
	e.entries[0].start = start
	e.changed = true
}

func (e *epochs) clear() {
	e.changed = e.changed || len(e.entries) > 0
	e.entries = nil
}
