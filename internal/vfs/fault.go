package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Op is a set of kinds of operation.
type Op uint32

// The kinds of operation that Fault counts and can disturb.
const (
	OpOpen     Op = 1 << iota // OpenFile without O_CREATE
	OpCreate                  // OpenFile with O_CREATE
	OpRead                    // ReadAt
	OpWrite                   // WriteAt, Writev, Allocate
	OpTruncate                // Truncate
	OpSync                    // File.Sync
	OpSyncDir                 // SyncDir
	OpSyncFS                  // Syncer.Sync
	OpRename
	OpRemove // Remove, RemoveAll
	OpMkdir
	OpReadDir
	OpStat // Stat, Size
	OpLock
	OpUsage

	// OpChange is everything that changes what a crash would leave: the points
	// at which a crash test clones.
	OpChange = OpCreate | OpWrite | OpTruncate | OpSync | OpSyncDir | OpSyncFS | OpRename | OpRemove | OpMkdir
	// OpAny is every operation.
	OpAny = OpUsage<<1 - 1
)

// Event is one operation, reported before it happens.
type Event struct {
	Op   Op
	Path string // for a rename the new name
}

// Rule says which operations to disturb, and how. Several effects of a rule
// happen in the order Hook, Delay, Err.
//
//	Rule{Op: OpSync, Path: "*.log", Skip: 2, Count: 1, Err: syscall.EIO}
//
// fails the third sync of a log file and no other.
type Rule struct {
	// Op is the kinds of operation; 0 is every kind.
	Op Op
	// Path selects by name: if it contains one of *?[, it is a pattern of
	// filepath.Match for the last element; otherwise it is a part of the whole
	// path. "" matches every name.
	Path string
	// Skip is the number of matching operations that pass before the rule acts.
	Skip int
	// Count is the number of operations it then acts on; 0 is all that follow.
	Count int

	// Hook is called without any lock held.
	Hook func(Event)
	// Delay is passed to Fault.Sleep.
	Delay time.Duration
	// Err is returned instead of doing the operation. A Sync that fails also
	// loses the data that it should have made durable if the file system below
	// is a Mem: the kernel marks such pages clean, a second Sync succeeds.
	Err error
	// Short is the number of bytes that a failing write still writes to the
	// file.
	Short int
}

func (r *Rule) matches(e Event) bool {
	if r.Op != 0 && r.Op&e.Op == 0 {
		return false
	}
	if !strings.ContainsAny(r.Path, "*?[") {
		return strings.Contains(e.Path, r.Path)
	}
	ok, err := filepath.Match(r.Path, filepath.Base(e.Path))
	return ok && err == nil
}

// Fault wraps a file system and disturbs chosen operations. Its files have no
// descriptor, so that no fast path bypasses it.
type Fault struct {
	// Sleep waits for Rule.Delay; time.Sleep unless set before first use.
	Sleep func(time.Duration)

	base   FS
	mu     sync.Mutex
	rules  []*activeRule
	counts map[Op]int
}

type activeRule struct {
	Rule
	seen int
}

var _ FS = (*Fault)(nil)

// NewFault wraps base. Without rules it only counts.
func NewFault(base FS, rules ...Rule) *Fault {
	f := &Fault{Sleep: time.Sleep, base: base, counts: make(map[Op]int)}
	f.Add(rules...)
	return f
}

// Add adds rules after the existing ones. All rules that match an operation act
// in order, up to the first one with an error.
func (f *Fault) Add(rules ...Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range rules {
		f.rules = append(f.rules, &activeRule{Rule: r})
	}
}

// Clear removes all rules; the counts stay.
func (f *Fault) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = nil
}

// Count returns the number of operations of these kinds that were begun,
// including failed ones. A test that wants to fail "every I/O in turn" runs
// once without rules, reads Count(OpChange), and runs again with Skip from 0 to
// that.
func (f *Fault) Count(kinds Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for op, c := range f.counts {
		if kinds&op != 0 {
			n += c
		}
	}
	return n
}

// outcome is the effect of the rules on an operation; with a nil err it is
// executed.
type outcome struct {
	err   error
	short int
}

// begin counts an operation and applies the rules to it.
func (f *Fault) begin(op Op, path string) outcome {
	e := Event{Op: op, Path: path}
	for _, r := range f.due(e) {
		if r.Hook != nil {
			r.Hook(e)
		}
		if r.Delay > 0 {
			f.Sleep(r.Delay)
		}
		if r.Err != nil {
			return outcome{err: &fs.PathError{Op: "fault", Path: path, Err: r.Err}, short: r.Short}
		}
	}
	return outcome{}
}

// due counts e and returns the rules that act on it.
func (f *Fault) due(e Event) []Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[e.Op]++
	var due []Rule
	for _, r := range f.rules {
		if !r.matches(e) {
			continue
		}
		r.seen++
		if r.seen > r.Skip && (r.Count == 0 || r.seen <= r.Skip+r.Count) {
			due = append(due, r.Rule)
		}
	}
	return due
}

// OpenFile counts as OpCreate or OpOpen.
func (f *Fault) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if o := f.begin(op, name); o.err != nil {
		return nil, o.err
	}
	file, err := f.base.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultFile{File: file, fault: f}, nil
}

