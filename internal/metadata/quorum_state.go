package metadata

import (
	"encoding/json"
	"fmt"
)

// QuorumState is the content of the file quorum-state in the metadata log's
// folder: the term and the vote of this node, which must be on disk before the
// node sends an answer (M2). Kafka keeps it as one line of JSON.
type QuorumState struct {
	// LeaderID is the leader of the epoch, -1 if it is not known.
	LeaderID int32 `json:"leaderId"`
	// LeaderEpoch is the epoch, raft's term.
	LeaderEpoch int32 `json:"leaderEpoch"`
	// VotedID is the node that this node voted for in the epoch, -1 for none.
	VotedID int32 `json:"votedId"`
	// VotedDirectoryID is the directory id of that node (KIP-853). Version 0
	// has none.
	VotedDirectoryID UUID `json:"-"`
	// Version is 1 with kraft.version 1, and 0 with kraft.version 0, where the
	// voters are in controller.quorum.voters.
	Version int16 `json:"-"`
	// Voters are the node ids of the voters, in version 0 only.
	Voters []int32 `json:"-"`
}

// quorumStateFile is the JSON form. Version 0 also has a clusterId and an
// appliedOffset, which Kafka leaves at "" and 0.
type quorumStateFile struct {
	QuorumState
	VotedDirectoryID *string            `json:"votedDirectoryId"`
	CurrentVoters    []quorumStateVoter `json:"currentVoters"`
	DataVersion      *int16             `json:"data_version"`
}

type quorumStateVoter struct {
	VoterID int32 `json:"voterId"`
}

// Append appends the file's content in version s.Version.
func (s QuorumState) Append(dst []byte) []byte {
	if s.Version == 0 {
		dst = fmt.Appendf(dst, `{"clusterId":"","leaderId":%d,"leaderEpoch":%d,"votedId":%d,"appliedOffset":0,"currentVoters":[`, s.LeaderID, s.LeaderEpoch, s.VotedID)
		for i, id := range s.Voters {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = fmt.Appendf(dst, `{"voterId":%d}`, id)
		}
		return append(dst, `],"data_version":0}`...)
	}
	return fmt.Appendf(dst, `{"leaderId":%d,"leaderEpoch":%d,"votedId":%d,"votedDirectoryId":"%s","data_version":1}`,
		s.LeaderID, s.LeaderEpoch, s.VotedID, FormatUUID(s.VotedDirectoryID))
}

// ParseQuorumState parses the file's content in version 0 or 1. Errors wrap
// ErrMalformed.
func ParseQuorumState(content []byte) (QuorumState, error) {
	f := quorumStateFile{QuorumState: QuorumState{LeaderID: -1, LeaderEpoch: -1, VotedID: -1}}
	if err := json.Unmarshal(content, &f); err != nil {
		return QuorumState{}, fmt.Errorf("%w: quorum-state: %w", ErrMalformed, err)
	}
	if f.DataVersion == nil || *f.DataVersion < 0 || *f.DataVersion > 1 {
		return QuorumState{}, fmt.Errorf("%w: quorum-state: data_version is missing or not 0 or 1", ErrMalformed)
	}
	if f.LeaderEpoch < 0 {
		return QuorumState{}, fmt.Errorf("%w: quorum-state: leaderEpoch is missing or negative", ErrMalformed)
	}
	if *f.DataVersion == 0 {
		for _, v := range f.CurrentVoters {
			f.Voters = append(f.Voters, v.VoterID)
		}
		return f.QuorumState, nil
	}
	if f.VotedDirectoryID == nil {
		return QuorumState{}, fmt.Errorf("%w: quorum-state: votedDirectoryId is missing", ErrMalformed)
	}
	id, err := ParseUUID(*f.VotedDirectoryID)
	if err != nil {
		return QuorumState{}, fmt.Errorf("%w: quorum-state: votedDirectoryId: %w", ErrMalformed, err)
	}
	s := f.QuorumState
	s.VotedDirectoryID, s.Version = id, 1
	return s, nil
}
