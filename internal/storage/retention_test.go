package storage

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// fill appends n batches of one record, each in a segment of its own, a
// minute apart.
func (o *oneLog) fill(n int) {
	o.t.Helper()
	for range n {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(o.time.ms, nil, []byte("v"))
		if _, err := o.AppendAsLeader(must(b.Build())(o.t), AppendOptions{}); err != nil {
			o.t.Fatal(err)
		}
		o.time.ms += 60_000
	}
	if err := o.Flush(); err != nil {
		o.t.Fatal(err)
	}
}

func perSegment(o *Options) { o.Default.SegmentBytes = 75 }

// TestRetention: which segments go, by time, by size, by the log's start and
// by the high watermark (P11).
func TestRetention(t *testing.T) {
	for _, c := range []struct {
		name  string
		set   func(*Options)
		hw    int64
		start int64 // by DeleteRecords
		want  int64 // the start after it
		base  int64 // of the first segment that is left
	}{
		{"kept for ever", func(*Options) {}, 6, 0, 0, 0},
		{"by time", func(o *Options) { o.Default.RetentionMs = 180_000 }, 6, 0, 3, 3},
		{"by time, to the millisecond", func(o *Options) { o.Default.RetentionMs = 179_999 }, 6, 0, 4, 4},
		{"by time, all of it", func(o *Options) { o.Default.RetentionMs = 1000 }, 6, 0, 6, 6},
		{"by time, below the high watermark", func(o *Options) { o.Default.RetentionMs = 1000 }, 2, 0, 2, 2},
		{"by time, but the last is not committed", func(o *Options) { o.Default.RetentionMs = 1000 }, 5, 0, 5, 5},
		{"by size: exactly three stay", func(o *Options) { o.Default.RetentionBytes = 3 * 69 }, 6, 0, 3, 3},
		{"by size: a byte less, one more may stay", func(o *Options) { o.Default.RetentionBytes = 3*69 + 1 }, 6, 0, 2, 2},
		{"by size, none", func(o *Options) { o.Default.RetentionBytes = 0 }, 6, 0, 6, 6},
		{"by size, below the high watermark", func(o *Options) { o.Default.RetentionBytes = 0 }, 4, 0, 4, 4},
		{"by start", func(*Options) {}, 6, 4, 4, 4},
		{"neither without cleanup.policy=delete", func(o *Options) { o.Default.Delete, o.Default.RetentionMs = false, 1000 }, 6, 0, 0, 0},
		{"but by start", func(o *Options) { o.Default.Delete, o.Default.RetentionMs = false, 1000 }, 6, 4, 4, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newLogTest(t, func(o *Options) { perSegment(o); c.set(o) })
			o.fill(6)
			if o.Size() != 6*69 || len(o.segments) != 6 {
				t.Fatal(o.Size(), len(o.segments))
			}
			o.SetHighWatermark(c.hw)
			if err := o.IncrementStartOffset(c.start); err != nil {
				t.Fatal(err)
			}
			n, err := o.m.CheckRetention()
			if err != nil || int64(n) != c.base {
				t.Fatal(n, err)
			}
			check := func() {
				t.Helper()
				if o.StartOffset() != c.want || o.segments[0].base != c.base || o.EndOffset() != 6 {
					t.Fatal(o.StartOffset(), o.segments[0].base, o.EndOffset())
				}
				if _, err := o.Read(c.want-1, 6, 100, true); !errors.Is(err, ErrOffsetOutOfRange) {
					t.Fatal(err)
				}
			}
			check()
			o.kill()
			check()
			o.reopen()
			check()
			if n, err := o.m.CheckRetention(); n != 0 || err != nil {
				t.Fatal(n, err)
			}
			o.close()
		})
	}
}

