package storage

import (
	"fmt"
	"path/filepath"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// besideEveryIO does something of which no I/O in the folder of the log returns
// before an append has: whoever holds Log.write over such an I/O fails. It
// returns how many appends there were, and how many of them while a directory
// was being made durable.
func (c *cleanTest) besideEveryIO(do func() error) (appends, inSyncs int) {
	c.t.Helper()
	appending := false
	c.fs.Add(vfs.Rule{Path: filepath.Join("/data", "t-0"), Hook: func(e vfs.Event) {
		if appending {
			return // an I/O of the append
		}
		if !c.Log.write.TryLock() {
			c.t.Errorf("the append lock is held over %v of %s", e.Op, e.Path)
			return
		}
		c.Log.write.Unlock()
		appending = true
		c.beside(appends)
		appending = false
		appends++
		if e.Op == vfs.OpSyncDir {
			inSyncs++
		}
	}})
	c.check(do())
	c.fs.Clear()
	return appends, inSyncs
}

// beside appends what distinguishes append number i.
func (c *cleanTest) beside(i int) {
	c.t.Helper()
	c.put(record.BuilderOptions{}, kv("beside", fmt.Sprint(i)), kv(fmt.Sprint("beside ", i), "x"))
}

// TestAppendsBesideCompaction: a pass of compaction lets appends through at each
// of its I/Os, the directory syncs of its swap above all.
func TestAppendsBesideCompaction(t *testing.T) {
	c, plain := filled(t), filled(t)
	appends, inSyncs := c.besideEveryIO(func() error {
		c.clean(1)
		return nil
	})
	if c.cleaned != 42 || inSyncs < 5 {
		t.Fatalf("compacted to %d, %d appends of %d during a directory sync", c.cleaned, inSyncs, appends)
	}
	for i := range appends {
		plain.beside(i)
	}
	want := committed(t, plain.Log, plain.o.Codecs)
	plain.close()
	if got := committed(t, c.Log, c.o.Codecs); got != want {
		t.Fatalf("readers find %s, not %s", got, want)
	}
	c.check(c.Flush())
	c.kill()
	if got := committed(t, c.Log, c.o.Codecs); got != want {
		t.Fatalf("after a restart readers find %s, not %s", got, want)
	}
	c.close()
}

// TestAppendsBesideRetention is the same for the removal of segments below the
// log's start.
func TestAppendsBesideRetention(t *testing.T) {
	c := filled(t)
	start := c.bases()[2]
	c.check(c.IncrementStartOffset(start))
	c.check(c.m.eachDir((*dir).writeStarts))
	appends, inSyncs := c.besideEveryIO(func() error {
		_, err := c.DeleteBelowStart()
		return err
	})
	if inSyncs == 0 || c.bases()[0] != start {
		t.Fatalf("segments %v, %d appends of %d during a directory sync", c.bases(), inSyncs, appends)
	}
	want := committed(t, c.Log, c.o.Codecs)
	c.check(c.Flush())
	c.kill()
	if got := committed(t, c.Log, c.o.Codecs); got != want {
		t.Fatalf("after a restart readers find %s, not %s", got, want)
	}
	c.close()
}

// TestReshapingExcludes: whatever renames, removes or cuts a file of a segment
// that is there holds Log.reshaping, so that a swap has its segments and names
// for itself.
func TestReshapingExcludes(t *testing.T) {
	for name, do := range map[string]func(c *cleanTest) error{
		"compaction":              func(c *cleanTest) error { _, err := c.m.Clean(); return err },
		"TruncateTo":              func(c *cleanTest) error { return c.TruncateTo(15) },
		"TruncateFullyAndStartAt": func(c *cleanTest) error { return c.TruncateFullyAndStartAt(100) },
		"DeleteBelowStart":        func(c *cleanTest) error { _, err := c.DeleteBelowStart(); return err },
		"Delete":                  func(c *cleanTest) error { return c.m.Delete("t", 0) },
		"Manager.CheckRetention":  func(c *cleanTest) error { _, err := c.m.CheckRetention(); return err },
		"a pass that is thrown away": func(c *cleanTest) error {
			c.fs.Add(vfs.Rule{Op: vfs.OpSync, Path: "*.cleaned", Count: 1, Hook: func(vfs.Event) { c.check(c.TruncateTo(15)) }})
			_, err := c.m.Clean()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := filled(t)
			c.check(c.IncrementStartOffset(c.bases()[1]))
			c.check(c.m.eachDir((*dir).writeStarts))
			seen := 0
			l := c.Log
			c.fs.Add(vfs.Rule{Op: vfs.OpRename | vfs.OpRemove | vfs.OpTruncate, Path: "t-0", Hook: func(e vfs.Event) {
				if seen++; free(&l.reshaping) {
					t.Errorf("%v of %s without the lock", e.Op, e.Path)
				}
			}})
			c.check(do(c))
			c.fs.Clear()
			if seen == 0 {
				t.Error("nothing was renamed, removed or cut")
			}
			c.m.abandon()
		})
	}
}

