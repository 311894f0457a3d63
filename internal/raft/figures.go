package raft

import (
	"math"
	"time"

	etcd "go.etcd.io/raft/v3"

	"ottla/internal/metrics"
)

// State is the part that a node plays in the quorum, as Kafka's metric
// current-state names it.
type State string

// The states. Voted ones have voted for another voter in the epoch.
const (
	Leader           State = "leader"
	Candidate        State = "candidate"
	Prospective      State = "prospective" // asks whether it would be voted for (KIP-996)
	ProspectiveVoted State = "prospective-voted"
	Follower         State = "follower"
	Observer         State = "observer" // follows without being a voter
	Unattached       State = "unattached"
	UnattachedVoted  State = "unattached-voted"
)

// Figures are what there is to see of a node's part of the quorum (Kafka's
// raft-metrics). Rates, means and maxima are of the last 30 to 60 s.
type Figures struct {
	Status
	State State
	// Vote is for whom the node voted in the epoch, -1: for nobody.
	Vote int32
	// LogEndOffset is the offset after the last record in the log, LogEndEpoch
	// that record's epoch.
	LogEndOffset int64
	LogEndEpoch  int32
	// UnknownVoters have no endpoint on record.
	UnknownVoters int
	// VoterChange tells a leader's change of voters that is not committed.
	VoterChange bool
	// Appended and Fetched are records for each second that were written, as the
	// leader and as a follower.
	Appended, Fetched float64
	// CommitAvg and CommitMax are ms from the proposal of an entry, a batch of
	// records, until it is committed; ElectionAvg and ElectionMax from when the
	// node stands for an election until there is a leader. NaN: none was.
	CommitAvg, CommitMax     float64
	ElectionAvg, ElectionMax float64
	// Idle is how much of its time the node's goroutine waits for something to
	// do, 0 to 1.
	Idle float64
}

// watch gathers what Figures tell of. It is the core's and its driver's, and so
// is used by one goroutine; elapsed is Options.Elapsed.
type watch struct {
	elapsed           func() time.Duration
	appended, fetched metrics.Window // records
	commit, election  metrics.Window // ms
	idle, all         metrics.Window // seconds
	// electing is since when there is an election in which the node stands, -1
	// for none.
	electing time.Duration
	// loopAt is the last moment that idle and all know of.
	loopAt time.Duration
}

func newWatch(elapsed func() time.Duration) watch {
	return watch{elapsed: elapsed, electing: -1, loopAt: elapsed()}
}

// stands tells whether the node stands in an election, and whether there is a
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

// committed tells of a proposal that raft has committed.
func (w *watch) committed(proposed time.Duration) {
	now := w.elapsed()
	w.commit.Add(now, milliseconds(now-proposed))
}

// written tells of batches that are in the log now.
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

// turn tells that the loop has worked until now, or that it has waited.
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

// Figures tells how the node's part of the quorum does. Of a node that stopped
// it is a Status like that of Status, and nothing that it would have measured.
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

// state names what raft is in.
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
