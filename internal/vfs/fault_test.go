package vfs_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ottla/internal/vfs"
)

// operations does one operation of each kind and returns the names of those
// that failed.
func operations(t *testing.T, fsys vfs.FS) (failed []string) {
	t.Helper()
	note := func(name string, err error) {
		if err != nil {
			failed = append(failed, name)
		}
	}
	f, err := fsys.OpenFile("/d/kept.log", os.O_RDWR, 0)
	note("open", err)
	if err == nil {
		_, err = f.WriteAt([]byte("x"), 0)
		note("write", err)
		_, err = f.Writev([][]byte{[]byte("x")}, 1)
		note("writev", err)
		_, err = f.ReadAt(make([]byte, 1), 0)
		note("read", err)
		_, err = f.Size()
		note("size", err)
		note("truncate", f.Truncate(1))
		note("sync", f.Sync())
		must(t, f.Close())
	}
	c, err := fsys.OpenFile("/d/new.log", os.O_RDWR|os.O_CREATE, 0o644)
	note("create", err)
	if err == nil {
		must(t, c.Close())
		note("rename", fsys.Rename("/d/new.log", "/d/old.log"))
	}
	note("remove", fsys.Remove("/d/old.log"))
	note("removeall", fsys.RemoveAll("/d/x"))
	note("mkdir", fsys.MkdirAll("/d/e", 0o755))
	note("syncdir", fsys.SyncDir("/d"))
	_, err = fsys.ReadDir("/d")
	note("readdir", err)
	_, err = fsys.Stat("/d")
	note("stat", err)
	_, err = fsys.Usage("/d")
	note("usage", err)
	if l, err := fsys.Lock("/d/.lock"); err != nil {
		note("lock", err)
	} else {
		must(t, l.Close())
	}
	s, err := fsys.OpenSyncer("/d")
	must(t, err)
	note("syncfs", s.Sync())
	return failed
}

func newFaultOverMem(t *testing.T, rules ...vfs.Rule) (*vfs.Fault, *vfs.Mem) {
	t.Helper()
	m := vfs.NewMem()
	must(t, m.MkdirAll("/d", 0o755))
	must(t, create(t, m, "/d/kept.log", "kept").Close())
	return vfs.NewFault(m, rules...), m
}

func TestRulesSelect(t *testing.T) {
	cases := []struct {
		rule vfs.Rule
		want string
	}{
		{vfs.Rule{Op: vfs.OpOpen}, "open"},
		{vfs.Rule{Op: vfs.OpCreate}, "create remove"},
		{vfs.Rule{Op: vfs.OpWrite}, "write writev"},
		{vfs.Rule{Op: vfs.OpWrite, Count: 1}, "write"},
		{vfs.Rule{Op: vfs.OpWrite, Skip: 1}, "writev"},
		{vfs.Rule{Op: vfs.OpRead | vfs.OpStat}, "read size stat"},
		{vfs.Rule{Op: vfs.OpTruncate}, "truncate"},
		{vfs.Rule{Op: vfs.OpSync}, "sync"},
		{vfs.Rule{Op: vfs.OpSyncDir}, "syncdir"},
		{vfs.Rule{Op: vfs.OpSyncFS}, "syncfs"},
		{vfs.Rule{Op: vfs.OpRename}, "rename remove"},
		{vfs.Rule{Op: vfs.OpRemove}, "remove removeall"},
		{vfs.Rule{Op: vfs.OpMkdir}, "mkdir"},
		{vfs.Rule{Op: vfs.OpReadDir}, "readdir"},
		{vfs.Rule{Op: vfs.OpLock}, "lock"},
		{vfs.Rule{Op: vfs.OpUsage}, "usage"},
		{vfs.Rule{Path: "kept"}, "open"},
		{vfs.Rule{Path: "*.log", Skip: 7, Count: 1}, "create remove"},
		{vfs.Rule{Path: "k?pt.log", Skip: 3, Count: 2}, "read size"},
		{vfs.Rule{Path: "kept*", Op: vfs.OpCreate}, ""},
		{vfs.Rule{Path: "[", Op: vfs.OpAny}, ""},
		{vfs.Rule{Op: vfs.OpAny, Skip: 100}, ""},
	}
	for _, c := range cases {
		name := fmt.Sprintf("%b %q %d %d", c.rule.Op, c.rule.Path, c.rule.Skip, c.rule.Count)
		t.Run(name, func(t *testing.T) {
			c.rule.Err = syscall.EIO
			f, _ := newFaultOverMem(t, c.rule)
			if got := strings.Join(operations(t, f), " "); got != c.want {
				t.Errorf("failed: %q, want %q", got, c.want)
			}
		})
	}
}

