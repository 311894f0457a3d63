package vfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/vfs"
)

// eachFS runs one test on every implementation of FS, each in its own empty
// folder.
func eachFS(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("OS", func(t *testing.T) { test(t, vfs.OS{}, t.TempDir()) })
	t.Run("Mem", func(t *testing.T) {
		m := vfs.NewMem()
		must(t, m.MkdirAll("/data", 0o755))
		test(t, m, "/data")
	})
	t.Run("Fault over Mem", func(t *testing.T) {
		m := vfs.NewMem()
		must(t, m.MkdirAll("/data", 0o755))
		test(t, vfs.NewFault(m), "/data")
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func create(t *testing.T, fsys vfs.FS, name, content string) vfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	must(t, err)
	t.Cleanup(func() { _ = f.Close() }) // the error of a second Close is irrelevant here
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func wantContent(t *testing.T, fsys vfs.FS, name, want string) {
	t.Helper()
	got, err := vfs.ReadFile(fsys, name)
	must(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %q, want %q", name, got, want)
	}
}

func TestOpenFlags(t *testing.T) {
	cases := []struct {
		name    string
		exists  bool
		flag    int
		want    error
		content string
	}{
		{"read a missing file", false, os.O_RDONLY, fs.ErrNotExist, ""},
		{"write a missing file", false, os.O_RDWR, fs.ErrNotExist, ""},
		{"create", false, os.O_RDWR | os.O_CREATE, nil, ""},
		{"create what is there", true, os.O_RDWR | os.O_CREATE, nil, "old"},
		{"create exclusively", false, os.O_RDWR | os.O_CREATE | os.O_EXCL, nil, ""},
		{"create exclusively what is there", true, os.O_RDWR | os.O_CREATE | os.O_EXCL, fs.ErrExist, "old"},
		{"truncate", true, os.O_RDWR | os.O_TRUNC, nil, ""},
		{"append is refused", true, os.O_WRONLY | os.O_APPEND, fs.ErrInvalid, "old"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
				name := filepath.Join(dir, "f")
				if c.exists {
					must(t, create(t, fsys, name, "old").Close())
				}
				f, err := fsys.OpenFile(name, c.flag, 0o644)
				wantErr(t, err, c.want)
				if err == nil {
					if f.Name() != name {
						t.Errorf("Name() = %q, want %q", f.Name(), name)
					}
					must(t, f.Close())
				}
				if c.exists || c.want == nil {
					wantContent(t, fsys, name, c.content)
				}
			})
		})
	}
}

func TestReadAndWrite(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "hello")

		n, err := f.Writev([][]byte{[]byte("AB"), nil, []byte(strings.Repeat("c", 5000)), []byte("Z")}, 4094)
		if n != 5003 || err != nil {
			t.Fatalf("Writev = %d, %v", n, err)
		}
		n, err = f.Writev(nil, 0)
		if n != 0 || err != nil {
			t.Fatalf("Writev of nothing = %d, %v", n, err)
		}
		want := "hello" + strings.Repeat("\x00", 4089) + "AB" + strings.Repeat("c", 5000) + "Z"
		wantContent(t, fsys, name, want)

		buf := make([]byte, 8)
		if n, err := f.ReadAt(buf, int64(len(want)-3)); n != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt across the end = %d, %v; want 3, EOF", n, err)
		}
		if n, err := f.ReadAt(buf, 99999); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("ReadAt beyond the end = %d, %v; want 0, EOF", n, err)
		}
		if n, err := f.ReadAt(buf, 4092); n != 8 || err != nil || string(buf) != "\x00\x00ABcccc" {
			t.Errorf("ReadAt = %d, %v, %q", n, err, buf)
		}
		if _, err := f.WriteAt([]byte("x"), -1); err == nil {
			t.Error("a write at -1 succeeded")
		}
		if _, err := f.Writev([][]byte{[]byte("x")}, -1); err == nil {
			t.Error("a Writev at -1 succeeded")
		}
		must(t, f.Sync())
		must(t, fsys.SyncDir(dir))
	})
}

