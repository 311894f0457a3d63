package raft

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// propose passes a batch to raft and returns the offset of its last record.
// term is the term in which its records were decided. done receives nil once
// the batch is applied, or an error when it is no longer known whether it will
// be applied. done must be buffered.
//
// Term and leadership are checked here, right before raft gets the batch, and
// nothing is proposed before the owner got the first entry of the term. So a
// decision based on the state of one term is never appended in another (rule
// 8).
func (c *core) propose(term int32, batch record.Batch, done chan<- error) (int64, error) {
	if !c.active() || uint64(term) != c.leads {
		return -1, ErrNotLeader
	}
	return c.append(batch, &raftpb.Entry{Data: batch}, done)
}

// proposeVoters proposes another set of voters, which differs from the current
// one in at most one voter. Only one change may be pending, because a restarted
// voter treats every change in its log except the last as committed
// (store.InitialState).
func (c *core) proposeVoters(term int32, voters *metadata.VotersRecord, done chan<- error) (int64, error) {
	if !c.active() || uint64(term) != c.leads {
		return -1, ErrNotLeader
	}
	if c.static {
		return -1, errors.New("raft: the voters are those of controller.quorum.voters (kraft.version 0)")
	}
	if c.pendingVoters > c.applied.index {
		return -1, fmt.Errorf("%w: another change of voters is not applied yet", ErrBusy)
	}
	if err := checkVoters(voters); err != nil {
		return -1, err
	}
	batch, err := newVotersBatch(c.nowMs(), voters)
	if err != nil {
		return -1, err
	}
	e := &raftpb.Entry{Data: batch}
	change, err := confChange(c.voters, voters)
	if err != nil {
		return -1, err
	}
	if change != nil { // otherwise only an endpoint changed, which does not concern raft
		t, data, err := raftpb.MarshalConfChange(change)
		if err != nil {
			return -1, err
		}
		e = &raftpb.Entry{Type: t.Enum(), Data: data}
	}
	offset, err := c.append(batch, e, done)
	if err == nil {
		c.pendingVoters = c.tip.index
	}
	return offset, err
}

// updateEndpoints proposes the voters with this node's current endpoints, if
// others are recorded. A new Kafka leader does the same.
func (c *core) updateEndpoints() {
	if c.static {
		return
	}
	voters := slices.Clone(c.voters.Voters)
	for i := range voters {
		v := &voters[i]
		if keyOf(v) == c.self && len(c.endpoints) > 0 && !reflect.DeepEqual(v.Endpoints, c.endpoints) {
			v.Endpoints = c.endpoints
			// If it fails, or is lost with the leadership, this node tries
			// again the next time it leads.
			_, _ = c.proposeVoters(int32(c.leads), &metadata.VotersRecord{Voters: voters}, make(chan error, 1))
			return
		}
	}
}

// append stamps a batch with the next offset and passes its entry to raft.
func (c *core) append(batch record.Batch, e *raftpb.Entry, done chan<- error) (int64, error) {
	if len(c.parked) >= maxParked {
		return -1, ErrBusy
	}
	stamp(batch, c.tip.offset, int32(c.leads))
	err := c.raw.Step(&Message{Type: raftpb.MsgProp.Enum(), From: new(c.id), Entries: []*raftpb.Entry{e}})
	if errors.Is(err, etcd.ErrProposalDropped) {
		return -1, ErrBusy
	}
	if err != nil {
		return -1, err
	}
	c.tip = anchor{c.tip.index + 1, int32(c.leads), batch.NextOffset()}
	c.own[c.tip.index] = batch
	c.parked = append(c.parked, parkedProposal{c.tip.index, done, c.watch.elapsed()})
	return batch.LastOffset(), nil
}
