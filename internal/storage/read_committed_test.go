package storage

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestReadCommitted: the aborted transactions of regions that end before, inside
// and after some. Each batch is one record, and each has an index entry.
func TestReadCommitted(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.IndexIntervalBytes = 0 })
	send := func(id int64, seq int32) {
		o.write(1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: id, BaseSequence: seq}})
	}
	end := func(id int64, commit bool) {
		if err := o.mark(id, 0, commit, 1); err != nil {
			t.Fatal(err)
		}
	}
	o.write(1, record.BuilderOptions{}) // 0
	send(1, 0)                          // 1: until 4
	send(2, 0)                          // 2: until 8
	o.write(1, record.BuilderOptions{}) // 3
	end(1, false)                       // 4
	send(3, 0)                          // 5: committed
	end(3, true)                        // 6
	o.write(1, record.BuilderOptions{}) // 7
	end(2, false)                       // 8
	send(1, 1)                          // 9: until 10
	end(1, false)                       // 10
	o.write(1, record.BuilderOptions{}) // 11
	send(4, 0)                          // 12: open
	o.SetHighWatermark(o.EndOffset())
	check := func() {
		t.Helper()
		stable := o.LastStableOffset(o.HighWatermark())
		for _, c := range []struct {
			from, batches int64 // to read
			want          string
		}{
			{0, 1, "[]"}, // the next entry is of 1, where the first transaction begins
			{0, 2, "[{1 1}]"},
			{0, 3, "[{1 1} {2 2}]"},
			{0, 9, "[{1 1} {2 2}]"},
			{0, 10, "[{1 1} {2 2} {1 9}]"},
			{0, 12, "[{1 1} {2 2} {1 9}]"},
			{3, 1, "[{1 1} {2 2}]"},
			{4, 1, "[{1 1} {2 2}]"},
			{5, 1, "[{2 2}]"},
			{8, 1, "[{2 2}]"},
			{9, 1, "[{1 9}]"},
			{11, 1, "[]"},
			{12, 1, "[]"}, // nothing to read
		} {
			size := 0
			for b, err := range o.Batches(c.from, min(c.from+c.batches, stable)) {
				if err != nil {
					t.Fatal(err)
				}
				size += len(b)
			}
			s, got, err := o.ReadCommitted(c.from, stable, size, false)
			if err != nil || s.Len() != size || fmt.Sprint(got) != c.want {
				t.Errorf("%d batches from %d: %d bytes of %d, aborted %v, %v, want %s", c.batches, c.from, s.Len(), size, got, err, c.want)
			}
			s.Release()
		}
	}
	check()
	o.reopen()
	o.SetHighWatermark(o.EndOffset())
	check()
	o.close()
}

// abortedLog has several segments full of aborted transactions, of which many
// overlap, in more index entries than are kept in memory.
func abortedLog(t *testing.T) (*oneLog, []abortedTxn) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 160_000, 200 })
	next := map[int64]int32{}
	for i := range int64(3000) {
		id := i * i % 7
		o.write(1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: id, BaseSequence: next[id]}})
		next[id]++
		if i%3 == 0 {
			if err := o.mark(id, 0, i%5 == 0, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id := range next {
		if err := o.mark(id, 0, false, 1); err != nil {
			t.Fatal(err)
		}
	}
	o.SetHighWatermark(o.EndOffset())
	if len(o.segments) < 2 || o.segments[0].offsets.count < 2*keepEntries {
		t.Fatal(len(o.segments), o.segments[0].offsets.count)
	}
	return o, must(o.abortedBetween(0, math.MaxInt64))(t)
}

// committedReads reads at many places and sees that no transaction is missing
// that overlaps the region, and, with an index that can be relied upon, that none
// is told of that begins further behind it than the next entry. It returns how
// many were told at most, and what is wrong.
func committedReads(l *Log, all []abortedTxn, sound bool) (most int, err error) {
	for from := l.StartOffset(); from < l.EndOffset(); from += 37 {
		for _, size := range []int{1, 500, 7000} {
			s, got, err := l.ReadCommitted(from, l.EndOffset(), size, true)
			if err != nil {
				return 0, err
			}
			data := make([]byte, s.Len())
			if _, err := s.ReadAt(data, 0); err != nil {
				return 0, err
			}
			s.Release()
			end := from
			for b, rest, err := record.Next(data); err == nil; b, rest, err = record.Next(rest) {
				end = b.NextOffset()
			}
			// A batch has at least 69 bytes, and one of them brings the entry.
			beyond := end + 200/69 + 2
			most = max(most, len(got))
			for _, x := range all {
				told := slices.Contains(got, AbortedTxn{x.producerID, x.first})
				if overlaps := x.last >= from && x.first < end; overlaps && !told {
					return 0, fmt.Errorf("%d bytes from %d to %d: nothing is told of %+v", size, from, end, x)
				}
				if sound && told && (x.last < from || x.first > beyond) {
					return 0, fmt.Errorf("%d bytes from %d to %d: it is told of %+v", size, from, end, x)
				}
			}
		}
	}
	return most, nil
}

// TestReadCommittedAnywhere: a reader is told what concerns its region, no matter
// how many transactions were aborted in all, with the index in memory and in its
// file.
func TestReadCommittedAnywhere(t *testing.T) {
	o, all := abortedLog(t)
	for _, how := range []string{"as written", "after a restart"} {
		most, err := committedReads(o.Log, all, true)
		if err != nil || most < 2 || most > len(all)/10 {
			t.Errorf("%s: at most %d of %d, %v", how, most, len(all), err)
		}
		o.reopen()
		o.SetHighWatermark(o.EndOffset())
	}
	o.close()
}

// TestReadCommittedWithWrongIndex: an entry of the offset index that is wrong
// hides no aborted transaction.
func TestReadCommittedWithWrongIndex(t *testing.T) {
	o, all := abortedLog(t)
	o.close()
	name := filepath.Join(folderPath, segmentName(0, offsetSuffix))
	size := int(must(o.mem.Stat(name))(t).Size())
	for bit := 0; bit < size*8; bit += 397 {
		broken := o.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		flipBit(t, broken, name, int64(bit/8), bit%8)
		l := openT(t, o.o, broken)
		if _, err := committedReads(l.Log, all, false); err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		l.m.abandon()
	}
}
