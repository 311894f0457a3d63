package storage

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// gate stops the operations that a rule matches until it is opened.
type gate struct {
	reached chan struct{} // one value for each operation that arrived
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan struct{}, 100), make(chan struct{})} }

func (g *gate) hook(vfs.Event) {
	g.reached <- struct{}{}
	<-g.open
}

// told collects what NotifyFlushed is told.
type told struct {
	mu      sync.Mutex
	offsets []int64
	news    chan struct{}
}

func tell(l *Log) *told {
	c := &told{news: make(chan struct{}, 1000)}
	l.NotifyFlushed(func(offset int64) {
		c.mu.Lock()
		c.offsets = append(c.offsets, offset)
		c.mu.Unlock()
		c.news <- struct{}{}
	})
	return c
}

// wait returns when offset was told.
func (c *told) wait(offset int64) {
	for {
		c.mu.Lock()
		there := slices.Contains(c.offsets, offset)
		c.mu.Unlock()
		if there {
			return
		}
		<-c.news
	}
}

// TestGroupCommit: while one flush is blocked, appends to the same log and to
// others go on; the next round takes all of them along, one fdatasync for each
// log; nothing is told before it is on disk.
func TestGroupCommit(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.manual = false })
	other := must(o.m.Create(TopicPartition{Topic: "t", Partition: 1, TopicID: [16]byte{1}}, o.o.Default, [16]byte{}))(t)
	first, second := tell(o.Log), tell(other)
	o.write(1, record.BuilderOptions{})
	if _, err := other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	first.wait(1)
	second.wait(1)
	g := newGate()
	o.fs.Add(vfs.Rule{Op: vfs.OpSync, Count: 1, Hook: g.hook})
	o.write(1, record.BuilderOptions{})
	<-g.reached
	for range 5 { // while the disk is busy
		o.write(1, record.BuilderOptions{})
		if _, err := other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if o.FlushedOffset() != 1 || o.EndOffset() != 7 {
		t.Fatal(o.FlushedOffset(), o.EndOffset())
	}
	if s := must(o.Read(6, 7, 1<<20, true))(t); s.Len() == 0 {
		t.Fatal("a reader waits for the flush")
	}
	syncs := o.fs.Count(vfs.OpSync)
	close(g.open)
	first.wait(7)
	second.wait(6)
	if n := o.fs.Count(vfs.OpSync) - syncs; n != 2 {
		t.Fatalf("%d flushes for 10 appends to two logs", n)
	}
	o.close()
}

// TestUnflushedIsBounded: while the disk stands still, appends go on up to a
// bound and then wait; they go on when the disk does, when it fails, and when the
// node is closed.
func TestUnflushedIsBounded(t *testing.T) {
	for name, end := range map[string]func(o *oneLog, g *gate){
		"goes on": func(_ *oneLog, g *gate) { close(g.open) },
		"fails": func(o *oneLog, g *gate) {
			o.fs.Clear()
			o.fs.Add(vfs.Rule{Op: vfs.OpSync, Err: syscall.EIO})
			close(g.open)
		},
		"closed": func(o *oneLog, g *gate) {
			go func() { _ = o.m.Close(-1) }()
			close(g.open)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newLogTest(t, func(o *Options) { o.manual = false })
				const limit = 1000
				o.m.dirs[0].flusher.limit = limit
				g := newGate()
				o.fs.Add(vfs.Rule{Op: vfs.OpSync, Hook: g.hook, Count: 1})
				var appended atomic.Int64
				done := make(chan error)
				go func() {
					for range 100 {
						if _, err := o.append(1, record.BuilderOptions{}); err != nil {
							done <- err
							return
						}
						appended.Add(1)
					}
					done <- nil
				}()
				synctest.Wait()
				size := o.Size() / o.EndOffset()
				if n := appended.Load(); n*size > limit+size || n*size < limit-2*size {
					t.Errorf("%d batches of %d bytes were appended without a flush", n, size)
				}
				end(o, g)
				err := <-done
				switch name {
				case "goes on":
					if err != nil || o.EndOffset() != 100 {
						t.Error(err, o.EndOffset())
					}
					o.close()
				case "fails":
					if !errors.Is(err, ErrStorage) {
						t.Error(err)
					}
					_ = o.m.Close(-1)
				}
			})
		})
	}
}

