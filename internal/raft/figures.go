package raft

import (
	"math"
	"time"

	etcd "go.etcd.io/raft/v3"

	"ottla/internal/metrics"
)

// State is the role of a node in the quorum, named as in Kafka's metric
// current-state.
type State string

// The states. In the voted states the node has voted for another voter in the
// epoch.
const (
	Leader           State = "leader"
	Candidate        State = "candidate"
	Prospective      State = "prospective" // asks whether it would be voted for (KIP-996)
	ProspectiveVoted State = "prospective-voted"
	Follower         State = "follower"
	Observer         State = "observer" // follows, but is not a voter
	Unattached       State = "unattached"
	UnattachedVoted  State = "unattached-voted"
)

// Figures are the metrics of a node's part of the quorum (Kafka's
// raft-metrics). Rates, means and maxima cover the last 30 to 60 s.
type Figures struct {
	Status
	State State
	// Vote is the node id that the node voted for in the epoch, -1 for none.
	Vote int32
	// LogEndOffset is the offset after the last record in the log, LogEndEpoch
	// that record's epoch.
	LogEndOffset int64
	LogEndEpoch  int32
	// UnknownVoters is the number of voters without a recorded endpoint.
	UnknownVoters int
	// VoterChange is true while a change of voters by this leader is not
	// committed.
	VoterChange bool
	// Appended and Fetched are the records written per second, as the leader
	// and as a follower.
	Appended, Fetched float64
	// CommitAvg and CommitMax are ms from the proposal of an entry, a batch of
	// records, until it is committed; ElectionAvg and ElectionMax are ms from
	// the moment the node becomes a candidate until a leader is known. NaN: no
	// such event.
	CommitAvg, CommitMax     float64
	ElectionAvg, ElectionMax float64
	// Idle is the fraction of time that the node's goroutine waits for work, 0
	// to 1.
	Idle float64
}

// watch collects the values of Figures. Only the core and its driver use it, so
// it is used by one goroutine. elapsed is Options.Elapsed.
type watch struct {
	elapsed           func() time.Duration
	appended, fetched metrics.Window // records
	commit, election  metrics.Window // ms
	idle, all         metrics.Window // seconds
	// electing is the start of the election in which the node is a candidate,
	// -1 for none.
	electing time.Duration
	// loopAt is the time up to which idle and all are counted.
	loopAt time.Duration
}

func newWatch(elapsed func() time.Duration) watch {
	return watch{elapsed: elapsed, electing: -1, loopAt: elapsed()}
}

// stands records whether the node is a candidate, and whether there is a
// leader.
func (w *watch) stands(candidate, led bool) {
	switch {
	case candidate && w.electing < 0:
		w.electing = w.elapsed()
	case led && w.electing >= 0:
		now := w.elapsed()
		w.election.Add(now, milliseconds(now-w.electing))
		w.electing = -1
	}
}

// committed records a proposal that raft has committed.
func (w *watch) committed(proposed time.Duration) {
	now := w.elapsed()
	w.commit.Add(now, milliseconds(now-proposed))
}

// written records batches that were written to the log.
func (w *watch) written(tasks []*saveTask) {
	now := w.elapsed()
	for _, task := range tasks {
		if task.appended > 0 {
			w.appended.Add(now, float64(task.appended))
		}
		if task.fetched > 0 {
			w.fetched.Add(now, float64(task.fetched))
		}
	}
}

// turn records that the loop has worked until now, or that it has waited.
func (w *watch) turn(waited bool) {
	now := w.elapsed()
	took := (now - w.loopAt).Seconds()
	w.all.Add(now, took)
	if waited {
		w.idle.Add(now, took)
	}
	w.loopAt = now
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Figures returns the metrics of the node's part of the quorum. For a stopped
// node only Status is set, as by the method Status.
func (n *Node) Figures() Figures {
	f := Figures{Status: Status{LeaderID: -1}, State: Unattached, Vote: -1, CommitAvg: math.NaN(), CommitMax: math.NaN(), ElectionAvg: math.NaN(), ElectionMax: math.NaN()}
	// The error can only be that the node stopped.
	_ = n.do(func(c *core) error {
		f = c.figures()
		return nil
	})
	return f
}

func (c *core) figures() Figures {
	w, now := &c.watch, c.watch.elapsed()
	end := c.store.end()
	f := Figures{
		Status: c.status(), State: c.state(), Vote: -1, LogEndOffset: end.offset, LogEndEpoch: end.term,
		VoterChange: c.leads != 0 && c.pendingVoters > c.applied.index,
		Appended:    w.appended.Rate(now), Fetched: w.fetched.Rate(now),
		CommitAvg: w.commit.Avg(now), CommitMax: w.commit.Max(now), ElectionAvg: w.election.Avg(now), ElectionMax: w.election.Max(now),
		Idle: 1,
	}
	if vote := c.raw.BasicStatus().GetVote(); vote != etcd.None {
		if key, err := c.keyOf(vote); err == nil {
			f.Vote = key.NodeID
		}
	}
	for _, v := range f.Voters {
		if len(v.Endpoints) == 0 {
			f.UnknownVoters++
		}
	}
	if all := w.all.Sum(now); all > 0 {
		f.Idle = w.idle.Sum(now) / all
	}
	return f
}

// state returns raft's current state.
func (c *core) state() State {
	status := c.raw.BasicStatus()
	voted := status.GetVote() != etcd.None
	switch {
	case status.RaftState == etcd.StateLeader:
		return Leader
	case status.RaftState == etcd.StateCandidate:
		return Candidate
	case status.RaftState == etcd.StatePreCandidate && voted:
		return ProspectiveVoted
	case status.RaftState == etcd.StatePreCandidate:
		return Prospective
	case status.Lead != etcd.None && findVoter(c.voters, c.id) == nil:
		return Observer
	case status.Lead != etcd.None:
		return Follower
	case voted:
		return UnattachedVoted
	}
	return Unattached
}