// TestCrashOfRetentionBesideCheckpoint: the producer snapshot at which the log
// is to begin is just being made durable by a checkpoint when retention removes
// what lies before it. Whatever a crash then leaves, its producer is known.
func TestCrashOfRetentionBesideCheckpoint(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 800, 50 })
	if _, err := o.from(7, 0, 0, 3); err != nil {
		t.Fatal(err)
	}
	for len(o.bases()) == 1 { // without that producer
		o.write(1, record.BuilderOptions{})
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	o.SetHighWatermark(o.FlushedOffset())
	if err := o.IncrementStartOffset(o.bases()[1]); err != nil {
		t.Fatal(err)
	}
	removed := 0
	o.fs.Add(vfs.Rule{Op: vfs.OpSync, Path: "*" + snapshotSuffix, Count: 1, Hook: func(vfs.Event) {
		n, err := o.m.CheckRetention()
		if removed += n; err != nil {
			t.Error(err)
		}
		for n := range 24 {
			options := o.o
			options.FS = o.mem.CrashClone(vfs.CrashOptions{Seed: uint64(n), KeepProbability: survivals[n%len(survivals)]})
			m := openManager(t, options)
			if p := m.Log("t", 0).Producers(); len(p) != 1 || p[0].LastSequence != 2 {
				t.Errorf("crash %d: the log begins at %d with %+v", n, m.Log("t", 0).StartOffset(), p)
			}
			m.abandon()
		}
	}})
	if err := o.m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if removed != 1 {
		t.Fatalf("%d segments were removed", removed)
	}
	o.close()
}

// TestCrashOfRestartBesideCheckpoint: a checkpoint has written the leader epochs
// beside their file when TruncateFullyAndStartAt removes the log that they are
// about. They do not come back, and those of the new log are written.
func TestCrashOfRestartBesideCheckpoint(t *testing.T) {
	o := newLogTest(t, nil)
	o.AssignEpoch(5, 0)
	o.write(3, record.BuilderOptions{})
	o.fs.Add(vfs.Rule{Op: vfs.OpSync, Path: "leader-epoch-checkpoint", Count: 1, Hook: func(vfs.Event) {
		if err := o.TruncateFullyAndStartAt(0); err != nil {
			t.Error(err)
		}
	}})
	if err := o.m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	o.kill()
	if epoch := o.LatestEpoch(); epoch != NoEpoch || o.EndOffset() != 0 {
		t.Fatalf("an empty log of leader epoch %d, which ends at %d", epoch, o.EndOffset())
	}
	if _, err := o.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "x"), AppendOptions{LeaderEpoch: 6}); err != nil {
		t.Fatal(err)
	}
	if err := o.m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	o.kill()
	if epoch := o.LatestEpoch(); epoch != 6 {
		t.Fatalf("leader epoch %d", epoch)
	}
	o.close()
}

