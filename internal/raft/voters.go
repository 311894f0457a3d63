package raft

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	etcd "go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
)

// ReplicaKey identifies a voter: a node and the disk that holds its vote. A
// node that lost its directory returns with another directory id. It is then
// another voter, which does not count until it is added (KIP-853).
type ReplicaKey struct {
	NodeID      int32
	DirectoryID metadata.UUID
}

// String returns the form that Kafka's tools use.
func (k ReplicaKey) String() string {
	return fmt.Sprintf("%d-%s", k.NodeID, metadata.FormatUUID(k.DirectoryID))
}

// RaftID is the voter's id in raft: the first 8 bytes of the SHA-256 of node id
// and directory id, hashed again if the result is reserved by raft (0 for none,
// the two highest for local threads). Node id 0 is an ordinary node.
func (k ReplicaKey) RaftID() uint64 {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(k.NodeID)), k.DirectoryID[:]...)
	for {
		sum := sha256.Sum256(b)
		if id := binary.BigEndian.Uint64(sum[:]); id != etcd.None && !etcd.IsLocalMsgTarget(id) {
			return id
		}
		b = sum[:]
	}
}

// keyOf is the key of a voter in its record.
func keyOf(v *metadata.Voter) ReplicaKey { return ReplicaKey{v.VoterID, v.VoterDirectoryID} }

// maxKRaftVersion is the highest kraft.version that this program serves.
const maxKRaftVersion = 1

// newVoters makes the first set of voters, in the order of node ids. Without
// initial voters it is this node alone.
func newVoters(o *Options) *metadata.VotersRecord {
	voters := slices.Clone(o.InitialVoters)
	if len(voters) == 0 {
		voters = []metadata.Voter{{
			VoterID:             o.NodeID,
			VoterDirectoryID:    o.DirectoryID,
			Endpoints:           o.Endpoints,
			KRaftVersionFeature: metadata.KRaftVersionFeature{MaxSupportedVersion: maxKRaftVersion},
		}}
	}
	slices.SortFunc(voters, func(a, b metadata.Voter) int { return int(int64(a.VoterID) - int64(b.VoterID)) })
	return &metadata.VotersRecord{Voters: voters}
}

// checkVoters refuses a set that contains a node twice or two voters with the
// same raft id.
func checkVoters(r *metadata.VotersRecord) error {
	if len(r.Voters) == 0 {
		return errors.New("the set of voters is empty")
	}
	nodes, ids := map[int32]bool{}, map[uint64]bool{}
	for i := range r.Voters {
		key := keyOf(&r.Voters[i])
		if key.NodeID < 0 || nodes[key.NodeID] || ids[key.RaftID()] {
			return fmt.Errorf("the voter %s is not valid or twice in the set", key)
		}
		nodes[key.NodeID], ids[key.RaftID()] = true, true
	}
	return nil
}

// findVoter returns the voter with a raft id, nil if there is none.
func findVoter(r *metadata.VotersRecord, id uint64) *metadata.Voter {
	for i := range r.Voters {
		if keyOf(&r.Voters[i]).RaftID() == id {
			return &r.Voters[i]
		}
	}
	return nil
}

// soleVoter tells whether key alone is the quorum.
func soleVoter(r *metadata.VotersRecord, key ReplicaKey) bool {
	return len(r.Voters) == 1 && keyOf(&r.Voters[0]) == key
}

// confState converts the set for raft: only voters, no joint configuration.
func confState(r *metadata.VotersRecord) *raftpb.ConfState {
	cs := &raftpb.ConfState{AutoLeave: new(false)}
	for i := range r.Voters {
		cs.Voters = append(cs.Voters, keyOf(&r.Voters[i]).RaftID())
	}
	slices.Sort(cs.Voters)
	return cs
}

// confChange returns the single change between two sets, nil if both have the
// same voters (an endpoint changed). Kafka has no record for a joint
// configuration, so more than one change at a time is an error (KIP-853).
func confChange(from, to *metadata.VotersRecord) (*raftpb.ConfChangeV2, error) {
	var changes []*raftpb.ConfChangeSingle
	change := func(kind raftpb.ConfChangeType, v *metadata.Voter) {
		changes = append(changes, &raftpb.ConfChangeSingle{Type: kind.Enum(), NodeId: new(keyOf(v).RaftID())})
	}
	for i := range from.Voters {
		if v := &from.Voters[i]; findVoter(to, keyOf(v).RaftID()) == nil {
			change(raftpb.ConfChangeRemoveNode, v)
		}
	}
	for i := range to.Voters {
		if v := &to.Voters[i]; findVoter(from, keyOf(v).RaftID()) == nil {
			change(raftpb.ConfChangeAddNode, v)
		}
	}
	switch len(changes) {
	case 0:
		return nil, nil
	case 1:
		return &raftpb.ConfChangeV2{Changes: changes}, nil
	}
	return nil, fmt.Errorf("the voters change in %d places at once, one is allowed", len(changes))
}