// Remove counts as OpRemove.
func (f *Fault) Remove(name string) error {
	return f.do(OpRemove, name, func() error { return f.base.Remove(name) })
}

// RemoveAll counts as one OpRemove.
func (f *Fault) RemoveAll(name string) error {
	return f.do(OpRemove, name, func() error { return f.base.RemoveAll(name) })
}

// Rename counts as OpRename of newname.
func (f *Fault) Rename(oldname, newname string) error {
	return f.do(OpRename, newname, func() error { return f.base.Rename(oldname, newname) })
}

// MkdirAll counts as one OpMkdir.
func (f *Fault) MkdirAll(name string, perm fs.FileMode) error {
	return f.do(OpMkdir, name, func() error { return f.base.MkdirAll(name, perm) })
}

// SyncDir counts as OpSyncDir.
func (f *Fault) SyncDir(name string) error {
	return f.do(OpSyncDir, name, func() error { return f.base.SyncDir(name) })
}

func (f *Fault) do(op Op, path string, call func() error) error {
	if o := f.begin(op, path); o.err != nil {
		return o.err
	}
	return call()
}

// ReadDir counts as OpReadDir.
func (f *Fault) ReadDir(name string) ([]fs.DirEntry, error) {
	if o := f.begin(OpReadDir, name); o.err != nil {
		return nil, o.err
	}
	return f.base.ReadDir(name)
}

// Stat counts as OpStat.
func (f *Fault) Stat(name string) (fs.FileInfo, error) {
	if o := f.begin(OpStat, name); o.err != nil {
		return nil, o.err
	}
	return f.base.Stat(name)
}

// Lock counts as OpLock.
func (f *Fault) Lock(name string) (io.Closer, error) {
	if o := f.begin(OpLock, name); o.err != nil {
		return nil, o.err
	}
	return f.base.Lock(name)
}

// Usage counts as OpUsage.
func (f *Fault) Usage(name string) (Usage, error) {
	if o := f.begin(OpUsage, name); o.err != nil {
		return Usage{}, o.err
	}
	return f.base.Usage(name)
}

// OpenSyncer is not counted; the Sync of its result counts as OpSyncFS.
func (f *Fault) OpenSyncer(dir string) (Syncer, error) {
	s, err := f.base.OpenSyncer(dir)
	if err != nil {
		return nil, err
	}
	return &faultSyncer{Syncer: s, fault: f, dir: dir}, nil
}

// loser is implemented by the files and syncers of Mem; a failing Sync calls
// it.
type loser interface{ loseUnsynced() }

// sync is the common part of File.Sync and Syncer.Sync.
func (f *Fault) sync(op Op, path string, target interface{ Sync() error }) error {
	if o := f.begin(op, path); o.err != nil {
		if l, ok := target.(loser); ok {
			l.loseUnsynced()
		}
		return o.err
	}
	return target.Sync()
}

type faultSyncer struct {
	Syncer
	fault *Fault
	dir   string
}

// Sync counts as OpSyncFS.
func (s *faultSyncer) Sync() error { return s.fault.sync(OpSyncFS, s.dir, s.Syncer) }

// faultFile disturbs the operations of an open file. Close is never disturbed.
type faultFile struct {
	File
	fault *Fault
}

// ReadAt counts as OpRead.
func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if o := f.fault.begin(OpRead, f.Name()); o.err != nil {
		return 0, o.err
	}
	return f.File.ReadAt(p, off)
}

// WriteAt counts as OpWrite.
func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if o := f.fault.begin(OpWrite, f.Name()); o.err != nil {
		return f.short(o, [][]byte{p}, off)
	}
	return f.File.WriteAt(p, off)
}

// Writev counts as one OpWrite.
func (f *faultFile) Writev(bufs [][]byte, off int64) (int, error) {
	if o := f.fault.begin(OpWrite, f.Name()); o.err != nil {
		return f.short(o, bufs, off)
	}
	return f.File.Writev(bufs, off)
}

// short writes the first bytes of a write that fails.
func (f *faultFile) short(o outcome, bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.File.WriteAt(b[:min(len(b), o.short-total)], off+int64(total))
		total += n
		if err != nil {
			return total, errors.Join(o.err, err)
		}
	}
	return total, o.err
}

// Truncate counts as OpTruncate.
func (f *faultFile) Truncate(size int64) error {
	return f.fault.do(OpTruncate, f.Name(), func() error { return f.File.Truncate(size) })
}

// Allocate counts as OpWrite.
func (f *faultFile) Allocate(size int64) error {
	return f.fault.do(OpWrite, f.Name(), func() error { return f.File.Allocate(size) })
}

// Sync counts as OpSync.
func (f *faultFile) Sync() error { return f.fault.sync(OpSync, f.Name(), f.File) }

// Size counts as OpStat.
func (f *faultFile) Size() (int64, error) {
	if o := f.fault.begin(OpStat, f.Name()); o.err != nil {
		return 0, o.err
	}
	return f.File.Size()
}

// Fd is false.
func (f *faultFile) Fd() (uintptr, bool) { return 0, false }
