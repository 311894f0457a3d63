package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	"ottla/internal/record"
)

// TestFirstRecord: the first record at or above an offset, exact to the record,
// over segments, in uncompressed and compressed batches, after a reopen and
// above a start that moved.
func TestFirstRecord(t *testing.T) {
	codecs := record.NewCodecs()
	o := newLogTest(t, func(o *Options) {
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 3000, 100
		o.OpenFilesMax = 3
	})
	rng := rand.New(rand.NewPCG(7, 7))
	var timestamps []int64
	for range 200 {
		b := record.NewBuilder(record.BuilderOptions{Codecs: codecs, Compression: record.Compression(rng.IntN(5))})
		for range 1 + rng.IntN(5) {
			timestamps = append(timestamps, startMs+rng.Int64N(10_000))
			b.Append(timestamps[len(timestamps)-1], nil, make([]byte, rng.IntN(60)))
		}
		if _, err := o.AppendAsLeader(must(b.Build())(t), AppendOptions{LeaderEpoch: 4}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(start int64) {
		t.Helper()
		end := o.EndOffset()
		for from := int64(0); from <= end; from++ {
			want := TimestampOffset{max(from, start), 0, 4}
			got, found, err := o.FirstRecord(from, end)
			if err != nil || found != (want.Offset < end) {
				t.Fatalf("from %d: %+v %t %v", from, got, found, err)
			}
			if found {
				if want.Timestamp = timestamps[want.Offset]; got != want {
					t.Fatalf("from %d: %+v, want %+v", from, got, want)
				}
			}
		}
	}
	check(0)
	o.reopen()
	check(0)
	o.SetHighWatermark(o.EndOffset())
	if err := o.IncrementStartOffset(101); err != nil {
		t.Fatal(err)
	}
	check(101)
	if _, found, err := o.FirstRecord(150, 150); found || err != nil {
		t.Error("something is found in nothing", err)
	}
	end := o.EndOffset()
	o.close()
	if _, _, err := o.FirstRecord(150, end); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestFirstRecordControl: the end of a transaction is no record that waits.
func TestFirstRecordControl(t *testing.T) {
	c := newCleanTest(t, nil)
	defer c.close()
	c.appendBatch(batch(t, 1, txn(7, 0), "v"), record.Client)
	c.end(7, 0, true)
	if _, found, err := c.FirstRecord(1, c.EndOffset()); found || err != nil {
		t.Errorf("a marker is found: %t, %v", found, err)
	}
	c.appendBatch(batch(t, 1, record.BuilderOptions{}, "v"), record.Client)
	if got, found, err := c.FirstRecord(1, c.EndOffset()); got.Offset != 2 || !found || err != nil {
		t.Errorf("behind the marker: %+v, %t, %v", got, found, err)
	}
}
