package storage

import (
	"runtime"
	"slices"
	"sync"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// pointOnDisk is the recovery point of the log that a crash would leave.
func (o *oneLog) pointOnDisk() int64 {
	o.t.Helper()
	return must(readOffsets(o.mem, "/data/"+recoveryName))(o.t)[o.key()]
}

// TestTruncateBesideCheckpoint: a checkpoint that took its lines before a
// truncation has not the last word: what is appended in the place of what was
// cut may not be on disk.
func TestTruncateBesideCheckpoint(t *testing.T) {
	o := newLogTest(t, nil)
	for range 20 {
		o.write(3, record.BuilderOptions{})
	}
	must(0, o.Flush())(t)
	truncated := make(chan error, 1)
	o.fs.Add(vfs.Rule{Op: vfs.OpRename, Path: recoveryName, Count: 1, Hook: func(vfs.Event) {
		go func() { truncated <- o.TruncateTo(30) }()
		for i := 0; i < 10_000 && len(truncated) == 0; i++ {
			runtime.Gosched() // it has to wait
		}
	}})
	must(0, o.m.Checkpoint())(t)
	must(0, <-truncated)(t)
	if point := o.pointOnDisk(); point > 30 {
		t.Fatalf("the recovery point on disk is %d, the log ends at 30", point)
	}
	o.close()
}

// TestTruncateBesideSave: what a save under way made durable ends with the
// truncation, at each point of it.
func TestTruncateBesideSave(t *testing.T) {
	o := newLogTest(t, nil)
	for range 20 {
		o.write(3, record.BuilderOptions{})
	}
	must(0, o.Flush())(t)
	must(0, o.m.Checkpoint())(t)
	o.write(3, record.BuilderOptions{})
	must(0, o.Flush())(t)
	s := must(o.save(false))(t)
	o.fs.Add(vfs.Rule{Op: vfs.OpRename, Path: recoveryName, Count: 1, Hook: func(vfs.Event) { s.finish() }})
	must(0, o.TruncateTo(30))(t)
	must(0, o.m.dirs[0].writePoints())(t)
	if point := o.pointOnDisk(); point > 30 {
		t.Fatalf("the recovery point on disk is %d, the log ends at 30", point)
	}
	o.close()
}

// TestFlushedAfterTruncation: the owner learns that the log is on disk up to an
// offset again, which had other records before the truncation.
func TestFlushedAfterTruncation(t *testing.T) {
	o := newLogTest(t, nil)
	var told []int64
	o.NotifyFlushed(func(offset int64) { told = append(told, offset) })
	for range 2 {
		must(0, o.TruncateTo(0))(t)
		o.write(3, record.BuilderOptions{})
		must(0, o.Flush())(t)
	}
	if !slices.Equal(told, []int64{3, 3}) {
		t.Fatal(told)
	}
	o.close()
}

// TestTruncateBesideFlush: a flush in which a truncation came counts for
// nothing; what the truncation left is flushed by the next round, though nothing
// is appended any more.
func TestTruncateBesideFlush(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.FlushMethod, o.Durability = config.FlushSyncfs, config.Fsync })
	told := noOffset
	o.NotifyFlushed(func(offset int64) { told = offset })
	for range 20 {
		o.write(3, record.BuilderOptions{})
	}
	o.fs.Add(vfs.Rule{Op: vfs.OpSyncFS, Count: 1, Hook: func(vfs.Event) { must(0, o.TruncateTo(30))(t) }})
	for range 2 {
		o.m.dirs[0].flusher.round()
	}
	if o.FlushedOffset() != 30 || told != 30 {
		t.Fatalf("flushed are %d of 30 offsets, told %d", o.FlushedOffset(), told)
	}
	o.close()
}

// TestTruncateBesideCompaction: a pass gives up a log that is truncated at any
// moment of it, which is no fault of the log.
func TestTruncateBesideCompaction(t *testing.T) {
	for i := range 40 {
		c := filled(t)
		end := c.bases()[i%3] + 7
		var beside sync.WaitGroup
		beside.Go(func() {
			for range 10 * i {
				runtime.Gosched()
			}
			if err := c.TruncateTo(end); err != nil {
				t.Error(err)
			}
		})
		_, err := c.m.Clean()
		beside.Wait()
		if err != nil || c.EndOffset() > end {
			t.Errorf("%v; the log ends at %d, not at %d", err, c.EndOffset(), end)
		}
		c.close()
	}
}

// TestTruncateBesideReadsOfCompaction is the same at each of its reads.
func TestTruncateBesideReadsOfCompaction(t *testing.T) {
	for at, more := 0, true; more; at++ {
		c := filled(t)
		end := c.bases()[1]
		more = false
		c.fs.Add(vfs.Rule{Op: vfs.OpRead, Path: "/data/t-0", Skip: at, Count: 1, Hook: func(vfs.Event) {
			more = true
			c.check(c.TruncateTo(end))
		}})
		_, err := c.m.Clean()
		if err != nil || c.uncleanable != nil {
			t.Errorf("read %d: %v, %v", at, err, c.uncleanable)
		}
		c.fs.Clear()
		c.close()
	}
}
