package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that tracks what would survive a power loss.
// CrashClone (mem_crash.go) returns that state. It guarantees no more than
// POSIX: content is durable after File.Sync, a name after SyncDir of its folder
// (a rename between two folders after SyncDir of both), and a folder's own name
// after SyncDir of the folder above it.
//
// Names start at the root; a relative name is also below the root. Files have
// no modification time. Locks are per Mem; a test makes one Mem per node.
type Mem struct {
	mu       sync.Mutex
	root     *memNode
	pending  []*nameChange // in the order in which they were made
	locks    map[string]bool
	capacity int64 // bytes; 0 is no limit
	used     int64 // bytes of the blocks that files hold now
}

var _ FS = (*Mem)(nil)

// NewMem makes an empty file system without a space limit.
func NewMem() *Mem {
	return &Mem{root: newMemDir(0o755), locks: make(map[string]bool)}
}

// SetCapacity limits the space of all files to bytes, counted in blocks of
// BlockSize; 0 is no limit. A write without enough space writes what fits and
// returns syscall.ENOSPC. Names and folders take no space.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// memNode is a file or a folder, independent of its names.
type memNode struct {
	perm    fs.FileMode
	names   map[string]*memNode // as programs see the folder; nil for a file
	durable map[string]*memNode // state after a crash if nothing pending survives
	content memContent
	links   int // current number of names, 0 or 1
	handles int // open files
}

func newMemDir(perm fs.FileMode) *memNode {
	return &memNode{perm: fs.ModeDir | perm.Perm(), names: map[string]*memNode{}, durable: map[string]*memNode{}, links: 1}
}

func (n *memNode) isDir() bool { return n.names != nil }

// entry is a name in a folder, whether it exists or not.
type entry struct {
	dir  *memNode
	name string
}

// nameChange is one atomic change of names that is not durable yet: a creation
// (a name gets a node), a removal (a name gets nil) or a rename (both).
type nameChange struct {
	set   []nameSet
	waits map[*memNode]bool // folders that must still be synced
}

type nameSet struct {
	entry
	node *memNode
}

func (c *nameChange) touches(entries map[entry]bool) bool {
	return slices.ContainsFunc(c.set, func(s nameSet) bool { return entries[s.entry] })
}

func (c *nameChange) addTo(entries map[entry]bool) {
	for _, s := range c.set {
		entries[s.entry] = true
	}
}

// change changes what names refer to, and records the change as pending.
func (m *Mem) change(set ...nameSet) {
	c := &nameChange{set: set, waits: make(map[*memNode]bool)}
	for _, s := range set {
		if s.node == nil {
			delete(s.dir.names, s.name)
		} else {
			s.dir.names[s.name] = s.node
		}
		c.waits[s.dir] = true
	}
	m.pending = append(m.pending, c)
}

// SyncDir makes the names inside a folder durable. If a change depends on an
// earlier one (a file created under one name, then renamed), the earlier one
// becomes durable, too.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findDir(name)
	if err != nil {
		return pathErr("sync", name, err)
	}
	for _, c := range m.pending {
		delete(c.waits, n)
	}
	m.settle()
	return nil
}

// settle makes durable each pending change that no longer waits for a folder,
// and each earlier one that it depends on because they share a name.
func (m *Mem) settle() {
	needed := make(map[entry]bool)
	chosen := make(map[*nameChange]bool)
	for _, c := range slices.Backward(m.pending) {
		if len(c.waits) == 0 || c.touches(needed) {
			c.addTo(needed)
			chosen[c] = true
		}
	}
	for _, c := range m.pending {
		if chosen[c] {
			for _, s := range c.set {
				s.apply(s.dir.durable)
			}
		}
	}
	m.pending = slices.DeleteFunc(m.pending, func(c *nameChange) bool { return chosen[c] })
}

func (s nameSet) apply(names map[string]*memNode) {
	if s.node == nil {
		delete(names, s.name)
	} else {
		names[s.name] = s.node
	}
}

// split cuts a path into its names, without volume and root.
func split(name string) []string {
	clean := path.Clean("/" + filepath.ToSlash(name))
	if clean == "/" {
		return nil
	}
	return strings.Split(clean[1:], "/")
}

