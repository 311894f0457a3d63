package raft

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// segmentLog is the part of storage.Log that this package uses.
type segmentLog interface {
	StartOffset() int64
	EndOffset() int64
	Size() int64
	SetHighWatermark(offset int64)
	AssignTopicID(id [16]byte) error
	AppendAsFollower(batches []byte) error
	Batches(from, upTo int64) iter.Seq2[record.Batch, error]
	Flush() error
	TruncateTo(offset int64) error
	TruncateFullyAndStartAt(offset int64) error
	IncrementStartOffset(to int64) error
	DeleteBelowStart() (int, error)
	Close() error
}

var _ segmentLog = (*storage.Log)(nil)

// store is raft's storage: the log, the table of its entries, the newest
// snapshot and the vote. It is an etcd raft.Storage. The goroutine of core
// calls its methods. At the same time one other goroutine saves, and the
// snapshotter removes old data. The lock covers memory only.
type store struct {
	fs     vfs.FS
	folder string
	logger *slog.Logger
	codecs *record.Codecs
	log    segmentLog
	vote   *quorumState // used by the saving goroutine once the store is open
	kraft  atomic.Int32 // kraft.version

	mu        sync.Mutex
	index     index
	snapshots []snapshotFile // oldest first; the newest is what newest describes
	newest    snapshotMeta
	initial   *raftpb.HardState
}

// snapshotFile is an existing snapshot.
type snapshotFile struct {
	id   SnapshotID
	size int64 // bytes
}

var _ etcd.Storage = (*store)(nil)

// entry is an entry to be written to the log or handed to the owner.
type entry struct {
	index uint64
	batch record.Batch
}

func (e *entry) term() int32 { return e.batch.LeaderEpoch() }

// InitialState returns raft's state at start. The commit index is not stored.
// The snapshot is committed. So is every change of voters in the log except the
// last one, because a leader begins a change only after it applied the previous
// one. A restarted voter is therefore at most one change behind, and two
// adjacent sets of voters have no disjoint majorities (M10).
func (s *store) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.initial, confState(s.newest.voters), nil
}

// FirstIndex is the index of the oldest entry in the log.
func (s *store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.first(), nil
}

// LastIndex is the index of the newest durable entry.
func (s *store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.last(), nil
}

// Term is the term of entry i.
func (s *store) Term(i uint64) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case i < s.index.before.index:
		return 0, etcd.ErrCompacted
	case i > s.index.last():
		return 0, etcd.ErrUnavailable
	}
	return uint64(s.index.term(i)), nil
}

// Entries reads the entries [lo, hi): at least one, and further ones up to
// maxSize bytes in total.
func (s *store) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	from, upTo, err := s.offsets(lo, hi)
	if err != nil {
		return nil, err
	}
	var list []*raftpb.Entry
	size := uint64(0)
	for batch, err := range s.log.Batches(from, upTo) {
		if errors.Is(err, storage.ErrOffsetOutOfRange) {
			return nil, etcd.ErrCompacted // retention removed it in the meantime
		}
		if err != nil {
			return nil, err
		}
		if size += uint64(len(batch)); size > maxSize && len(list) > 0 {
			return list, nil
		}
		e, err := raftEntry(lo+uint64(len(list)), slices.Clone(batch))
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("raft: the log has no batch at offset %d, entry %d", from, lo)
	}
	return list, nil
}

func (s *store) offsets(lo, hi uint64) (from, upTo int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case lo < s.index.first():
		return 0, 0, etcd.ErrCompacted
	case hi > s.index.last()+1 || lo >= hi:
		return 0, 0, etcd.ErrUnavailable
	}
	return s.index.offset(lo), s.index.offset(hi), nil
}

// raftEntry converts a batch to a raft entry. Its data is the batch itself.
func raftEntry(i uint64, batch record.Batch) (*raftpb.Entry, error) {
	kind, err := kindOf(batch)
	if err != nil {
		return nil, err
	}
	t := raftpb.EntryNormal
	if kind&changesVoters != 0 {
		t = raftpb.EntryConfChangeV2
	}
	return &raftpb.Entry{Index: new(i), Term: new(uint64(batch.LeaderEpoch())), Type: t.Enum(), Data: batch}, nil
}

