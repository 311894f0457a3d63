package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"ottla/internal/vfs"
	"ottla/internal/xsync"
)

// reserve is space of a log dir that records may not take, in a file of its
// own, so that a full disk stops the producers and nobody else: what frees
// space needs some itself.
//
//  1. At open the file gets its blocks (ottla.disk.reserve.bytes). While it
//     holds them the dir takes records.
//  2. The first operation that finds no space empties the file. If it was about
//     records, it fails; checkpoints, snapshots and the metadata log, which is
//     on the same disk, are written into the space that is free now.
//  3. From then on records, and new partitions, are refused by a StorageError
//     that is IsNoSpace. Reads, deletes and changes of metadata go on. What
//     retention and deletions let go is removed without file.delete.delay.ms.
//  4. When there is space for the file and as much again, for which each append
//     and a look once a second ask, the dir takes records as before.
//
// Rejected: a limit on free space that each append asks for. It costs a system
// call, and cannot keep another process from taking the rest.
type reserve struct {
	fs    vfs.FS // does not ask the reserve for more
	path  string
	bytes int64 // 0: nothing is kept

	mu   xsync.Mutex // held over I/O
	file vfs.File    // guarded by mu
	// gone is written under mu.
	gone atomic.Bool
}

// reservePart bounds the reserve on a small disk: a twentieth of it.
const reservePart = 20

// openReserve takes the reserve of a dir. A disk that has no room for it is
// full.
func openReserve(fsys vfs.FS, dir string, bytes int64) (*reserve, error) {
	r := &reserve{fs: fsys, path: filepath.Join(dir, reserveName), bytes: bytes}
	if bytes <= 0 {
		r.bytes = 0
		return r, ignoreMissing(fsys.Remove(r.path))
	}
	u, err := fsys.Usage(dir)
	if err != nil {
		return nil, err
	}
	r.bytes = min(bytes, int64(min(u.Total, 1<<62)/reservePart))
	r.gone.Store(true)
	info, err := fsys.Stat(r.path)
	if ignoreMissing(err) != nil {
		return nil, err
	}
	if err == nil && info.Size() >= r.bytes { // it holds them already
		err = r.take()
	} else {
		err = r.retake()
	}
	if err != nil && !vfs.IsNoSpace(err) {
		return nil, err
	}
	return r, nil
}

// errReserved is why records are refused while the reserve is gone: a full disk
// to IsNoSpace.
var errReserved = fmt.Errorf("the disk is full except for the reserved space: %w", syscall.ENOSPC)

// retake gives the file its blocks if it does not hold them and there is space
// for more; else the error is IsNoSpace.
func (r *reserve) retake() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.gone.Load() {
		return nil
	}
	// More than what was released, else each record would release it again; and
	// a file that found only a part of its blocks would have taken that.
	if u, err := r.fs.Usage(filepath.Dir(r.path)); err != nil {
		return err
	} else if u.Free < 2*uint64(r.bytes) {
		return errReserved
	}
	return r.take()
}

// take gives the file its blocks. The caller holds mu or owns the reserve.
func (r *reserve) take() error {
	f, err := r.fs.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err = f.Allocate(r.bytes); err == nil {
		err = f.Truncate(r.bytes) // it may have had another size
	}
	if err != nil {
		return errors.Join(err, f.Truncate(0), f.Close())
	}
	r.file = f
	r.gone.Store(false)
	return nil
}

// release frees the space and tells whether there was any.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil { // nothing is kept, or not any more, or the dir is closed
		return false
	}
	r.gone.Store(true)
	err := r.file.Truncate(0)
	_ = r.file.Close() // there is nothing in it
	r.file = nil
	return err == nil
}

// close leaves the file with its blocks, for the next start.
func (r *reserve) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// takesRecords is nil while records may be written to the dir.
func (d *dir) takesRecords() error {
	if d.reserve == nil || !d.reserve.gone.Load() {
		return nil
	}
	if err := d.reserve.retake(); err != nil {
		if !vfs.IsNoSpace(err) {
			return d.fail(err)
		}
		return &StorageError{Dir: d.path, Err: err}
	}
	d.env.log.Info("log dir has space again, records are taken", "dir", d.path)
	return nil
}

// worth orders the dirs by what speaks against a new partition there: a full
// disk before the number of partitions.
func (d *dir) worth(partitions int) int {
	if d.reserve.gone.Load() {
		return partitions + 1<<30
	}
	return partitions
}

// ranFull gives the reserve up and tells whether that made space.
func (d *dir) ranFull() bool {
	if d.reserve == nil || !d.reserve.release() {
		return false
	}
	d.env.log.Error("log dir is full, records are refused until its reserve is free again", "dir", d.path, "bytes", d.reserve.bytes)
	return true
}

// FS is the file system of the node for what must go on when the disk of a log
// dir is full: a write that finds no space gets that of the dir's reserve. The
// metadata log is written through it.
func (m *Manager) FS() vfs.FS { return m.env.fs }

// makeRoom gives up the reserve of the dir that holds a file, unless records
// of a topic are in it.
func (m *Manager) makeRoom(name string) bool {
	folder := filepath.Base(filepath.Dir(name))
	topic, _, isPartition := parsePartitionDir(folder)
	if isPartition && topic != metadataTopic && strings.Contains(filepath.Base(name), logSuffix) {
		return false
	}
	for _, d := range m.dirs {
		if strings.HasPrefix(name, d.path+string(filepath.Separator)) {
			return d.ranFull()
		}
	}
	return false
}

// relieve is what is done each second: the trash is emptied and, on a disk that
// is full, what retention lets go is removed at once.
func (m *Manager) relieve() {
	m.EmptyTrash()
	if m.anyFull() {
		_, _ = m.CheckRetention() // logged there, and tried again
		m.anyFull()
	}
}

// Full lists the paths of the dirs that are online and refuse records because
// their disk is full. A dir without a reserve is full when nothing is free.
func (m *Manager) Full() []string {
	var full []string
	for _, d := range m.dirs {
		if d.failed() == nil && d.isFull() {
			full = append(full, d.path)
		}
	}
	return full
}

func (d *dir) isFull() bool {
	if d.reserve == nil || d.reserve.bytes > 0 {
		return d.reserve != nil && d.reserve.gone.Load()
	}
	u, err := d.reserve.fs.Usage(d.path)
	return err == nil && u.Free == 0 // what cannot be asked shows as offline
}

// anyFull lets the dirs that have space again take records, and tells whether
// one has none.
func (m *Manager) anyFull() (full bool) {
	for _, d := range m.dirs {
		if d.failed() == nil && d.takesRecords() != nil {
			full = true
		}
	}
	return full
}