// TestEpochsOutliveTruncation: a checkpoint that a truncation overtakes does not
// write the leader epochs, but the next one does.
func TestEpochsOutliveTruncation(t *testing.T) {
	o := newLogTest(t, nil)
	o.AssignEpoch(5, 0)
	for range 2 {
		if _, err := o.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "x"), AppendOptions{LeaderEpoch: 5}); err != nil {
			t.Fatal(err)
		}
	}
	o.fs.Add(vfs.Rule{Op: vfs.OpSync, Path: "leader-epoch-checkpoint", Count: 1, Hook: func(vfs.Event) {
		if err := o.TruncateTo(1); err != nil {
			t.Error(err)
		}
	}})
	for range 2 {
		if err := o.m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	data, err := vfs.ReadFile(o.mem, o.epochsPath())
	if list, bad := decodeEpochs(data); err != nil || bad != nil || len(list) != 1 || list[0] != (epochEntry{5, 0}) {
		t.Fatalf("the file has %v: %v, %v", list, err, bad)
	}
	o.close()
}

// TestFlushAhead: of a compacted topic in page-cache mode, what a roll still has
// to make durable is bounded, if the flusher can follow.
func TestFlushAhead(t *testing.T) {
	for _, compact := range []bool{false, true} {
		o := newLogTest(t, func(o *Options) {
			o.Default.SegmentBytes, o.Default.Compact, o.Durability = 4*flushAhead, compact, config.PageCache
		})
		value, most := string(make([]byte, 1<<19)), int64(0)
		for len(o.bases()) == 1 {
			c := record.NewBuilder(record.BuilderOptions{})
			c.Append(startMs, []byte("key"), []byte(value))
			if _, err := o.AppendAsLeader(must(c.Build())(t), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
			s := o.segments[0]
			most = max(most, s.size-s.synced)
			o.m.dirs[0].flusher.round()
		}
		if want := map[bool]int64{false: 3 * flushAhead, true: flushAhead}[compact]; (most > want+1<<20) == compact {
			t.Errorf("compacted %t: %d bytes were not on disk", compact, most)
		}
		o.close()
	}
}

// TestRollAfterTruncation: a truncation makes the content of the active segment
// durable, but not its name. The next roll does, before there is another segment,
// or a crash could leave the later one alone: a hole, which in a compacted topic
// nobody would notice.
func TestRollAfterTruncation(t *testing.T) {
	for _, d := range []config.Durability{config.PageCache, config.Fsync} {
		o := newLogTest(t, func(o *Options) {
			o.Default.SegmentBytes, o.Default.Compact, o.Durability = 1000, true, d
		})
		put := func(bytes int) {
			c := record.NewBuilder(record.BuilderOptions{})
			c.Append(startMs, []byte("key"), make([]byte, bytes))
			must(o.AppendAsLeader(must(c.Build())(t), AppendOptions{}))(t)
		}
		put(850)
		put(300)
		put(300)
		if err := o.TruncateTo(2); err != nil {
			t.Fatal(err)
		}
		var crashed *vfs.Mem
		o.fs.Add(vfs.Rule{Op: vfs.OpCreate, Path: segmentName(2, logSuffix), Count: 1, Hook: func(vfs.Event) {
			crashed = o.mem.CrashClone(vfs.CrashOptions{})
		}})
		put(850)
		if crashed == nil || len(o.bases()) != 3 {
			t.Fatalf("%v: no roll: segments %v", d, o.bases())
		}
		options := o.o
		options.FS = crashed
		m := openManager(t, options)
		if l := m.Log("t", 0); l == nil || l.EndOffset() != 2 {
			t.Errorf("%v: a crash before the next segment leaves %v", d, l)
		}
		m.abandon()
		o.close()
	}
}