// TestFlushMethods: many dirty logs are flushed by one syncfs, few one by one,
// and each method can be demanded.
func TestFlushMethods(t *testing.T) {
	for _, c := range []struct {
		method           config.FlushMethod
		logs             int
		syncfs, fdatasyn int
	}{
		{config.FlushAuto, syncfsLogs - 1, 0, syncfsLogs - 1},
		{config.FlushAuto, syncfsLogs, 1, 0},
		{config.FlushSyncfs, 1, 1, 0},
		{config.FlushFdatasync, 40, 0, 40},
	} {
		o := newLogTest(t, func(o *Options) { o.FlushMethod = c.method })
		var logs []*Log
		for i := range c.logs {
			l := must(o.m.Create(TopicPartition{Topic: "u", Partition: int32(i), TopicID: [16]byte{1}}, o.o.Default, [16]byte{}))(t)
			logs = append(logs, l)
			makeFolder(t, l)
			l.Flush()
		}
		o.Flush()
		for _, l := range logs {
			if _, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		syncfs, fdatasync := o.fs.Count(vfs.OpSyncFS), o.fs.Count(vfs.OpSync)
		o.m.dirs[0].flusher.round()
		if a, b := o.fs.Count(vfs.OpSyncFS)-syncfs, o.fs.Count(vfs.OpSync)-fdatasync; a != c.syncfs || b != c.fdatasyn {
			t.Errorf("%+v: %d syncfs, %d fdatasync", c, a, b)
		}
		for _, l := range logs {
			if l.FlushedOffset() != 1 {
				t.Fatal(l.FlushedOffset())
			}
		}
		o.close()
	}
}

// TestFlushGeneration: a flush that began before a truncation says nothing of
// what was written after it.
func TestFlushGeneration(t *testing.T) {
	o := newLogTest(t, nil)
	for range 10 {
		o.write(1, record.BuilderOptions{})
	}
	job := must(o.capture())(t) // what syncfs would flush
	if err := o.TruncateTo(5); err != nil {
		t.Fatal(err)
	}
	if o.FlushedOffset() != 0 {
		t.Fatal(o.FlushedOffset())
	}
	for range 10 {
		o.write(1, record.BuilderOptions{})
	}
	o.settle(job, nil)
	if o.FlushedOffset() != 0 {
		t.Fatalf("%d offsets count as flushed that never were", o.FlushedOffset())
	}
	if err := o.Flush(); err != nil || o.FlushedOffset() != 15 {
		t.Fatal(err, o.FlushedOffset())
	}
	// A truncation lowers what is flushed, and it ascends again.
	told := tell(o.Log)
	if err := o.TruncateTo(12); err != nil || o.FlushedOffset() != 12 {
		t.Fatal(err, o.FlushedOffset())
	}
	o.write(1, record.BuilderOptions{})
	if err := o.Flush(); err != nil || !slices.Equal(told.offsets, []int64{13}) {
		t.Fatal(err, told.offsets)
	}
	o.close()
}

// TestFailedFlush: a flush that fails is never tried again. The dir goes
// offline, once; its logs refuse everything, reads too; the owner is told.
func TestFailedFlush(t *testing.T) {
	for _, method := range []config.FlushMethod{config.FlushFdatasync, config.FlushSyncfs} {
		failures := make(chan DirFailure, 10)
		o := newLogTest(t, func(o *Options) {
			o.FlushMethod, o.OnDirFailure = method, func(f DirFailure) { failures <- f }
		})
		o.write(1, record.BuilderOptions{})
		o.fs.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Count: 1, Err: syscall.EIO})
		o.m.dirs[0].flusher.round()
		if f := <-failures; f.Path != "/data" || f.ID != o.DirID() || !errors.Is(f.Err, syscall.EIO) {
			t.Fatal(f)
		}
		if o.FlushedOffset() != 0 || len(o.m.Dirs()) != 0 {
			t.Fatal(o.FlushedOffset(), o.m.Dirs())
		}
		syncs := o.fs.Count(vfs.OpSync | vfs.OpSyncFS)
		for name, do := range map[string]func() error{
			"append":   func() error { _, err := o.append(1, record.BuilderOptions{}); return err },
			"follower": func() error { return o.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: 5}, "v")) },
			"flush":    func() error { return o.Flush() },
			"read":     func() error { _, err := o.Read(0, 1, 100, true); return err },
			"truncate": func() error { return o.TruncateTo(0) },
			"restart":  func() error { return o.TruncateFullyAndStartAt(9) },
			"start":    func() error { return o.IncrementStartOffset(0) },
			"delete":   func() error { return o.m.Delete("t", 0) },
			"create": func() error {
				_, err := o.m.Create(TopicPartition{Topic: "new"}, o.o.Default, o.DirID())
				return err
			},
		} {
			if err := do(); !errors.Is(err, ErrStorage) && !errors.Is(err, ErrUnknownDir) {
				t.Errorf("%s: %v", name, err)
			}
		}
		o.m.dirs[0].flusher.round()
		if n := o.fs.Count(vfs.OpSync | vfs.OpSyncFS); n != syncs {
			t.Fatalf("%d flushes after the failure", n-syncs)
		}
		if err := o.m.Close(-1); !errors.Is(err, ErrStorage) {
			t.Fatal(err)
		}
		if len(failures) != 0 {
			t.Fatal("told again")
		}
	}
}

