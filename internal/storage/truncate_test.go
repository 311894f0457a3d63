package storage

import (
	"runtime"
	"testing"

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
