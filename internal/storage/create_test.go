package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// createMany makes the partitions 0 to n-1 of topic u.
func (o *oneLog) createMany(n int) []*Log { return o.createFrom(0, n) }

func (o *oneLog) createFrom(from, to int) []*Log {
	o.t.Helper()
	var logs []*Log
	for i := from; i < to; i++ {
		tp := TopicPartition{Topic: "u", Partition: int32(i), TopicID: [16]byte{2}}
		logs = append(logs, must(o.m.Create(tp, o.o.Default, [16]byte{}))(o.t))
	}
	return logs
}

// changes counts what do changes on disk.
func (o *oneLog) changes(do func()) int {
	before := o.fs.Count(vfs.OpChange)
	do()
	return o.fs.Count(vfs.OpChange) - before
}

// TestCreateTouchesNothing: partitions without a record cost no change of the
// disk, not when they are made, flushed, checkpointed or deleted.
func TestCreateTouchesNothing(t *testing.T) {
	for _, durability := range []config.Durability{config.Fsync, config.PageCache} {
		o := newLogTest(t, func(o *Options) { o.Durability = durability })
		o.write(1, record.BuilderOptions{})
		if err := errors.Join(o.Flush(), o.m.Checkpoint(), o.m.eachDir((*dir).writeHighWatermarks)); err != nil {
			t.Fatal(err)
		}
		var logs []*Log
		for _, c := range []struct {
			what string
			do   func() error
		}{
			{"create", func() error { logs = o.createMany(50); return nil }},
			{"epochs, flush and reads", func() error {
				for _, l := range logs {
					l.AssignEpoch(3, 0)
					slice, err := l.Read(0, 0, 1, true)
					_, found, err2 := l.OffsetForTimestamp(-5)
					_, _, err3 := l.MaxTimestamp()
					if err := errors.Join(l.Flush(), err, err2, err3); err != nil || slice.Len() > 0 || found {
						return fmt.Errorf("%w: %d bytes, found: %v", err, slice.Len(), found)
					}
				}
				return nil
			}},
			{"checkpoints", func() error {
				_, err := o.m.CheckRetention()
				return errors.Join(err, o.m.Checkpoint(), o.m.eachDir((*dir).writeHighWatermarks), o.m.eachDir((*dir).writeStarts))
			}},
			{"delete", func() error { return o.m.Delete("u", 0, 1, 2, 3, 4) }},
		} {
			if n := o.changes(func() { must(0, c.do())(t) }); n != 0 {
				t.Errorf("%s: %d changes on disk", c.what, n)
			}
		}
		if o.m.Log("u", 4) != nil || o.m.Log("u", 5) == nil {
			t.Error("deleted were others")
		}
		o.kill()
		verifyClean(t, o.mem)
		if o.m.Log("u", 5) != nil {
			t.Error("a partition without a record has a folder")
		}
		o.createMany(50)
		o.close()
	}
}

// TestStopOfIdlePartitions: a clean stop costs nothing for partitions that had no
// record.
func TestStopOfIdlePartitions(t *testing.T) {
	changes := func(partitions int) int {
		o := newLogTest(t, nil)
		o.createMany(partitions)
		n := o.changes(o.close) // verifies
		if _, err := o.mem.Stat("/data/u-0"); err == nil {
			t.Error("there is a folder")
		}
		return n
	}
	if few, many := changes(2), changes(500); many > few+2 {
		t.Errorf("a stop makes %d changes with 2 idle partitions, and %d with 500", few, many)
	}
}

