package raft

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/storage"
)

const (
	// defaultTick starts an election after one to two seconds without a leader,
	// like Kafka's controller.quorum.election.timeout.ms.
	defaultTick = 100 * time.Millisecond
	// inboxSize limits the calls that wait for the node's goroutine.
	inboxSize = 256
)

// Node is this node's part of the quorum: one goroutine that drives a core, and
// three workers for slow operations.
//
//	callers ── inbox ──▶ loop ── saves ───▶ saver        fsync of log and vote
//	                      ▲  ├── applies ─▶ applier      the owner's apply
//	                      │  └── jobs ────▶ snapshotter  snapshot files
//	                      └────── results ────┘
//
// The loop never waits for a worker. Each worker has at most one piece of work.
// Work that accumulates meanwhile becomes the next piece.
type Node struct {
	core      *core
	store     *store
	applier   *applier
	retention retention
	snapshot  *snapshot // loaded by Open, handed over by Start
	send      func([]*Message)
	tick      time.Duration
	logger    *slog.Logger

	inbox   chan func(*core)
	closing chan struct{}
	served  chan struct{} // closed when the loop takes no more calls
	done    chan struct{}
	leader  atomic.Uint64 // node id and epoch, see Leader
	running atomic.Bool   // the loop takes calls

	mu      sync.Mutex
	started bool
	closed  bool
	err     error // why the node stopped

	saves   chan []*saveTask
	applies chan *applyTask
	jobs    chan *snapshotJob
	results chan result
	workers sync.WaitGroup
}

// result is the result of a worker. Exactly one of the first three fields is
// set.
type result struct {
	saved       []*saveTask
	applied     *applyTask
	snapshotted bool
	job         *snapshotJob // what an applied task made due
	err         error
}

// Open opens the metadata log in Options.Dir, or creates it. No other process
// may use the folder: the caller holds the lock of the log dir. Files with
// invalid content are a *CorruptError; nothing is repaired then.
func Open(o Options) (*Node, error) {
	return open(o, func(l storage.LogOptions) (segmentLog, error) { return storage.OpenLog(l) })
}

func open(o Options, openLog func(storage.LogOptions) (segmentLog, error)) (*Node, error) {
	s, snap, err := openStore(&o, openLog)
	if err != nil {
		return nil, err
	}
	if o.Send == nil && !soleVoter(s.newest.voters, ReplicaKey{o.NodeID, o.DirectoryID}) {
		return nil, errors.Join(fmt.Errorf("raft: the quorum has %d voters, and this node cannot talk to the others", len(s.newest.voters.Voters)), s.log.Close())
	}
	c, err := newCore(&o, s)
	if err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	n := &Node{
		core: c, store: s, snapshot: snap, retention: newRetention(&o), send: o.Send, tick: o.Tick, logger: o.Log,
		applier: newApplier(&o, c),
		inbox:   make(chan func(*core), inboxSize),
		closing: make(chan struct{}), served: make(chan struct{}), done: make(chan struct{}),
		saves: make(chan []*saveTask, 1), applies: make(chan *applyTask, 1), jobs: make(chan *snapshotJob, 1),
		results: make(chan result, 3), // room for one result per worker
	}
	if n.tick == 0 {
		n.tick = defaultTick
	}
	n.publishLeader()
	return n, nil
}

// Start hands the newest snapshot to apply and then joins the quorum. From then
// on one goroutine of the node calls apply with each committed batch, in order
// and once. apply may call Propose, Leader and Status, but not Close. An error
// of apply stops the node.
func (n *Node) Start(apply func(Committed) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.started || n.closed {
		return errors.New("raft: Start follows Open, once")
	}
	n.applier.apply = apply
	if err := n.applier.restore(n.snapshot); err != nil {
		return fmt.Errorf("raft: applying the snapshot %s: %w", n.snapshot.id, err)
	}
	n.snapshot = nil
	n.started = true
	n.running.Store(true)
	n.workers.Go(n.saver)
	n.workers.Go(n.applying)
	n.workers.Go(n.snapshotter)
	go n.run()
	return nil
}

