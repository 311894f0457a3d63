package storage

import (
	"cmp"
	"slices"
	"sort"
)

// NoEpoch stands for an unknown leader epoch.
const NoEpoch int32 = -1

// epochEntry says at which offset a leader epoch begins.
type epochEntry struct {
	epoch int32
	start int64
}

// epochs maps leader epochs to the offsets at which they begin, strictly
// ascending in both (P4). It is a fold of the leader epochs in the batches, and
// of the epochs in which this replica became leader; followers find by it where
// their log parted from the leader's (KIP-101, KIP-279).
//
// Its file, leader-epoch-checkpoint, is written with the recovery point and not
// at each change: entries above the recovery point are found again in the
// batches, and an epoch without a batch was never seen by anybody.
type epochs struct {
	entries []epochEntry
	// changed tells that the file is behind.
	changed bool
}

func (e *epochs) latest() (epochEntry, bool) {
	if len(e.entries) == 0 {
		return epochEntry{}, false
	}
	return e.entries[len(e.entries)-1], true
}

// assign notes that epoch begins at start. Nothing happens when it is the
// latest one already; entries that contradict are removed.
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

// end returns the largest epoch that is known and not above the one asked for,
// and the offset at which the next one begins: KIP-279. The latest epoch ends
// at logEnd; an epoch above all, or none at all, gives NoEpoch and -1; one
// below all gives itself and the begin of the first.
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

// above is the number of the first entry above epoch.
func (e *epochs) above(epoch int32) int {
	i, found := slices.BinarySearchFunc(e.entries, epoch, func(x epochEntry, epoch int32) int { return cmp.Compare(x.epoch, epoch) })
	if found {
		i++
	}
	return i
}

// at is the epoch of an offset, NoEpoch if unknown.
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

// truncateStart makes the epoch of start begin there and removes those before.
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
