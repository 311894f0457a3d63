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

// Partition is this node's replica of one partition: the log, and who leads.
//
// What moves an offset to its readers, on the leader:
//
//  1. Append writes at the log end. Page-cache durability: that is the offset
//     that counts for this replica; fsync: the flusher's next round is.
//  2. advance takes the lowest counting offset over the ISR as the high
//     watermark, unless the ISR is below min.insync.replicas (P16), and never
//     moves it back (P10).
//  3. Produce requests that wait for an offset below it are answered, fetches
//     that wait for more are woken.
//
// Two locks: mu guards memory only and is held for moments. Appends run outside
// it; a change of leadership closes the door to new ones and waits until those
// in flight are through, so that no record is written in an epoch that is over.
// Rejected: a read-write lock around append, as Kafka has it. It would be held
// over I/O, which hangs a simulation, and a waiting writer stops the readers.
type Partition struct {
	tp   storage.TopicPartition
	node int32
	// durable: a replica counts with what it flushed, not with what it wrote.
	durable bool
	log     *storage.Log
	// topic and all count for the topic, and for all of them.
	topic, all *metrics.Topic

	// hw is the high watermark; written under mu, read by anybody.
	hw atomic.Int64

	mu    sync.Mutex
	state *state
	// leading is open for appends; false while the leadership changes.
	leading bool
	// closed is why the partition is served no more: deleted, or its log dir is
	// offline.
	closed error
	// counting is the offset of this replica that the high watermark may reach.
	counting int64
	// remotes are the counting offsets of the other replicas, as far as they
	// have fetched in this epoch.
	remotes map[int32]int64
	// appending counts the appends in flight; idle is closed when it falls to 0.
	appending int
	idle      chan struct{}

	acks    ackQueue
	watches []*watch
}

// state is what metadata and configuration say. It never changes: a new one
// replaces it.
type state struct {
	leader                      int32
	leaderEpoch, partitionEpoch int32
	// ledSince is the first leader epoch of those in which this node has led
	// without another one between.
	ledSince int32
	// epochStart is the log end when this node began to lead in leaderEpoch.
	epochStart    int64
	replicas, isr []int32
	config        config.Topic
}

// minISR is min.insync.replicas, at most the number of replicas.
func (s *state) minISR() int { return min(int(s.config.MinInsyncReplicas), len(s.replicas)) }

// underMinISR tells that acks=all cannot be served and the high watermark may
// not move (P16).
func (s *state) underMinISR() bool { return len(s.isr) < s.minISR() }

func newPartition(tp storage.TopicPartition, o *Options, log *storage.Log) *Partition {
	p := &Partition{
		tp: tp, node: o.NodeID, durable: o.Durability == config.Fsync, log: log,
		topic: o.Metrics.Topic(tp.Topic), all: &o.Metrics.Topics,
	}
	p.state = &state{leader: metadata.NoLeader, leaderEpoch: NoEpoch, partitionEpoch: -1}
	// A checkpoint may be ahead of what a power loss left of the log (P1).
	p.hw.Store(min(max(log.HighWatermark(), log.StartOffset()), log.EndOffset()))
	log.NotifyFlushed(p.flushed)
	return p
}

// TopicPartition names the partition and its topic's id.
func (p *Partition) TopicPartition() storage.TopicPartition { return p.tp }

// Log is the partition's log, for what only reads: sizes, description,
// iteration below the high watermark.
func (p *Partition) Log() *storage.Log { return p.log }

// HighWatermark is the offset below which consumers read.
func (p *Partition) HighWatermark() int64 { return p.hw.Load() }

// LastStableOffset is the offset below which every transaction is decided.
func (p *Partition) LastStableOffset() int64 { return p.log.LastStableOffset(p.hw.Load()) }

// LeaderEpoch is the epoch that metadata gave last, -1 before that.
func (p *Partition) LeaderEpoch() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.leaderEpoch
}

// Leader is the id of the leading node, metadata.NoLeader if there is none.
func (p *Partition) Leader() int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state.leader
}

// Leads tells whether this node leads in that epoch, nil if so. The error is one
// of ErrNotLeader, ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch, or why the
// partition is not served any more.
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

// err is why the partition is not served, nil if it is.
func (p *Partition) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// checkLeader tells whether this node leads, in the epoch that a request
// names.
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

// advance moves the high watermark as far as the ISR allows. It is called
// after everything that may allow more, by any goroutine, and does no I/O.
func (p *Partition) advance() {
	p.mu.Lock()
	next := p.nextHighWatermark()
	if next <= p.hw.Load() {
		p.mu.Unlock()
		return
	}
	p.log.SetHighWatermark(next) // first: who is told of it may delete records up to it
	p.hw.Store(next)
	reached := p.acks.take(next)
	p.mu.Unlock()
	complete(reached, nil)
	p.wake(ReadUncommitted)
}

// nextHighWatermark is the lowest counting offset over the ISR (R6), -1 where
// it may not move. Called with mu held.
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

// flushed is the flusher's message that more of the log is on disk. Its
// argument may be older than a truncation; the log's own word is not.
func (p *Partition) flushed(int64) {
	if !p.durable {
		return
	}
	p.mu.Lock()
	p.counting = max(p.counting, p.log.FlushedOffset())
	p.mu.Unlock()
	p.advance()
}

// ReplicaFetched takes what a follower's fetch says: everything below offset
// is on that replica, as durable as the cluster's mode asks. It counts in the
// leader's own epoch only (R7).
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
