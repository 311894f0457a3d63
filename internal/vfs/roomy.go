package vfs

import (
	"io/fs"
	"os"
)

// Roomy is a file system that asks for space when an operation fails for lack
// of it (IsNoSpace), and retries the operation once. This covers creating and
// renaming names, and writes. A write has a position, so repeating it is
// harmless. A failed Sync is never retried.
type Roomy struct {
	FS
	// More makes space for a file and tells whether it could.
	More func(name string) bool
}

// again calls do, and calls it again if it failed for lack of space and More
// made space.
func (r Roomy) again(name string, do func() error) error {
	err := do()
	if IsNoSpace(err) && r.More(name) {
		return do()
	}
	return err
}

// OpenFile opens name; see FS.
func (r Roomy) OpenFile(name string, flag int, perm fs.FileMode) (f File, err error) {
	open := func() error {
		f, err = r.FS.OpenFile(name, flag, perm)
		return err
	}
	if flag&os.O_CREATE == 0 {
		_ = open() // its result is in err
	} else {
		_ = r.again(name, open)
	}
	if err != nil {
		return nil, err
	}
	return &roomyFile{File: f, fs: r}, nil
}

// Rename replaces newname by oldname.
func (r Roomy) Rename(oldname, newname string) error {
	return r.again(newname, func() error { return r.FS.Rename(oldname, newname) })
}

// MkdirAll makes a folder and its missing parents.
func (r Roomy) MkdirAll(name string, perm fs.FileMode) error {
	return r.again(name, func() error { return r.FS.MkdirAll(name, perm) })
}

type roomyFile struct {
	File
	fs Roomy
}

// WriteAt writes at a position.
func (f *roomyFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if err != nil && IsNoSpace(err) && f.fs.More(f.Name()) {
		return f.File.WriteAt(p, off)
	}
	return n, err
}

// Writev writes bufs at a position.
func (f *roomyFile) Writev(bufs [][]byte, off int64) (int, error) {
	n, err := f.File.Writev(bufs, off)
	if err != nil && IsNoSpace(err) && f.fs.More(f.Name()) {
		return f.File.Writev(bufs, off)
	}
	return n, err
}
