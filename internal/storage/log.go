package storage

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"ottla/internal/config"
	"ottla/internal/xsync"
)

// Log is the log of one partition on this node. All methods may be called by
// several goroutines.
//
// Four locks, taken in this order:
//
//   - reshaping is held by who replaces, removes or cuts segments that are
//     there, or renames the folder: the swap of a compaction, retention,
//     truncations, deletion. It is held over whole sequences of renames and
//     directory syncs. No append takes it, for what an append does to the list
//     of segments, a roll, touches the last one alone.
//   - write is held by whoever changes the log: appends, rolls, truncations,
//     deletions. It is held over writes to the file, never over a flush but
//     that of a segment that is finished. A compaction, or retention, holds it
//     while it changes the list of segments and over no I/O.
//   - flushing is held while bytes are made durable; truncations take it too,
//     so that no flush sees a file shrink.
//   - mu guards the fields in memory, for a few instructions. Readers take only
//     this one, so neither a slow write nor a slow flush stops them.
//
// Fields are changed under write and mu together; so a holder of write reads
// them without mu.
type Log struct {
	env  *env
	dir  *dir
	tp   TopicPartition
	path string // of the folder

	config atomic.Pointer[config.Topic]

	reshaping xsync.Mutex
	write     xsync.Mutex
	flushing  xsync.Mutex
	mu        sync.Mutex

	// segments is never empty, sorted by base, and replaced, not changed.
	segments []*segment
	// start ≤ hw ≤ end (P1). What lies below start may still be on disk.
	start, end, hw int64
	// givenUp is the start that a crash leaves while everything is removed, 0
	// when nothing is.
	givenUp int64
	// flushed is the offset below which everything is on disk.
	flushed int64
	// point is the recovery point: flushed as of the last save.
	point int64
	// generation counts truncations: a flush that began before one says
	// nothing about what was written after it.
	generation uint64
	// names is raised with each new name in the folder, namesSynced follows
	// when the folder is made durable. The first flush of a new folder takes
	// its own name along, and newFiles, which lie in it (partition.metadata).
	names, namesSynced uint64
	newFolder          bool
	newFiles           []string

	epochs    epochs
	producers producers
	counted   int // of the producers, in env.limit
	snapshots snapshots
	recent    recent
	// appendTime is the last LogAppendTime given, which never goes back.
	appendTime int64
	// flushedMs is when the last flush ended, for flush.ms.
	flushedMs int64
	// touched tells that something was appended or truncated since the folder
	// was in the state that a clean close leaves.
	touched bool

	// cleaned is the offset below which the log is compacted, noOffset when it
	// never was. cleaning tells that a pass is under way, uncleanable why none is
	// tried any more. configured tells that config is the topic's own.
	cleaned     int64
	cleaning    bool
	uncleanable error
	configured  bool

	// unmade tells that nothing of the log is on disk, see create.go; or only
	// the part that an attempt left, if halfMade is set.
	unmade, halfMade bool

	// compacted tells that a recovery saw what compaction has left.
	compacted bool
	// damage are the parts that cannot be served, by offset.
	damage []Damage

	notify   func(int64)
	notified int64 // what notify was told last
	closed   error
	queued   bool // in the flusher's queue; guarded by its lock
}

// TP names the partition.
func (l *Log) TP() TopicPartition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tp
}

// Path is the folder of the partition.
func (l *Log) Path() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path
}

// DirID is the id of the log dir, zero outside a Manager.
func (l *Log) DirID() [16]byte { return l.dir.id }

// StartOffset is the first offset that may be read.
func (l *Log) StartOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start
}

// EndOffset is the offset that the next record gets (LEO).
func (l *Log) EndOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// FlushedOffset is the offset below which everything is on disk. With
// ottla.durability=fsync it is what counts for the high watermark.
func (l *Log) FlushedOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushed
}

// HighWatermark is the last value set, or what the checkpoint had at open. It
// bounds retention, DeleteRecords and what SetHighWatermark's owner serves.
func (l *Log) HighWatermark() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hw
}

