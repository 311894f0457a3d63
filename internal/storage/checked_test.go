package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// readAll reads from an offset to the end as a consumer does, in fetches of at
// most maxBytes, and returns the batches and the error that ended it.
func (o *oneLog) readAll(from int64, maxBytes int) (list []record.Batch, err error) {
	o.t.Helper()
	for from < o.EndOffset() {
		s, err := o.Read(from, o.EndOffset(), maxBytes, true)
		if err != nil {
			return list, err
		}
		buf := make([]byte, s.Len())
		if n, err := s.ReadAt(buf, 0); n < len(buf) {
			o.t.Fatal(n, err)
		}
		s.Release()
		for before := from; ; {
			b, rest, err := record.Next(buf)
			if err != nil && from == before {
				return list, fmt.Errorf("a read at %d of a log up to %d gave %d bytes and no batch", from, o.EndOffset(), len(buf))
			}
			if err != nil {
				break
			}
			if b.LastOffset() >= from {
				list = append(list, b)
				from = b.NextOffset()
			}
			buf = rest
		}
	}
	return list, nil
}

// TestDamageIsNotServed: whatever becomes of a batch after it was written, a
// new process does not serve it: the read that begins with it fails and names
// the place, what lies before and behind is served, and the log tells it once.
func TestDamageIsNotServed(t *testing.T) {
	const at = 20 // the batch at fault, in the middle of the second segment
	for _, c := range []struct {
		name   string
		change func(record.Batch)
		// bad are the batches that are not served: where it is open which of two
		// is wrong, both.
		bad []int64
	}{
		{"a bit of a record", func(b record.Batch) { b[70] ^= 1 }, []int64{at}},
		{"a bit of the CRC", func(b record.Batch) { b[17] ^= 128 }, []int64{at}},
		{"a base offset too high", func(b record.Batch) { b.SetBaseOffset(at + 2) }, []int64{at, at + 1}},
		{"a base offset too high for the segment", func(b record.Batch) { b.SetBaseOffset(at | 1<<40) }, []int64{at}},
		{"a base offset too low", func(b record.Batch) { b.SetBaseOffset(at - 4) }, []int64{at - 1, at}},
		{"a leader epoch too high", func(b record.Batch) { b.SetLeaderEpoch(9) }, []int64{at}},
		{"a leader epoch too low", func(b record.Batch) { b.SetLeaderEpoch(-2) }, []int64{at}},
		{"a last offset delta", func(b record.Batch) { b[26] = 7 }, []int64{at}},
		{"a shorter length", func(b record.Batch) { b[11]-- }, []int64{at}},
		{"a longer length", func(b record.Batch) { b[11]++ }, []int64{at}},
		{"a length beyond the file", func(b record.Batch) { b[9] = 127 }, []int64{at}},
		{"another magic", func(b record.Batch) { b[16] = 1 }, []int64{at}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(true)
			size := len(batches[0])
			o.edit(segmentName(17, logSuffix), func(b []byte) []byte { c.change(b[(at-17)*size:][:size]); return b })
			var log bytes.Buffer
			o.o.Log = slog.New(slog.NewTextHandler(&log, nil))
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			defer o.m.abandon()
			for range 2 {
				behind := c.bad[len(c.bad)-1] + 1
				if strings.Contains(c.name, "a base offset") {
					behind += 3 // the next index entry leads to it
				}
				o.servesAllBut(batches, c.bad, behind)
			}
			lines := strings.Count(log.String(), "level=ERROR")
			for _, part := range []string{segmentName(17, logSuffix), "segment=17", fmt.Sprint("offset=", at), fmt.Sprint("position=", (at-17)*size)} {
				if !strings.Contains(log.String(), part) && !strings.Contains(c.name, "offset too") {
					t.Errorf("the log does not say %s:\n%s", part, log.String())
				}
			}
			if lines < 1 || lines > 3 {
				t.Errorf("%d lines:\n%s", lines, log.String())
			}
		})
	}
}

