package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// bytesOf reads a slice and lets it go.
func bytesOf(t testing.TB, s Slice) []byte {
	t.Helper()
	defer s.Release()
	b := make([]byte, s.Len())
	if n, err := s.ReadAt(b, 0); n != len(b) {
		t.Fatal(n, err)
	}
	return b
}

// firstAndLast are the offsets of the whole batches in a region.
func firstAndLast(t testing.TB, b []byte) (first, last int64, batches int) {
	t.Helper()
	first, last = -1, -1
	for {
		x, rest, err := record.Next(b)
		if err != nil {
			return first, last, batches
		}
		if batches == 0 {
			first = x.BaseOffset()
		}
		batches++
		last, b = x.LastOffset(), rest
	}
}

// TestRead is a table over a log of ten batches with three records each, in
// two segments, one of them read through the index in the file.
func TestRead(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 600, 100 })
	var size int
	for range 10 {
		size = len(batch(t, 3, record.BuilderOptions{}, "v"))
		o.write(3, record.BuilderOptions{})
	}
	perSegment := 600 / size
	if len(o.segments) < 2 || perSegment < 5 {
		t.Fatal(len(o.segments), perSegment)
	}
	border := int64(3 * perSegment)
	all := 1 << 20
	for _, c := range []struct {
		name        string
		from, upTo  int64
		max         int
		minOne      bool
		first, last int64
	}{
		{"everything of a segment", 0, 30, all, true, 0, border - 1},
		{"from inside a batch: the whole batch", 4, 30, all, true, 3, border - 1},
		{"up to the high watermark", 0, 9, all, true, 0, 8},
		{"up to inside a batch: not that batch", 0, 10, all, true, 0, 8},
		{"nothing below the bound", 9, 9, all, true, -1, -1},
		{"above the bound", 12, 9, all, true, -1, -1},
		{"the bound is inside the first batch", 9, 10, all, true, -1, -1},
		{"one batch fits", 0, 30, size, true, 0, 2},
		{"two and a half fit", 0, 30, size * 5 / 2, true, 0, 5},
		{"the first is too large", 0, 30, 10, true, 0, 2},
		{"the first is too large and need not be given", 0, 30, 10, false, -1, -1},
		{"none fits none", 0, 30, 0, false, -1, -1},
		{"the next segment", border, 30, all, true, border, 29},
		{"the last batch", 27, 30, all, true, 27, 29},
		{"the end", 30, 30, all, true, -1, -1},
		{"the bound is beyond the end", 27, 1000, all, true, 27, 29},
	} {
		for _, reopened := range []bool{false, true} {
			if reopened {
				o.reopen()
			}
			s, err := o.Read(c.from, c.upTo, c.max, c.minOne)
			if err != nil {
				t.Fatal(c.name, err)
			}
			first, last, _ := firstAndLast(t, bytesOf(t, s))
			if first != c.first || last != c.last {
				t.Errorf("%s, reopened %t: offsets %d to %d, want %d to %d", c.name, reopened, first, last, c.first, c.last)
			}
		}
	}
	o.SetHighWatermark(30)
	if err := o.IncrementStartOffset(5); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{4, 31, -1} {
		if _, err := o.Read(offset, 30, all, true); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("offset %d: %v", offset, err)
		}
	}
	if s, err := o.Read(5, 30, all, true); err != nil || s.Len() == 0 {
		t.Error(err)
	}
	o.close()
}

// TestReadOverGaps: a log that compaction, or a compacted leader, left gaps in
// is read across them.
func TestReadOverGaps(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 400, 100 })
	for _, base := range []int64{5, 20, 21, 100, 200, 300, 301, 5000} {
		if err := o.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: base}, "v")); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: 4000}, "v")); !errors.Is(err, ErrUnexpectedOffset) {
		t.Fatal(err)
	}
	for _, reopened := range []bool{false, true} {
		if reopened {
			o.reopen()
		}
		for from, want := range map[int64]int64{0: 5, 5: 5, 6: 20, 21: 21, 22: 100, 101: 200, 299: 300, 302: 5000, 5000: 5000} {
			s, err := o.Read(from, o.EndOffset(), 1, true)
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := firstAndLast(t, bytesOf(t, s)); first != want {
				t.Errorf("reopened %t: from %d: %d, want %d", reopened, from, first, want)
			}
		}
		// The high watermark may stand in a gap, too.
		for upTo, want := range map[int64]int64{6: 5, 20: 5, 21: 20, 50: 21, 100: 21} {
			s, err := o.Read(0, upTo, 1<<20, true)
			if err != nil {
				t.Fatal(err)
			}
			if _, last, _ := firstAndLast(t, bytesOf(t, s)); last != want {
				t.Errorf("reopened %t: up to %d: %d, want %d", reopened, upTo, last, want)
			}
		}
	}
}

