package replica

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/storage"
)

// Partition is this node's replica of one partition: the log and the
// leadership.
//
// How a record becomes visible to readers, on the leader:
//
//  1. Append writes at the log end. With page-cache durability that is this
//     replica's counting offset. With fsync durability the counting offset
//     advances in the flusher's next round.
//  2. advance sets the high watermark to the lowest counting offset of the ISR,
//     unless the ISR is below min.insync.replicas (P16). It never moves it back
//     (P10).
//  3. Produce requests that wait for an offset that it has reached are
//     answered, and fetches that wait for more are woken.
//
// mu guards memory only and is held briefly. Appends run outside it. A change
// of leadership stops new appends and waits until those in flight have ended,
// so that no record is written in an epoch that is over. Rejected: a read-write
// lock around append, as in Kafka. It would be held during I/O, which hangs a
// simulation, and a waiting writer blocks the readers.
type Partition struct {
	tp   storage.TopicPartition
	node int32
	// durable: the counting offset of a replica is what it flushed, not what it
	// wrote.
	durable bool
	log     *storage.Log
	// topic and all are the counters of the topic, and of all topics.
	topic, all *metrics.Topic

	// hw is the high watermark. It is written under mu and read without it.
	hw atomic.Int64

	mu    sync.Mutex
	state *state
	// leading is true while appends are admitted; false while the leadership
	// changes.
	leading bool
	// closed is the reason why the partition is no longer served: it was
	// deleted, or its log dir is offline.
	closed error
	// counting is the offset up to which this replica lets the high watermark
	// advance.
	counting int64
	// remotes holds the counting offsets of the other replicas that have
	// fetched in this epoch.
	remotes map[int32]int64
	// appending counts the appends in flight; idle is closed when it falls to 0.
	appending int
	idle      chan struct{}

	acks    ackQueue
	watches []*watch
}

// state is the partition's metadata and configuration. It is immutable: a new
// state replaces it.
type state struct {
	leader                      int32
	leaderEpoch, partitionEpoch int32
	// ledSince is the first leader epoch since which this node has led without
	// another leader in between.
	ledSince int32
	// epochStart is the log end when this node began to lead in leaderEpoch.
	epochStart    int64
	replicas, isr []int32
	config        config.Topic
}

// minISR returns min.insync.replicas, but at most the number of replicas.
func (s *state) minISR() int { return min(int(s.config.MinInsyncReplicas), len(s.replicas)) }

// underMinISR tells whether the ISR is too small: acks=all cannot be served and
// the high watermark must not move (P16).
func (s *state) underMinISR() bool { return len(s.isr) < s.minISR() }

func newPartition(tp storage.TopicPartition, o *Options, log *storage.Log) *Partition {
	p := &Partition{
		tp: tp, node: o.NodeID, durable: o.Durability == config.Fsync, log: log,
		topic: o.Metrics.Topic(tp.Topic), all: &o.Metrics.Topics,
	}
	p.state = &state{leader: metadata.NoLeader, leaderEpoch: NoEpoch, partitionEpoch: -1}
	// After a power loss a checkpoint may be ahead of the log (P1).
	p.hw.Store(min(max(log.HighWatermark(), log.StartOffset()), log.EndOffset()))
	log.NotifyFlushed(p.flushed)
	return p
}

// TopicPartition names the partition and its topic's id.
func (p *Partition) TopicPartition() storage.TopicPartition { return p.tp }

// Log returns the partition's log for reading only: sizes, description,
// iteration below the high watermark.
func (p *Partition) Log() *storage.Log { return p.log }

// HighWatermark is the offset below which consumers may read.
func (p *Partition) HighWatermark() int64 { return p.hw.Load() }

// LastStableOffset is the offset below which every transaction is decided.
func (p *Partition) LastStableOffset() int64 { return p.log.LastStableOffset(p.hw.Load()) }

// LeaderEpoch is the latest epoch from the metadata, -1 before the first.
func (p *Partition) LeaderEpoch() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.leaderEpoch
}

// Leader is the id of the leader, metadata.NoLeader if there is none.
func (p *Partition) Leader() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.leader
}

