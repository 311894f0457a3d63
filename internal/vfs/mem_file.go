package vfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// BlockSize is the unit in which Mem counts space, in bytes. Each unsynced
// block survives a crash or not.
const BlockSize = 4096

// maxMemFile limits the length of a file, in bytes, so that a wrong offset is
// an error and does not create gigabytes of empty blocks.
const maxMemFile = 1 << 36

// block is the content of one block. A nil *block reads as zeros.
type block [BlockSize]byte

// memContent is the content of a file, twice: as programs see it, and as on
// disk. A block that is not dirty is never changed in place, so both versions
// and any number of crash clones share it.
type memContent struct {
	blocks []*block
	size   int64
	space  int64 // bytes of the non-nil blocks: the used space

	dirty    map[int]bool // blocks written since they were last durable
	disk     []*block
	diskSize int64
	minSize  int64 // the smallest size since the last sync
}

// blockCount returns the number of blocks for size bytes.
func blockCount(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// readAt copies the bytes at off. At the end of the file it returns fewer bytes
// than p has.
func (c *memContent) readAt(p []byte, off int64) int {
	n := int(min(int64(len(p)), max(0, c.size-off)))
	for done := 0; done < n; {
		i, in := int((off+int64(done))/BlockSize), int((off+int64(done))%BlockSize)
		part := p[done:min(n, done+BlockSize-in)]
		if b := c.block(i); b != nil {
			copy(part, b[in:])
		} else {
			clear(part)
		}
		done += len(part)
	}
	return n
}

func (c *memContent) block(i int) *block {
	if i < len(c.blocks) {
		return c.blocks[i]
	}
	return nil
}

// writeAt stores p at off as far as room bytes for new blocks suffice. It
// returns the bytes written and the space taken.
func (c *memContent) writeAt(p []byte, off, room int64) (n int, took int64) {
	for n < len(p) {
		i, in := int((off+int64(n))/BlockSize), int((off+int64(n))%BlockSize)
		if c.block(i) == nil {
			if took+BlockSize > room {
				break
			}
			took += BlockSize
		}
		n += copy(c.own(i)[in:], p[n:])
		c.size = max(c.size, off+int64(n))
	}
	c.space += took
	return n, took
}

// own returns block i for writing. A dirty block is not shared.
func (c *memContent) own(i int) *block {
	if i >= len(c.blocks) {
		c.blocks = append(c.blocks, make([]*block, i+1-len(c.blocks))...)
	}
	if !c.dirty[i] {
		b := new(block)
		if c.blocks[i] != nil {
			*b = *c.blocks[i]
		}
		c.blocks[i] = b
		if c.dirty == nil {
			c.dirty = make(map[int]bool)
		}
		c.dirty[i] = true
	}
	return c.blocks[i]
}

// zeroBlock is the content of an allocated block that was not written.
var zeroBlock = new(block)

// allocate takes the space of the first size bytes as far as room suffices.
// After a crash the file may have that length, but the space is not taken.
func (c *memContent) allocate(size, room int64) (took int64, ok bool) {
	n := blockCount(size)
	c.blocks = extend(c.blocks, n)
	for i := range n {
		if c.blocks[i] != nil {
			continue
		}
		if took+BlockSize > room {
			c.space += took
			return took, false
		}
		c.blocks[i] = zeroBlock
		took += BlockSize
	}
	c.space += took
	c.size = max(c.size, size)
	return took, true
}

// truncate cuts or extends to size and returns the space that became free.
func (c *memContent) truncate(size int64) (freed int64) {
	if size < c.size {
		keep := blockCount(size)
		for i := keep; i < len(c.blocks); i++ {
			if c.blocks[i] != nil {
				freed += BlockSize
			}
			delete(c.dirty, i)
		}
		c.blocks = c.blocks[:min(keep, len(c.blocks))]
		if in := size % BlockSize; in != 0 && c.block(keep-1) != nil {
			clear(c.own(keep - 1)[in:])
		}
		c.minSize = min(c.minSize, size)
	}
	c.size = size
	c.space -= freed
	return freed
}

// sync makes the current content durable.
func (c *memContent) sync() {
	if c.minSize < c.diskSize {
		c.disk = cut(c.disk, c.minSize)
	}
	for i := range c.dirty {
		c.disk = extend(c.disk, i+1)
		c.disk[i] = c.blocks[i]
	}
	c.lose()
	c.diskSize, c.minSize = c.size, c.size
}

// lose simulates the effect of a failed fsync on the page cache of Linux: the
// pages that could not be written count as clean, so a second fsync succeeds
// without them.
func (c *memContent) lose() { c.dirty = nil }

// cut returns the blocks after a truncation to size, without changing the
// originals.
func cut(blocks []*block, size int64) []*block {
	keep := blockCount(size)
	if keep > len(blocks) {
		return blocks
	}
	blocks = slices.Clone(blocks[:keep])
	if in := size % BlockSize; in != 0 && blocks[keep-1] != nil {
		b := *blocks[keep-1]
		clear(b[in:])
		blocks[keep-1] = &b
	}
	return blocks
}

func extend(blocks []*block, n int) []*block {
	if n <= len(blocks) {
		return blocks
	}
	return append(blocks, make([]*block, n-len(blocks))...)
}

// memFile is an open file of a Mem.
type memFile struct {
	fs                 *Mem
	node               *memNode
	name               string
	readable, writable bool
	closed             bool
}

var _ File = (*memFile)(nil)

// begin takes the lock and checks that the call is allowed. The caller must
// unlock even after an error.
func (f *memFile) begin(op string, allowed bool, off int64) error {
	f.fs.mu.Lock()
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case f.node.isDir():
		err = syscall.EISDIR
	case !allowed:
		err = syscall.EBADF
	case off < 0:
		err = fs.ErrInvalid
	}
	if err != nil {
		return pathErr(op, f.name, err)
	}
	return nil
}

