package vfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ottla/internal/vfs"
)

// state prints the whole content of a file system, for comparison.
func state(t *testing.T, fsys vfs.FS) string {
	t.Helper()
	var b strings.Builder
	must(t, vfs.Walk(fsys, "/", func(name string, info fs.FileInfo) error {
		fmt.Fprintf(&b, "%s %v %d", name, info.Mode(), info.Size())
		if !info.IsDir() {
			data, err := vfs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", data)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// fill writes size bytes of c at off.
func fill(t *testing.T, f vfs.File, c byte, off, size int) {
	t.Helper()
	_, err := f.WriteAt(bytes.Repeat([]byte{c}, size), int64(off))
	must(t, err)
}

func clone(m *vfs.Mem, seed uint64, p float64) *vfs.Mem {
	return m.CrashClone(vfs.CrashOptions{Seed: seed, KeepProbability: p})
}

func TestUnsyncedIsLost(t *testing.T) {
	cases := []struct {
		name string
		do   func(t *testing.T, m *vfs.Mem)
		want map[string]string // all files that exist with nothing kept
	}{
		{"name without SyncDir", func(t *testing.T, m *vfs.Mem) {
			must(t, create(t, m, "/f", "x").Sync())
		}, nil},
		{"content without Sync", func(t *testing.T, m *vfs.Mem) {
			create(t, m, "/f", "x")
			must(t, m.SyncDir("/"))
		}, map[string]string{"/f": ""}},
		{"both synced", func(t *testing.T, m *vfs.Mem) {
			must(t, create(t, m, "/f", "x").Sync())
			must(t, m.SyncDir("/"))
		}, map[string]string{"/f": "x"}},
		{"write after Sync", func(t *testing.T, m *vfs.Mem) {
			f := create(t, m, "/f", "x")
			must(t, f.Sync())
			must(t, m.SyncDir("/"))
			fill(t, f, 'y', 0, 2)
		}, map[string]string{"/f": "x"}},
		{"truncate after Sync", func(t *testing.T, m *vfs.Mem) {
			f := create(t, m, "/f", "xyz")
			must(t, f.Sync())
			must(t, m.SyncDir("/"))
			must(t, f.Truncate(1))
		}, map[string]string{"/f": "xyz"}},
		{"truncate, grow, Sync", func(t *testing.T, m *vfs.Mem) {
			f := create(t, m, "/f", "xyz")
			must(t, f.Sync())
			must(t, m.SyncDir("/"))
			must(t, f.Truncate(1))
			must(t, f.Truncate(2))
			must(t, f.Sync())
		}, map[string]string{"/f": "x\x00"}},
		{"folder whose own name is not synced", func(t *testing.T, m *vfs.Mem) {
			must(t, m.MkdirAll("/d", 0o755))
			must(t, create(t, m, "/d/f", "x").Sync())
			must(t, m.SyncDir("/d"))
		}, nil},
		{"remove", func(t *testing.T, m *vfs.Mem) {
			must(t, create(t, m, "/f", "x").Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Remove("/f"))
		}, map[string]string{"/f": "x"}},
		{"remove, SyncDir", func(t *testing.T, m *vfs.Mem) {
			must(t, create(t, m, "/f", "x").Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Remove("/f"))
			must(t, m.SyncDir("/"))
		}, nil},
		{"rename", func(t *testing.T, m *vfs.Mem) {
			must(t, create(t, m, "/f", "x").Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Rename("/f", "/g"))
		}, map[string]string{"/f": "x"}},
		{"rename to another folder, one of two synced", func(t *testing.T, m *vfs.Mem) {
			must(t, m.MkdirAll("/d", 0o755))
			must(t, create(t, m, "/f", "x").Sync())
			must(t, m.SyncDir("/"))
			must(t, m.Rename("/f", "/d/f"))
			must(t, m.SyncDir("/d"))
		}, map[string]string{"/f": "x"}},
		{"create in one folder, rename to another, synced", func(t *testing.T, m *vfs.Mem) {
			must(t, m.MkdirAll("/d", 0o755))
			must(t, m.MkdirAll("/e", 0o755))
			must(t, create(t, m, "/d/f", "x").Sync())
			must(t, m.Rename("/d/f", "/e/f"))
			for _, dir := range []string{"/d", "/e", "/"} {
				must(t, m.SyncDir(dir))
			}
		}, map[string]string{"/e/f": "x"}},
		{"whole file system synced", func(t *testing.T, m *vfs.Mem) {
			must(t, m.MkdirAll("/d", 0o755))
			create(t, m, "/d/f", "x")
			s, err := m.OpenSyncer("/")
			must(t, err)
			must(t, s.Sync())
		}, map[string]string{"/d/f": "x"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := vfs.NewMem()
			c.do(t, m)
			got := map[string]string{}
			left := clone(m, 1, 0)
			must(t, vfs.Walk(left, "/", func(name string, info fs.FileInfo) error {
				if info.IsDir() {
					return nil
				}
				data, err := vfs.ReadFile(left, name)
				got[strings.ReplaceAll(name, `\`, "/")] = string(data)
				return err
			}))
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("nothing kept: %q, want %q", got, c.want)
			}
			if all := state(t, clone(m, 1, 1)); all != state(t, m) {
				t.Errorf("everything kept:\n%swant\n%s", all, state(t, m))
			}
		})
	}
}

// TestCrashOfBlocks checks which blocks can survive of three synced and two
// additional unsynced ones.
func TestCrashOfBlocks(t *testing.T) {
	const b = vfs.BlockSize
	m := vfs.NewMem()
	f := create(t, m, "/f", "")
	fill(t, f, 'a', 0, 3*b)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	fill(t, f, 'b', b, b)         // overwrites block 1
	fill(t, f, 'c', 3*b, b+b/2)   // appends block 3 and half of block 4
	sizes := map[int]int{}        // length → how often
	torn, overwritten := false, 0 // a zero block below a kept one; block 1 kept
	const seeds = 400
	for seed := range uint64(seeds) {
		data, err := vfs.ReadFile(clone(m, seed, 0.5), "/f")
		must(t, err)
		sizes[len(data)]++
		for i := 0; i*b < len(data); i++ {
			block := data[i*b : min(len(data), (i+1)*b)]
			allowed := [...]string{"a", "ab", "a", "\x00c", "\x00c"}[i]
			if strings.Trim(string(block), allowed) != "" || strings.Count(string(block), string(block[0])) != len(block) {
				t.Fatalf("seed %d: block %d is %q…", seed, i, block[:8])
			}
			if i == 1 && block[0] == 'b' {
				overwritten++
			}
			torn = torn || i == 3 && block[0] == 0
		}
	}
	for _, want := range []int{3 * b, 4 * b, 4*b + b/2} {
		if sizes[want] == 0 {
			t.Errorf("no crash left %d bytes", want)
		}
		delete(sizes, want)
	}
	if len(sizes) > 0 {
		t.Errorf("impossible lengths %v", sizes)
	}
	left := clone(m, 1, 0)
	g, err := left.OpenFile("/f", os.O_RDWR, 0)
	must(t, err)
	fill(t, g, 'd', 0, 3*b)
	if got := state(t, clone(left, 1, 0)); got != state(t, clone(m, 1, 0)) {
		t.Error("unsynced data in a clone survives its crash")
	}
	if !torn {
		t.Error("no crash lost a block below one that survived")
	}
	if overwritten < seeds/4 || overwritten > seeds*3/4 {
		t.Errorf("block 1 survived %d of %d times", overwritten, seeds)
	}
}

// TestCrashOfTruncate checks that a tail that was cut off may come back,
// completely or below new content, until the file is synced.
func TestCrashOfTruncate(t *testing.T) {
	const b = vfs.BlockSize
	m := vfs.NewMem()
	f := create(t, m, "/f", "")
	fill(t, f, 'a', 0, 2*b)
	must(t, f.Sync())
	must(t, m.SyncDir("/"))
	must(t, f.Truncate(10))
	fill(t, f, 'b', 10, 10)
	seen := map[string]bool{}
	for seed := range uint64(200) {
		data, err := vfs.ReadFile(clone(m, seed, 0.5), "/f")
		must(t, err)
		seen[fmt.Sprintf("%d %q %q", len(data), data[:10], data[min(len(data), 10):min(len(data), 20)])] = true
	}
	before, cut, after := `"aaaaaaaaaa"`, `""`, `"bbbbbbbbbb"`
	want := []string{
		"8192 " + before + ` ` + before,                                // nothing survived
		"10 " + before + ` ` + cut,                                     // the truncation alone
		"20 " + before + ` ` + after,                                   // everything
		"8192 " + before + ` ` + after,                                 // the new block without the truncation
		"20 " + before + ` "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"`, // the new length without the block
	}
	for _, w := range want {
		if !seen[w] {
			t.Errorf("never seen: %s", w)
		}
		delete(seen, w)
	}
	if len(seen) > 0 {
		t.Errorf("impossible: %v", seen)
	}
	must(t, f.Sync())
	if got := state(t, clone(m, 1, 0)); got != state(t, m) {
		t.Errorf("synced:\n%swant\n%s", got, state(t, m))
	}
}

// TestRenameIsAtomic renames a file several times, over another one and back,
// and checks that it has exactly one name after every crash.
func TestRenameIsAtomic(t *testing.T) {
	m := vfs.NewMem()
	for name, content := range map[string]string{"/a": "moving", "/c": "replaced"} {
		must(t, create(t, m, name, content).Sync())
	}
	must(t, m.MkdirAll("/d", 0o755))
	must(t, m.SyncDir("/"))
	names := []string{"/a", "/b", "/c", "/d/e", "/b"}
	found := map[string]int{}
	for i := 1; i < len(names); i++ {
		must(t, m.Rename(names[i-1], names[i]))
		for seed := range uint64(100) {
			left := clone(m, seed, 0.5)
			where := ""
			for _, name := range names[:4] {
				if data, err := vfs.ReadFile(left, name); err == nil && string(data) == "moving" {
					if where != "" {
						t.Fatalf("seed %d: under %s and %s:\n%s", seed, where, name, state(t, left))
					}
					where = name
				}
			}
			if where == "" {
				t.Fatalf("seed %d: under no name:\n%s", seed, state(t, left))
			}
			if data, err := vfs.ReadFile(left, "/c"); err == nil && string(data) != "replaced" && where != "/c" {
				t.Fatalf("seed %d: /c holds %q", seed, data)
			}
			found[where]++
		}
	}
	if len(found) != 4 {
		t.Errorf("found under %v, want each of four names", found)
	}
}

// TestWriteFileAtomicSurvives crashes at every I/O of a replacement. The file
// must be the old or the new one, and the new one once the call has returned.
func TestWriteFileAtomicSurvives(t *testing.T) {
	old, replaced := strings.Repeat("o", 9000), strings.Repeat("n", 5000)
	m := vfs.NewMem()
	must(t, vfs.WriteFileAtomic(m, "/f", []byte(old), 0o644))
	check := func(allowed ...string) {
		for seed := range uint64(20) {
			data, err := vfs.ReadFile(clone(m, seed, 0.5), "/f")
			must(t, err)
			if string(data) != allowed[0] && string(data) != allowed[len(allowed)-1] {
				t.Fatalf("seed %d: %d bytes, %.10q…", seed, len(data), data)
			}
		}
	}
	check(old)
	crashes := 0
	f := vfs.NewFault(m, vfs.Rule{Op: vfs.OpChange, Hook: func(vfs.Event) { crashes++; check(old, replaced) }})
	must(t, vfs.WriteFileAtomic(f, "/f", []byte(replaced), 0o644))
	check(replaced)
	if crashes != 5 {
		t.Errorf("%d I/Os, want create, write, sync, rename, sync of the folder", crashes)
	}
}

// churn performs random operations on few names and returns the last synced
// content of each file whose name is durable.
func churn(t *testing.T, m *vfs.Mem, rng *rand.Rand, steps int) {
	names := []string{"/a", "/b", "/d/a", "/d/b"}
	must(t, m.MkdirAll("/d", 0o755))
	for range steps {
		name := names[rng.IntN(len(names))]
		switch rng.IntN(6) {
		case 0, 1, 2:
			f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
			must(t, err)
			fill(t, f, byte('a'+rng.IntN(26)), rng.IntN(20000), 1+rng.IntN(10000))
			if rng.IntN(3) == 0 {
				must(t, f.Truncate(int64(rng.IntN(20000))))
			}
			if rng.IntN(2) == 0 {
				must(t, f.Sync())
			}
			must(t, f.Close())
		case 3:
			_ = m.Rename(name, names[rng.IntN(len(names))]) // may be missing
		case 4:
			_ = m.Remove(name) // may be missing
		case 5:
			must(t, m.SyncDir([]string{"/", "/d"}[rng.IntN(2)]))
		}
	}
}

func TestCrashCloneProperties(t *testing.T) {
	for seed := range uint64(60) {
		m := vfs.NewMem()
		churn(t, m, rand.New(rand.NewPCG(seed, 1)), 40)
		before := state(t, m)
		if got := state(t, clone(m, seed, 1)); got != before {
			t.Fatalf("seed %d: everything kept:\n%swant\n%s", seed, got, before)
		}
		if clone(m, seed, 0.5); state(t, m) != before {
			t.Fatalf("seed %d: a clone changed the original", seed)
		}
		for _, p := range []float64{0, 0.5} {
			left := clone(m, seed, p)
			first := state(t, left)
			if again := state(t, clone(m, seed, p)); again != first {
				t.Fatalf("seed %d, p %v: two clones differ:\n%s\n%s", seed, p, first, again)
			}
			if again := state(t, clone(left, seed+1, 0)); again != first {
				t.Fatalf("seed %d, p %v: a clone is not durable:\n%s\n%s", seed, p, first, again)
			}
		}
		// Later changes of the original do not affect a clone, and vice versa.
		left := clone(m, seed, 0.5)
		leftBefore := state(t, left)
		churn(t, m, rand.New(rand.NewPCG(seed, 2)), 20)
		if state(t, left) != leftBefore {
			t.Fatalf("seed %d: the original writes into its clone", seed)
		}
		before = state(t, m)
		churn(t, left, rand.New(rand.NewPCG(seed, 3)), 20)
		if state(t, m) != before {
			t.Fatalf("seed %d: a clone writes into the original", seed)
		}
		s, err := m.OpenSyncer("/")
		must(t, err)
		must(t, s.Sync())
		if got := state(t, clone(m, seed, 0)); got != before {
			t.Fatalf("seed %d: synced:\n%swant\n%s", seed, got, before)
		}
	}
}

// TestAppendBesideSync appends in one goroutine and syncs in another. Data
// written before a Sync began must survive every crash after the Sync ended.
func TestAppendBesideSync(t *testing.T) {
	const records, size = 2000, 16
	m := vfs.NewMem()
	f := create(t, m, "/f", "")
	must(t, m.SyncDir("/"))
	var mu sync.Mutex
	written := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range records {
			fill(t, f, byte('a'+i%26), i*size, size)
			mu.Lock()
			written = i + 1
			mu.Unlock()
		}
	})
	wg.Go(func() {
		for synced := 0; synced < records; {
			mu.Lock()
			synced = written
			mu.Unlock()
			if err := f.Sync(); err != nil {
				t.Error(err)
				return
			}
			data, err := vfs.ReadFile(clone(m, uint64(synced), 0.3), "/f")
			if err != nil || len(data) < synced*size {
				t.Errorf("%d bytes after a sync of %d records, %v", len(data), synced, err)
				return
			}
			for i := range synced {
				if data[i*size] != byte('a'+i%26) {
					t.Errorf("record %d of %d synced ones is lost", i, synced)
					return
				}
			}
		}
	})
	wg.Wait()
}

func TestCapacity(t *testing.T) {
	const b = vfs.BlockSize
	m := vfs.NewMem()
	m.SetCapacity(3 * b)
	f := create(t, m, "/f", "")
	fill(t, f, 'a', 0, b)
	n, err := f.Writev([][]byte{make([]byte, b), make([]byte, 2*b)}, b/2)
	if n != 2*b+b/2 || !vfs.IsNoSpace(err) {
		t.Fatalf("Writev = %d, %v; want %d and no space", n, err, 2*b+b/2)
	}
	wantErr(t, err, syscall.ENOSPC)
	wantFree := func(want uint64) {
		t.Helper()
		if u, err := m.Usage("/"); err != nil || u.Free != want || u.Total != 3*b {
			t.Fatalf("Usage = %+v, %v; want %d free", u, err, want)
		}
	}
	wantFree(0)
	fill(t, f, 'b', 0, 3*b) // in place there is room
	must(t, f.Truncate(b+1))
	wantFree(b)
	if u, err := clone(m, 1, 1).Usage("/"); err != nil || u.Free != b {
		t.Fatalf("a clone has %d bytes free, %v", u.Free, err)
	}
	must(t, m.Remove("/f"))
	wantFree(b)
	e := create(t, m, "/e", "x")
	wantFree(0)
	must(t, e.Close())
	e, err = m.OpenFile("/e", os.O_RDWR|os.O_TRUNC, 0)
	must(t, err)
	must(t, e.Close())
	wantFree(b)
	must(t, f.Close())
	wantFree(3 * b)
	g := create(t, m, "/g", "x")
	must(t, g.Close())
	h := create(t, m, "/h", "y")
	must(t, h.Close())
	must(t, m.Rename("/g", "/h"))
	wantFree(2 * b)
	_, err = create(t, m, "/i", "").WriteAt([]byte("x"), 1<<60)
	wantErr(t, err, syscall.EFBIG)
}

// TestAllocatedSpace checks that allocated space counts as used, that a
// truncation frees it, and that writes into it need no additional space.
func TestAllocatedSpace(t *testing.T) {
	const b = vfs.BlockSize
	m := vfs.NewMem()
	m.SetCapacity(5 * b)
	wantFree := func(want uint64) {
		t.Helper()
		if u, err := m.Usage("/"); err != nil || u.Free != want {
			t.Fatalf("Usage = %+v, %v; want %d free", u, err, want)
		}
	}
	f := create(t, m, "/f", "x")
	must(t, f.Allocate(3*b))
	must(t, f.Allocate(3*b))
	wantFree(2 * b)
	fill(t, f, 'a', 0, 3*b)
	wantFree(2 * b)
	wantErr(t, f.Allocate(6*b), syscall.ENOSPC)
	wantErr(t, f.Allocate(1<<60), syscall.EFBIG)
	must(t, f.Truncate(b))
	wantFree(4 * b)
	must(t, f.Allocate(2*b))
	must(t, f.Sync())
	content, err := vfs.ReadFile(clone(m, 1, 0), "/f")
	if err == nil && len(content) != 2*b {
		t.Fatalf("a clone has %d bytes", len(content))
	}
	must(t, f.Close())
	wantErr(t, f.Allocate(1), fs.ErrClosed)
}

// TestRoomy checks that an operation without space asks for more and is retried
// if it gets some, and that other operations are not retried.
func TestRoomy(t *testing.T) {
	for _, more := range []bool{true, false} {
		m := vfs.NewMem()
		fault := vfs.NewFault(m)
		var asked []string
		r := vfs.Roomy{FS: fault, More: func(name string) bool {
			asked = append(asked, name)
			return more
		}}
		must(t, r.MkdirAll("/d", 0o755))
		f := create(t, r, "/d/f", "")
		for name, do := range map[string]func() error{
			"/d/f":   func() error { _, err := f.WriteAt([]byte("one"), 0); return err },
			"/d/f ":  func() error { _, err := f.Writev([][]byte{[]byte("two")}, 0); return err },
			"/d/new": func() error { return r.Rename("/d/old", "/d/new") },
			"/d/e":   func() error { return r.MkdirAll("/d/e", 0o755) },
			"/d/g": func() error {
				g, err := r.OpenFile("/d/g", os.O_RDWR|os.O_CREATE, 0o644)
				if err == nil {
					err = g.Close()
				}
				return err
			},
		} {
			fails := func(err error) {
				must(t, create(t, m, "/d/old", "").Close())
				asked = nil
				fault.Clear()
				fault.Add(vfs.Rule{Op: vfs.OpWrite | vfs.OpCreate | vfs.OpRename | vfs.OpMkdir, Count: 1, Err: err})
			}
			fails(syscall.ENOSPC)
			if err := do(); (err == nil) != more || len(asked) != 1 || asked[0] != strings.TrimSpace(name) {
				t.Errorf("%s with more %v: %v, asked for %q", name, more, err, asked)
			}
			fails(syscall.EIO)
			if err := do(); !errors.Is(err, syscall.EIO) || len(asked) != 0 {
				t.Errorf("%s: %v, asked for %q", name, err, asked)
			}
			fault.Clear()
			must(t, do())
		}
		if _, err := r.OpenFile("/missing", os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

func TestCrashLosesLocks(t *testing.T) {
	m := vfs.NewMem()
	_, err := m.Lock("/.lock")
	must(t, err)
	l, err := clone(m, 1, 1).Lock("/.lock")
	must(t, err)
	must(t, l.Close())
}
