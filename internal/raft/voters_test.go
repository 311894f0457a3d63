package raft

import (
	"errors"
	"slices"
	"testing"
	"testing/cryptotest"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
)

// run performs steps until f returns true.
func (c *cluster) run(what string, f func() bool) {
	c.t.Helper()
	for range 50_000 {
		if f() {
			return
		}
		c.step(false)
	}
	c.t.Fatalf("%s: not after 50,000 steps", what)
}

// leading returns the voter that leads and may propose, nil if there is none.
func (c *cluster) leading() *simNode {
	for _, n := range c.nodes {
		if n.core.active() && n != c.apart {
			return n
		}
	}
	return nil
}

func (c *cluster) untilLed() *simNode {
	c.t.Helper()
	c.run("a leader", func() bool { return c.leading() != nil })
	return c.leading()
}

// without returns a set of voters without one node.
func without(r *metadata.VotersRecord, id int32) *metadata.VotersRecord {
	return &metadata.VotersRecord{Voters: slices.DeleteFunc(slices.Clone(r.Voters), func(v metadata.Voter) bool { return v.VoterID == id })}
}

// commit waits for a proposal.
func (c *cluster) commit(done <-chan error) error {
	c.t.Helper()
	var err error
	c.run("a commit", func() bool {
		select {
		case err = <-done:
			return true
		default:
			return false
		}
	})
	return err
}

// TestVotersChange removes a follower, proposes without it, adds it again and
// removes the leader, which steps down. In between all voters restart and find
// the current voters in log and snapshot.
func TestVotersChange(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 7)
	c := newCluster(t, 7, 3, 0)
	leader := c.untilLed()
	all := leader.core.voters
	out := c.nodes[(slices.Index(c.nodes, leader)+1)%3]

	change := func(n *simNode, voters *metadata.VotersRecord) {
		t.Helper()
		done := make(chan error, 1)
		if _, err := n.core.proposeVoters(n.core.epoch, voters, done); err != nil {
			t.Fatal(err)
		}
		if _, err := n.core.proposeVoters(n.core.epoch, voters, make(chan error, 1)); !errors.Is(err, ErrBusy) {
			t.Fatalf("a second change of voters during the first: %v (M10)", err)
		}
		c.after(n)
		if err := c.commit(done); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := leader.core.proposeVoters(leader.core.epoch, without(without(all, 0), 1), make(chan error, 1)); err == nil {
		t.Fatal("two voters were removed at once")
	}
	change(leader, without(all, out.key.NodeID))
	c.apart = out
	c.crash(leader) // its snapshot has the old voters, its log the change
	leader = c.untilLed()
	if leader == out || len(leader.core.voters.Voters) != 2 {
		t.Fatalf("%s leads with the voters %v", leader.key, leader.core.voters)
	}
	for range 30 {
		c.propose(leader)
		c.step(false)
	}
	c.run("proposals among two", func() bool { return len(c.waiting) == 0 })

	c.apart = nil
	change(leader, all)
	c.settle()
	c.check()

	change(leader, without(all, leader.key.NodeID))
	c.apart = leader
	second := c.untilLed()
	if second == leader || len(second.core.voters.Voters) != 2 {
		t.Fatalf("%s leads with the voters %v", second.key, second.core.voters)
	}
}

// TestKnownCommittedVoters checks that at a restart all changes of voters in
// the log except the last are taken as committed.
func TestKnownCommittedVoters(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 8)
	c := newCluster(t, 8, 3, 0)
	for _, n := range c.nodes {
		n.options.SnapshotSource = nil
	}
	for _, n := range c.nodes {
		c.crash(n)
	}
	leader := c.untilLed()
	all := leader.core.voters
	var last int64
	for range 3 {
		for _, voters := range []*metadata.VotersRecord{without(all, (leader.key.NodeID+1)%3), all} {
			done := make(chan error, 1)
			offset, err := leader.core.proposeVoters(leader.core.epoch, voters, done)
			if err != nil {
				t.Fatal(err)
			}
			last = offset
			c.after(leader)
			if err := c.commit(done); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.crash(leader)
	commit := leader.core.store.initial.GetCommit()
	at, ok := leader.core.store.at(commit)
	if !ok || at.offset != last {
		t.Fatalf("entry %d up to offset %d is taken as committed, want the change before the one at offset %d", commit, at.offset, last)
	}
	c.settle()
	if got := len(leader.core.voters.Voters); got != 3 {
		t.Fatalf("%d voters after the restart", got)
	}
}

// TestParkedFailWithTheTerm checks that a leader that lost its connections
// fails its waiting proposals, and that entries that only it appended are
// removed.
func TestParkedFailWithTheTerm(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 9)
	c := newCluster(t, 9, 3, 0)
	old := c.untilLed()
	c.apart = old
	batch, err := newDataBatch(c.nowMs, metadata.CurrentLevel, topics("lost"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	term := old.core.epoch
	if _, err := old.core.propose(term, batch, done); err != nil {
		t.Fatal(err)
	}
	c.after(old)
	if err := c.commit(done); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("got %v", err)
	}
	if _, err := old.core.propose(term, batch, done); !errors.Is(err, ErrNotLeader) {
		t.Fatalf("a proposal of a lost term: %v", err)
	}
	leader := c.untilLed()
	c.propose(leader)
	c.settle()
	c.check()
	if slices.Contains(old.owner.names, "lost") {
		t.Fatal("an entry that no other node had is in the state")
	}
}

// TestLeaderComesBackBySnapshot checks a leader that lost its connections while
// the others continued and removed the log that it knows. It installs a
// snapshot and keeps none of its own entries.
func TestLeaderComesBackBySnapshot(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 12)
	c := newCluster(t, 12, 3, 0)
	old := c.untilLed()
	c.apart = old
	for range 10 {
		c.propose(old)
	}
	leader := c.untilLed()
	for range 200 {
		c.propose(leader)
		c.step(false)
	}
	c.run("the others to agree", func() bool { return len(c.waiting) == 0 && leader.core.store.index.before.index > old.core.tip.index })
	c.settle()
	c.check()
	if c.installs == 0 {
		t.Fatal("no snapshot was installed")
	}
}

