package raft

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// Limits of pending work.
const (
	// maxParked is the number of proposals that may wait for their commit.
	maxParked = 10_000
	// maxUncommittedBytes is the size of entries that may wait for their
	// commit.
	maxUncommittedBytes = 64 << 20
	// maxMessageBytes is the size of entries in one message, and of those
	// handed to the owner at once.
	maxMessageBytes = 1 << 20
	// maxInflightMessages is the number of messages sent to a voter before it
	// answers.
	maxInflightMessages = 256
	// electionTicks is the number of ticks without a leader after which an
	// election begins.
	electionTicks = 10
)

// core is the state machine of this voter: raft.RawNode, and the translation
// between raft's log and Kafka's. It has no goroutine, no lock and no clock.
// Its driver (Node in a node, a loop in a test) calls one method at a time:
//
//  1. Pass in events: tick, step, propose, and saved and finished for completed
//     work.
//  2. Call collect. It puts work into toSave, toApply and toSend. One worker
//     each processes the first two lists in order: store.save and applier.run.
//     Raft continues meanwhile, so a slow disk does not delay heartbeats
//     (raft's AsyncStorageWrites).
//
// An error of collect, saved or finished is final: the node must stop.
//
// Raft knows an entry by its index, the log by its offset. The leader assigns
// the offset of a batch when it proposes it; tip is the end of what it proposed
// before. For all other nodes, and for raft when it reads the log, the batch is
// the entry's data. Two kinds of entries leave raft without their batch: the
// empty entry, which begins a term or replaces a refused change of voters, and
// a change of voters, whose data raft must be able to read. Their batches are
// kept in own until they are applied. So followers store, and observers fetch,
// exactly the leader's bytes.
type core struct {
	self  ReplicaKey
	id    uint64
	raw   *etcd.RawNode
	store *store
	now   func() time.Time
	watch watch

	toSave  []*saveTask
	toApply []*applyTask
	toSend  []*Message

	// tip is the position after the last entry that raft has, durable or not.
	tip anchor
	// own holds the batches of this node's entries that are not applied yet.
	own map[uint64]record.Batch
	// parked holds the waiting proposals, by ascending index.
	parked []parkedProposal

	voters  *metadata.VotersRecord // as applied
	static  bool                   // voters are not stored, see snapshotMeta
	peers   map[uint64]*peer
	applied anchor // the owner's position
	// leads is the term that this node leads, 0 for none. updated is true when
	// its endpoints were checked in that term.
	leads   uint64
	updated bool
	// began is the last epoch whose LeaderChange was handed to the owner. The
	// applier sets it.
	began     *atomic.Int32
	granting  map[uint64]bool // nodes that voted for this node in term grantTerm
	grantTerm uint64
	leader    int32
	epoch     int32
	err       error // final error, returned by collect
	// pendingVoters is the index of this node's last entry that changes the
	// voters.
	pendingVoters uint64
	endpoints     []metadata.VoterEndpoint // of this node
	// leaderChanged is Options.LeaderChanged.
	leaderChanged func(leader, epoch int32)
}

// peer is the recorded state of another voter or candidate.
type peer struct {
	key ReplicaKey
	// lastFetch and lastCaughtUp are as in VoterStatus.
	lastFetch, lastCaughtUp int64
}

// parkedProposal is a proposal that waits until its entry is applied.
type parkedProposal struct {
	index uint64
	done  chan<- error
	at    time.Duration // when it was proposed, by watch.elapsed
}

// saveTask is work for the saver: a changed vote, entries or a snapshot to make
// durable, and the messages that may be sent afterwards.
type saveTask struct {
	term      int32 // -1: no change
	vote      *ReplicaKey
	entries   []entry
	snapshot  *SnapshotID
	responses []*Message
	// appended and fetched are the numbers of records in the entries: those of
	// this node as the leader, and those of another leader.
	appended, fetched int
	// installed is the snapshot, once it is installed.
	installed *snapshot
}