// ReadAt reads at a position; io.EOF comes with the last bytes or alone.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	err := f.begin("read", f.readable, off)
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n := f.node.content.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes at a position.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	return f.Writev([][]byte{p}, off)
}

// Writev writes bufs at a position in one atomic step.
func (f *memFile) Writev(bufs [][]byte, off int64) (int, error) {
	err := f.begin("write", f.writable, off)
	defer f.fs.mu.Unlock()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, b := range bufs {
		if off+int64(total+len(b)) > maxMemFile {
			return total, pathErr("write", f.name, syscall.EFBIG)
		}
		n, took := f.node.content.writeAt(b, off+int64(total), f.fs.room())
		f.fs.used += took
		total += n
		if n < len(b) {
			return total, pathErr("write", f.name, syscall.ENOSPC)
		}
	}
	return total, nil
}

// room returns the free space.
func (m *Mem) room() int64 {
	if m.capacity == 0 {
		return unlimited
	}
	return m.capacity - m.used
}

// Truncate cuts or extends the file.
func (f *memFile) Truncate(size int64) error {
	err := f.begin("truncate", f.writable, size)
	defer f.fs.mu.Unlock()
	if err == nil {
		f.fs.used -= f.node.content.truncate(size)
	}
	return err
}

// Allocate takes the space of the first bytes.
func (f *memFile) Allocate(size int64) error {
	err := f.begin("allocate", f.writable, size)
	defer f.fs.mu.Unlock()
	if err != nil {
		return err
	}
	if size > maxMemFile {
		return pathErr("allocate", f.name, syscall.EFBIG)
	}
	took, ok := f.node.content.allocate(size, f.fs.room())
	f.fs.used += took
	if !ok {
		return pathErr("allocate", f.name, syscall.ENOSPC)
	}
	return nil
}

// Sync makes everything written before it durable.
func (f *memFile) Sync() error {
	err := f.begin("sync", true, 0)
	defer f.fs.mu.Unlock()
	if err == nil {
		f.node.content.sync()
	}
	return err
}

// loseUnsynced is used by Fault for a Sync that fails.
func (f *memFile) loseUnsynced() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.content.lose()
}

// Size is the length of the file.
func (f *memFile) Size() (int64, error) {
	err := f.begin("stat", true, 0)
	defer f.fs.mu.Unlock()
	return f.node.content.size, err
}

// Fd is false: there is no descriptor.
func (f *memFile) Fd() (uintptr, bool) { return 0, false }

// Name is the path that the file was opened with.
func (f *memFile) Name() string { return f.name }

// Close closes the file; it makes nothing durable.
func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return pathErr("close", f.name, fs.ErrClosed)
	}
	f.close()
	return nil
}

// close is Close for a caller that holds the lock.
func (f *memFile) close() {
	f.closed = true
	f.node.handles--
	f.fs.release(f.node)
}
