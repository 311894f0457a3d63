package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadFile reads the whole file name. It is for the small files next to the
// logs (checkpoints, meta.properties). A file larger than MaxReadFile bytes is
// refused.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	// The file was only read, so an error of Close does not matter.
	_ = f.Close()
	return data, err
}

// MaxReadFile is the largest file that ReadFile reads, in bytes.
const MaxReadFile = 1 << 30

func readAll(f File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > MaxReadFile {
		return nil, fmt.Errorf("%s: %d bytes are too many to read at once", f.Name(), size)
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}

// TempSuffix ends the name of the file that WriteFileAtomic writes first, as
// Kafka's own checkpoint files do. A crash may leave one behind; the next write
// of the same name replaces it.
const TempSuffix = ".tmp"

// WriteFileAtomic replaces the file name by data, durably: after a crash at any
// point the file is completely the old one or the new one. It is the new one
// once WriteFileAtomic has returned nil. Two calls for one name must not
// overlap.
//
//  1. write name.tmp
//  2. Sync it, so that the rename cannot become durable before the content
//  3. Rename it over name
//  4. SyncDir of the folder, so that the new name survives
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) error {
	temp := name + TempSuffix
	if err := writeSynced(fsys, temp, data, perm); err != nil {
		_ = fsys.Remove(temp) // best effort: the first error is reported
		return err
	}
	if err := fsys.Rename(temp, name); err != nil {
		_ = fsys.Remove(temp)
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Walk calls visit for root and everything below it, each folder before its
// content, in the order of names. An error of visit ends the walk.
func Walk(fsys FS, root string, visit func(name string, info fs.FileInfo) error) error {
	info, err := fsys.Stat(root)
	if err != nil {
		return err
	}
	if err := visit(root, info); err != nil || !info.IsDir() {
		return err
	}
	entries, err := fsys.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := Walk(fsys, filepath.Join(root, e.Name()), visit); err != nil {
			return err
		}
	}
	return nil
}

// fill implements File.Allocate by writing zeros after the end of the file.
func fill(f File, size int64) error {
	at, err := f.Size()
	if err != nil {
		return err
	}
	zeros := make([]byte, min(64<<10, max(0, size-at)))
	for at < size {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}