// Snapshot returns the newest snapshot. Its data names the file, which the
// receiver fetches.
func (s *store) Snapshot() (*raftpb.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &s.newest
	return &raftpb.Snapshot{
		Data: m.id.marshal(),
		Metadata: &raftpb.SnapshotMetadata{
			Index: new(m.index), Term: new(uint64(m.id.Epoch)), ConfState: confState(m.voters),
		},
	}, nil
}

// end is the position after the last durable entry.
func (s *store) end() anchor {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.index.end()
}

// at is the position after entry i, false if the table does not have it.
func (s *store) at(i uint64) (anchor, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i < s.index.before.index || i > s.index.last() {
		return anchor{}, false
	}
	return s.index.at(i), true
}

// newestSnapshot describes the newest snapshot.
func (s *store) newestSnapshot() snapshotMeta {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// has tells whether a snapshot's file exists.
func (s *store) has(id SnapshotID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.snapshots, func(f snapshotFile) bool { return f.id == id })
}

// append makes entries durable. They replace what the log has from the index of
// the first one. Each group of at most writeGroupBytes is written at once and
// synced before the next group. A new term begins a new group. This limits what
// a power loss can tear (scan.go).
//
// The replaced entries are removed from the disk before new ones are written in
// their place (storage.Log.TruncateTo). Otherwise a crash in between could
// leave an old batch after a new one, at the right offset and with a valid
// checksum.
func (s *store) append(entries []entry) error {
	if err := s.cutTo(entries[0].index); err != nil {
		return err
	}
	for len(entries) > 0 {
		n := s.group(entries)
		if err := s.write(entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// cutTo makes i the index of the next entry.
func (s *store) cutTo(i uint64) error {
	s.mu.Lock()
	last, lowest := s.index.last(), s.newest.index
	s.mu.Unlock()
	switch {
	case i > last+1 || i <= lowest:
		return fmt.Errorf("raft: entry %d cannot follow entry %d and the snapshot up to entry %d", i, last, lowest)
	case i == last+1:
		return nil
	}
	s.mu.Lock()
	offset := s.index.offset(i)
	s.mu.Unlock()
	if err := s.log.TruncateTo(offset); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.truncate(i)
	return nil
}

// group returns the number of entries to write before the next fsync.
func (s *store) group(entries []entry) int {
	size := len(entries[0].batch)
	for n := 1; n < len(entries); n++ {
		size += len(entries[n].batch)
		if size > writeGroupBytes || entries[n].term() != entries[n-1].term() {
			return n
		}
	}
	return len(entries)
}

// write makes a group durable and adds it to the table.
func (s *store) write(group []entry) error {
	var buf []byte
	next := s.end()
	for _, e := range group {
		if e.index != next.index+1 || e.batch.BaseOffset() != next.offset {
			return fmt.Errorf("raft: entry %d has the offset %d, but entry %d at offset %d is next", e.index, e.batch.BaseOffset(), next.index+1, next.offset)
		}
		next = anchor{e.index, e.term(), e.batch.NextOffset()}
		buf = append(buf, e.batch...)
	}
	if start := group[0].batch.BaseOffset(); s.log.EndOffset() > start {
		// An earlier attempt wrote a part before the disk was full.
		if err := s.log.TruncateTo(start); err != nil {
			return err
		}
	}
	if err := s.log.AppendAsFollower(buf); err != nil {
		return noRoom(err)
	}
	if err := s.log.Flush(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range group {
		if err := s.index.add(e.term(), e.batch.BaseOffset(), e.batch.NextOffset()); err != nil {
			return err
		}
	}
	return nil
}

// install replaces the log with a snapshot that another voter made and
// ReceiveSnapshot stored. A crash at any point leaves the file, and openStore
// then does the same with it.
func (s *store) install(id SnapshotID) (*snapshot, error) {
	snap, err := loadSnapshot(s.fs, s.folder, id, s.codecs)
	if err != nil {
		return nil, err
	}
	if err := s.restart(&snap.snapshotMeta); err != nil {
		return nil, err
	}
	return snap, s.removeBefore(id)
}

// restart empties the log and makes it begin at the end of a snapshot.
func (s *store) restart(m *snapshotMeta) error {
	if err := s.log.TruncateFullyAndStartAt(m.id.EndOffset); err != nil {
		return err
	}
	s.log.SetHighWatermark(m.id.EndOffset)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index = newIndex(m.anchor())
	s.newest = *m
	return nil
}