func TestCounts(t *testing.T) {
	f, _ := newFaultOverMem(t)
	if failed := operations(t, f); failed != nil {
		t.Fatalf("without rules %q failed", failed)
	}
	for op, want := range map[vfs.Op]int{
		vfs.OpWrite: 2, vfs.OpStat: 2, vfs.OpSync | vfs.OpSyncDir | vfs.OpSyncFS: 3, vfs.OpChange: 11, vfs.OpAny: 18,
	} {
		if got := f.Count(op); got != want {
			t.Errorf("Count(%b) = %d, want %d", op, got, want)
		}
	}
	f.Add(vfs.Rule{Err: syscall.EIO})
	f.Clear()
	if failed := operations(t, f); failed != nil {
		t.Errorf("after Clear %q failed", failed)
	}
}

func TestShortWrite(t *testing.T) {
	f, m := newFaultOverMem(t, vfs.Rule{Op: vfs.OpWrite, Err: syscall.ENOSPC, Short: 3})
	file, err := f.OpenFile("/d/kept.log", os.O_RDWR, 0)
	must(t, err)
	n, err := file.Writev([][]byte{[]byte("12"), []byte("34"), []byte("56")}, 4)
	if n != 3 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Writev = %d, %v", n, err)
	}
	wantContent(t, m, "/d/kept.log", "kept123")
	n, err = file.WriteAt([]byte("ab"), 0)
	if n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("WriteAt = %d, %v", n, err)
	}
	if _, ok := file.Fd(); ok {
		t.Error("a disturbed file has a descriptor that bypasses Fault")
	}
}

// TestFailedSyncLosesData checks the fsyncgate behaviour: the second Sync
// succeeds, and the data that the first one should have made durable is lost.
func TestFailedSyncLosesData(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpSyncFS} {
		f, m := newFaultOverMem(t, vfs.Rule{Op: op, Count: 1, Err: syscall.EIO})
		file, err := f.OpenFile("/d/kept.log", os.O_RDWR, 0)
		must(t, err)
		s, err := f.OpenSyncer("/")
		must(t, err)
		sync := file.Sync
		if op == vfs.OpSyncFS {
			sync = s.Sync
		}
		wantErr(t, sync(), syscall.EIO)
		must(t, sync())
		must(t, m.SyncDir("/d"))
		must(t, m.SyncDir("/"))
		wantContent(t, m, "/d/kept.log", "kept")
		wantContent(t, clone(m, 1, 0), "/d/kept.log", "\x00\x00\x00\x00")
		_, err = file.WriteAt([]byte("more"), 0)
		must(t, err)
		must(t, sync())
		wantContent(t, clone(m, 1, 0), "/d/kept.log", "more")
	}
}

func TestHookAndDelay(t *testing.T) {
	var log []string
	f, _ := newFaultOverMem(t,
		vfs.Rule{Op: vfs.OpRename, Hook: func(e vfs.Event) { log = append(log, e.Path) }, Delay: time.Hour},
		vfs.Rule{Op: vfs.OpRename, Err: syscall.EIO},
		vfs.Rule{Op: vfs.OpRename, Hook: func(vfs.Event) { t.Error("a rule after the error acted") }})
	f.Sleep = func(d time.Duration) { log = append(log, d.String()) }
	wantErr(t, f.Rename("/d/kept.log", "/d/x"), syscall.EIO)
	if want := []string{"/d/x", "1h0m0s"}; !slices.Equal(log, want) {
		t.Errorf("effects %q, want %q", log, want)
	}
}

// TestEveryIOInTurn runs the loop of a crash test: each I/O of an operation
// fails once, and the operation reports it.
func TestEveryIOInTurn(t *testing.T) {
	work := func(fsys vfs.FS) error { return vfs.WriteFileAtomic(fsys, "/d/f", []byte("data"), 0o644) }
	f, _ := newFaultOverMem(t)
	must(t, work(f))
	n := f.Count(vfs.OpChange)
	for i := range n {
		f, m := newFaultOverMem(t, vfs.Rule{Op: vfs.OpChange, Skip: i, Count: 1, Err: syscall.EIO})
		wantErr(t, work(f), syscall.EIO)
		if _, err := m.Stat("/d/f.tmp"); err == nil {
			t.Errorf("failure at I/O %d leaves the temporary file", i)
		}
	}
}

func TestFaultByManyGoroutines(t *testing.T) {
	f, _ := newFaultOverMem(t, vfs.Rule{Op: vfs.OpStat, Skip: 10, Count: 50, Err: syscall.EIO})
	var wg sync.WaitGroup
	var mu sync.Mutex
	failures := 0
	for range 4 {
		wg.Go(func() {
			for range 100 {
				if _, err := f.Stat("/d"); err != nil {
					mu.Lock()
					failures++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if failures != 50 || f.Count(vfs.OpStat) != 400 {
		t.Errorf("%d failures of %d operations, want 50 of 400", failures, f.Count(vfs.OpStat))
	}
}
