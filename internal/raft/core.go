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

// Bounds of what waits.
const (
	// maxParked proposals wait for their commit.
	maxParked = 10_000
	// maxUncommittedBytes of entries wait for their commit.
	maxUncommittedBytes = 64 << 20
	// maxMessageBytes of entries go into one message, or to the owner at once.
	maxMessageBytes = 1 << 20
	// maxInflightMessages go to a voter before it answers.
	maxInflightMessages = 256
	// electionTicks without a leader begin an election.
	electionTicks = 10
)

// core is this voter as a state machine: raft.RawNode and, around it, what
// makes Kafka's log of raft's. It has no goroutine, no lock and no clock of its
// own; whoever drives it (Node in a node, a loop in a test) calls one method
// after the other:
//
//  1. Give it what happens: tick, step, propose, and with saved and finished the
//     ends of the work it gave out.
//  2. Call collect. What is to be done lies in toSave, toApply and toSend. Each
//     of the first two lists is worked off in order by one worker: store.save
//     and applier.run. They may take their time while raft goes on, so that a
//     slow disk stops no heartbeat (raft's AsyncStorageWrites).
//
// Any error that collect, saved or finished return is final: the node must stop.
//
// Raft knows an entry by its index, the log by its offset. The leader gives a
// batch its offset when it proposes it, since it knows what it proposed
// before (tip); to everybody else, and to raft when it reads the log, the batch
// is the entry's data. Only two kinds of entries do not come so out of raft: the
// empty entry, which begins a term or stands for a refused change of voters,
// and a change of voters, whose data raft must be able to read. Their batches
// lie in own until they are applied. So followers store and observers fetch the
// very bytes of the leader.
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

	// tip is the place behind the last entry that raft has, durable or not.
	tip anchor
	// own are the batches of this node's entries that are not applied yet.
	own map[uint64]record.Batch
	// parked are the proposals that wait, by index ascending.
	parked []parkedProposal

	voters  *metadata.VotersRecord // as applied
	static  bool                   // voters are not written down, see snapshotMeta
	peers   map[uint64]*peer
	applied anchor // as the owner has it
	// leads is the term that this node leads, 0 for none; updated tells that
	// its endpoints were looked at in that term.
	leads   uint64
	updated bool
	// began is the last epoch whose LeaderChange reached the owner; the applier
	// sets it.
	began     *atomic.Int32
	granting  map[uint64]bool // who voted for this node in term grantTerm
	grantTerm uint64
	leader    int32
	epoch     int32
	err       error // what went wrong for good, told by collect
	// pendingVoters is the last entry of this node's that changes the voters.
	pendingVoters uint64
	endpoints     []metadata.VoterEndpoint // of this node
	// leaderChanged is Options.LeaderChanged.
	leaderChanged func(leader, epoch int32)
}

// peer is what is remembered of another voter or of a candidate.
type peer struct {
	key ReplicaKey
	// lastFetch and lastCaughtUp are as in VoterStatus.
	lastFetch, lastCaughtUp int64
}

// parkedProposal waits until the entry is applied.
type parkedProposal struct {
	index uint64
	done  chan<- error
	at    time.Duration // when it was proposed, by watch.elapsed
}

// saveTask is work for the saver: a change of vote, entries or a snapshot to be
// made durable, and the messages that may be sent then.
type saveTask struct {
	term      int32 // -1: no change
	vote      *ReplicaKey
	entries   []entry
	snapshot  *SnapshotID
	responses []*Message
	// appended and fetched are how many records the entries have, of this node as
	// the leader and of another one.
	appended, fetched int
	// installed is the snapshot, once it is.
	installed *snapshot
}

// applyTask is work for the applier: batches or a snapshot for the owner, or
// nothing but a look at whether a snapshot is due.
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

// config is what raft is told.
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

// tick lets a unit of raft's time pass.
func (c *core) tick() {
	c.raw.Tick()
	c.observe()
}

// campaignAlone begins an election at once when there is nobody to wait for. A
// single voter wins it without a message.
func (c *core) campaignAlone() error {
	if !soleVoter(c.voters, c.self) || c.raw.BasicStatus().RaftState != etcd.StateFollower {
		return nil
	}
	return c.raw.Campaign()
}

// step takes a message of another voter. What raft does not want is dropped, as
// a network may do with any message.
func (c *core) step(from ReplicaKey, m *Message) {
	if from.RaftID() != m.GetFrom() || m.GetTo() != c.id || !c.takes(m) {
		return
	}
	c.hear(from, m)
	_ = c.raw.Step(m) // raft's errors say that the message was dropped
	c.observe()
}

// takes tells whether a message may come from another voter and holds what it
// must.
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
		err = fmt.Errorf("entry %d is not the batch that it carries", e.GetIndex())
	}
	return err
}

// hear remembers when a voter was heard of and who votes for this node.
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

// meet returns what is remembered of a peer. When there are too many, those are
// forgotten that neither vote nor lead nor have this node's vote.
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

// countVote remembers a vote for this node, for the LeaderChange record.
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

// active tells whether this node leads and its owner was told so: then the owner
// has applied everything before its term.
func (c *core) active() bool { return c.leads != 0 && uint64(c.began.Load()) == c.leads }

// observe looks for a change of leader or term after whatever happened. With a
// term that this node led everything ends that was proposed in it (rule 8).
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

// release ends the wait of the proposal with an index, if it waits.
func (c *core) release(i uint64, err error) {
	if at, found := c.findParked(i); found {
		c.parked[at].done <- err
		c.parked = slices.Delete(c.parked, at, at+1)
	}
}

func (c *core) findParked(i uint64) (at int, found bool) {
	return slices.BinarySearchFunc(c.parked, i, func(p parkedProposal, i uint64) int { return cmp.Compare(p.index, i) })
}

// failParked ends every wait.
func (c *core) failParked(err error) {
	for _, p := range c.parked {
		p.done <- err
	}
	c.parked = nil
}