// applyTask is work for the applier: batches or a snapshot for the owner. An
// empty task only checks whether a snapshot is due.
type applyTask struct {
	entries   []entry
	snapshot  *snapshot
	responses []*Message
}

func newCore(o *Options, s *store) (*core, error) {
	key := ReplicaKey{o.NodeID, o.DirectoryID}
	newest := s.newestSnapshot()
	c := &core{
		self: key, id: key.RaftID(), store: s, now: o.Now, watch: newWatch(o.Elapsed), leaderChanged: o.LeaderChanged, endpoints: o.Endpoints,
		tip: s.end(), own: map[uint64]record.Batch{}, peers: map[uint64]*peer{},
		voters: newest.voters, static: newest.static, applied: newest.anchor(), leader: -1, began: new(atomic.Int32),
	}
	c.epoch = int32(s.initial.GetTerm())
	err := guard(func() (err error) {
		c.raw, err = etcd.NewRawNode(c.config(o))
		return err
	})
	if err == nil && s.vote.voted {
		c.meet(s.vote.vote)
	}
	return c, err
}

// config returns raft's configuration.
func (c *core) config(o *Options) *etcd.Config {
	return &etcd.Config{
		ID:                        c.id,
		ElectionTick:              electionTicks,
		HeartbeatTick:             1,
		Storage:                   c.store,
		Applied:                   c.applied.index,
		AsyncStorageWrites:        true,
		MaxSizePerMsg:             maxMessageBytes,
		MaxCommittedSizePerReady:  maxMessageBytes,
		MaxUncommittedEntriesSize: maxUncommittedBytes,
		MaxInflightMsgs:           maxInflightMessages,
		CheckQuorum:               true,
		PreVote:                   true,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    &etcdLogger{o.Log},
	}
}

// tick advances raft's clock by one unit.
func (c *core) tick() {
	c.raw.Tick()
	c.observe()
}

// campaignAlone starts an election at once if this node is the only voter. It
// wins the election without a message.
func (c *core) campaignAlone() error {
	if !soleVoter(c.voters, c.self) || c.raw.BasicStatus().RaftState != etcd.StateFollower {
		return nil
	}
	return c.raw.Campaign()
}

// step processes a message of another voter. A message that raft refuses is
// dropped, as if the network had lost it.
func (c *core) step(from ReplicaKey, m *Message) {
	if from.RaftID() != m.GetFrom() || m.GetTo() != c.id || !c.takes(m) {
		return
	}
	c.hear(from, m)
	_ = c.raw.Step(m) // raft's errors say that the message was dropped
	c.observe()
}

// takes tells whether a message may come from another voter and is well formed.
func (c *core) takes(m *Message) bool {
	switch m.GetType() {
	case raftpb.MsgSnap:
		id, err := ParseSnapshotID(m.GetSnapshot().GetData())
		return err == nil && c.store.has(id)
	case raftpb.MsgApp:
		return !slices.ContainsFunc(m.GetEntries(), func(e *raftpb.Entry) bool { return checkWireEntry(e) != nil })
	case raftpb.MsgProp:
		return false
	}
	return !etcd.IsLocalMsg(m.GetType())
}

// checkWireEntry checks that an entry of another voter is a batch of its term.
func checkWireEntry(e *raftpb.Entry) error {
	batch, err := checkEntryBatch(e.GetData())
	if err != nil {
		return err
	}
	kind, err := kindOf(batch)
	if err == nil && (uint64(batch.LeaderEpoch()) != e.GetTerm() || (kind&changesVoters != 0) != (e.GetType() == raftpb.EntryConfChangeV2)) {
		err = fmt.Errorf("entry %d does not match the batch that it carries", e.GetIndex())
	}
	return err
}

