package storage

import (
	"fmt"

	"ottla/internal/record"
)

// The limits of FirstRecord.
const (
	// headBytes is the size of the part of an uncompressed batch that contains the
	// fixed fields of its first record.
	headBytes = record.HeaderLen + 32
	// firstMost is the maximum number of skipped batches without a record.
	firstMost = 1000
)

// FirstRecord returns the first record with an offset in [from, upTo), or in
// [StartOffset, upTo) if from is below the start. It returns false if there is none. It
// skips control records, which consumers do not see.
//
//  1. The index and a few headers lead to the batch of from, as in Read. A batch written
//     by another process is verified as in Read.
//  2. Of an uncompressed batch only the head is read, which is sufficient if the record
//     is the first one. Otherwise the whole batch is read and decompressed up to the
//     record.
//  3. If the batch has no such record, because compaction removed it, the next batch is
//     searched.
//
// No lock is held during reads.
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

// firstOf searches the single batch of a slice. next is the offset after it.
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
		if found.Offset, found.Timestamp, ok, _ = b.First(nil, from); ok { // the full read reports the error
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
