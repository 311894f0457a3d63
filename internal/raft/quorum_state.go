package raft

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

// quorumStateFile is the name of Kafka's file with term and vote.
const quorumStateFile = "quorum-state"

// quorumState is the file quorum-state: the term and the vote, which must be
// durable together before any message reveals them (M2). It is Kafka's file,
// with leaderId always -1: the leader is found again after a restart.
type quorumState struct {
	fs   vfs.FS
	file string
	// found is true if the file existed when it was opened.
	found bool
	epoch int32
	vote  ReplicaKey
	voted bool
	// static is true if the voters are in the configuration (kraft.version 0),
	// not in the log. The file then has data version 0, like Kafka's.
	static bool
	// listed are the node ids of the voters in a file of data version 0.
	listed []int32
}

// openQuorumState reads the file. A missing file means epoch 0 without a vote.
func openQuorumState(fsys vfs.FS, folder string) (*quorumState, error) {
	s := &quorumState{fs: fsys, file: filepath.Join(folder, quorumStateFile)}
	content, err := vfs.ReadFile(fsys, s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	q, err := metadata.ParseQuorumState(content)
	if err != nil {
		return nil, &CorruptError{File: s.file, Offset: -1, Reason: err.Error()}
	}
	s.found = true
	s.epoch = q.LeaderEpoch
	s.static, s.listed = q.Version == 0, q.Voters
	if q.VotedID >= 0 {
		s.voted = true
		s.vote = ReplicaKey{q.VotedID, q.VotedDirectoryID}
	}
	return s, nil
}

// save makes epoch and vote durable if one of them changed (a nil vote is
// none). The epoch never decreases, and within an epoch a vote never changes
// (M2): such a request is an error and writes nothing.
func (s *quorumState) save(epoch int32, vote *ReplicaKey) error {
	next := ReplicaKey{}
	if vote != nil {
		next = *vote
	}
	voted := vote != nil
	if s.epoch == epoch && s.voted == voted && s.vote == next {
		return nil
	}
	if epoch < s.epoch || epoch == s.epoch && s.voted {
		return fmt.Errorf("raft: %s: epoch %d with the vote %v (%t) may not follow epoch %d with %v (%t)",
			s.file, epoch, next, voted, s.epoch, s.vote, s.voted)
	}
	q := metadata.QuorumState{LeaderID: -1, LeaderEpoch: epoch, VotedID: -1, Version: 1}
	if s.static {
		q.Version, q.Voters = 0, s.listed
	}
	if voted {
		q.VotedID, q.VotedDirectoryID = next.NodeID, next.DirectoryID
	}
	if err := vfs.WriteFileAtomic(s.fs, s.file, q.Append(nil), 0o644); err != nil {
		return noRoom(err)
	}
	s.epoch, s.vote, s.voted, s.found = epoch, next, voted, true
	return nil
}