// TestReadAgrees: at random offsets and bounds a read gives what a walk over
// all batches gives, from memory, from the index file and after a restart.
func TestReadAgrees(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1<<16, 150 })
	rng := rand.New(rand.NewPCG(7, 7))
	var list []record.Batch
	for range 3000 {
		n := 1 + rng.IntN(4)
		list = append(list, batch(t, n, record.BuilderOptions{BaseOffset: o.EndOffset()}, "v"))
		o.write(n, record.BuilderOptions{})
	}
	check := func() {
		t.Helper()
		for range 2000 {
			from := rng.Int64N(o.EndOffset())
			upTo := from + rng.Int64N(min(400, o.EndOffset()-from)) + 1
			s, err := o.Read(from, upTo, 1<<20, true)
			if err != nil {
				t.Fatal(err)
			}
			first, last, _ := firstAndLast(t, bytesOf(t, s))
			i := 0
			for list[i].LastOffset() < from {
				i++
			}
			if want := list[i].BaseOffset(); list[i].LastOffset() < upTo && first != want || list[i].LastOffset() >= upTo && first != -1 {
				t.Fatalf("[%d, %d): begins with %d, want %d", from, upTo, first, want)
			}
			if last >= upTo {
				t.Fatalf("[%d, %d): ends with %d", from, upTo, last)
			}
		}
	}
	check()
	o.reopen()
	check()
}

// TestSliceOutlivesItsSegment: who holds a region finishes, though retention,
// a truncation or a deletion took the file away meanwhile; nobody else finds
// it.
func TestSliceOutlivesItsSegment(t *testing.T) {
	for name, take := range map[string]func(*oneLog) error{
		"retention": func(o *oneLog) error {
			o.SetHighWatermark(o.EndOffset())
			if err := o.IncrementStartOffset(o.EndOffset()); err != nil {
				return err
			}
			_, err := o.m.CheckRetention()
			return err
		},
		"truncation":      func(o *oneLog) error { return o.TruncateTo(0) },
		"full truncation": func(o *oneLog) error { return o.TruncateFullyAndStartAt(77) },
		"delete":          func(o *oneLog) error { return o.m.Delete("t", 0) },
		"close":           func(o *oneLog) error { return o.m.Close(-1) },
	} {
		t.Run(name, func(t *testing.T) {
			o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.OpenFilesMax = 300, 1 })
			for range 8 {
				o.write(2, record.BuilderOptions{})
			}
			want := bytesOf(t, must(o.Read(0, o.EndOffset(), 1<<20, true))(t))
			s := must(o.Read(0, o.EndOffset(), 1<<20, true))(t)
			if err := take(o); err != nil {
				t.Fatal(err)
			}
			if name != "truncation" { // its file is cut, as readers of uncommitted data know
				if got := bytesOf(t, s); !bytes.Equal(got, want) {
					t.Fatal("other bytes")
				}
			}
			s.Release()
			s.Release() // again is allowed
			if s, err := o.Read(0, o.EndOffset(), 1<<20, true); err == nil && s.Len() > 0 {
				t.Fatal("still read")
			}
		})
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestSliceBounds(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(1, record.BuilderOptions{})
	o.write(1, record.BuilderOptions{})
	s := must(o.Read(0, 1, 1<<20, true))(t)
	defer s.Release()
	p := make([]byte, s.Len()+10)
	if n, err := s.ReadAt(p, 0); n != s.Len() || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
	if n, err := s.ReadAt(p, int64(s.Len())); n != 0 || !errors.Is(err, io.EOF) {
		t.Error(n, err)
	}
	if n, err := s.ReadAt(p, -1); n != 0 || err == nil {
		t.Error(n, err)
	}
	if f, pos := s.File(); f == nil || pos != 0 {
		t.Error(f, pos)
	}
	var none Slice
	none.Release()
	if n, err := none.ReadAt(p, 0); n != 0 || !errors.Is(err, io.EOF) || none.Len() != 0 {
		t.Error(n, err)
	}
}

// TestBatchesReportsDamage: a batch that rotted on disk ends the iteration with
// its place, and is not handed out (P5); nor is one whose offset did, which no
// CRC covers.
func TestBatchesReportsDamage(t *testing.T) {
	for _, at := range []int64{3, 65} {
		o := newLogTest(t, nil)
		for range 3 {
			o.write(1, record.BuilderOptions{})
		}
		size := o.Size() / 3
		flip(t, o.mem, "/data/t-0/00000000000000000000.log", size+at)
		n, failed := int32(0), false
		for b, err := range o.Batches(0, o.EndOffset()) {
			var corrupt *CorruptError
			switch {
			case err == nil:
				n += b.Count()
			case !errors.As(err, &corrupt) || corrupt.Offset != 1 || corrupt.Pos != size:
				t.Fatal(err)
			default:
				failed = true
			}
		}
		if n != 1 || !failed {
			t.Fatal(at, n, failed)
		}
	}
}

// flip inverts a bit of a file.
func flip(t testing.TB, fsys vfs.FS, name string, pos int64) {
	t.Helper()
	f := must(fsys.OpenFile(name, 2, 0))(t)
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], pos); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], pos); err != nil {
		t.Fatal(err)
	}
}

