package storage

import (
	"errors"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestLargeBatches: a batch that is larger than every buffer is recovered,
// checked piece by piece, and one whose damage lies in its last piece is found.
func TestLargeBatches(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.Default.SegmentBytes, o.Default.MaxMessageBytes, o.scanBytes = 10<<20, 4<<20, 8<<10
	})
	for range 3 {
		b := batch(t, 2, record.BuilderOptions{}, string(make([]byte, 1<<20)))
		if _, err := o.AppendAsLeader(b, AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	size := o.Size() / 3
	o.kill()
	if o.EndOffset() != 6 {
		t.Fatal(o.EndOffset())
	}
	if s := must(o.Read(4, 6, 100, true))(t); int64(s.Len()) != size {
		t.Fatal(s.Len())
	}
	if found, ok, err := o.OffsetForTimestamp(startMs + 1); err != nil || !ok || found.Offset != 1 {
		t.Fatal(found, ok, err)
	}
	verifyClean(t, o.mem)
	o.down(false)
	flip(t, o.mem, folderPath+"/00000000000000000000.log", 3*size-1)
	if err := o.mem.Remove("/data/" + recoveryName); err != nil && !errors.Is(err, errMissing(o.mem)) {
		t.Fatal(err)
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	if o.EndOffset() != 4 {
		t.Fatal(o.EndOffset())
	}
	o.close()
}

// errMissing is what the file system says of a missing file.
func errMissing(fsys vfs.FS) error {
	_, err := fsys.Stat("/none")
	return errors.Unwrap(err)
}

// TestManyIndexEntries: recovery of a segment with more index entries than are
// kept in memory writes them as it goes on, and reads find them.
func TestManyIndexEntries(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.IndexIntervalBytes = 1 })
	for i := range 1500 {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(startMs+int64(i), nil, nil)
		if _, err := o.AppendAsLeader(must(b.Build())(t), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		s := o.active()
		if s.offsets.count != 1499 || len(s.offsets.tail) > (keepEntries+spillEntries)*offsetEntryLen {
			t.Fatal(s.offsets.count, len(s.offsets.tail))
		}
		for offset := int64(0); offset < 1500; offset += 7 {
			if first, _, _ := firstAndLast(t, bytesOf(t, must(o.Read(offset, offset+1, 1, true))(t))); first != offset {
				t.Fatal(first, offset)
			}
			if found, ok, err := o.OffsetForTimestamp(startMs + offset); err != nil || !ok || found.Offset != offset {
				t.Fatal(found, ok, err)
			}
		}
	}
	check()
	o.kill()
	check()
	if err := o.TruncateTo(1100); err != nil || o.active().offsets.count != 1099 {
		t.Fatal(err, o.active().offsets.count)
	}
	if err := o.TruncateTo(3); err != nil || o.active().offsets.count != 2 {
		t.Fatal(err, o.active().offsets.count)
	}
	o.reopen()
	o.close()
}

// TestEpochsOfLog: what replicas ask for, after appends, assignments,
// truncations and restarts.
func TestEpochsOfLog(t *testing.T) {
	o := newLogTest(t, nil)
	if o.LatestEpoch() != NoEpoch || o.EpochAt(0) != NoEpoch {
		t.Fatal(o.LatestEpoch())
	}
	if epoch, end := o.EpochEnd(0); epoch != NoEpoch || end != -1 {
		t.Fatal(epoch, end)
	}
	o.AssignEpoch(1, 0)
	o.write(5, record.BuilderOptions{})
	o.AssignEpoch(3, 5)
	o.write(5, record.BuilderOptions{})
	check := func(ask, epoch int32, end int64) {
		t.Helper()
		if gotEpoch, gotEnd := o.EpochEnd(ask); gotEpoch != epoch || gotEnd != end {
			t.Fatalf("epoch %d: %d %d, want %d %d", ask, gotEpoch, gotEnd, epoch, end)
		}
	}
	for range 2 {
		check(0, 0, 0)
		check(1, 1, 5)
		check(2, 1, 5)
		check(3, 3, 10)
		check(4, NoEpoch, -1)
		o.reopen()
	}
	if err := o.TruncateTo(5); err != nil || o.LatestEpoch() != 1 {
		t.Fatal(err, o.LatestEpoch())
	}
	check(1, 1, 5)
	o.close()
}

// TestFlushMethodDemanded: syncfs where there is none ends the start when it
// was demanded, and is done without when it was not.
func TestFlushMethodDemanded(t *testing.T) {
	for method, works := range map[config.FlushMethod]bool{config.FlushAuto: true, config.FlushFdatasync: true, config.FlushSyncfs: false} {
		o := testOptions(noSyncer{vfs.NewMem()})
		o.FlushMethod = method
		m, err := OpenManager(t.Context(), o)
		if (err == nil) != works {
			t.Error(method, err)
		}
		if err == nil {
			m.Close(-1)
		}
	}
}

type noSyncer struct{ vfs.FS }

func (noSyncer) OpenSyncer(string) (vfs.Syncer, error) { return nil, errors.ErrUnsupported }

// TestRestartOfLog: TruncateFullyAndStartAt in both directions, and over what
// the checkpoints say.
func TestRestartOfLog(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes = 300 })
	for _, to := range []int64{100, 3, 500} {
		for range 9 {
			o.write(1, record.BuilderOptions{Producer: &record.ProducerInfo{ID: o.EndOffset()}})
		}
		o.SetHighWatermark(o.EndOffset())
		if err := errors.Join(o.IncrementStartOffset(o.EndOffset()-1), o.Flush(), o.m.Checkpoint(), o.m.dirs[0].writeStarts()); err != nil {
			t.Fatal(err)
		}
		if err := o.TruncateFullyAndStartAt(to); err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			if o.StartOffset() != to || o.EndOffset() != to || o.FlushedOffset() != to || o.HighWatermark() != to || len(o.Producers()) != 0 || o.LatestEpoch() != NoEpoch {
				t.Fatal(to, o.StartOffset(), o.EndOffset(), o.FlushedOffset(), o.HighWatermark(), o.Producers())
			}
			o.wantBases(to)
		}
		check()
		o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
		crashed := openManager(t, o.o)
		live := o.Log
		o.Log = crashed.Log("t", 0)
		check()
		crashed.abandon()
		o.Log, o.o.FS = live, o.fs
		if a := o.write(1, record.BuilderOptions{}); a.BaseOffset != to {
			t.Fatal(a)
		}
		o.reopen()
	}
	o.close()
}

// TestStaleSnapshot: a producer snapshot of batches that were truncated must
// not come back after a power loss, when others lie in their place.
func TestStaleSnapshot(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.IndexIntervalBytes = 1 })
	from := func(id int64, seq int32, n int) {
		t.Helper()
		if _, err := o.from(id, 0, seq, n); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(5) {
		from(1, i, 1)
	}
	o.reopen() // with a snapshot at 5
	if err := o.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	for i := range int32(5) {
		from(2, i, 1)
	}
	if err := errors.Join(o.Flush(), o.m.Checkpoint()); err != nil {
		t.Fatal(err)
	}
	o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
	l := openManager(t, o.o).Log("t", 0)
	for _, p := range l.Producers() {
		if want := map[int64]int32{1: 1, 2: 4}[p.ProducerID]; p.LastSequence != want {
			t.Errorf("producer %d has sequence %d, not %d", p.ProducerID, p.LastSequence, want)
		}
	}
	if l.EndOffset() != 7 {
		t.Error(l.EndOffset())
	}
}