// TestFullDisk: the part of a batch that was written is cut off, the error
// says what it is, the dir stays online; when there is room again, it goes on.
func TestFullDisk(t *testing.T) {
	o := newLogTest(t, nil)
	o.write(1, record.BuilderOptions{})
	size := o.Size()
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		o.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: "*.log", Count: 1, Err: full, Short: 17})
		_, err := o.append(1, record.BuilderOptions{})
		if !errors.Is(err, ErrStorage) || !IsNoSpace(err) || !errors.Is(err, full) {
			t.Fatal(err)
		}
		if info := must(o.mem.Stat("/data/t-0/00000000000000000000.log"))(t); info.Size() != size {
			t.Fatalf("%d bytes are left of the batch", info.Size()-size)
		}
		if o.EndOffset() != 1 || len(o.m.Dirs()) != 1 {
			t.Fatal(o.EndOffset(), o.m.Dirs())
		}
		o.fs.Clear()
	}
	if a := o.write(1, record.BuilderOptions{}); a.BaseOffset != 1 {
		t.Fatal(a)
	}
	// When what was written cannot be cut off, the dir is no longer sound.
	o.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: "*.log", Err: syscall.ENOSPC, Short: 17}, vfs.Rule{Op: vfs.OpTruncate, Err: syscall.EIO})
	if _, err := o.append(1, record.BuilderOptions{}); !errors.Is(err, ErrStorage) || len(o.m.Dirs()) != 0 {
		t.Fatal(err)
	}
}

