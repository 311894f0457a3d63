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
//   - reshaping is held while existing segments are replaced, removed or
//     truncated, or the folder is renamed: by the swap of a compaction,
//     retention, truncations and deletion. It is held during whole sequences of
//     renames and directory syncs. Appends do not take it, because an append
//     changes only the last segment in the list (a roll).
//   - write is held while the log is changed: by appends, rolls, truncations and
//     deletions. It is held during writes to the file. It is not held during a
//     flush, except that of a finished segment. Compaction and retention hold it
//     while they change the list of segments, without I/O.
//   - flushing is held while bytes are made durable. Truncations also take it, so
//     that a file does not shrink during a flush.
//   - mu guards the fields in memory and is held for a few instructions. Readers
//     take only mu, so a slow write or flush does not block them.
//
// Fields are changed under write and mu together. So a holder of write may read
// them without mu.
type Log struct {
	env  *env
	dir  *dir
	tp   TopicPartition
	path string // path of the folder

	config atomic.Pointer[config.Topic]

	reshaping xsync.Mutex
	write     xsync.Mutex
	flushing  xsync.Mutex
	mu        sync.Mutex

	// segments is sorted by base and never empty. The slice is replaced, never
	// changed in place.
	segments []*segment
	// start ≤ hw ≤ end (P1). Records below start may still be on disk.
	start, end, hw int64
	// givenUp is the start offset after a crash while the whole log is being
	// removed, otherwise 0.
	givenUp int64
	// flushed is the offset below which everything is durable.
	flushed int64
	// point is the recovery point: the value of flushed at the last save.
	point int64
	// generation counts truncations. A flush that began before a truncation does
	// not cover the bytes written after it.
	generation uint64
	// names counts the new names in the folder; namesSynced is its value at the
	// last sync of the folder. The first flush of a new folder also makes its own
	// name durable, and newFiles in it (partition.metadata).
	names, namesSynced uint64
	newFolder          bool
	newFiles           []string

	epochs    epochs
	producers producers
	counted   int // number of its producers in env.limit
	snapshots snapshots
	recent    recent
	// appendTime is the last assigned LogAppendTime. It never decreases.
	appendTime int64
	// flushedMs is the end time of the last flush, for flush.ms.
	flushedMs int64
	// touched is true if the log was appended to or truncated after the folder
	// was in the state of a clean close.
	touched bool

	// cleaned is the offset below which the log is compacted, noOffset if it was
	// never compacted. cleaning is true during a pass. uncleanable is the reason
	// why the log is not compacted any more. configured is true if config is the
	// topic's own.
	cleaned     int64
	cleaning    bool
	uncleanable error
	configured  bool

	// unmade is true while nothing of the log is on disk, see create.go. With
	// halfMade, a failed attempt has left a part.
	unmade, halfMade bool

	// compacted is true if a recovery found traces of compaction.
	compacted bool
	// damage lists the ranges that cannot be served, by offset.
	damage []Damage

	notify   func(int64)
	notified int64 // the last offset passed to notify
	closed   error
	queued   bool // in the flusher's queue; guarded by its lock
}

// TP returns the topic, topic id and partition.
func (l *Log) TP() TopicPartition {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tp
}

// Path returns the folder of the partition.
func (l *Log) Path() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.path
}

// DirID returns the id of the log dir; zero outside a Manager.
func (l *Log) DirID() [16]byte { return l.dir.id }

// StartOffset returns the first offset that may be read.
func (l *Log) StartOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start
}

// EndOffset returns the offset that the next record gets (LEO).
func (l *Log) EndOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// FlushedOffset returns the offset below which everything is durable. With
// ottla.durability=fsync it counts for the high watermark.
func (l *Log) FlushedOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushed
}

// HighWatermark returns the last value set, or the value of the checkpoint at
// open. It limits retention and DeleteRecords.
func (l *Log) HighWatermark() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hw
}

// SetHighWatermark sets the offset up to which the log is committed. The value is
// limited to the range from start to end (P1). The caller must not decrease it
// within one leader epoch (P10).
func (l *Log) SetHighWatermark(hw int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hw = min(max(hw, l.start), l.end)
	l.producers.replicated(l.hw)
}

// LastStableOffset returns the offset below which every transaction is decided. It
// is at most hw and at least the log's start (P1, T10).
func (l *Log) LastStableOffset(hw int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return min(hw, max(l.producers.firstUnstable(), l.start))
}

// Size returns the size of all segments in bytes, without indexes.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var size int64
	for _, s := range l.segments {
		size += s.size
	}
	return size
}

// Config returns the current config.
func (l *Log) Config() config.Topic { return *l.config.Load() }

// UpdateConfig replaces the config. It applies from the next append. Only a log
// whose config was set here, or at Create, is compacted.
func (l *Log) UpdateConfig(c config.Topic) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.config.Store(&c)
	l.configured = true
}

// EpochEnd returns the largest known leader epoch that is at most epoch, and its
// end offset (KIP-279). It returns NoEpoch and -1 if epoch is unknown and above
// all known epochs.
func (l *Log) EpochEnd(epoch int32) (found int32, end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.end(epoch, l.end)
}

// LatestEpoch returns the last leader epoch that was appended or assigned, NoEpoch
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

// EpochAt returns the leader epoch of an offset, NoEpoch if unknown.
func (l *Log) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epochs.at(offset)
}

// AssignEpoch records that a leader epoch begins at start. A new leader calls it
// before it appends. Contradicting entries are removed.
func (l *Log) AssignEpoch(epoch int32, start int64) {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs.assign(epoch, start)
	l.touched = l.touched || l.epochs.changed
}

// ProducerState is the state of a producer for DescribeProducers.
type ProducerState struct {
	ProducerID       int64
	Epoch            int16
	LastSequence     int32 // -1: no batch in this epoch
	LastTimestamp    int64 // ms
	CoordinatorEpoch int32 // -1: no transaction ended yet
	TxnFirstOffset   int64 // of the open transaction, -1: none
}

// ProducerCount returns the number of producers that Producers lists.
func (l *Log) ProducerCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.producers.byID)
}

// Producers lists the idempotent producers with a state in the log, by id.
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

// ExpireProducers removes the producers that wrote nothing for
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

// NotifyFlushed sets the function that gets the flushed offset after each flush
// that advanced it. The flusher or the caller of Flush calls it without a lock of
// the log. The offsets ascend between truncations.
func (l *Log) NotifyFlushed(f func(offset int64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notify = f
}

// usable returns nil while the log may be changed. The caller holds write or mu.
func (l *Log) usable() error {
	if l.closed != nil {
		return l.closed
	}
	return l.dir.failed()
}

// active returns the segment for appends.
func (l *Log) active() *segment { return l.segments[len(l.segments)-1] }

// floor returns the number of the last segment whose base is at or below offset,
// or 0 for an offset below all.
func floor(segments []*segment, offset int64) int {
	i := sort.Search(len(segments), func(i int) bool { return segments[i].base > offset })
	return max(0, i-1)
}

// outOfRange returns the error for an offset that is not in the log.
func (l *Log) outOfRange(offset int64) error {
	return fmt.Errorf("%w: %s-%d has no offset %d; it reaches from %d to %d", ErrOffsetOutOfRange, l.tp.Topic, l.tp.Partition, offset, l.start, l.end)
}

// replaceSegments publishes a new list of segments. The caller holds write and
// mu.
func (l *Log) replaceSegments(list []*segment) { l.segments = slices.Clip(list) }
