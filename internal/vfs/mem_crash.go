package vfs

import (
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
)

// CrashOptions determine what a power loss leaves of the data that was not
// durable.
type CrashOptions struct {
	// Seed selects what survives. The same state and seed give the same result.
	Seed uint64
	// KeepProbability is the chance, from 0 to 1, of each unsynced block and
	// each unsynced change of names to survive. 0 leaves only what is
	// guaranteed, 1 leaves everything.
	KeepProbability float64
}

// CrashClone returns the file system as it would be found after a power loss at
// this moment. The original is not affected. Both share unchanged blocks, so
// cloning a small file system at every I/O is cheap. In the clone no lock is
// held, no file is open, and everything is durable.
//
//  1. Pending changes of names are processed in the order they were made. Each
//     survives by chance, but not if it depends on a lost one (they share a
//     name). So a rename survives completely or not at all, and a file never
//     has both of its names.
//  2. The surviving folders are processed in the order of names. In each file a
//     truncation since the last sync survives by chance, then each dirty block,
//     in order.
//  3. The length follows the blocks: it is at least the old length and the end
//     of the last new block that survived. It is the new length only by chance.
//     Lost blocks below it read as zeros.
//
// Rejected: keeping a prefix of all writes in time, as a file system with
// ordered data does. Other file systems guarantee less, and a log must be
// correct on them.
func (m *Mem) CrashClone(o CrashOptions) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	rng := rand.New(rand.NewPCG(o.Seed, 0x0771a))
	c := crash{
		keep:  func() bool { return rng.Float64() < o.KeepProbability },
		clone: NewMem(),
		names: make(map[*memNode]map[string]*memNode),
	}
	c.clone.capacity = m.capacity
	c.resolve(m.pending)
	c.fill(m.root, c.clone.root)
	return c.clone
}

// crash is the state of one CrashClone call.
type crash struct {
	keep  func() bool
	clone *Mem
	names map[*memNode]map[string]*memNode // surviving content of folders with pending changes
}

// resolve decides which pending changes survive.
func (c *crash) resolve(pending []*nameChange) {
	lost := make(map[entry]bool)
	for _, change := range pending {
		if !c.keep() || change.touches(lost) {
			change.addTo(lost)
			continue
		}
		for _, s := range change.set {
			if c.names[s.dir] == nil {
				c.names[s.dir] = maps.Clone(s.dir.durable)
			}
			s.apply(c.names[s.dir])
		}
	}
}

// fill copies the surviving content of the folder from to the folder to.
func (c *crash) fill(from, to *memNode) {
	names, changed := c.names[from]
	if !changed {
		names = from.durable
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := names[name]
		var n *memNode
		if old.isDir() {
			n = newMemDir(old.perm)
			c.fill(old, n)
		} else {
			n = &memNode{perm: old.perm, links: 1, content: old.content.crash(c.keep)}
			c.clone.used += n.content.space
		}
		to.names[name], to.durable[name] = n, n
	}
}

// crash returns the content after a power loss.
func (c *memContent) crash(keep func() bool) memContent {
	disk, size := c.disk, c.diskSize
	if c.minSize < size && keep() {
		disk, size = cut(disk, c.minSize), c.minSize
	}
	disk = slices.Clone(disk)
	for _, i := range slices.Sorted(maps.Keys(c.dirty)) {
		if !keep() {
			continue
		}
		b := *c.blocks[i]
		disk = extend(disk, i+1)
		disk[i] = &b
		size = max(size, min(int64(i+1)*BlockSize, c.size))
	}
	if c.size > size && keep() {
		size = c.size
	}
	left := memContent{blocks: disk, disk: slices.Clone(disk), size: size, diskSize: size, minSize: size}
	for _, b := range disk {
		if b != nil {
			left.space += BlockSize
		}
	}
	return left
}

// OpenSyncer returns a Syncer that makes the whole Mem durable, including
// names.
func (m *Mem) OpenSyncer(dir string) (Syncer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(dir)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathErr("open", dir, err)
	}
	return memSyncer{m}, nil
}

type memSyncer struct{ m *Mem }

var _ io.Closer = memSyncer{}

// Sync makes every name and every file durable.
func (s memSyncer) Sync() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, c := range s.m.pending {
		clear(c.waits)
	}
	s.m.settle()
	s.m.root.each((*memContent).sync)
	return nil
}

// loseUnsynced is used by Fault for a Sync that fails.
func (s memSyncer) loseUnsynced() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.root.each((*memContent).lose)
}

// Close does nothing.
func (memSyncer) Close() error { return nil }

// each calls do for every file below n, in the order of names.
func (n *memNode) each(do func(*memContent)) {
	if !n.isDir() {
		do(&n.content)
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].each(do)
	}
}