// find returns the node with a name.
func (m *Mem) find(name string) (*memNode, error) {
	n := m.root
	for _, part := range split(name) {
		if !n.isDir() {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[part]; n == nil {
			return nil, fs.ErrNotExist
		}
	}
	return n, nil
}

// findDir returns the folder with a name.
func (m *Mem) findDir(name string) (*memNode, error) {
	n, err := m.find(name)
	if err == nil && !n.isDir() {
		return nil, syscall.ENOTDIR
	}
	return n, err
}

// place returns the folder and the last name of a path, and the node with that
// name, if it exists.
func (m *Mem) place(name string) (entry, *memNode, error) {
	parts := split(name)
	if len(parts) == 0 {
		return entry{}, nil, fs.ErrInvalid
	}
	last := len(parts) - 1
	dir, err := m.find(strings.Join(parts[:last], "/"))
	if err != nil {
		return entry{}, nil, err
	}
	if !dir.isDir() {
		return entry{}, nil, syscall.ENOTDIR
	}
	return entry{dir, parts[last]}, dir.names[parts[last]], nil
}

func pathErr(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// OpenFile opens name; see FS.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.open(name, flag, perm)
	if err != nil {
		return nil, pathErr("open", name, err)
	}
	n.handles++
	writable := flag&(os.O_WRONLY|os.O_RDWR) != 0
	return &memFile{fs: m, node: n, name: name, writable: writable, readable: flag&os.O_WRONLY == 0}, nil
}

func (m *Mem) open(name string, flag int, perm fs.FileMode) (*memNode, error) {
	if flag&os.O_APPEND != 0 {
		return nil, fs.ErrInvalid
	}
	if len(split(name)) == 0 {
		return nil, syscall.EISDIR
	}
	e, n, err := m.place(name)
	writes := flag&(os.O_WRONLY|os.O_RDWR|os.O_TRUNC) != 0
	switch {
	case err != nil:
		return nil, err
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case n == nil:
		n = &memNode{perm: perm.Perm(), links: 1}
		m.change(nameSet{e, n})
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case n.isDir() && (writes || flag&os.O_CREATE != 0):
		return nil, syscall.EISDIR
	case flag&os.O_TRUNC != 0:
		m.used -= n.content.truncate(0)
	}
	return n, nil
}

// Remove removes a file or an empty folder. Open files remain usable; the space
// is freed when the last one is closed.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, n, err := m.place(name)
	switch {
	case err != nil:
	case n == nil:
		err = fs.ErrNotExist
	case len(n.names) > 0:
		err = syscall.ENOTEMPTY
	}
	if err != nil {
		return pathErr("remove", name, err)
	}
	m.unlink(e, n)
	return nil
}

func (m *Mem) unlink(e entry, n *memNode) {
	m.change(nameSet{e, nil})
	m.dropName(n)
}

// dropName is called when a name no longer refers to n.
func (m *Mem) dropName(n *memNode) {
	n.links--
	m.release(n)
}

// release frees the space of a file that has neither a name nor an open handle.
func (m *Mem) release(n *memNode) {
	if n.links == 0 && n.handles == 0 {
		m.used -= n.content.space
	}
}

// RemoveAll removes name and everything below it, the content of a folder
// first.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, n, err := m.place(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && n == nil {
		return nil
	}
	if err != nil {
		return pathErr("removeall", name, err)
	}
	m.removeTree(e, n)
	return nil
}

func (m *Mem) removeTree(e entry, n *memNode) {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		m.removeTree(entry{n, name}, n.names[name])
	}
	m.unlink(e, n)
}

// Rename replaces newname by oldname atomically. An empty folder may be
// replaced by a folder.
func (m *Mem) Rename(oldname, newname string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldname, newname); err != nil {
		return &os.LinkError{Op: "rename", Old: oldname, New: newname, Err: err}
	}
	return nil
}

func (m *Mem) rename(oldname, newname string) error {
	from, n, err := m.place(oldname)
	if err != nil {
		return err
	}
	to, old, err := m.place(newname)
	switch {
	case err != nil:
		return err
	case n == nil:
		return fs.ErrNotExist
	case n == old:
		return nil
	case n.isDir() && inside(oldname, newname):
		return fs.ErrInvalid
	case old == nil:
	case n.isDir() && !old.isDir():
		return syscall.ENOTDIR
	case !n.isDir() && old.isDir():
		return fs.ErrExist
	case len(old.names) > 0:
		return syscall.ENOTEMPTY
	}
	m.change(nameSet{from, nil}, nameSet{to, n})
	if old != nil {
		m.dropName(old)
	}
	return nil
}

// inside tells whether name is below the folder dir.
func inside(dir, name string) bool {
	d, n := split(dir), split(name)
	return len(n) > len(d) && slices.Equal(d, n[:len(d)])
}

// MkdirAll makes a folder and its missing parents.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, part := range split(name) {
		next := n.names[part]
		if next == nil {
			next = newMemDir(perm)
			m.change(nameSet{entry{n, part}, next})
		}
		if n = next; !n.isDir() {
			return pathErr("mkdir", name, syscall.ENOTDIR)
		}
	}
	return nil
}

// ReadDir lists a folder, sorted by name.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findDir(name)
	if err != nil {
		return nil, pathErr("open", name, err)
	}
	list := make([]fs.DirEntry, 0, len(n.names))
	for _, child := range slices.Sorted(maps.Keys(n.names)) {
		list = append(list, fs.FileInfoToDirEntry(n.names[child].info(child)))
	}
	return list, nil
}

// Stat describes name.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, pathErr("stat", name, err)
	}
	return n.info(filepath.Base(name)), nil
}

// Lock takes the lock name, creating the file if it is missing.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(split(name), "/")
	if m.locks[key] {
		f.(*memFile).close()
		return nil, pathErr("lock", name, ErrLocked)
	}
	m.locks[key] = true
	return &memLock{file: f.(*memFile), key: key}, nil
}

type memLock struct {
	file *memFile
	key  string
}

// Close releases the lock.
func (l *memLock) Close() error {
	m := l.file.fs
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.file.closed {
		return pathErr("close", l.file.name, fs.ErrClosed)
	}
	l.file.close()
	delete(m.locks, l.key)
	return nil
}

// unlimited is the total that Usage reports for a Mem without a capacity.
const unlimited = 1 << 50

// Usage returns the capacity and the free space.
func (m *Mem) Usage(string) (Usage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	total := m.capacity
	if total == 0 {
		total = unlimited
	}
	return Usage{Total: uint64(total), Free: uint64(max(0, total-m.used))}, nil
}

// memInfo is the fs.FileInfo of a node.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (n *memNode) info(name string) memInfo {
	return memInfo{name: name, size: n.content.size, mode: n.perm}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