// TestForeignMessages checks that invalid messages are dropped: with another
// sender or receiver, of types that no voter sends, or with entries that do not
// match their batches.
func TestForeignMessages(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 10)
	c := newCluster(t, 10, 3, 0)
	leader := c.untilLed()
	c.settle()
	follower := c.nodes[(slices.Index(c.nodes, leader)+1)%3]
	good, err := newDataBatch(c.nowMs, metadata.CurrentLevel, topics("foreign"))
	if err != nil {
		t.Fatal(err)
	}
	end := follower.core.tip
	stamp(good, end.offset, end.term)
	message := func(change func(*Message)) *Message {
		e, err := raftEntry(end.index+1, slices.Clone(good))
		if err != nil {
			t.Fatal(err)
		}
		m := &Message{
			Type: raftpb.MsgApp.Enum(), From: new(leader.key.RaftID()), To: new(follower.key.RaftID()), Term: new(uint64(end.term)),
			Index: new(end.index), LogTerm: new(uint64(end.term)), Commit: new(end.index), Entries: []*raftpb.Entry{e},
		}
		change(m)
		return m
	}
	for name, change := range map[string]func(*Message){
		"another sender":   func(m *Message) { m.From = new(follower.key.RaftID()) },
		"another receiver": func(m *Message) { m.To = new(leader.key.RaftID()) },
		"a proposal":       func(m *Message) { m.Type = raftpb.MsgProp.Enum() },
		"a local message":  func(m *Message) { m.Type = raftpb.MsgHup.Enum() },
		"a bad checksum":   func(m *Message) { m.Entries[0].Data[80] ^= 1 },
		"no batch":         func(m *Message) { m.Entries[0].Data = nil },
		"half a batch":     func(m *Message) { m.Entries[0].Data = m.Entries[0].Data[:70] },
		"two batches":      func(m *Message) { m.Entries[0].Data = append(m.Entries[0].Data, good...) },
		"another term":     func(m *Message) { m.Entries[0].Term = new(uint64(end.term + 1)) },
		"another type":     func(m *Message) { m.Entries[0].Type = raftpb.EntryConfChangeV2.Enum() },
		"an unknown file":  func(m *Message) { m.Type = raftpb.MsgSnap.Enum() },
		"an unknown snapshot": func(m *Message) {
			m.Type = raftpb.MsgSnap.Enum()
			m.Snapshot = &raftpb.Snapshot{Data: SnapshotID{1000, 7}.marshal(), Metadata: &raftpb.SnapshotMetadata{
				Index: new(uint64(500)), Term: new(uint64(7)), ConfState: confState(follower.core.voters),
			}}
		},
		"a negative file": func(m *Message) {
			m.Type = raftpb.MsgSnap.Enum()
			m.Snapshot = &raftpb.Snapshot{Data: slices.Repeat([]byte{255}, 12)}
		},
	} {
		follower.core.step(leader.key, message(change))
		if err := follower.core.collect(); err != nil || follower.core.tip != end {
			t.Errorf("%s: taken (%v)", name, err)
		}
	}
	follower.core.step(leader.key, message(func(*Message) {}))
	c.after(follower)
	if follower.core.tip.index != end.index+1 {
		t.Error("the message without a fault was not taken")
	}
}

func TestPeersAreBounded(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 11)
	c := newCluster(t, 11, 3, 0)
	n := c.nodes[0]
	for i := range int32(1000) {
		key := ReplicaKey{100 + i, metadata.UUID{byte(i)}}
		n.core.step(key, &Message{Type: raftpb.MsgHeartbeatResp.Enum(), From: new(key.RaftID()), To: new(n.key.RaftID())})
	}
	if got := len(n.core.peers); got > maxPeers {
		t.Fatalf("%d peers are remembered", got)
	}
}