// TestReallyFullDisk fills a file system, deletes a partition, and goes on:
// appends, rolls and checkpoints fail without harm meanwhile.
func TestReallyFullDisk(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 8000, 50 })
	victim := must(o.m.Create(TopicPartition{Topic: "victim", TopicID: [16]byte{2}}, o.o.Default, [16]byte{}))(t)
	for range 200 {
		if _, err := victim.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	used := must(o.mem.Usage(""))(t)
	o.mem.SetCapacity(int64(used.Total-used.Free) + 10*vfs.BlockSize)
	appended, failed := 0, 0
	for failed < 50 {
		_, err := o.append(1, record.BuilderOptions{Producer: &record.ProducerInfo{ID: 1, BaseSequence: int32(appended)}})
		switch {
		case err == nil:
			appended++
		case IsNoSpace(err) && errors.Is(err, ErrStorage):
			failed++
			if err := o.m.Checkpoint(); err != nil && !IsNoSpace(err) {
				t.Fatal(err)
			}
		default:
			t.Fatal(err)
		}
	}
	if n := 0; appended < 100 || o.EndOffset() != int64(appended) || len(o.m.Dirs()) != 1 {
		t.Fatal(n, appended, o.EndOffset())
	}
	if s := must(o.Read(0, o.EndOffset(), 1<<20, true))(t); s.Len() == 0 {
		t.Fatal("reads do not go on")
	}
	if err := o.m.Delete("victim", 0); err != nil {
		t.Fatal(err)
	}
	o.m.EmptyTrash()
	for i := range 100 {
		if _, err := o.from(1, 0, int32(appended+i), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	o.mem.SetCapacity(0)
	o.reopen()
	if o.EndOffset() != int64(appended+100) {
		t.Fatal(o.EndOffset())
	}
	o.close()
}

// TestPageCacheMode: nothing is flushed by an append, but flush.messages and
// flush.ms hold.
func TestPageCacheMode(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.Durability, o.Default.FlushMessages, o.Default.FlushMs = config.PageCache, 5, 1000
	})
	for i := range int64(12) {
		o.write(1, record.BuilderOptions{})
		if want := (i + 1) / 5 * 5; o.FlushedOffset() != want {
			t.Fatal(i, o.FlushedOffset(), want)
		}
	}
	o.time.ms += 999
	o.m.FlushOverdue()
	o.m.dirs[0].flusher.round()
	if o.FlushedOffset() != 10 {
		t.Fatal(o.FlushedOffset())
	}
	o.time.ms++
	o.m.FlushOverdue()
	o.m.dirs[0].flusher.round()
	if o.FlushedOffset() != 12 {
		t.Fatal(o.FlushedOffset())
	}
	o.write(1, record.BuilderOptions{})
	o.kill() // only a flush moves what counts as flushed
	if o.EndOffset() != 13 || o.FlushedOffset() != 0 {
		t.Fatal(o.EndOffset(), o.FlushedOffset())
	}
	o.close()
}

// TestFlushBesideAppends lets appends, rolls, flushes, truncations and
// checkpoints of several logs run at once; each log ends whole.
func TestFlushBesideAppends(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.manual, o.OpenFilesMax = false, 3
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 3000, 100
		o.Logs.RecoveryCheckpointInterval = time.Millisecond
		o.Logs.RetentionCheckInterval = time.Millisecond
		o.Logs.StartOffsetCheckpointInterval = time.Millisecond
		o.HighWatermarkInterval = time.Millisecond
		o.Producers.IDExpirationCheck = time.Millisecond
	})
	const logs, appends = 20, 150
	var wg sync.WaitGroup
	for i := range int32(logs) {
		l := must(o.m.Create(TopicPartition{Topic: "u", Partition: i, TopicID: [16]byte{1}}, o.o.Default, [16]byte{}))(t)
		flushed := tell(l)
		wg.Go(func() {
			for k := range appends {
				a, err := l.AppendAsLeader(batch(t, 2, record.BuilderOptions{}, "value"), AppendOptions{LeaderEpoch: int32(k / 40)})
				if err != nil {
					t.Error(err)
					return
				}
				if k%10 == 0 {
					flushed.wait(a.LastOffset + 1)
					l.SetHighWatermark(a.LastOffset + 1)
				}
				if k%37 == 36 {
					if err := l.TruncateTo(max(l.HighWatermark(), l.EndOffset()-3)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	for l := range o.m.All() {
		next := l.StartOffset()
		for b, err := range l.Batches(next, l.EndOffset()) {
			if err != nil || b.BaseOffset() != next {
				t.Fatal(b, next, err)
			}
			next = b.NextOffset()
		}
	}
	o.close()
}
