package raft

import (
	"math"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

// TestFigures checks the figures of a single voter: the election at its start,
// a batch that a slow disk delays, and the figures two minutes later.
func TestFigures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const toElect, toCommit = 40 * time.Millisecond, 1500 * time.Millisecond
		o := testOptions(nil)
		o.Tick = 100 * time.Millisecond
		faults := vfs.NewFault(vfs.NewMem())
		o.FS = faults
		owner := newOwner()
		n, err := open(o, testLog)
		if err != nil {
			t.Fatal(err)
		}
		faults.Add(vfs.Rule{Op: vfs.OpSync, Path: quorumStateFile, Count: 1, Delay: toElect})
		if err := n.Start(owner.apply); err != nil {
			t.Fatal(err)
		}
		term := untilLeads(n, owner)
		faults.Add(vfs.Rule{Op: vfs.OpSync, Path: ".log", Count: 1, Delay: toCommit})
		if _, done := n.Propose(term, metadata.CurrentLevel, topics("a", "b", "c")); <-done != nil {
			t.Fatal("not committed")
		}
		f := n.Figures()
		if f.LeaderID != 1 || len(f.Voters) != 1 || f.State != Leader || f.Vote != 1 || f.LogEndOffset != 4 || f.LogEndEpoch != 1 || f.UnknownVoters != 0 || f.VoterChange {
			t.Errorf("%+v", f)
		}
		if f.CommitAvg != milliseconds(toCommit) || f.CommitMax != f.CommitAvg || f.ElectionAvg != milliseconds(toElect) || f.ElectionMax != f.ElectionAvg {
			t.Errorf("a commit of %v and %v ms, an election of %v and %v ms", f.CommitAvg, f.CommitMax, f.ElectionAvg, f.ElectionMax)
		}
		if records := f.Appended * (30*time.Second + o.Elapsed()).Seconds(); math.Abs(records-4) > 1e-6 || f.Fetched != 0 {
			t.Errorf("%v records appended, %v fetched per second", records, f.Fetched)
		}
		<-time.After(2 * time.Minute) // in the bubble's time
		if f = n.Figures(); !math.IsNaN(f.CommitAvg) || !math.IsNaN(f.CommitMax) || !math.IsNaN(f.ElectionAvg) || !math.IsNaN(f.ElectionMax) || f.Appended != 0 || f.Idle != 1 {
			t.Errorf("later: %+v", f)
		}
		const work = 10 * time.Second
		if err := n.do(func(*core) error { <-time.After(work); return nil }); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		now := o.Elapsed()
		told := now%(30*time.Second) + 30*time.Second
		if f, want := n.Figures(), 1-work.Seconds()/told.Seconds(); math.Abs(f.Idle-want) > 0.01 {
			t.Errorf("idle for %v of the time, want %v", f.Idle, want)
		}
		closeNode(t, n)
		if f = n.Figures(); f.LeaderID != -1 || f.State != Unattached || f.Vote != -1 || !math.IsNaN(f.CommitAvg) {
			t.Errorf("closed: %+v", f)
		}
	})
}

// TestStates checks the states of three voters during an election, and the
// figures of the leader's writes and the followers' fetches.
func TestStates(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 11)
	c := newCluster(t, 11, 3, 0)
	states := func() (all []State) {
		for _, n := range c.nodes {
			all = append(all, n.core.state())
		}
		return all
	}
	want := func(all ...State) {
		t.Helper()
		if got := states(); !slices.Equal(got, all) {
			t.Fatalf("the voters are %v, want %v", got, all)
		}
	}
	first := c.nodes[0]
	until := func(all ...State) {
		t.Helper()
		for range 1000 {
			if slices.Equal(states(), all) {
				return
			}
			for _, n := range c.nodes {
				c.save(n)
			}
			c.deliver() // in order, without loss
		}
		want(all...)
	}
	want(Unattached, Unattached, Unattached)
	for first.core.state() == Unattached {
		first.core.tick()
		c.after(first)
	}
	want(Prospective, Unattached, Unattached)
	until(Candidate, Unattached, Unattached)
	until(Candidate, UnattachedVoted, UnattachedVoted)
	if f := c.nodes[1].core.figures(); f.Vote != 0 || f.UnknownVoters != 3 || f.LeaderID != -1 {
		t.Errorf("who voted: %+v", f)
	}
	c.nowMs += 25
	c.settle()
	want(Leader, Follower, Follower)
	for range 3 {
		c.propose(first)
	}
	c.settle()
	leader := first.core.figures()
	if !(leader.ElectionAvg >= 25) || leader.Fetched != 0 || !(leader.Appended > 0) || !(leader.CommitAvg > 0) || leader.CommitAvg > leader.CommitMax {
		t.Errorf("the leader: %+v", leader)
	}
	for _, n := range c.nodes[1:] {
		f := n.core.figures()
		if f.Fetched != leader.Appended || f.Appended != 0 || !math.IsNaN(f.CommitAvg) || !math.IsNaN(f.ElectionAvg) || f.LogEndOffset != leader.LogEndOffset || f.LogEndEpoch != 1 {
			t.Errorf("%s: %+v, the leader %+v", n.key, f, leader)
		}
	}

	voters := without(first.core.voters, 2)
	done := make(chan error, 1)
	if _, err := first.core.proposeVoters(first.core.epoch, voters, done); err != nil {
		t.Fatal(err)
	}
	if !first.core.figures().VoterChange {
		t.Error("a pending change of voters is not reported")
	}
	c.after(first)
	if err := c.commit(done); err != nil {
		t.Fatal(err)
	}
	if f := first.core.figures(); f.VoterChange || len(f.Voters) != 2 {
		t.Errorf("after a change of voters: %+v", f)
	}
}