// TestWritevOfManyBuffers needs more than one system call on Linux, whose limit
// is 1024 buffers.
func TestWritevOfManyBuffers(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		var bufs [][]byte
		var want strings.Builder
		for i := range 3000 {
			b := []byte(strings.Repeat(string(rune('a'+i%26)), i%7))
			bufs = append(bufs, b)
			want.Write(b)
		}
		kept := slices.Clone(bufs)
		f := create(t, fsys, filepath.Join(dir, "f"), "12")
		if n, err := f.Writev(bufs, 2); n != want.Len() || err != nil {
			t.Fatalf("Writev = %d, %v; want %d", n, err, want.Len())
		}
		wantContent(t, fsys, filepath.Join(dir, "f"), "12"+want.String())
		for i := range bufs {
			if len(bufs[i]) != len(kept[i]) {
				t.Fatalf("Writev changed buffer %d", i)
			}
		}
	})
}

func TestTruncate(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "0123456789")
		must(t, f.Truncate(4))
		must(t, f.Truncate(6))
		wantContent(t, fsys, name, "0123\x00\x00")
		if size, err := f.Size(); size != 6 || err != nil {
			t.Errorf("Size = %d, %v", size, err)
		}
		if f.Truncate(-1) == nil {
			t.Error("Truncate(-1) succeeded")
		}
	})
}

func TestAllocate(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "0123456789")
		must(t, f.Allocate(4))
		wantContent(t, fsys, name, "0123456789")
		must(t, f.Allocate(12))
		wantContent(t, fsys, name, "0123456789\x00\x00")
		if _, err := f.WriteAt([]byte("ab"), 10); err != nil {
			t.Fatal(err)
		}
		must(t, f.Allocate(200_000))
		if size, err := f.Size(); size != 200_000 || err != nil {
			t.Errorf("Size = %d, %v", size, err)
		}
		must(t, f.Truncate(12))
		wantContent(t, fsys, name, "0123456789ab")
		if f.Allocate(-1) == nil {
			t.Error("Allocate(-1) succeeded")
		}
	})
}

func TestClosedAndReadOnlyFiles(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "x")
		must(t, f.Close())
		wantErr(t, f.Close(), fs.ErrClosed)
		_, err := f.ReadAt(make([]byte, 1), 0)
		wantErr(t, err, fs.ErrClosed)

		r, err := fsys.OpenFile(name, os.O_RDONLY, 0)
		must(t, err)
		if _, err := r.WriteAt([]byte("y"), 0); err == nil {
			t.Error("a write through a read-only file succeeded")
		}
		must(t, r.Close())
	})
}

func TestNames(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		p := func(name string) string { return filepath.Join(dir, name) }
		must(t, fsys.MkdirAll(p("a/b"), 0o755))
		must(t, fsys.MkdirAll(p("a/b"), 0o755))
		must(t, create(t, fsys, p("a/2"), "two").Close())
		must(t, create(t, fsys, p("a/1"), "one").Close())
		wantNames(t, fsys, p("a"), "1", "2", "b")

		if fsys.MkdirAll(p("a/1/c"), 0o755) == nil {
			t.Error("MkdirAll below a file succeeded")
		}
		if fsys.Remove(p("a")) == nil {
			t.Error("Remove of a full folder succeeded")
		}
		wantErr(t, fsys.Remove(p("missing")), fs.ErrNotExist)
		must(t, fsys.RemoveAll(p("missing/too")))

		info, err := fsys.Stat(p("a/1"))
		must(t, err)
		if info.Name() != "1" || info.Size() != 3 || info.IsDir() {
			t.Errorf("Stat = %s, %d bytes, dir %v", info.Name(), info.Size(), info.IsDir())
		}
		if info, err := fsys.Stat(p("a")); err != nil || !info.IsDir() {
			t.Errorf("Stat of a folder = %v, %v", info, err)
		}
		must(t, fsys.Remove(p("a/1")))
		must(t, fsys.Remove(p("a/b")))
		wantNames(t, fsys, p("a"), "2")
		must(t, fsys.RemoveAll(p("a")))
		wantNames(t, fsys, dir)
		_, err = fsys.ReadDir(p("a"))
		wantErr(t, err, fs.ErrNotExist)
		if fsys.SyncDir(p("a")) == nil {
			t.Error("SyncDir of a missing folder succeeded")
		}
	})
}

