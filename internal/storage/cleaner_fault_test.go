package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// filled is a compacted partition of three segments with every kind of batch,
// and what readers must find in it: before and after a pass.
func filled(t *testing.T) *cleanTest {
	c := newCleanTest(t, func(o *Options) { o.Default.IndexIntervalBytes, o.Default.SegmentBytes = 64, 2000 })
	for i := range 3 {
		for k := range 4 {
			c.put(record.BuilderOptions{}, kv(fmt.Sprint("k", k), fmt.Sprint("value ", i)), kv(fmt.Sprint("only ", i, k), "x"), kv(fmt.Sprint("gone ", k), ""))
		}
		c.put(txn(7, int32(i)), kv("k0", "aborted"))
		c.end(7, 0, false)
		c.roll()
	}
	c.settled()
	c.check(c.m.Checkpoint())
	return c
}

// committed is what a reader of committed records ends up with.
func committed(t *testing.T, l *Log, codecs *record.Codecs) string {
	t.Helper()
	aborted, err := l.AbortedTxns(l.StartOffset(), l.EndOffset())
	if err != nil {
		t.Fatal(err)
	}
	var state []string
	values := make(map[string]string)
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		if err != nil {
			t.Fatal(err)
		}
		if b.IsControl() || b.IsTransactional() && len(aborted) > 0 {
			continue // every transaction here is aborted
		}
		for r, err := range b.Records(codecs) {
			if err != nil {
				t.Fatal(err)
			}
			values[string(r.Key)] = string(r.Value)
			if r.Value == nil {
				delete(values, string(r.Key))
			}
		}
	}
	return fmt.Sprint(state, values, l.StartOffset(), l.EndOffset())
}

// TestCleanFaults lets each I/O of a pass fail in turn, by an error or a full
// disk. Readers find the same before and after a restart, whatever survives of
// what was not flushed, and the next pass succeeds.
func TestCleanFaults(t *testing.T) {
	for _, fault := range []vfs.Rule{
		{Op: vfs.OpChange, Err: syscall.EIO},
		{Op: vfs.OpWrite, Err: syscall.EIO, Short: 30},
		{Op: vfs.OpCreate | vfs.OpWrite, Err: syscall.ENOSPC, Short: 30},
		{Op: vfs.OpRead, Err: syscall.EIO},
	} {
		t.Run(fmt.Sprint(fault.Op, fault.Err, fault.Short), func(t *testing.T) {
			faults := 0
			for skip := 0; ; skip++ {
				c := filled(t)
				want := committed(t, c.Log, c.o.Codecs)
				rule := fault
				rule.Skip, rule.Count = skip, 1
				before := c.fs.Count(rule.Op)
				c.fs.Add(rule)
				_, err := c.m.Clean()
				hit := c.fs.Count(rule.Op)-before > skip
				c.fs.Clear()
				if !hit {
					if faults < 3 {
						t.Fatalf("only %d faults", faults)
					}
					c.close()
					return
				}
				faults++
				c.afterFault(fmt.Sprintf("%v at I/O %d", rule.Err, skip), rule, err, want)
			}
		})
	}
}

func (c *cleanTest) afterFault(what string, rule vfs.Rule, err error, want string) {
	t := c.t.(*testing.T)
	t.Helper()
	online := len(c.m.Dirs()) == 1
	switch {
	case err != nil && !errors.Is(err, rule.Err):
		t.Fatalf("%s: %v", what, err)
	case errors.Is(rule.Err, syscall.ENOSPC) && !online:
		t.Fatalf("%s: the dir is offline: %v", what, err)
	case rule.Op != vfs.OpRead && errors.Is(rule.Err, syscall.EIO) && online && err != nil:
		t.Fatalf("%s: the dir is online: %v", what, err)
	case rule.Op == vfs.OpRead && (!online || err != nil && len(c.m.Uncleanable()) != 1):
		t.Fatalf("%s: %v, online %t", what, err, online)
	}
	if online {
		if got := committed(t, c.Log, c.o.Codecs); got != want {
			t.Fatalf("%s: readers find %s, not %s", what, got, want)
		}
	}
	for _, keep := range survivals {
		o := c.o
		clone := c.mem.CrashClone(vfs.CrashOptions{Seed: uint64(len(what)), KeepProbability: keep})
		o.FS = clone
		m, err := OpenManager(context.Background(), o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l := m.Log("t", 0)
		if l == nil {
			t.Fatalf("%s, %g survive: %v", what, keep, m.Broken())
		}
		l.SetHighWatermark(l.EndOffset())
		l.UpdateConfig(o.Default)
		_, err = m.Clean()
		if got := committed(t, l, o.Codecs); err != nil || got != want || l.cleaned != 42 {
			t.Fatalf("%s, %g survive, %v: readers find %s, not %s; compacted to %d", what, keep, err, got, want, l.cleaned)
		}
		if err := m.Close(-1); err != nil {
			t.Fatal(err)
		}
		if problems, err := Verify("/data", VerifyOptions{FS: clone, Codecs: o.Codecs}); err != nil || len(problems) > 0 {
			t.Fatalf("%s, %g survive: %v, %v", what, keep, problems, err)
		}
	}
	c.m.abandon()
}

// TestCleanCrash crashes a pass before each of its I/Os, and the start that
// follows before each of its own.
func TestCleanCrash(t *testing.T) {
	c := filled(t)
	want := committed(t, c.Log, c.o.Codecs)
	points := 0
	try := func(mem *vfs.Mem, again bool, what string, visit func(*vfs.Mem, string)) {
		o := c.o
		fs := vfs.NewFault(mem)
		if again {
			n := 0
			fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
				n++
				clone := mem.CrashClone(vfs.CrashOptions{Seed: uint64(n), KeepProbability: survivals[n%len(survivals)]})
				visit(clone, fmt.Sprintf("%s, again before I/O %d, %v of %s", what, n, e.Op, e.Path))
			}})
		}
		o.FS = fs
		m, err := OpenManager(context.Background(), o)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		l := m.Log("t", 0)
		if l == nil {
			t.Fatalf("%s: %v", what, m.Broken())
		}
		if got := committed(t, l, c.o.Codecs); got != want {
			t.Fatalf("%s: readers find %s, not %s", what, got, want)
		}
		fs.Clear()
		m.abandon()
		points++
	}
	c.fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
		for i, keep := range survivals {
			clone := c.mem.CrashClone(vfs.CrashOptions{Seed: uint64(points), KeepProbability: keep})
			try(clone, i > 0, fmt.Sprintf("before %v of %s, %g survive", e.Op, e.Path, keep), func(m *vfs.Mem, what string) { try(m, false, what, nil) })
		}
	}})
	c.clean(1)
	c.fs.Clear()
	if got := committed(t, c.Log, c.o.Codecs); got != want {
		t.Fatalf("readers find %s, not %s", got, want)
	}
	t.Logf("%d crash points", points)
	c.close()
}

