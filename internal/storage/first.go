package storage

import (
	"fmt"

	"ottla/internal/record"
)

// The costs of FirstRecord.
const (
	// headBytes of a batch that is not compressed hold the head of its first
	// record.
	headBytes = record.HeaderLen + 32
	// firstMost batches without a record are passed over, at most.
	firstMost = 1000
)

// FirstRecord returns the first record with an offset in [from, upTo), or in
// [StartOffset, upTo) when that is less; false when there is none. Control
// records are passed over: no consumer sees them.
//
//  1. The index and a few headers lead to the batch of from, as with Read; a
//     batch that this process did not write is checked like there.
//  2. Of a batch that is not compressed the head is read, which tells if the record
//     is its first. Otherwise the batch is read whole, and decompressed up to the
//     record.
//  3. A batch that has no such record, because compaction took it, leads to the
//     next one.
//
// No lock is held over reads.
func (l *Log) FirstRecord(from, upTo int64) (TimestampOffset, bool, error) {
	return l.searchAgain(func() (TimestampOffset, bool, error) { return l.firstRecord(max(from, l.StartOffset()), upTo) })
}

func (l *Log) firstRecord(from, upTo int64) (TimestampOffset, bool, error) {
	for range firstMost {
		slice, _, err := l.readChecked(from, upTo, 1, true, true)
		if err != nil || slice.Len() == 0 {
			return TimestampOffset{}, false, err
		}
		found, next, ok, err := l.firstOf(&slice, from)
		slice.Release()
		if ok || err != nil {
			return found, ok, err
		}
		from = next
	}
	return TimestampOffset{}, false, fmt.Errorf("%s: no record in %d batches before offset %d", l.path, firstMost, from)
}

// firstOf looks into the one batch of a slice; next is the offset behind it.
func (l *Log) firstOf(slice *Slice, from int64) (found TimestampOffset, next int64, ok bool, err error) {
	var head [headBytes]byte
	b := record.Batch(head[:min(len(head), slice.Len())])
	if n, err := slice.ReadAt(b, 0); n < len(b) {
		return found, 0, false, l.readFailed(err)
	}
	next = b.NextOffset()
	if b.IsControl() {
		return found, next, false, nil
	}
	found.LeaderEpoch = b.LeaderEpoch()
	if b.Compression() == record.None {
		if found.Offset, found.Timestamp, ok, _ = b.First(nil, from); ok { // an error is met again
			return found, next, true, nil
		}
	}
	b = make([]byte, slice.Len())
	if n, err := slice.ReadAt(b, 0); n < len(b) {
		return found, 0, false, l.readFailed(err)
	}
	if found.Offset, found.Timestamp, ok, err = b.First(l.env.codecs, from); err != nil {
		return found, 0, false, fmt.Errorf("%s: %w", l.path, err)
	}
	return found, next, ok, nil
}
