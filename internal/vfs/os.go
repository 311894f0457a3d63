package vfs

import (
	"io"
	"io/fs"
	"os"
)

// OS is the machine's own file system. The zero value is ready to use.
//
// What differs from platform to platform is in os_linux.go (pwritev, fdatasync,
// syncfs, locks), os_plain.go (the portable twins of the first three),
// os_unix.go, os_flock.go and os_windows.go.
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

// RemoveAll removes name and what is below it.
func (OS) RemoveAll(name string) error { return os.RemoveAll(name) }

// Rename replaces newname by oldname.
func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

// MkdirAll makes a folder and those above it that are missing.
func (OS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

// ReadDir lists a folder, sorted by name.
func (OS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

// Stat describes name, following symbolic links.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SyncDir makes the names inside a folder durable. On Windows it does nothing:
// NTFS journals names by itself and has no such call.
func (OS) SyncDir(name string) error { return syncDir(name) }

// Usage tells the space of the file system that holds name.
func (OS) Usage(name string) (Usage, error) {
	u, err := diskUsage(name)
	if err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	return u, nil
}

// Lock takes an exclusive lock on the file name. The file stays when the lock
// is given back: removing it would let two holders lock two files of one name.
func (OS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // nothing was written: only the lock's error matters
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	return f, nil
}

// OpenSyncer gives syncfs of the file system below dir where it reports
// write-back errors, which is Linux 5.8 and later, else errors.ErrUnsupported.
func (OS) OpenSyncer(dir string) (Syncer, error) { return openSyncer(dir) }

// osFile is a file of the machine. fd is kept beside the os.File so that the
// hot calls need no closure; that is safe because Close may not run beside
// other calls.
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
