package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"ottla/internal/vfs"
	"ottla/internal/xsync"
)

// files limits the file descriptors of all logs together.
//
//  1. A file is open while it is used. After its last use it stays open until
//     another file needs its place. The least recently used file is closed first.
//  2. A file with unflushed bytes counts as used. Closing it would lose the error of
//     a failed write-back, and the next flush would succeed although bytes are lost.
//     If more than max files are used, an append requests a flush of all of them and
//     waits for it (flusher.relieve).
//  3. At the limit, appends, reads and searches get errTooMany, a retriable error,
//     because their number is not limited. Flushes, checkpoints and compaction may
//     always open files. They need few at a time, so they do not reach the limit of
//     the process.
type files struct {
	fs    vfs.FS
	max   int // 0: no limit
	limit int // above max; 0: no limit
	// pages are the buffers for searches in indexes.
	pages sync.Pool

	open atomic.Int64 // changed under mu

	mu   sync.Mutex
	idle file // the ring of open unused files, the oldest at next
}

func newFiles(fsys vfs.FS, most, limit int) *files {
	f := &files{fs: fsys, max: most, limit: limit}
	f.idle.prev, f.idle.next = &f.idle, &f.idle
	f.pages.New = func() any { b := make([]byte, pageEntries*txnEntryLen); return &b }
	return f
}

// file is one file of a segment, open or closed.
type file struct {
	files   *files
	opening xsync.Mutex // held while the file is being opened

	// Guarded by files.mu.
	path       string
	handle     vfs.File
	refs       int
	gone       bool  // closed permanently after its last use
	prev, next *file // in files.idle; nil otherwise
}

func (c *files) file(path string) *file { return &file{files: c, path: path} }

// acquire returns the open file. Each acquire needs a release.
func (f *file) acquire() (vfs.File, error) { return f.open(os.O_RDWR) }

// errTooMany reports the limit of files before the process reaches EMFILE.
var errTooMany = fmt.Errorf("the maximum number of segment files is open: %w", syscall.EMFILE)

// acquireWithin is acquire for requests of clients. At the limit it fails, unless the
// file is already open.
func (f *file) acquireWithin() (vfs.File, error) {
	if f.files.atLimit() && !f.isOpen() {
		return nil, errTooMany
	}
	return f.acquire()
}

// create is acquire for a file that may not exist.
func (f *file) create() (vfs.File, error) { return f.open(os.O_RDWR | os.O_CREATE) }

func (f *file) open(flag int) (vfs.File, error) {
	if h := f.tryAcquire(); h != nil {
		return h, nil
	}
	f.opening.Lock()
	defer f.opening.Unlock()
	if h := f.tryAcquire(); h != nil {
		return h, nil
	}
	path, gone := f.where()
	if gone {
		return nil, ErrClosed
	}
	c := f.files
	h, err := c.fs.OpenFile(path, flag, 0o644)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		// The process has reached its own limit: close idle files.
		closeAll(c.takeIdle())
		h, err = c.fs.OpenFile(path, flag, 0o644)
	}
	if err != nil {
		if _, gone := f.where(); gone {
			return nil, ErrClosed
		}
		return nil, err
	}
	c.mu.Lock()
	if f.gone {
		// Another file may have the name now.
		c.mu.Unlock()
		_ = h.Close() // nothing was written through it
		return nil, ErrClosed
	}
	f.handle, f.refs = h, 1
	c.open.Add(1)
	victims := c.evict()
	c.mu.Unlock()
	closeAll(victims)
	return h, nil
}

func (f *file) where() (path string, gone bool) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return f.path, f.gone
}

func (f *file) isOpen() bool {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	return f.handle != nil
}

func (f *file) tryAcquire() vfs.File {
	c := f.files
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.handle == nil {
		return nil
	}
	f.refs++
	f.unlink()
	return f.handle
}

// release ends one use.
func (f *file) release() {
	c := f.files
	c.mu.Lock()
	f.refs--
	var victims []vfs.File
	if f.refs == 0 {
		if f.gone {
			victims = append(victims, f.drop())
		} else {
			f.link()
			victims = c.evict()
		}
	}
	c.mu.Unlock()
	closeAll(victims)
}

// retire closes the file permanently, at once or after its last use.
func (f *file) retire() {
	c := f.files
	c.mu.Lock()
	f.gone = true
	var victims []vfs.File
	if f.handle != nil && f.refs == 0 {
		victims = append(victims, f.drop())
	}
	c.mu.Unlock()
	closeAll(victims)
}

// retireTo retires the file and renames it on disk. Current users are not affected. A
// file that does not exist is ignored.
func (f *file) retireTo(path string) error {
	f.retire()
	old, _ := f.where()
	return ignoreMissing(f.files.fs.Rename(old, path))
}

// rename gives the file another name, also on disk. The file must not be opened
// meanwhile: it is open, or its segment is not in a log.
func (f *file) rename(path string) error {
	old, _ := f.where()
	if err := f.files.fs.Rename(old, path); err != nil {
		return err
	}
	f.setPath(path)
	return nil
}

// setPath is rename for a file that does not exist on disk.
func (f *file) setPath(path string) {
	f.files.mu.Lock()
	defer f.files.mu.Unlock()
	f.path = path
}

// remove retires the file and removes it on disk.
func (f *file) remove() error {
	f.retire()
	path, _ := f.where()
	return ignoreMissing(f.files.fs.Remove(path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// crowded tells whether more than max files are used. Idle files would have been
// closed.
func (c *files) crowded() bool { return c.max > 0 && c.open.Load() > int64(c.max) }

func (c *files) atLimit() bool { return c.limit > 0 && c.open.Load() >= int64(c.limit) }

// evict removes idle files from the ring until at most max are open. The caller holds
// mu, and closes the returned files after it has released mu.
func (c *files) evict() []vfs.File {
	if c.max == 0 {
		return nil
	}
	var victims []vfs.File
	for c.open.Load() > int64(c.max) && c.idle.next != &c.idle {
		victims = append(victims, c.idle.next.drop())
	}
	return victims
}

// takeIdle removes all idle files from the ring. The caller closes them.
func (c *files) takeIdle() []vfs.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	var victims []vfs.File
	for c.idle.next != &c.idle {
		victims = append(victims, c.idle.next.drop())
	}
	return victims
}

// drop removes the handle from the file. The caller holds mu and closes the handle.
func (f *file) drop() vfs.File {
	h := f.handle
	f.handle = nil
	f.unlink()
	f.files.open.Add(-1)
	return h
}

func (f *file) link() {
	ring := &f.files.idle
	f.prev, f.next = ring.prev, ring
	f.prev.next, f.next.prev = f, f
}

func (f *file) unlink() {
	if f.next == nil {
		return
	}
	f.prev.next, f.next.prev = f.next, f.prev
	f.prev, f.next = nil, nil
}

// closeAll closes unused files. Errors are ignored: the written data is durable, can be
// rebuilt, or is being removed.
func closeAll(handles []vfs.File) {
	for _, h := range handles {
		_ = h.Close()
	}
}
