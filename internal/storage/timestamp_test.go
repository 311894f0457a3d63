package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
)

// TestOffsetForTimestamp: the first record at or after a timestamp, exact to
// the record, in uncompressed and compressed batches, from memory and from the
// index files (P8).
func TestOffsetForTimestamp(t *testing.T) {
	codecs := record.NewCodecs()
	o := newLogTest(t, func(o *Options) {
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 3000, 100
		o.OpenFilesMax = 3
	})
	rng := rand.New(rand.NewPCG(3, 3))
	var timestamps []int64
	for range 200 {
		b := record.NewBuilder(record.BuilderOptions{Codecs: codecs, Compression: record.Compression(rng.IntN(3))})
		for range 1 + rng.IntN(4) {
			// Mostly ascending, with some that are late and some equal.
			ts := startMs + int64(len(timestamps)/2*10) - rng.Int64N(60)
			timestamps = append(timestamps, ts)
			b.Append(ts, nil, []byte("v"))
		}
		if _, err := o.AppendAsLeader(must(b.Build())(t), AppendOptions{LeaderEpoch: 4}); err != nil {
			t.Fatal(err)
		}
	}
	check := func(start int64) {
		t.Helper()
		for ask := int64(startMs - 100); ask < startMs+4000; ask += 3 {
			want := TimestampOffset{LeaderEpoch: 4}
			ok := false
			for i := int(start); i < len(timestamps); i++ {
				if timestamps[i] >= ask {
					want.Offset, want.Timestamp, ok = int64(i), timestamps[i], true
					break
				}
			}
			got, found, err := o.OffsetForTimestamp(ask)
			if err != nil || found != ok || ok && got != want {
				t.Fatalf("at or after %d from %d on: %+v %t %v, want %+v %t", ask, start, got, found, err, want, ok)
			}
		}
		largest := int64(-1)
		var want TimestampOffset
		for i := int(start); i < len(timestamps); i++ {
			if timestamps[i] > largest {
				largest = timestamps[i]
				want = TimestampOffset{int64(i), largest, 4}
			}
		}
		if got, found, err := o.MaxTimestamp(); err != nil || !found || got != want {
			t.Fatalf("largest: %+v %t %v, want %+v", got, found, err, want)
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
	if _, err := o.m.CheckRetention(); err != nil {
		t.Fatal(err)
	}
	check(101)
	o.kill()
	check(101)
	o.close()
}

func TestTimestampsOfNothing(t *testing.T) {
	o := newLogTest(t, nil)
	if _, ok, err := o.OffsetForTimestamp(0); ok || err != nil {
		t.Error(ok, err)
	}
	if _, ok, err := o.MaxTimestamp(); ok || err != nil {
		t.Error(ok, err)
	}
	o.close()
	if _, _, err := o.OffsetForTimestamp(0); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, _, err := o.MaxTimestamp(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// TestLogAppendTime: the leader's clock stamps all records, and never goes
// back within a log, whatever the clock does.
func TestLogAppendTime(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.TimestampType = config.LogAppendTime })
	for _, c := range []struct{ now, want int64 }{{startMs + 100, startMs + 100}, {startMs + 50, startMs + 100}, {startMs + 101, startMs + 101}} {
		o.time.ms = c.now
		a := o.write(2, record.BuilderOptions{})
		if a.LogAppendTime != c.want {
			t.Fatal(a, c)
		}
		got, ok, err := o.MaxTimestamp()
		if err != nil || !ok || got.Timestamp != c.want {
			t.Fatal(got, ok, err)
		}
	}
	if got, ok, err := o.OffsetForTimestamp(startMs + 101); err != nil || !ok || got.Offset != 4 {
		t.Fatal(got, ok, err)
	}
	o.close()
}
