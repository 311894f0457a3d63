// Package replica is this node's replicas: which partitions it holds, whether
// it leads them, how far their records may be read, and who waits for that.
//
// Manager turns committed metadata into partitions. A Partition appends and
// reads on its log (package storage) and knows the high watermark; Pending is a
// produce request that waits for it, Waiter a fetch.
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

// Options are what a Manager needs.
type Options struct {
	NodeID     int32
	Storage    *storage.Manager
	Durability config.Durability
	// TopicConfig makes a topic's config of its overrides; it is
	// config.Broker.Topic of the broker's present config.
	TopicConfig func(overrides map[string]string) (config.Topic, error)
	// Metrics counts what is written and read; nil: nobody wants to know.
	Metrics *metrics.Metrics
	Log     *slog.Logger
}

// Manager holds the partitions of a node. All methods may be called by several
// goroutines at once.
type Manager struct {
	options Options

	// applying serialises the changes; it is held over I/O.
	applying xsync.Mutex
	// strays tells that the folders of unknown topics were logged.
	strays bool

	image atomic.Pointer[metadata.Image]

	mu         sync.RWMutex // memory only
	partitions map[key]*Partition
	// failed are the partitions that should be here but whose log could not be
	// opened or made.
	failed map[key]error
	// offline are the log dirs that failed, by id: a partition may come to one
	// that was online when its log was made.
	offline map[[16]byte]storage.DirFailure
}

// key names a partition. Topic ids are checked by whoever has one: a name is
// what most requests bring.
type key struct {
	topic     string
	partition int32
}

// NewManager returns a manager without partitions; Apply brings them.
func NewManager(o Options) *Manager {
	if o.Metrics == nil {
		o.Metrics = new(metrics.Metrics)
	}
	m := &Manager{options: o, partitions: map[key]*Partition{}, failed: map[key]error{}, offline: map[[16]byte]storage.DirFailure{}}
	m.image.Store(metadata.Empty())
	return m
}

// Partition returns a partition that this node serves. Else the error is
// ErrUnknownTopicOrPartition when the metadata does not know it, ErrNotLeader
// when it lives elsewhere or is not here yet, and wraps storage.ErrStorage
// when its log dir is offline.
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

// All iterates the partitions of the node, in no order, also those whose dir
// is offline. The partitions are those at the beginning of the loop.
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

// DirFailed gives up the partitions of a log dir that went offline: it is
// storage.Options.OnDirFailure. Whoever waits gets storage.ErrStorage.
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

// Close ends the service of all partitions: whoever waits gets ErrNotLeader,
// and no append is in flight when it returns. The logs are closed by their
// owner afterwards.
func (m *Manager) Close() {
	m.applying.Lock()
	defer m.applying.Unlock()
	for p := range m.All() {
		p.close(ErrNotLeader)
	}
}