// Propose appends records as one batch, all or nothing, if this node leads
// term. It returns the offset of the last record as soon as the batch has its
// offset, and -1 if it was not appended. done receives exactly one value:
//
//   - nil once the batch is committed, durable and applied here,
//   - at once the reason why it was not appended: ErrNotLeader, ErrBusy,
//     ErrTooLarge, ErrClosed,
//   - later ErrNotLeader or ErrClosed: it may still be committed.
//
// Batches are appended in the order of the calls. A new leader accepts
// proposals as soon as apply gets the first batch of its term, the one with
// Committed.LeaderChange.
//
// level is the metadata.version that determines the record versions.
func (n *Node) Propose(term int32, level int16, records []metadata.Message) (lastOffset int64, done <-chan error) {
	waiting := make(chan error, 1)
	if len(records) == 0 {
		waiting <- errors.New("raft: nothing to propose")
		return -1, waiting
	}
	batch, err := newDataBatch(n.core.now().UnixMilli(), level, records)
	if err != nil {
		waiting <- err
		return -1, waiting
	}
	return n.proposal(waiting, func(c *core) (int64, error) { return c.propose(term, batch, waiting) })
}

// ProposeVoters proposes another set of voters, like Propose. It may differ
// from the current set in at most one voter (KIP-853).
func (n *Node) ProposeVoters(term int32, voters *metadata.VotersRecord) (lastOffset int64, done <-chan error) {
	waiting := make(chan error, 1)
	return n.proposal(waiting, func(c *core) (int64, error) { return c.proposeVoters(term, voters, waiting) })
}

// proposal runs f in the loop and returns its offset.
func (n *Node) proposal(waiting chan error, f func(*core) (int64, error)) (int64, <-chan error) {
	var offset int64
	err := n.do(func(c *core) error {
		var err error
		offset, err = f(c)
		return err
	})
	if err != nil {
		waiting <- err
		return -1, waiting
	}
	return offset, waiting
}

// do runs f in the loop and returns its error. It returns ErrClosed if the node
// is not started or stops first. It does not wait for the workers to end: one
// of them may be the caller.
func (n *Node) do(f func(*core) error) error {
	if !n.running.Load() {
		return ErrClosed
	}
	answer := make(chan error, 1)
	select {
	case n.inbox <- func(c *core) { answer <- f(c) }:
	case <-n.served:
		return ErrClosed
	}
	select {
	case err := <-answer:
		return err
	case <-n.served:
	}
	select {
	case err := <-answer:
		return err
	default:
		return ErrClosed
	}
}

// Leader returns the node id of the leader, -1 if it is not known, and the
// epoch of this node.
func (n *Node) Leader() (id, epoch int32) {
	v := n.leader.Load()
	return int32(v >> 32), int32(v)
}

// KRaftVersion is the kraft.version of the quorum: 1, or 0 when its voters are
// those of controller.quorum.voters.
func (n *Node) KRaftVersion() int16 { return int16(n.store.kraft.Load()) }

func (n *Node) publishLeader() {
	n.leader.Store(uint64(uint32(n.core.leader))<<32 | uint64(uint32(n.core.epoch)))
}

// Step processes a message of another voter. from is the sender as known from
// its connection. A message of type MsgSnap is dropped unless ReceiveSnapshot
// has stored its snapshot.
func (n *Node) Step(from ReplicaKey, m *Message) error {
	return n.do(func(c *core) error {
		c.step(from, m)
		return nil
	})
}

// ReportSnapshot reports whether the receiver of a message of type MsgSnap got
// its snapshot. Until then nothing else is sent to that voter.
func (n *Node) ReportSnapshot(to ReplicaKey, ok bool) error {
	return n.do(func(c *core) error {
		c.reportSnapshot(to, ok)
		return nil
	})
}

// ReceiveSnapshot stores a snapshot that another voter made. content is the
// whole file of size bytes. It becomes the state once raft accepts the message
// that names it. Only one call at a time is allowed.
func (n *Node) ReceiveSnapshot(id SnapshotID, content io.ReaderAt, size int64) error {
	return n.store.receive(id, content, size)
}

// Done is closed when the node has stopped: after Close, or because its disk or
// its owner failed. Err then returns the reason.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns why the node stopped. It is nil while the node runs and after a
// normal Close.
func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Close stops the node, waits for running work, and closes the log. Waiting
// proposals get ErrClosed. It returns Err and the error of closing the log.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		<-n.done
		return n.Err()
	}
	n.closed = true
	started := n.started
	n.mu.Unlock()
	close(n.closing)
	if started {
		<-n.done
	} else {
		close(n.done)
	}
	return errors.Join(n.Err(), n.store.log.Close())
}
