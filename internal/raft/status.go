package raft

import (
	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"ottla/internal/metadata"
)

// Status is the content of DescribeQuorum.
type Status struct {
	// LeaderID is -1 when the leader is not known.
	LeaderID    int32
	LeaderEpoch int32
	// HighWatermark is the offset after the last committed record.
	HighWatermark int64
	// Voters are in the order of their node ids.
	Voters []VoterStatus
}

// VoterStatus is one voter as the leader sees it. Values that only the leader
// knows are -1 on other nodes.
type VoterStatus struct {
	NodeID int32
	// DirectoryID is zero when the voters are static: they have none.
	DirectoryID metadata.UUID
	Endpoints   []metadata.VoterEndpoint
	// LogEndOffset is the offset after the last record in the voter's log.
	LogEndOffset int64
	// LastFetch and LastCaughtUp are wall clock times in ms: when the voter
	// last sent a message, and when it last had the whole log.
	LastFetch, LastCaughtUp int64
}

// Status describes the quorum as this node knows it. For a stopped node it is
// the zero Status with the leader -1.
func (n *Node) Status() Status {
	s := Status{LeaderID: -1}
	// The error can only be that the node stopped.
	_ = n.do(func(c *core) error {
		s = c.status()
		return nil
	})
	return s
}

func (c *core) status() Status {
	basic := c.raw.BasicStatus()
	s := Status{LeaderID: c.leader, LeaderEpoch: c.epoch, HighWatermark: c.applied.offset}
	if at, ok := c.store.at(basic.GetCommit()); ok {
		s.HighWatermark = at.offset
	}
	match := map[uint64]uint64{}
	if basic.RaftState == etcd.StateLeader {
		c.raw.WithProgress(func(id uint64, _ etcd.ProgressType, pr tracker.Progress) { match[id] = pr.Match })
	}
	for i := range c.voters.Voters {
		s.Voters = append(s.Voters, c.voterStatus(&c.voters.Voters[i], match))
	}
	return s
}

func (c *core) voterStatus(v *metadata.Voter, match map[uint64]uint64) VoterStatus {
	s := VoterStatus{
		NodeID: v.VoterID, DirectoryID: v.VoterDirectoryID, Endpoints: v.Endpoints,
		LogEndOffset: -1, LastFetch: -1, LastCaughtUp: -1,
	}
	if c.static {
		s.DirectoryID = metadata.UUID{}
	}
	id := keyOf(v).RaftID()
	if id == c.id {
		s.LogEndOffset = c.store.end().offset
		s.LastFetch = c.nowMs()
		s.LastCaughtUp = s.LastFetch
		return s
	}
	if index, leads := match[id]; leads {
		if at, ok := c.store.at(index); ok {
			s.LogEndOffset = at.offset
		}
		if p := c.peers[id]; p != nil {
			s.LastFetch, s.LastCaughtUp = p.lastFetch, p.lastCaughtUp
		}
	}
	return s
}
