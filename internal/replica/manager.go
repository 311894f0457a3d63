// Package replica manages the replicas of this node: which partitions it has,
// whether it leads them, up to which offset they may be read, and which
// requests wait for that.
//
// Manager creates partitions from the committed metadata. A Partition appends
// to and reads from its log (package storage) and maintains the high watermark.
// Pending is a produce request that waits for the high watermark; Waiter is a
// waiting fetch.
//
// Start reading at Partition, then pending.go and waiter.go, then Manager.
package replica

import (
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/storage"
	"ottla/internal/xsync"
)

// Options are the dependencies of a Manager.
type Options struct {
	NodeID     int32
	Storage    *storage.Manager
	Durability config.Durability
	// TopicConfig computes a topic's config from its overrides. It is
	// config.Broker.Topic of the broker's current config.
	TopicConfig func(overrides map[string]string) (config.Topic, error)
	// Metrics counts written and read data; nil: no counting.
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// Manager holds the partitions of a node. All methods may be called by several
// goroutines at once.
type Manager struct {
	options Options

	// applying serializes the changes; it is held during I/O.
	applying xsync.Mutex
	// strays is true once the folders of unknown topics were logged.
	strays bool

	image atomic.Pointer[metadata.Image]

	mu         sync.RWMutex // memory only
	partitions map[key]*Partition
	// failed holds the partitions of this node whose log could not be opened or
	// created, with the error.
	failed map[key]error
	// offline holds the failed log dirs, by id. A dir may fail between the
	// creation of a partition's log and the registration of the partition.
	offline map[[16]byte]storage.DirFailure
}

// key identifies a partition. It has the topic's name, because most requests
// name the topic. A caller that has a topic id checks it.
type key struct {
	topic     string
	partition int32
}

// NewManager returns a manager without partitions; Apply adds them.
func NewManager(o Options) *Manager {
	if o.Metrics == nil {
		o.Metrics = new(metrics.Metrics)
	}
	m := &Manager{options: o, partitions: map[key]*Partition{}, failed: map[key]error{}, offline: map[[16]byte]storage.DirFailure{}}
	m.image.Store(metadata.Empty())
	return m
}

// Partition returns a partition that this node serves. The error is
// ErrUnknownTopicOrPartition if the partition is not in the metadata,
// ErrNotLeader if it is on other nodes or not created here yet, and wraps
// storage.ErrStorage if its log dir is offline.
func (m *Manager) Partition(topic string, partition int32) (*Partition, error) {
	k := key{topic, partition}
	m.mu.RLock()
	p, err := m.partitions[k], m.failed[k]
	m.mu.RUnlock()
	switch {
	case p != nil:
		if err := p.err(); err != nil {
			return nil, err
		}
		return p, nil
	case err != nil:
		return nil, err
	}
	if t := m.image.Load().TopicByName(topic); t != nil && t.Partition(partition) != nil {
		return nil, fmt.Errorf("%w: %s-%d", ErrNotLeader, topic, partition)
	}
	return nil, fmt.Errorf("%w: %s-%d", ErrUnknownTopicOrPartition, topic, partition)
}

// All iterates over the partitions of the node in no particular order,
// including those whose dir is offline. It yields the partitions that exist at
// the beginning of the loop.
func (m *Manager) All() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		m.mu.RLock()
		all := make([]*Partition, 0, len(m.partitions))
		for _, p := range m.partitions {
			all = append(all, p)
		}
		m.mu.RUnlock()
		for _, p := range all {
			if !yield(p) {
				return
			}
		}
	}
}

// DirFailed ends the service of the partitions of a log dir that went offline.
// It is storage.Options.OnDirFailure. Waiting requests get storage.ErrStorage.
func (m *Manager) DirFailed(f storage.DirFailure) {
	m.mu.Lock()
	m.offline[f.ID] = f
	m.mu.Unlock()
	for p := range m.All() {
		if p.log.DirID() == f.ID {
			p.failOffline(f)
		}
	}
}

func (p *Partition) failOffline(f storage.DirFailure) {
	p.fail(fmt.Errorf("%w: the log dir %s of %s-%d is offline: %w", storage.ErrStorage, f.Path, p.tp.Topic, p.tp.Partition, f.Err))
}

// Close ends the service of all partitions. Waiting requests get ErrNotLeader,
// and no append is in flight when it returns. The owner closes the logs
// afterwards.
func (m *Manager) Close() {
	m.applying.Lock()
	defer m.applying.Unlock()
	for p := range m.All() {
		p.close(ErrNotLeader)
	}
}
