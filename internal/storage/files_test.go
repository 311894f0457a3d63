package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"ottla/internal/vfs"
)

// TestFilesLRU: the file that was used longest ago goes first; one in use
// never.
func TestFilesLRU(t *testing.T) {
	mem := vfs.NewMem()
	c := newFiles(mem, 2, 0)
	var list []*file
	for i := range 4 {
		f := c.file(fmt.Sprintf("/%d", i))
		must(f.create())(t)
		f.release()
		list = append(list, f)
	}
	open := func(want ...bool) {
		t.Helper()
		for i, f := range list {
			if (f.handle != nil) != want[i] {
				t.Fatalf("file %d is open: %t", i, !want[i])
			}
		}
	}
	open(false, false, true, true)
	must(list[2].acquire())(t)
	list[2].release() // now 3 is the oldest
	must(list[0].acquire())(t)
	open(true, false, true, false)
	must(list[2].acquire())(t)
	must(list[3].acquire())(t) // beyond the limit: all are in use
	open(true, false, true, true)
	list[2].release()
	open(true, false, false, true)
	list[0].release()
	list[3].release()
	open(true, false, false, true)
}

// TestFileRetire: who has the file open goes on with it, nobody else finds it.
func TestFileRetire(t *testing.T) {
	mem := vfs.NewMem()
	c := newFiles(mem, 0, 0)
	f := c.file("/x")
	h := must(f.create())(t)
	if _, err := h.WriteAt([]byte("content"), 0); err != nil {
		t.Fatal(err)
	}
	if err := f.retireTo("/y"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.acquire(); err == nil && f.refs != 2 {
		t.Fatal(f.refs)
	} else if err == nil {
		f.release()
	}
	b := make([]byte, 7)
	if _, err := h.ReadAt(b, 0); err != nil || string(b) != "content" {
		t.Fatal(err)
	}
	f.release()
	if _, err := f.acquire(); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if c.open.Load() != 0 {
		t.Fatal(c.open.Load())
	}
	if err := f.remove(); err != nil { // a missing file is no error
		t.Fatal(err)
	}
}

// sticky is a file system whose files report an error when they are closed.
type sticky struct{ vfs.FS }

type stickyFile struct{ vfs.File }

func (s sticky) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	return stickyFile{f}, err
}

func (f stickyFile) Close() error { return errors.Join(f.File.Close(), syscall.EIO) }

// TestFilesCloseFails: whoever opens a file gets it, and its use is counted,
// whatever the one says that had to go for it.
func TestFilesCloseFails(t *testing.T) {
	c := newFiles(sticky{vfs.NewMem()}, 1, 0)
	victim, wanted := c.file("/victim"), c.file("/wanted")
	must(victim.create())(t)
	victim.release()
	must(wanted.create())(t)
	wanted.release()
	if wanted.refs != 0 || c.open.Load() != 1 {
		t.Errorf("%d users, %d open files", wanted.refs, c.open.Load())
	}
}

// TestOpenOfReplacedFile: while a reader opens the file of a segment, compaction
// gives its name to another one. The reader plans anew.
func TestOpenOfReplacedFile(t *testing.T) {
	fs := vfs.NewFault(vfs.NewMem())
	files := newFiles(fs, 0, 0)
	old, fresh := files.file("/old"), files.file("/fresh")
	for _, f := range []*file{old, fresh} {
		if err := writeFile(fs, f.path, []byte(f.path)); err != nil {
			t.Fatal(err)
		}
	}
	fs.Add(vfs.Rule{Op: vfs.OpOpen, Path: "/old", Count: 1, Hook: func(vfs.Event) {
		if err := errors.Join(old.retireTo("/old.deleted"), fresh.rename("/old")); err != nil {
			t.Error(err)
		}
	}})
	if _, err := old.acquire(); !errors.Is(err, ErrClosed) {
		t.Errorf("the file that has the name now was opened: %v", err)
	}
	if _, err := fresh.acquire(); err != nil || files.open.Load() != 1 {
		t.Errorf("%d files are open, %v", files.open.Load(), err)
	}
}
