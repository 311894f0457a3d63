package raft

import (
	"fmt"
	"maps"
	"math"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/record"
)

// collect moves raft's ready work to toSave, toApply and toSend.
func (c *core) collect() error {
	for c.err == nil && c.raw.HasReady() {
		ready := c.raw.Ready()
		// Entries first: messages to other voters may carry them.
		for _, m := range ready.Messages {
			if m.GetTo() == etcd.LocalAppendThread {
				if err := c.collectSave(m); err != nil {
					return err
				}
			}
		}
		for _, m := range ready.Messages {
			var err error
			switch m.GetTo() {
			case etcd.LocalAppendThread:
			case etcd.LocalApplyThread:
				err = c.collectApply(m)
			default:
				err = c.collectSend(m)
			}
			if err != nil {
				return err
			}
		}
		c.observe()
	}
	return c.err
}

func (c *core) collectSave(m *Message) error {
	task := &saveTask{term: -1}
	if m.Term != nil {
		if m.GetTerm() > math.MaxInt32 {
			return fmt.Errorf("raft: term %d does not fit a leader epoch", m.GetTerm())
		}
		task.term = int32(m.GetTerm())
		if id := m.GetVote(); id != etcd.None {
			key, err := c.keyOf(id)
			if err != nil {
				return err
			}
			task.vote = &key
		}
	}
	if m.GetSnapshot() != nil {
		id, err := ParseSnapshotID(m.GetSnapshot().GetData())
		if err != nil {
			return err
		}
		task.snapshot = &id
		meta := m.GetSnapshot().GetMetadata()
		clear(c.own) // none of them will be applied
		c.tip = anchor{meta.GetIndex(), id.Epoch, id.EndOffset}
	}
	for _, e := range m.GetEntries() {
		batch, err := c.register(e)
		if err != nil {
			return err
		}
		task.entries = append(task.entries, entry{e.GetIndex(), batch})
		if c.own[e.GetIndex()] != nil {
			task.appended += int(batch.Count())
		} else {
			task.fetched += int(batch.Count())
		}
	}
	responses, err := c.convertAll(m.GetResponses())
	task.responses = responses
	c.toSave = append(c.toSave, task)
	return err
}

// keyOf returns the voter or candidate with a raft id.
func (c *core) keyOf(id uint64) (ReplicaKey, error) {
	if id == c.id {
		return c.self, nil
	}
	if v := findVoter(c.voters, id); v != nil {
		return keyOf(v), nil
	}
	if p := c.peers[id]; p != nil {
		return p.key, nil
	}
	return ReplicaKey{}, fmt.Errorf("raft: voted for %x, which has sent no message", id)
}

// register handles an entry that raft wants stored: it moves the tip, and makes
// the batch of an entry that has none.
func (c *core) register(e *raftpb.Entry) (record.Batch, error) {
	if batch := c.own[e.GetIndex()]; batch != nil && uint64(batch.LeaderEpoch()) == e.GetTerm() {
		return c.settle(e, batch)
	}
	batch := record.Batch(e.GetData())
	if len(batch) == 0 {
		var err error
		if batch, err = c.mintLeaderChange(e); err != nil {
			return nil, err
		}
		c.own[e.GetIndex()] = batch
	} else if e.GetIndex() <= c.tip.index { // an entry of another leader, which replaces this node's
		maps.DeleteFunc(c.own, func(i uint64, _ record.Batch) bool { return i >= e.GetIndex() })
	} else if e.GetIndex() != c.tip.index+1 || batch.BaseOffset() != c.tip.offset {
		return nil, fmt.Errorf("raft: entry %d has the offset %d, but entry %d at offset %d is next", e.GetIndex(), batch.BaseOffset(), c.tip.index+1, c.tip.offset)
	}
	c.tip = anchor{e.GetIndex(), batch.LeaderEpoch(), batch.NextOffset()}
	return batch, nil
}

