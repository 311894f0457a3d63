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

// files bounds the file descriptors of all logs together.
//
//  1. A file is open while somebody uses it; when the last user is gone it stays
//     open until max needs its place, the least recently used first.
//  2. A file with bytes that are not on disk yet counts as in use: closing it would
//     lose the error of a failed write-back, and the flush that follows would
//     succeed without the bytes. When more than max are in use, who appends asks
//     for a flush of all, and waits for it (flusher.relieve).
//  3. At the limit, what clients cause is refused by errTooMany, which passes:
//     appends, reads and searches, of which there may be any number. Flushes,
//     checkpoints and compaction open what they need, which is little at a time, so
//     that the process does not come to its own limit in the midst of one of them.
type files struct {
	fs    vfs.FS
	max   int // 0: as many as there are
	limit int // above max; 0: none
	// pages are the buffers of searches in indexes.
	pages sync.Pool

	open atomic.Int64 // changed under mu

	mu   sync.Mutex
	idle file // the ring of open files that nobody uses, the oldest at next
}

func newFiles(fsys vfs.FS, most, limit int) *files {
	f := &files{fs: fsys, max: most, limit: limit}
	f.idle.prev, f.idle.next = &f.idle, &f.idle
	f.pages.New = func() any { b := make([]byte, pageEntries*txnEntryLen); return &b }
	return f
}

// file is one file of a segment, open or not.
type file struct {
	files   *files
	opening xsync.Mutex // held while the file is being opened

	// Guarded by files.mu.
	path       string
	handle     vfs.File
	refs       int
	gone       bool  // closed for good by its last user
	prev, next *file // in files.idle, nil when not
}

func (c *files) file(path string) *file { return &file{files: c, path: path} }

// acquire returns the open file; each acquire needs its release.
func (f *file) acquire() (vfs.File, error) { return f.open(os.O_RDWR) }

// errTooMany is EMFILE before the process gets one.
var errTooMany = fmt.Errorf("the maximum number of segment files is open: %w", syscall.EMFILE)

// acquireWithin is acquire for what clients cause: at the limit it is refused, but
// for a file that is open.
func (f *file) acquireWithin() (vfs.File, error) {
	if f.files.atLimit() && !f.isOpen() {
		return nil, errTooMany
	}
	return f.acquire()
}

// create is acquire of a file that may be missing.
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
		// The process has reached its own limit: idle files make room.
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
		// It may be another file that has the name by now.
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

// retire closes the file for good, at once or when its last user is gone.
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

// retireTo retires the file and renames it on disk; who has it open goes on
// with it. A file that does not exist stays so.
func (f *file) retireTo(path string) error {
	f.retire()
	old, _ := f.where()
	return ignoreMissing(f.files.fs.Rename(old, path))
}

// rename gives the file another name, on disk too. Only for a file that nobody
// opens meanwhile: it is open, or its segment is not in a log.
func (f *file) rename(path string) error {
	old, _ := f.where()
	if err := f.files.fs.Rename(old, path); err != nil {
		return err
	}
	f.setPath(path)
	return nil
}

// setPath is rename for a file that does not exist.
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

// crowded tells whether more than max are in use: idle ones would have made room.
func (c *files) crowded() bool { return c.max > 0 && c.open.Load() > int64(c.max) }

func (c *files) atLimit() bool { return c.limit > 0 && c.open.Load() >= int64(c.limit) }

// evict takes idle files out until max holds. The caller holds mu and
// closes what is returned after it gave mu back.
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

// takeIdle takes all idle files out, for the caller to close.
func (c *files) takeIdle() []vfs.File {
	c.mu.Lock()
	defer c.mu.Unlock()
	var victims []vfs.File
	for c.idle.next != &c.idle {
		victims = append(victims, c.idle.next.drop())
	}
	return victims
}

// drop forgets the open file; the caller holds mu and closes it.
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

// closeAll closes files that nobody uses. Their errors are dropped, and are none
// of whoever happens to need the place: what was written is on disk, can be made
// anew, or is being removed.
func closeAll(handles []vfs.File) {
	for _, h := range handles {
		_ = h.Close()
	}
}
