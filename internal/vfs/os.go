package vfs

import (
	"io"
	"io/fs"
	"os"
)

// OS is the machine's own file system. The zero value is ready to use.
//
// The platform-specific parts are in os_linux.go (pwritev, fdatasync, syncfs,
// locks), os_plain.go (portable versions of the first three), os_unix.go,
// os_flock.go and os_windows.go.
type OS struct{}

var _ FS = OS{}

// OpenFile opens name; see FS.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_APPEND != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fd: f.Fd()}, nil
}

// Remove removes a file or an empty folder.
func (OS) Remove(name string) error { return os.Remove(name) }

// RemoveAll removes name and everything below it.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename replaces newname by oldname.
func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

// MkdirAll makes a folder and its missing parents.
func (OS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// ReadDir lists a folder, sorted by name.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat describes name, following symbolic links.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir makes the names inside a folder durable. On Windows it does nothing:
// NTFS journals names itself and has no such call.
func (OS) SyncDir(name string) error { return syncDir(name) }

// Usage returns the space of the file system that contains name.
func (OS) Usage(name string) (Usage, error) {
	u, err := diskUsage(name)
	if err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return u, nil
}

// Lock takes an exclusive lock on the file name. The file is not removed when
// the lock is released: otherwise two holders could lock two files with the
// same name.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // nothing was written, so only the lock's error matters
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

// OpenSyncer returns a Syncer that calls syncfs for the file system of dir on
// Linux 5.8 and later, where syncfs reports write-back errors. Otherwise it
// returns errors.ErrUnsupported.
func (OS) OpenSyncer(dir string) (Syncer, error) { return openSyncer(dir) }

// osFile is a file of the machine. fd is stored in addition to the os.File so
// that the hot calls need no closure. That is safe because Close must not run
// concurrently with other calls.
type osFile struct {
	*os.File
	fd uintptr
}

var _ File = (*osFile)(nil)

// Size asks the file system for the length.
func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Fd is the descriptor (on Windows the handle) of the file.
func (f *osFile) Fd() (uintptr, bool) { return f.fd, true }

// pathError wraps err as package os does for its own calls.
func (f *osFile) pathError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}