// TestCleanBeside compacts while appends, flushes, reads, truncations and
// retention go on, in a node that does all by itself.
func TestCleanBeside(t *testing.T) {
	o := testOptions(vfs.NewMem())
	o.manual, o.Default = false, compactConfig()
	o.Default.SegmentBytes, o.Default.IndexIntervalBytes, o.Default.MinCleanableRatio = 2000, 100, 0
	o.Logs.CleanerEnable, o.Logs.CleanerThreads, o.Logs.CleanerBackoff = true, 2, 1
	m := openManager(t, o)
	var logs []*Log
	for i := range 3 {
		logs = append(logs, must(m.Create(TopicPartition{Topic: "t", Partition: int32(i), TopicID: [16]byte{1}}, o.Default, [16]byte{}))(t))
	}
	for round := 0; ; round++ {
		for i, l := range logs {
			b := record.NewBuilder(record.BuilderOptions{})
			for k := range 5 {
				b.Append(startMs, []byte(fmt.Sprint("key ", k)), []byte(fmt.Sprint(round)))
			}
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.AppendAsLeader(bytes.Clone(batch), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			l.SetHighWatermark(l.EndOffset() - 10)
			if round%20 == 19 {
				if err := l.TruncateTo(l.EndOffset() - 5); err != nil {
					t.Fatal(err)
				}
			}
			if round%30 == 29 && i == 1 {
				if err := l.IncrementStartOffset(l.EndOffset() / 2); err != nil {
					t.Fatal(err)
				}
				if _, err := m.CheckRetention(); err != nil {
					t.Fatal(err)
				}
			}
			readers(t, l)
		}
		if done := compactedOften(logs); done && round > 200 {
			break
		} else if round > 100_000 {
			t.Fatal("nothing is compacted")
		}
	}
	if bad := m.Uncleanable(); len(bad) > 0 {
		t.Error(bad)
	}
	if err := m.Close(-1); err != nil {
		t.Fatal(err)
	}
	if problems, err := Verify("/data", VerifyOptions{FS: o.FS, Codecs: o.Codecs}); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
}

// readers reads everything twice; batches ascend.
func readers(t *testing.T, l *Log) {
	t.Helper()
	next := int64(0)
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		if err != nil {
			t.Fatal(err)
		}
		if b.BaseOffset() < next {
			t.Fatalf("%v follows %d", b, next)
		}
		next = b.NextOffset()
	}
	if _, _, err := l.OffsetForTimestamp(startMs); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AbortedTxns(l.StartOffset(), l.EndOffset()); err != nil {
		t.Fatal(err)
	}
}

func compactedOften(logs []*Log) bool {
	for _, l := range logs {
		l.mu.Lock()
		far := l.cleaned > 500
		l.mu.Unlock()
		if !far {
			return false
		}
	}
	return true
}

// TestCompactionWithoutDescriptors: a log that could not be looked at for want of
// file descriptors is compacted when there are some again.
func TestCompactionWithoutDescriptors(t *testing.T) {
	c := filled(t)
	config := c.Config()
	config.MinCompactionLagMs = 1
	c.down(true)
	if err := c.up(); err != nil {
		t.Fatal(err)
	}
	c.UpdateConfig(config)
	c.SetHighWatermark(c.EndOffset())
	c.clock.ms += 1000
	c.fs.Add(vfs.Rule{Op: vfs.OpOpen, Path: timeSuffix, Err: syscall.EMFILE})
	c.clean(0)
	c.fs.Clear()
	c.clean(1)
	c.close()
}
