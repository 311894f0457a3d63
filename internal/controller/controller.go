// Package controller decides every change of the cluster's metadata, as
// Kafka's active controller does (QuorumController and its *ControlManagers).
//
// A decision is a pure function of the metadata and a request: it returns
// records and a reply, and touches nothing. There is one file for each subject:
//
//	topics      create_topics.go delete_topics.go partitions.go placement.go topic_name.go
//	leaders     elections.go partition_change.go reassignments.go
//	brokers     brokers.go heartbeat.go directories.go producer_ids.go controllers.go
//	configs     configs.go config_ops.go client_metrics.go
//	features    features.go bootstrap.go
//
// Around them is a thin shell (submit.go): it hands each decision the newest
// metadata, has the quorum commit the records, and lets the reply go when they
// are committed. The committed records, this controller's own and those of any
// other, arrive at Apply, which publishes the next Image. sessions.go is what the
// active controller remembers of brokers and does not write down.
//
// Start reading at Controller, then submit.go, then create_topics.go.
package controller

import (
	"iter"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/xsync"
)

// Quorum commits records; *raft.Node is one.
type Quorum interface {
	// Propose appends records as one atomic batch if this node leads epoch, in
	// the versions of the metadata.version that is level. It returns the offset of the last record, and done gets one value: nil when
	// they are committed, else why they may not be. A proposal that is refused
	// at once has its error in done when Propose returns.
	Propose(epoch int32, level int16, records []metadata.Message) (lastOffset int64, done <-chan error)
}

// Options say which node this is and what it works with.
type Options struct {
	NodeID    int32
	ClusterID string
	// Config is what the node started with; alterations at run time are read
	// from the metadata.
	Config *config.Broker
	// Rand makes topic ids and spreads replicas. The controller alone uses it.
	Rand *rand.Rand
	// Elapsed is the time that this process ran, by which sessions count. It never
	// goes back. It may fall behind package time's timers: it stands still while
	// the process does.
	Elapsed func() time.Duration
	Log     *slog.Logger
	// Bootstrap are the first records of a new cluster; nil: those of one that
	// runs at the newest level of every feature.
	Bootstrap []metadata.Message
	// KRaftVersion tells the kraft.version of the quorum; nil: 1.
	KRaftVersion func() int16
}

// Controller is this node's controller. It is active while the node leads the
// quorum; on every other node, and between leaders, it refuses requests with
// NOT_CONTROLLER and only keeps the Image. Its methods may be called by any
// goroutine.
//
// It has two locks; mu may be taken while deciding is held, not the other way
// round:
//
//	deciding  orders the decisions, and is held while a proposal is handed to
//	          the quorum;
//	mu        guards role, waiters and sessions; it is held for moments and
//	          taken by Apply and LeaderChanged, which run in the quorum's
//	          goroutines and must never wait for a decision.
type Controller struct {
	o           Options
	quorum      Quorum
	image       atomic.Pointer[metadata.Image]
	subscribers []func(*metadata.Image, *metadata.Delta)
	pending     chan struct{} // one token for each request inside
	background  sync.WaitGroup

	mu      sync.Mutex
	role    role
	waiters []*waiter // by offset
	// appliedOffset is the Image's offset once the subscribers know it.
	appliedOffset int64
	sessions      map[int32]*session
	closed        bool

	deciding xsync.Mutex
	tip      *metadata.Image // with what is proposed and not yet committed
	tipEpoch int32           // the epoch that tip belongs to, -1 for none
}

// role is what this node is in the quorum.
type role struct {
	leader int32 // -1: not known
	epoch  int32
	// active is set once the first batch of the node's own epoch is applied:
	// from then on the Image holds all that earlier leaders committed.
	active bool
}

// maxPending bounds the requests that are being decided or wait for their
// commit. Each is a goroutine of a connection; the next one is told to retry.
const maxPending = 4096

// New makes the controller with the empty Image. Attach it to a quorum before
// the first request.
func New(o Options) *Controller {
	c := &Controller{
		o: o, pending: make(chan struct{}, maxPending), role: role{leader: -1, epoch: -1},
		sessions: map[int32]*session{}, appliedOffset: -1, tipEpoch: -1,
	}
	c.image.Store(metadata.Empty())
	return c
}

// Attach gives the controller its quorum. It is called once, before the quorum
// calls Apply: the quorum's options refer to the controller's methods.
func (c *Controller) Attach(q Quorum) { c.quorum = q }

// Subscribe adds f to those that are told of every change of the Image, in the
// order of subscription, before any reply that the change lets go. It is called
// before the quorum starts. f runs in the goroutine that calls Apply.
func (c *Controller) Subscribe(f func(*metadata.Image, *metadata.Delta)) {
	c.subscribers = append(c.subscribers, f)
}

// KRaftVersion is the finalized level of kraft.version, which lies outside the
// metadata.
func (c *Controller) KRaftVersion() int16 {
	if c.o.KRaftVersion == nil {
		return newestKRaftVersion
	}
	return c.o.KRaftVersion()
}

// Image is the committed metadata.
func (c *Controller) Image() *metadata.Image { return c.image.Load() }

// Records are the records of a snapshot of the Image (raft.Options.SnapshotSource).
func (c *Controller) Records() iter.Seq[metadata.Message] { return c.Image().Records() }

// Leader is the node id of the active controller, -1 when it is not known, and
// its epoch.
func (c *Controller) Leader() (id, epoch int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.role.leader, c.role.epoch
}

// Apply takes the next committed batch (raft.Node.Start). It is called by one
// goroutine, in the order of the log. An error means that the log holds what no
// controller decided, and the node must stop.
func (c *Controller) Apply(b raft.Committed) error {
	fold := c.image.Load().Apply
	if b.Snapshot {
		fold = c.image.Load().Replace
	}
	next, delta, err := fold(b.Records, b.LastOffset, b.Epoch)
	if err != nil {
		return err
	}
	c.image.Store(next)
	if !delta.Empty() {
		for _, f := range c.subscribers {
			f(next, delta)
		}
	}
	c.applied(next, b.LeaderChange != nil)
	return nil
}

// applied lets go the replies that waited for the Image's offset, and makes the
// controller active with the first batch of its own epoch.
func (c *Controller) applied(img *metadata.Image, leaderChange bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.appliedOffset = img.Offset
	n := 0
	for n < len(c.waiters) && c.waiters[n].offset <= img.Offset {
		c.waiters[n].done <- nil
		n++
	}
	c.waiters = c.waiters[n:]
	if leaderChange && !c.role.active && !c.closed && c.role.leader == c.o.NodeID && c.role.epoch == img.Epoch {
		c.role.active = true
		c.openSessions(img)
		c.background.Go(c.bootstrap)
	}
}

// LeaderChanged is told each new leader and epoch before anything of that epoch
// is applied (raft.Options.LeaderChanged); -1 is no leader. What was decided in
// an earlier epoch fails with NOT_CONTROLLER, though it may yet be committed.
func (c *Controller) LeaderChanged(leader, epoch int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.role.leader == leader && c.role.epoch == epoch {
		return
	}
	c.role = role{leader: leader, epoch: epoch}
	c.failWaiters(c.notController())
	c.closeSessions()
}

// Close refuses further requests, fails those that wait and stops the timers.
// The quorum should be closed first.
func (c *Controller) Close() {
	c.mu.Lock()
	c.closed = true
	c.role = role{leader: -1, epoch: c.role.epoch}
	c.failWaiters(c.notController())
	c.closeSessions()
	c.mu.Unlock()
	c.background.Wait()
}