// servesAllBut reads in every way: what is served are the batches as they were,
// and never one of the bad ones.
func (o *oneLog) servesAllBut(batches []record.Batch, bad []int64, behind int64) {
	o.t.Helper()
	first, last := bad[0], bad[len(bad)-1]
	for _, maxBytes := range []int{1, 200, 1 << 20} {
		list, err := o.readAll(0, maxBytes)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Segment != 17 || !strings.HasSuffix(corrupt.File, segmentName(17, logSuffix)) {
			o.t.Fatalf("after %d batches: %v", len(list), err)
		}
		sameBatches(o.t, list, batches[:first])
		if list, err = o.readAll(behind, maxBytes); err != nil {
			o.t.Fatal(err)
		}
		sameBatches(o.t, list, batches[behind:])
		for from := first; from <= last; from++ {
			if list, err := o.readAll(from, maxBytes); err == nil || len(list) > 0 && !bytes.Equal(list[0], batches[from]) {
				o.t.Fatalf("from %d: %v, %v", from, list, err)
			}
		}
	}
}

func sameBatches(t testing.TB, got, want []record.Batch) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || !bytes.Equal(got[i], want[i]) {
			t.Fatalf("batch %d of %d differs from %d", i, len(got), len(want))
		}
	}
}

// TestIndexDamageIsHarmless: an offset index that leads astray costs time, and
// nothing else.
func TestIndexDamageIsHarmless(t *testing.T) {
	o, batches := damaged(t)
	o.down(true)
	size := int(must(o.mem.Stat(folderPath + "/" + segmentName(17, offsetSuffix)))(t).Size())
	if size < 4*offsetEntryLen {
		t.Fatal(size)
	}
	for at := range size * 8 {
		mem := o.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		flipBit(t, mem, folderPath+"/"+segmentName(17, offsetSuffix), int64(at/8), at%8)
		broken := &oneLog{t: t, mem: mem, o: o.o}
		broken.o.FS = mem
		if err := broken.up(); err != nil {
			t.Fatal(err)
		}
		for from := int64(17); from < 34; from++ {
			list, err := broken.readAll(from, 1)
			if err != nil {
				t.Fatalf("bit %d, from %d: %v", at, from, err)
			}
			sameBatches(t, list, batches[from:])
		}
		broken.m.abandon()
	}
}

