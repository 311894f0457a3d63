package storage

import (
	"errors"
	"fmt"
	"testing"

	"ottla/internal/vfs"
)

// TestFilesLRU: the file that was used longest ago goes first; one in use
// never.
func TestFilesLRU(t *testing.T) {
	mem := vfs.NewMem()
	c := newFiles(mem, 2)
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
	c := newFiles(mem, 0)
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
	if c.open != 0 {
		t.Fatal(c.open)
	}
	if err := f.remove(); err != nil { // a missing file is no error
		t.Fatal(err)
	}
}
