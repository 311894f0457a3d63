// Package vfs provides the file system of a node.
//
// All disk access of Ottla goes through FS, so that a test can run the real
// code on a file system in memory, crash it at any I/O and check what survived.
// There are three implementations: OS is the machine's own file system. Mem is
// in memory and can be cloned to the state after a power loss. Fault wraps
// another FS and fails or delays chosen operations.
//
// Start reading here; then os.go, mem.go (names), mem_file.go (content),
// mem_crash.go (what a power loss leaves), fault.go. Roomy (roomy.go) asks for
// more space when the disk is full. helpers.go has functions that use only FS.
// IsNoSpace distinguishes a full disk from a failed one.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked is returned by FS.Lock when another process, or another node of
// this process, holds the lock.
var ErrLocked = errors.New("locked by another process")

// FS is the file system of a node. Names are paths in the form of package
// path/filepath. All methods may be called by several goroutines at once.
//
// Durability follows POSIX: data written to a file survives power loss once
// File.Sync has returned. A name (created, renamed, removed) survives once
// SyncDir of its folder has returned; for a new folder that is SyncDir of its
// parent. A failed File.Sync must never be repeated: the kernel may have
// dropped the data that it could not write, and the next Sync would succeed
// without it.
type FS interface {
	// OpenFile opens name with the flags of package os (O_RDONLY, O_RDWR,
	// O_CREATE, O_EXCL, O_TRUNC). O_APPEND is refused: every write has an
	// explicit position.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// RemoveAll removes name and everything below it; a missing name is not an
	// error.
	RemoveAll(name string) error
	// Rename replaces newname by oldname atomically.
	Rename(oldname, newname string) error
	// MkdirAll makes a folder and its missing parents.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes name; a missing name is fs.ErrNotExist.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names inside a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on the file name, creating the file if it is
	// missing. It is held until the Closer is closed or the process ends.
	Lock(name string) (io.Closer, error)
	// Usage returns the space of the file system that contains name, in bytes.
	Usage(name string) (Usage, error)
	// OpenSyncer returns a Syncer that makes every file of the file system of
	// dir durable at once (Linux syncfs), or errors.ErrUnsupported. It must be
	// opened before the writes whose errors it should report.
	OpenSyncer(dir string) (Syncer, error)
}

// File is an open file. ReadAt, WriteAt, Writev and Sync may run concurrently;
// Truncate, Allocate and Close must not run concurrently with any other call.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Writev writes bufs consecutively at off, with one system call if the
	// platform has it (pwritev). It returns the number of bytes written; if
	// that is less than given, the error is not nil. bufs is not changed.
	Writev(bufs [][]byte, off int64) (int, error)
	// Truncate cuts or extends the file to size bytes.
	Truncate(size int64) error
	// Allocate reserves disk space for the first size bytes of the file. A
	// shorter file is extended to that length; the content does not change. If
	// it fails, some of the space may have been taken, and the file may be
	// longer.
	Allocate(size int64) error
	// Sync makes the content and the size of the file durable (fdatasync).
	Sync() error
	// Size is the length of the file in bytes.
	Size() (int64, error)
	// Fd returns the file's descriptor for sendfile; false if there is none.
	Fd() (uintptr, bool)
	// Name is the path that the file was opened with.
	Name() string
}

// Syncer makes a whole file system durable.
type Syncer interface {
	// Sync returns when everything written before the call is durable.
	Sync() error
	io.Closer
}

// Usage is the space of a file system in bytes. Free is what an unprivileged
// process may still write.
type Usage struct {
	Total, Free uint64
}