// settle returns the batch of an entry that this node proposed; the tip moved
// when it was proposed. Raft replaces a change of voters that it refuses with
// an empty entry.
func (c *core) settle(e *raftpb.Entry, batch record.Batch) (record.Batch, error) {
	if len(e.GetData()) > 0 {
		return batch, nil
	}
	kind, err := kindOf(batch)
	if err != nil || kind&changesVoters == 0 {
		return batch, err
	}
	before := anchor{e.GetIndex() - 1, 0, batch.BaseOffset()}
	if batch, err = newNoOpBatch(before, batch.LeaderEpoch(), c.nowMs()); err != nil {
		return nil, err
	}
	c.own[e.GetIndex()] = batch
	c.release(e.GetIndex(), fmt.Errorf("%w: another change of voters is not applied yet", ErrBusy))
	return batch, nil
}

// mintLeaderChange makes the batch of the empty entry that begins a term that
// this node leads.
func (c *core) mintLeaderChange(e *raftpb.Entry) (record.Batch, error) {
	if e.GetIndex() != c.tip.index+1 || e.GetTerm() > math.MaxInt32 {
		return nil, fmt.Errorf("raft: the empty entry %d of term %d does not follow entry %d", e.GetIndex(), e.GetTerm(), c.tip.index)
	}
	var voters, granting []int32
	for i := range c.voters.Voters {
		key := keyOf(&c.voters.Voters[i])
		voters = append(voters, key.NodeID)
		if c.grantTerm == e.GetTerm() && c.granting[key.RaftID()] {
			granting = append(granting, key.NodeID)
		}
	}
	return newLeaderChangeBatch(c.tip, int32(e.GetTerm()), c.nowMs(), c.self.NodeID, voters, granting)
}

// batchOf returns the batch of a registered entry.
func (c *core) batchOf(e *raftpb.Entry) (record.Batch, error) {
	if batch := c.own[e.GetIndex()]; batch != nil && uint64(batch.LeaderEpoch()) == e.GetTerm() {
		return batch, nil
	}
	if len(e.GetData()) > 0 {
		return e.GetData(), nil
	}
	stored, err := c.store.Entries(e.GetIndex(), e.GetIndex()+1, 0)
	if err != nil {
		return nil, fmt.Errorf("raft: the batch of entry %d: %w", e.GetIndex(), err)
	}
	return stored[0].GetData(), nil
}

func (c *core) collectApply(m *Message) error {
	task := &applyTask{responses: m.GetResponses()}
	for _, e := range m.GetEntries() {
		batch, err := c.batchOf(e)
		if err != nil {
			return err
		}
		task.entries = append(task.entries, entry{e.GetIndex(), batch})
		if at, found := c.findParked(e.GetIndex()); found {
			c.watch.committed(c.parked[at].at)
		}
	}
	c.toApply = append(c.toApply, task)
	return nil
}

func (c *core) collectSend(m *Message) error {
	converted, err := c.convert(m)
	if err == nil {
		c.toSend = append(c.toSend, converted)
	}
	return err
}

func (c *core) convertAll(messages []*Message) ([]*Message, error) {
	list := make([]*Message, len(messages))
	for i, m := range messages {
		var err error
		if list[i], err = c.convert(m); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// convert replaces the entries of a message to another voter by their batches.
// Raft's message is not modified.
func (c *core) convert(m *Message) (*Message, error) {
	if m.GetType() != raftpb.MsgApp || len(m.GetEntries()) == 0 {
		return m, nil
	}
	entries := make([]*raftpb.Entry, len(m.GetEntries()))
	for i, e := range m.GetEntries() {
		batch, err := c.batchOf(e)
		if err != nil {
			return nil, err
		}
		if entries[i], err = raftEntry(e.GetIndex(), batch); err != nil {
			return nil, err
		}
	}
	return &Message{
		Type: m.Type, To: m.To, From: m.From, Term: m.Term, LogTerm: m.LogTerm, Index: m.Index,
		Commit: m.Commit, Entries: entries,
	}, nil
}