// hear records when a voter last sent a message, and its vote for this node.
func (c *core) hear(from ReplicaKey, m *Message) {
	p := c.meet(from)
	switch m.GetType() {
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp:
		p.lastFetch = c.now().UnixMilli()
		if m.GetType() == raftpb.MsgAppResp && !m.GetReject() && m.GetIndex() == c.tip.index {
			p.lastCaughtUp = p.lastFetch
		}
	}
	c.countVote(m)
}

// maxPeers bounds core.peers; there are few voters.
const maxPeers = 64

// meet returns the peer with a key and adds it if necessary. When there are too
// many, it removes those that are neither voters nor the leader and do not have
// this node's vote.
func (c *core) meet(key ReplicaKey) *peer {
	id := key.RaftID()
	if p := c.peers[id]; p != nil {
		return p
	}
	if len(c.peers) >= maxPeers {
		status := c.raw.BasicStatus()
		maps.DeleteFunc(c.peers, func(id uint64, _ *peer) bool {
			return findVoter(c.voters, id) == nil && id != status.Lead && id != status.GetVote()
		})
	}
	p := &peer{key: key, lastFetch: -1, lastCaughtUp: -1}
	c.peers[id] = p
	return p
}

// countVote records a vote for this node, for the LeaderChange record.
func (c *core) countVote(m *Message) {
	if m.GetType() != raftpb.MsgVoteResp || m.GetReject() {
		return
	}
	if m.GetTerm() != c.grantTerm {
		c.grantTerm, c.granting = m.GetTerm(), map[uint64]bool{}
	}
	c.granting[m.GetFrom()] = true
}

// reportSnapshot tells raft whether a voter got the snapshot of a message that
// was sent to it.
func (c *core) reportSnapshot(to ReplicaKey, ok bool) {
	status := etcd.SnapshotFinish
	if !ok {
		status = etcd.SnapshotFailure
	}
	c.raw.ReportSnapshot(to.RaftID(), status)
}

// active tells whether this node leads and its owner was handed the
// LeaderChange of the term. The owner has then applied everything before the
// term.
func (c *core) active() bool { return c.leads != 0 && uint64(c.began.Load()) == c.leads }

// observe checks for a change of leader or term. When a term that this node led
// ends, all proposals of that term fail (rule 8).
func (c *core) observe() {
	status := c.raw.BasicStatus()
	if status.GetTerm() > math.MaxInt32 {
		c.err = fmt.Errorf("raft: term %d does not fit a leader epoch", status.GetTerm())
		return
	}
	leads := uint64(0)
	if status.RaftState == etcd.StateLeader {
		leads = status.GetTerm()
	}
	if leads != c.leads {
		c.leads, c.updated = leads, false
		c.failParked(ErrNotLeader)
	}
	c.watch.stands(status.RaftState == etcd.StateCandidate || status.RaftState == etcd.StatePreCandidate, status.Lead != etcd.None)
	leader, epoch := int32(-1), int32(status.GetTerm())
	if status.Lead != etcd.None {
		var key ReplicaKey
		if key, c.err = c.keyOf(status.Lead); c.err != nil {
			return
		}
		leader = key.NodeID
	}
	if leader != c.leader || epoch != c.epoch {
		c.leader, c.epoch = leader, epoch
		if c.leaderChanged != nil {
			c.leaderChanged(leader, epoch)
		}
	}
}

func (c *core) nowMs() int64 { return c.now().UnixMilli() }

// release completes the waiting proposal with an index, if there is one.
func (c *core) release(i uint64, err error) {
	if at, found := c.findParked(i); found {
		c.parked[at].done <- err
		c.parked = slices.Delete(c.parked, at, at+1)
	}
}

func (c *core) findParked(i uint64) (at int, found bool) {
	return slices.BinarySearchFunc(c.parked, i, func(p parkedProposal, i uint64) int { return cmp.Compare(p.index, i) })
}

// failParked fails all waiting proposals.
func (c *core) failParked(err error) {
	for _, p := range c.parked {
		p.done <- err
	}
	c.parked = nil
}