func wantNames(t *testing.T, fsys vfs.FS, dir string, want ...string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s holds %q, want %q", dir, got, want)
	}
}

func TestRename(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		p := func(name string) string { return filepath.Join(dir, name) }
		must(t, create(t, fsys, p("new"), "new").Close())
		must(t, create(t, fsys, p("old"), "old").Close())
		must(t, fsys.Rename(p("new"), p("old")))
		wantNames(t, fsys, dir, "old")
		wantContent(t, fsys, p("old"), "new")
		must(t, fsys.Rename(p("old"), p("old")))

		must(t, fsys.MkdirAll(p("t-0"), 0o755))
		must(t, create(t, fsys, p("t-0/f"), "in").Close())
		must(t, fsys.Rename(p("t-0"), p("t-0-delete")))
		wantContent(t, fsys, p("t-0-delete/f"), "in")
		wantErr(t, fsys.Rename(p("t-0"), p("x")), fs.ErrNotExist)
		wantErr(t, fsys.Rename(p("old"), p("missing/x")), fs.ErrNotExist)
		if fsys.Rename(p("old"), p("t-0-delete")) == nil {
			t.Error("a file replaced a folder")
		}
		if fsys.Rename(p("t-0-delete"), p("t-0-delete/in")) == nil {
			t.Error("a folder moved into itself")
		}
		wantNames(t, fsys, dir, "old", "t-0-delete")
	})
}

func TestLock(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, ".lock")
		first, err := fsys.Lock(name)
		must(t, err)
		for range 2 {
			_, err = fsys.Lock(name)
			wantErr(t, err, vfs.ErrLocked)
		}
		must(t, first.Close())
		second, err := fsys.Lock(name)
		must(t, err)
		must(t, second.Close())
		if second.Close() == nil {
			t.Error("a lock was released twice")
		}
		wantNames(t, fsys, dir, ".lock")
	})
}

func TestUsageAndSyncer(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		u, err := fsys.Usage(dir)
		must(t, err)
		if u.Total == 0 || u.Free > u.Total {
			t.Errorf("Usage = %+v", u)
		}
		s, err := fsys.OpenSyncer(dir)
		if errors.Is(err, errors.ErrUnsupported) {
			return // as on every system but Linux: FS allows it
		}
		must(t, err)
		create(t, fsys, filepath.Join(dir, "f"), "x")
		must(t, s.Sync())
		must(t, s.Close())
	})
}

func TestWriteFileAtomic(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "meta.properties")
		for _, content := range []string{"long first content", "second"} {
			must(t, vfs.WriteFileAtomic(fsys, name, []byte(content), 0o644))
			wantContent(t, fsys, name, content)
		}
		wantNames(t, fsys, dir, "meta.properties")
		wantErr(t, vfs.WriteFileAtomic(fsys, filepath.Join(dir, "no/f"), nil, 0o644), fs.ErrNotExist)
	})
}

func TestWalk(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		must(t, fsys.MkdirAll(filepath.Join(dir, "b/c"), 0o755))
		create(t, fsys, filepath.Join(dir, "b/c/f"), "")
		create(t, fsys, filepath.Join(dir, "a"), "")
		var got []string
		visit := func(name string, _ fs.FileInfo) error {
			rel, err := filepath.Rel(dir, name)
			got = append(got, filepath.ToSlash(rel))
			return err
		}
		must(t, vfs.Walk(fsys, dir, visit))
		if want := []string{".", "a", "b", "b/c", "b/c/f"}; !slices.Equal(got, want) {
			t.Fatalf("walked %q, want %q", got, want)
		}
		wantErr(t, vfs.Walk(fsys, dir, func(string, fs.FileInfo) error { return io.ErrShortWrite }), io.ErrShortWrite)
	})
}