// Leads returns nil if this node leads in that epoch. Otherwise the error is
// ErrNotLeader, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch, or the reason why
// the partition is no longer served.
func (p *Partition) Leads(epoch int32) error {
	_, err := p.checkLeader(epoch)
	return err
}

// UnderMinISR tells whether this node leads with fewer replicas in sync than
// min.insync.replicas.
func (p *Partition) UnderMinISR() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leading && p.state.underMinISR()
}

// err returns the reason why the partition is not served, nil if it is served.
func (p *Partition) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// checkLeader checks that this node leads in the epoch of a request.
func (p *Partition) checkLeader(epoch int32) (*state, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return nil, p.closed
	}
	if err := p.checkEpoch(epoch); err != nil {
		return nil, err
	}
	if !p.leading {
		return nil, p.notLeader()
	}
	return p.state, nil
}

// checkEpoch compares the epoch of a request with the partition's (R14).
// Called with mu held.
func (p *Partition) checkEpoch(epoch int32) error {
	known := p.state.leaderEpoch
	switch {
	case epoch == NoEpoch || epoch == known:
		return nil
	case epoch < known:
		return fmt.Errorf("%w: %d, but %s-%d is at %d", ErrFencedLeaderEpoch, epoch, p.tp.Topic, p.tp.Partition, known)
	}
	return fmt.Errorf("%w: %d, but %s-%d is at %d", ErrUnknownLeaderEpoch, epoch, p.tp.Topic, p.tp.Partition, known)
}

func (p *Partition) notLeader() error {
	return fmt.Errorf("%w: %s-%d", ErrNotLeader, p.tp.Topic, p.tp.Partition)
}

// advance moves the high watermark as far as the ISR allows. Any goroutine
// calls it after every change that may allow an advance. It does no I/O.
func (p *Partition) advance() {
	p.mu.Lock()
	next := p.nextHighWatermark()
	if next <= p.hw.Load() {
		p.mu.Unlock()
		return
	}
	p.log.SetHighWatermark(next) // first, because a reader of hw may delete records up to it
	p.hw.Store(next)
	reached := p.acks.take(next)
	p.mu.Unlock()
	complete(reached, nil)
	p.wake(ReadUncommitted)
}

// nextHighWatermark returns the lowest counting offset of the ISR (R6), -1 if
// the high watermark must not move. Called with mu held.
func (p *Partition) nextHighWatermark() int64 {
	if !p.leading || p.state.underMinISR() {
		return -1
	}
	next := p.counting
	for _, id := range p.state.isr {
		if id == p.node {
			continue
		}
		offset, ok := p.remotes[id]
		if !ok {
			return -1
		}
		next = min(next, offset)
	}
	return next
}

// flushed is called by the flusher when more of the log is on disk. Its
// argument may be older than a truncation, so the offset is read from the log.
func (p *Partition) flushed(int64) {
	if !p.durable {
		return
	}
	p.mu.Lock()
	p.counting = max(p.counting, p.log.FlushedOffset())
	p.mu.Unlock()
	p.advance()
}

// ReplicaFetched processes the offset of a follower's fetch: everything below
// offset is on that replica, as durable as the cluster's mode requires. It
// counts only in the leader's current epoch (R7).
func (p *Partition) ReplicaFetched(replica, leaderEpoch int32, offset int64) error {
	p.mu.Lock()
	err := p.closed
	switch {
	case err != nil:
	case !p.leading:
		err = p.notLeader()
	case leaderEpoch != p.state.leaderEpoch:
		err = p.checkEpoch(max(leaderEpoch, 0))
	case replica == p.node || !slices.Contains(p.state.replicas, replica):
		err = fmt.Errorf("%w: node %d is no replica of %s-%d", ErrUnknownLeaderEpoch, replica, p.tp.Topic, p.tp.Partition)
	default:
		if p.remotes == nil {
			p.remotes = map[int32]int64{}
		}
		p.remotes[replica] = max(p.remotes[replica], offset)
	}
	p.mu.Unlock()
	if err == nil {
		p.advance()
	}
	return err
}