// SetHighWatermark tells the log up to where it is committed. It is kept
// within start and end (P1); that it never goes back in one leader epoch (P10)
// is the caller's to see to.
func (l *Log) SetHighWatermark(hw int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hw = min(max(hw, l.start), l.end)
	l.producers.replicated(l.hw)
}

// LastStableOffset is the offset below which every transaction is decided: at
// most hw, and not below the log's start (P1, T10).
func (l *Log) LastStableOffset(hw int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(hw, max(l.producers.firstUnstable(), l.start))
}

// Size is the bytes of all segments, without indexes.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var size int64
	for _, s := range l.segments {
		size += s.size
	}
	return size
}

// Config is the config that is in force.
func (l *Log) Config() config.Topic { return *l.config.Load() }

// UpdateConfig replaces the config; it holds from the next append on. Only a
// log whose config was given here, or at Create, is ever compacted.
func (l *Log) UpdateConfig(c config.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config.Store(&c)
	l.configured = true
}

// EpochEnd returns the largest known leader epoch that is not above epoch, and
// the offset where it ends (KIP-279); NoEpoch and -1 when epoch is unknown and
// above all.
func (l *Log) EpochEnd(epoch int32) (found int32, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.end(epoch, l.end)
}

// LatestEpoch is the last leader epoch that was appended or assigned, NoEpoch
// if there is none.
func (l *Log) LatestEpoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.latestEpoch()
}

func (l *Log) latestEpoch() int32 {
	if e, ok := l.epochs.latest(); ok {
		return e.epoch
	}
	return NoEpoch
}

// EpochAt is the leader epoch of an offset, NoEpoch if unknown.
func (l *Log) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.at(offset)
}

// AssignEpoch notes that a leader epoch begins at start, as a new leader does
// before it appends. Entries that contradict are dropped.
func (l *Log) AssignEpoch(epoch int32, start int64) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs.assign(epoch, start)
	l.touched = l.touched || l.epochs.changed
}

// ProducerState is what DescribeProducers tells of a producer.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1: no batch in this epoch
	LastTimestamp    int64 // ms
	CoordinatorEpoch int32 // -1: no transaction ended yet
	TxnFirstOffset   int64 // of the open transaction, -1: none
}

// ProducerCount is how many producers Producers lists.
func (l *Log) ProducerCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.producers.byID)
}

// Producers lists the idempotent producers that the log knows, by id.
func (l *Log) Producers() []ProducerState {
	l.mu.Lock()
	list := l.producers.sorted()
	l.mu.Unlock()
	states := make([]ProducerState, len(list))
	for i := range list {
		p := &list[i]
		states[i] = ProducerState{p.id, p.epoch, p.lastSeq(), p.lastTimestamp, p.coordinatorEpoch, p.txnFirst}
	}
	return states
}

// ExpireProducers forgets the producers that wrote nothing for
// producer.id.expiration.ms.
func (l *Log) ExpireProducers() {
	now := l.env.nowMs()
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.producers.expire(now, l.env.producerExpiryMs.Load())
	l.countProducers()
}

// NotifyFlushed sets the function that is told the flushed offset after each
// flush that moved it. It is called without any lock of the log, by the flusher
// or by who called Flush, with offsets that ascend between truncations.
func (l *Log) NotifyFlushed(f func(offset int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = f
}

// usable is nil while the log may be changed. The caller holds write or mu.
func (l *Log) usable() error {
	if l.closed != nil {
		return l.closed
	}
	return l.dir.failed()
}

// active is the segment that is appended to.
func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// floor is the number of the last segment whose base is at or below offset,
// the first one for an offset below all.
func floor(segments []*segment, offset int64) int {
	i := sort.Search(len(segments), func(i int) bool { return segments[i].base > offset })
	return max(0, i-1)
}

// outOfRange is the error for an offset that the log does not have.
func (l *Log) outOfRange(offset int64) error {
	return fmt.Errorf("%w: %s-%d has no offset %d; it reaches from %d to %d", ErrOffsetOutOfRange, l.tp.Topic, l.tp.Partition, offset, l.start, l.end)
}

// replaceSegments publishes another list. The caller holds write and mu.
func (l *Log) replaceSegments(list []*segment) { l.segments = slices.Clip(list) }