// TestReadersBesideAppends: many readers and a writer with rolls and
// retention; every region begins with the batch that was asked for, or a later
// one, and holds whole batches with a good CRC.
func TestReadersBesideAppends(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes, o.Default.RetentionBytes = 4000, 200, 12_000
		o.OpenFilesMax, o.manual = 4, false
	})
	const appends = 3000
	done := make(chan struct{})
	var wg sync.WaitGroup
	for reader := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(reader), 3))
			for {
				select {
				case <-done:
					return
				default:
				}
				start, end := o.StartOffset(), o.EndOffset()
				if start == end {
					continue
				}
				from := start + rng.Int64N(end-start)
				s, err := o.Read(from, end, 2000, true)
				if errors.Is(err, ErrOffsetOutOfRange) && o.StartOffset() > from {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, s.Len())
				if n, err := s.ReadAt(b, 0); n < len(b) {
					t.Error(err)
				}
				s.Release()
				first, rest, err := record.Next(b)
				if err != nil || first.LastOffset() < from || first.CheckCRC() != nil {
					t.Errorf("read %d got %v, %v", from, first, err)
					return
				}
				_ = rest
			}
		})
	}
	for i := range appends {
		o.write(1, record.BuilderOptions{})
		if i%100 == 99 {
			o.SetHighWatermark(o.EndOffset())
			if _, err := o.m.CheckRetention(); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(done)
	wg.Wait()
	o.close()
}

// TestReadDuringTruncation: while a truncation waits for the disk, nobody gets
// what it is about to cut, up to the end as a follower or up to a high watermark
// that is the end as a consumer.
func TestReadDuringTruncation(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(10, record.BuilderOptions{})
	o.write(10, record.BuilderOptions{})
	o.SetHighWatermark(10)
	looked := 0
	o.fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(vfs.Event) {
		if o.EndOffset() == 20 {
			return // not yet
		}
		looked++
		for _, upTo := range []int64{o.EndOffset(), o.HighWatermark(), 20} {
			if _, last, _ := firstAndLast(t, bytesOf(t, must(o.Read(0, upTo, 1<<20, true))(t))); last != 9 {
				t.Errorf("a read up to %d returns up to %d", upTo, last)
			}
		}
	}})
	if err := o.TruncateTo(12); err != nil || looked < 2 {
		t.Fatal(err, looked)
	}
	o.fs.Clear()
	o.close()
}

// TestReadersBesideDeletion: readers go through a log from its start while
// retention, DeleteRecords and the end of file.delete.delay.ms take its segments
// away and appends go on. A reader finishes what it holds, byte for byte, or
// learns that its offset is out of range; it never gets other bytes.
func TestReadersBesideDeletion(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.Durability, o.OpenFilesMax = config.PageCache, 2
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1000, 100
		o.Default.RetentionBytes, o.Default.FileDeleteDelay = 8000, 0
	})
	content := func(offset int64) []byte { return fmt.Appendf(nil, "record %d %060d", offset, offset*offset) }
	check := func(b record.Batch) error {
		for r, err := range b.Records(o.o.Codecs) {
			if err != nil {
				return err
			}
			if want := content(r.Offset); !bytes.Equal(r.Value, want) {
				return fmt.Errorf("offset %d holds %q", r.Offset, r.Value)
			}
		}
		return nil
	}
	var stop atomic.Bool
	var readers sync.WaitGroup
	var slices, outOfRange atomic.Int64
	for range 4 {
		readers.Go(func() {
			for !stop.Load() {
				if err := readThrough(o.Log, &slices, check); errors.Is(err, ErrOffsetOutOfRange) {
					outOfRange.Add(1)
				} else if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range int64(4000) {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(startMs, nil, content(i))
		must(o.AppendAsLeader(must(b.Build())(t), AppendOptions{}))(t)
		o.SetHighWatermark(i + 1)
		switch i % 50 {
		case 20:
			must(o.m.CheckRetention())(t)
		case 40:
			if err := o.IncrementStartOffset(max(o.StartOffset(), i-25)); err != nil {
				t.Fatal(err)
			}
		}
		for slices.Load() < i/40 && !t.Failed() {
			runtime.Gosched() // the readers keep up, whatever else the machine does
		}
	}
	stop.Store(true)
	readers.Wait()
	t.Logf("%d slices, %d times out of range", slices.Load(), outOfRange.Load())
	o.close()
}

// readThrough reads from the start to the end, letting the deletions go on
// between the moment when it gets a slice and the one when it reads it.
func readThrough(l *Log, slices *atomic.Int64, check func(record.Batch) error) error {
	for from := l.StartOffset(); from < l.EndOffset(); {
		s, err := l.Read(from, l.HighWatermark(), 700, true)
		if err != nil {
			return err
		}
		slices.Add(1)
		runtime.Gosched()
		data := make([]byte, s.Len())
		n, err := s.ReadAt(data, 0)
		s.Release()
		if n < len(data) {
			return err
		}
		next := from
		for b, rest, err := record.Next(data); err == nil; b, rest, err = record.Next(rest) {
			if err := errors.Join(b.CheckCRC(), check(b)); err != nil {
				return err
			}
			next = b.NextOffset()
		}
		if next == from {
			return nil // it has not got there yet
		}
		from = next
	}
	return nil
}
