// Package vfs is the file system that is handed to a node.
//
// Everything that Ottla keeps on disk goes through FS, so that a test can put
// a file system in memory under the real code, crash it at any I/O and look at
// what survived. Three implementations: OS is the machine's own, Mem lives in
// memory and can be cloned as a power loss would leave it, Fault wraps another
// and fails or delays chosen operations.
//
// Start reading here; then os.go, mem.go (names), mem_file.go (content),
// mem_crash.go (what a power loss leaves), fault.go. Roomy asks for space where
// there is none (roomy.go), helpers.go has what is built on FS alone. IsNoSpace tells a full disk from a failed one.
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
// Durability follows POSIX: what was written to a file survives power loss
// once File.Sync returned, a name (created, renamed, removed) once SyncDir of
// its folder returned; for a new folder that is SyncDir of the folder above it.
// A File.Sync that failed is never repeated: the kernel may have dropped what
// it could not write, and the next Sync would succeed without it.
type FS interface {
	// OpenFile opens name with the flags of package os (O_RDONLY, O_RDWR,
	// O_CREATE, O_EXCL, O_TRUNC). O_APPEND is refused: every write names its
	// position.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// RemoveAll removes name and what is below it; a missing name is no error.
	RemoveAll(name string) error
	// Rename replaces newname by oldname atomically.
	Rename(oldname, newname string) error
	// MkdirAll makes a folder and those above it that are missing.
	MkdirAll(name string, perm fs.FileMode) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes name; a missing name is fs.ErrNotExist.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes the names inside a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock on the file name, creating it when it is
	// missing; it is held until the Closer is closed or the process ends.
	Lock(name string) (io.Closer, error)
	// Usage tells the space of the file system that holds name, in bytes.
	Usage(name string) (Usage, error)
	// OpenSyncer returns what makes every file of the file system below dir
	// durable at once (Linux syncfs), or errors.ErrUnsupported. It must be
	// opened before the writes whose errors it is to report.
	OpenSyncer(dir string) (Syncer, error)
}

// File is an open file. ReadAt, WriteAt, Writev and Sync may run concurrently;
// Truncate, Allocate and Close may not run beside anything else.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Writev writes bufs one after the other at off with one system call where
	// the platform has it (pwritev). It returns the bytes written; fewer than
	// given come with an error. bufs is not changed.
	Writev(bufs [][]byte, off int64) (int, error)
	// Truncate cuts or extends the file to size bytes.
	Truncate(size int64) error
	// Allocate makes sure that the first size bytes of the file have their space
	// on the disk; the file becomes that long if it is shorter, its content does
	// not change. When it fails some of the space may have been taken, and the
	// file may be longer.
	Allocate(size int64) error
	// Sync makes the content and the size of the file durable (fdatasync).
	Sync() error
	// Size is the length of the file in bytes.
	Size() (int64, error)
	// Fd is the file's descriptor for sendfile; false when there is none.
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