// TestFirstAppendMakesFolder: the first append makes the folder with its topic id before
// it writes, and one flush makes all of it durable.
func TestFirstAppendMakesFolder(t *testing.T) {
	o := newLogTest(t, nil)
	l := o.createMany(1)[0]
	l.AssignEpoch(7, 0)
	value := batch(t, 1, record.BuilderOptions{}, "v")
	o.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: ".log", Hook: func(vfs.Event) {
		if _, err := o.mem.Stat("/data/u-0/" + partitionName); err != nil {
			t.Error("a record is written before the topic id:", err)
		}
	}})
	n := o.changes(func() { must(l.AppendAsLeader(value, AppendOptions{LeaderEpoch: 7}))(t) })
	if n != 5 { // folder, partition.metadata and its content, segment and its content
		t.Errorf("the first append makes %d changes", n)
	}
	if n := o.changes(func() { must(l.AppendAsLeader(value, AppendOptions{LeaderEpoch: 7}))(t) }); n != 1 {
		t.Errorf("the second append makes %d changes", n)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
	m := openManager(t, o.o)
	defer m.abandon()
	if l := m.Log("u", 0); l == nil || l.EndOffset() != 2 || l.TP().TopicID != [16]byte{2} || l.LatestEpoch() != 7 {
		t.Fatalf("a power loss left %+v", l)
	}
	o.close()
}

// TestFirstAppendMakesFolderOnFullDisk: an append that finds no room for a file of the
// folder fails, and the next one makes what is missing.
func TestFirstRecordOnFullDisk(t *testing.T) {
	for at := range 5 {
		o := newLogTest(t, nil)
		l := o.createMany(1)[0]
		o.fs.Add(vfs.Rule{Op: vfs.OpChange, Path: "/data/u-0", Skip: at, Count: 1, Err: syscall.ENOSPC})
		value := batch(t, 1, record.BuilderOptions{}, "v")
		if _, err := l.AppendAsLeader(value, AppendOptions{}); !IsNoSpace(err) || !errors.Is(err, ErrStorage) {
			t.Fatalf("no space for change %d: %v", at, err)
		}
		o.fs.Clear()
		must(l.AppendAsLeader(value, AppendOptions{}))(t)
		if err := l.Flush(); err != nil {
			t.Fatal(err)
		}
		o.foundAgain(at)
	}
}

// TestDeleteOnFullDisk: what an append that found no room left of a folder goes
// with the partition, and the name is free for another topic.
func TestDeleteOnFullDisk(t *testing.T) {
	for at := range 5 {
		o := newLogTest(t, nil)
		l := o.createMany(1)[0]
		o.fs.Add(vfs.Rule{Op: vfs.OpChange, Path: "/data/u-0", Skip: at, Count: 1, Err: syscall.ENOSPC})
		value := batch(t, 1, record.BuilderOptions{}, "v")
		if _, err := l.AppendAsLeader(value, AppendOptions{}); !IsNoSpace(err) {
			t.Fatalf("no space for change %d: %v", at, err)
		}
		o.fs.Clear()
		must(0, o.m.Delete("u", 0))(t)
		o.createMany(1)
		o.m.EmptyTrash()
		must(0, o.m.Delete("u", 0))(t)
		l = must(o.m.Create(TopicPartition{Topic: "u", TopicID: [16]byte{3}}, o.o.Default, [16]byte{}))(t)
		must(l.AppendAsLeader(value, AppendOptions{}))(t)
		o.close()
		if names := must(o.mem.ReadDir("/data"))(t); slices.ContainsFunc(names, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), deleteDirSuffix) }) {
			t.Errorf("%d: left is %v", at, names)
		}
	}
}

// foundAgain closes, verifies and opens again, and looks for the record.
func (o *oneLog) foundAgain(at int) {
	o.t.Helper()
	o.close()
	o.m = openManager(o.t, o.o)
	if l := o.m.Log("u", 0); l == nil || l.EndOffset() != 1 || l.TP().TopicID != [16]byte{2} {
		o.t.Errorf("%d: found %+v", at, l)
	}
	o.close()
}

// TestIndexFilesOfFinishedSegments: a finished segment has its index files even
// if it is too short for an entry, also when a recovery finds them missing.
func TestIndexFilesOfFinishedSegments(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes = 100 })
	for range 3 {
		o.write(1, record.BuilderOptions{})
	}
	o.down(false)
	verifyClean(t, o.mem)
	for _, suffix := range []string{offsetSuffix, timeSuffix} {
		o.edit(segmentName(o.segments[1].base, suffix), func([]byte) []byte { return nil })
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.down(false)
	verifyClean(t, o.mem)
}