// TestRetentionWithoutTimestamps: the last change of the file counts then, and
// on a file system that does not know it, nothing goes.
func TestRetentionWithoutTimestamps(t *testing.T) {
	for _, c := range []struct {
		fsys    vfs.FS
		dir     string
		removed int
	}{{vfs.NewMem(), "/data", 0}, {vfs.OS{}, t.TempDir(), 1}} {
		o := testOptions(c.fsys)
		o.Dirs, o.Default.RetentionMs = []string{c.dir}, 1000
		now := time.Now()
		o.Now = func() time.Time { return now }
		m := openManager(t, o)
		l := must(m.Create(TopicPartition{Topic: "t"}, o.Default, [16]byte{}))(t)
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(record.NoTimestamp, nil, nil)
		if _, err := l.AppendAsLeader(must(b.Build())(t), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
		l.SetHighWatermark(1)
		if n, err := m.CheckRetention(); n != 0 || err != nil {
			t.Fatal(n, err)
		}
		now = now.Add(time.Hour)
		if n, err := m.CheckRetention(); n != c.removed || err != nil {
			t.Fatal(n, err)
		}
		if err := m.Close(-1); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeleteRecords: the start moves inside a segment, never above the high
// watermark and never back.
func TestDeleteRecords(t *testing.T) {
	o := newLogTest(t, nil)
	for range 5 {
		o.write(2, record.BuilderOptions{})
	}
	o.SetHighWatermark(7)
	if err := o.IncrementStartOffset(8); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatal(err)
	}
	for _, c := range []struct{ to, want int64 }{{3, 3}, {2, 3}, {7, 7}} {
		if err := o.IncrementStartOffset(c.to); err != nil || o.StartOffset() != c.want {
			t.Fatal(c, err, o.StartOffset())
		}
	}
	if a := o.write(1, record.BuilderOptions{}); a.LogStart != 7 {
		t.Fatal(a)
	}
	o.reopen()
	if o.StartOffset() != 7 || o.HighWatermark() != 7 {
		t.Fatal(o.StartOffset(), o.HighWatermark())
	}
	o.close()
}

// TestFileDeleteDelay: files are renamed to .deleted at once and removed after
// the delay; what a crash leaves of them is removed at open.
func TestFileDeleteDelay(t *testing.T) {
	o := newLogTest(t, func(o *Options) { perSegment(o); o.Default.FileDeleteDelay = time.Minute })
	o.fill(4)
	o.SetHighWatermark(4)
	deleted := func() (n int) {
		for _, e := range must(o.mem.ReadDir("/data/t-0"))(t) {
			if strings.HasSuffix(e.Name(), deletedSuffix) {
				n++
			}
		}
		return n
	}
	if err := o.IncrementStartOffset(2); err != nil {
		t.Fatal(err)
	}
	if n, err := o.m.CheckRetention(); n != 2 || err != nil || deleted() != 6 {
		t.Fatal(n, err, deleted())
	}
	o.time.ms += 59_999
	o.m.EmptyTrash()
	if deleted() != 6 {
		t.Fatal(deleted())
	}
	o.time.ms++
	o.m.EmptyTrash()
	if deleted() != 0 {
		t.Fatal(deleted())
	}
	if err := o.IncrementStartOffset(3); err != nil {
		t.Fatal(err)
	}
	if n, err := o.m.CheckRetention(); n != 1 || err != nil || deleted() != 3 {
		t.Fatal(n, err, deleted())
	}
	o.kill()
	if deleted() != 0 || o.StartOffset() != 3 {
		t.Fatal(deleted(), o.StartOffset())
	}
	o.close()
}

// TestStandaloneLog: the metadata log's owner flushes, checkpoints, deletes and
// closes by itself.
func TestStandaloneLog(t *testing.T) {
	mem := vfs.NewMem()
	to := testOptions(mem)
	o := LogOptions{
		FS: mem, Path: "/meta/__cluster_metadata-0", TP: TopicPartition{Topic: metadataTopic, TopicID: [16]byte{15: 1}},
		Config: testConfig(), Now: to.Now, Log: to.Log, Codecs: to.Codecs,
	}
	o.Config.SegmentBytes = 200
	l := must(OpenLog(o))(t)
	for i := range int64(10) {
		if err := l.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: i, LeaderEpoch: int32(i / 3)}, "v")); err != nil {
			t.Fatal(err)
		}
	}
	if l.FlushedOffset() == 10 {
		t.Fatal("it flushed by itself")
	}
	if err := l.Flush(); err != nil || l.FlushedOffset() != 10 {
		t.Fatal(err)
	}
	point := must(l.Checkpoint())(t)
	if point != 10 || l.DirID() != [16]byte{} || l.Path() != o.Path {
		t.Fatal(point, l.DirID(), l.Path())
	}
	l.SetHighWatermark(10)
	if err := l.IncrementStartOffset(5); err != nil {
		t.Fatal(err)
	}
	if n := must(l.DeleteBelowStart())(t); n != 2 || l.segments[0].base != 4 {
		t.Fatal(n, l.segments[0].base)
	}
	clone := mem.CrashClone(vfs.CrashOptions{})
	for _, clean := range []bool{false, true} {
		if clean {
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal("a second close:", err)
			}
			o.FS = mem
		} else {
			o.FS = clone
		}
		o.Start, o.RecoveryPoint = 5, point
		again := must(OpenLog(o))(t)
		if again.StartOffset() != 5 || again.EndOffset() != 10 || again.FlushedOffset() != 10 || again.LatestEpoch() != 3 {
			t.Fatal(clean, again.StartOffset(), again.EndOffset(), again.FlushedOffset(), again.LatestEpoch())
		}
		if err := again.TruncateTo(7); err != nil || again.EndOffset() != 7 {
			t.Fatal(err)
		}
		if err := again.TruncateFullyAndStartAt(100); err != nil || again.StartOffset() != 100 {
			t.Fatal(err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
		problems, err := Verify(o.Path, VerifyOptions{FS: o.FS, Codecs: o.Codecs})
		if err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
	}
	o.TP.TopicID = [16]byte{9}
	if _, err := OpenLog(o); !errors.Is(err, ErrTopicID) {
		t.Fatal(err)
	}
}

// TestRetentionKeepsProducers: when the batches of a producer go, what the
// snapshot says of it must be on disk.
func TestRetentionKeepsProducers(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.RetentionBytes = 0 })
	if _, err := o.from(7, 0, 0, 3); err != nil {
		t.Fatal(err)
	}
	o.SetHighWatermark(3)
	if n, err := o.m.CheckRetention(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := o.mem.SyncDir(folderPath); err != nil { // the removal is durable
		t.Fatal(err)
	}
	o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
	l := openManager(t, o.o).Log("t", 0)
	if p := l.Producers(); l.StartOffset() != 3 || len(p) != 1 || p[0].LastSequence != 2 {
		t.Fatal(l.StartOffset(), p)
	}
}