func flipBit(t testing.TB, fsys vfs.FS, name string, pos int64, bit int) {
	t.Helper()
	f := must(fsys.OpenFile(name, 2, 0))(t)
	defer f.Close()
	b := []byte{0}
	if _, err := f.ReadAt(b, pos); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	if _, err := f.WriteAt(b, pos); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestEachByteIsCheckedOnce: a reader that goes through old segments lets each
// byte be checked once, whatever the size of its fetches; a second reader none.
func TestEachByteIsCheckedOnce(t *testing.T) {
	o, batches := damaged(t)
	o.down(true)
	var bytesRead int64
	o.o.FS = &countingFS{o.mem, &bytesRead}
	o.o.scanBytes = 1 << 20
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	defer o.m.abandon()
	read := func() int64 {
		before := bytesRead
		list, err := o.readAll(0, 4*len(batches[0])+7)
		if err != nil {
			t.Fatal(err)
		}
		sameBatches(t, list, batches)
		return bytesRead - before
	}
	first, second, third := read(), read(), read()
	if second != third {
		t.Errorf("the second time %d bytes, the third %d", second, third)
	}
	foreign := int64(0)
	for _, s := range o.segments {
		foreign += s.foreign
		if s.foreign > 0 && (len(s.checks.spans) != 1 || s.checks.spans[0] != span{0, s.foreign}) {
			t.Errorf("segment %d: %v of %d bytes were checked", s.base, s.checks.spans, s.foreign)
		}
	}
	if first <= second || foreign < o.Size()/2 {
		t.Errorf("%d bytes read at first, %d then; %d foreign", first, second, foreign)
	}
}

// TestOwnBytesAreNotChecked: what was checked on append goes out as it lies on
// the disk; a recovery's scan counts as a check.
func TestOwnBytesAreNotChecked(t *testing.T) {
	o, batches := damaged(t)
	defer o.m.abandon()
	for _, s := range o.segments {
		if s.foreign != 0 || s.checks != nil {
			t.Fatalf("segment %d: %d foreign bytes", s.base, s.foreign)
		}
	}
	flipBit(t, o.mem, folderPath+"/"+segmentName(17, logSuffix), int64(3*len(batches[0])+70), 1)
	if list, err := o.readAll(0, 1<<20); err != nil || len(list) != len(batches) {
		t.Fatal(len(list), err)
	}
	// But once something else finds the damage it is not served any more.
	for _, err := range o.Batches(0, 60) {
		if err != nil {
			o.servesAllBut(batches, []int64{20}, 24)
			return
		}
	}
	t.Fatal("Batches did not find it")
}

// TestCheckErrors: a read that fails is no damage, and is tried again.
func TestCheckErrors(t *testing.T) {
	o, batches := damaged(t)
	o.down(true)
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	defer o.m.abandon()
	o.fs.Add(vfs.Rule{Op: vfs.OpRead, Count: 1, Skip: 0, Err: syscall.EIO})
	if _, err := o.Read(0, 60, 1<<20, true); !errors.Is(err, ErrStorage) || isCorrupt(err) {
		t.Fatal(err)
	}
	o.fs.Clear()
	list, err := o.readAll(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	sameBatches(t, list, batches)
}

// TestTruncationForgetsChecks: what is written in the place of damage is served.
func TestTruncationForgetsChecks(t *testing.T) {
	o, batches := damaged(t)
	o.down(true)
	o.edit(segmentName(17, logSuffix), func(b []byte) []byte { b[3*len(batches[0])+70] ^= 1; return b })
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.servesAllBut(batches, []int64{20}, 24)
	if err := o.TruncateTo(19); err != nil {
		t.Fatal(err)
	}
	if s := o.active(); s.foreign != s.size || len(s.checks.bad) > 0 || s.checks.spans[len(s.checks.spans)-1].to > s.size {
		t.Fatalf("%d of %d bytes foreign, %v", s.foreign, s.size, s.checks)
	}
	for _, b := range batches[19:] {
		if err := o.AppendAsFollower(b); err != nil {
			t.Fatal(err)
		}
	}
	list, err := o.readAll(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	sameBatches(t, list, batches)
	o.close()
}

// TestStaleCheck: what a check saw before a truncation is not held against
// what is written after it.
func TestStaleCheck(t *testing.T) {
	o, _ := damaged(t)
	defer o.m.abandon()
	s := o.segments[1]
	err := o.Log.damaged(s, o.corruptAt(s, 20, 300, "test"), o.generation-1)
	if !errors.Is(err, errAgain) || s.checks != nil {
		t.Fatal(err, s.checks)
	}
}

// TestChecks compares the spans with a plain set of bytes.
func TestChecks(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var c checks
		var set [200]bool
		for range 30 {
			from := rng.Int64N(200)
			to := from + rng.Int64N(min(40, 200-from)+1)
			if rng.IntN(8) == 0 {
				c.cut(from)
				clear(set[from:])
			} else {
				c.add(span{from, to})
				for i := from; i < to; i++ {
					set[i] = true
				}
			}
			for i := range c.spans {
				if s := c.spans[i]; s.from >= s.to || i > 0 && s.from <= c.spans[i-1].to {
					t.Fatal(c.spans)
				}
			}
			low, high := rng.Int64N(100), 100+rng.Int64N(100)
			want := span{high, high}
			for i := low; i < high; i++ {
				if !set[i] {
					want.from = i
					for want.to = i; want.to < high && !set[want.to]; want.to++ {
						continue
					}
					break
				}
			}
			if got := c.gap(low, high); got != want && (got.from < got.to || want.from < want.to) {
				t.Fatalf("%v in %v: gap %v, want %v", span{low, high}, c.spans, got, want)
			}
		}
	}
}

// TestChecksAreBounded: readers at many places do not make an endless list.
func TestChecksAreBounded(t *testing.T) {
	var c checks
	for i := range int64(1000) {
		c.add(span{i * 10, i*10 + 1 + i%7})
		c.addBad(&CorruptError{Pos: i})
	}
	if len(c.spans) != maxSpans || len(c.bad) != maxBad {
		t.Fatal(len(c.spans), len(c.bad))
	}
	for _, s := range c.spans {
		if s.to-s.from < 6 {
			t.Fatalf("a short span was kept: %v", c.spans)
		}
	}
}

// TestFolderOfAnotherTopic: the folder of a topic that was deleted and created
// again is not opened as the new one (P14).
func TestFolderOfAnotherTopic(t *testing.T) {
	mem := vfs.NewMem()
	o := testOptions(mem)
	open := func(id byte) error {
		l, err := OpenLog(LogOptions{FS: mem, Path: "/x/t-0", TP: TopicPartition{Topic: "t", TopicID: [16]byte{id}}, Config: testConfig(), Now: o.Now, Log: o.Log, Codecs: o.Codecs})
		if err != nil {
			return err
		}
		return l.Close()
	}
	if err := open(1); err != nil {
		t.Fatal(err)
	}
	if err := open(2); !errors.Is(err, ErrTopicID) {
		t.Error(err)
	}
	if err := open(1); err != nil {
		t.Error(err)
	}
}