// TestDeleteTogether: the partitions of a topic that are deleted together cost a
// rename each, and their dir is made durable once.
func TestDeleteTogether(t *testing.T) {
	o := newLogTest(t, nil)
	var partitions []int32
	for i, l := range o.createMany(30) {
		must(l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}))(t)
		partitions = append(partitions, int32(i))
	}
	o.m.dirs[0].flusher.round()
	renames, syncs, changes := o.fs.Count(vfs.OpRename), o.fs.Count(vfs.OpSyncDir), o.fs.Count(vfs.OpChange)
	if err := o.m.Delete("u", append(partitions, 77)...); err != nil {
		t.Fatal(err)
	}
	renames, syncs, changes = o.fs.Count(vfs.OpRename)-renames, o.fs.Count(vfs.OpSyncDir)-syncs, o.fs.Count(vfs.OpChange)-changes
	if renames != 30 || syncs != 1 || changes != 31 {
		t.Errorf("%d renames, %d fsyncs of the dir, %d changes", renames, syncs, changes)
	}
	o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
	m := openManager(t, o.o)
	defer m.abandon()
	for _, p := range partitions {
		if m.Log("u", p) != nil {
			t.Errorf("a power loss brings partition %d back", p)
		}
	}
	o.close()
}

// TestLeastPopulatedDir: new partitions go where the fewest are, also those
// without a folder.
func TestLeastPopulatedDir(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Dirs = []string{"/data", "/more", "/most"} })
	o.createMany(29)
	if err := o.m.Delete("u", 0, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	o.createFrom(29, 33)
	counts := map[[16]byte]int{}
	for l := range o.m.All() {
		counts[l.DirID()]++
	}
	for id, n := range counts {
		if n != 10 {
			t.Errorf("dir %x has %d partitions", id, n)
		}
	}
	o.close()
}

// TestCreateBesideCheckpoint: a checkpoint that began when a partition of the
// name was there, and was deleted meanwhile, says nothing of the new one.
func TestCreateBesideCheckpoint(t *testing.T) {
	for name, write := range map[string]func(*dir) error{
		recoveryName: (*dir).writePoints, startName: (*dir).writeStarts, replicationName: (*dir).writeHighWatermarks,
	} {
		o := newLogTest(t, nil)
		l := o.createMany(1)[0]
		value := batch(t, 3, record.BuilderOptions{}, "v")
		must(l.AppendAsLeader(value, AppendOptions{}))(t)
		l.SetHighWatermark(3)
		must(0, errors.Join(l.Flush(), l.IncrementStartOffset(3)))(t)
		l.point = 3
		created := make(chan *Log, 1)
		o.fs.Add(vfs.Rule{Op: vfs.OpRename, Path: name, Count: 1, Hook: func(vfs.Event) {
			must(0, o.m.Delete("u", 0))(t)
			go func() { created <- o.createMany(1)[0] }()
			for i := 0; i < 10_000 && len(created) == 0; i++ {
				runtime.Gosched() // it has to wait
			}
		}})
		must(0, o.m.eachDir(write))(t)
		l = <-created
		must(l.AppendAsLeader(value, AppendOptions{}))(t)
		must(0, l.Flush())(t)
		if on := must(readOffsets(o.fs, "/data/"+name))(t); on[l.key()] != 0 {
			t.Errorf("%s has %d of a log that was just made", name, on[l.key()])
		}
		o.o.FS = o.mem.CrashClone(vfs.CrashOptions{})
		m := openManager(t, o.o)
		if l := m.Log("u", 0); l == nil || l.StartOffset() != 0 || l.EndOffset() != 3 {
			t.Errorf("%s: a power loss lost flushed records: %v", name, m.Broken())
		}
		m.abandon()
		o.close()
	}
}
