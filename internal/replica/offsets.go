package replica

import (
	"fmt"

	"ottla/internal/storage"
)

// The special timestamps of ListOffsets.
const (
	Latest                int64 = -1
	Earliest              int64 = -2
	MaxTimestamp          int64 = -3
	EarliestLocal         int64 = -4
	LatestTiered          int64 = -5
	EarliestPendingUpload int64 = -6
)

// Offset is an answer of ListOffsets. All fields are -1 if nothing was found.
type Offset struct {
	Offset, Timestamp int64
	LeaderEpoch       int32
}

// noOffset means that no record matches.
var noOffset = Offset{Offset: -1, Timestamp: -1, LeaderEpoch: NoEpoch}

// EpochEnd is the end of a leader epoch: the first offset of the next epoch.
// Both fields are -1 if the log has no epoch that is at most as high as the
// requested one.
type EpochEnd struct {
	LeaderEpoch int32
	EndOffset   int64
}

// ListOffset looks up an offset by timestamp (ms) or by one of the constants
// above. i is the reader's isolation; replicas and tools use LogEnd.
//
// A record at or above the limit of the isolation counts as not found. While
// the high watermark is below the start of the leader's epoch, consumers get
// ErrOffsetNotAvailable for offsets in between (P10). There is no tiered
// storage, so EarliestLocal equals Earliest, and LatestTiered and
// EarliestPendingUpload find nothing.
func (p *Partition) ListOffset(timestamp int64, i Isolation, currentLeaderEpoch int32) (Offset, error) {
	s, err := p.checkLeader(currentLeaderEpoch)
	if err != nil {
		return noOffset, err
	}
	at := p.progress(s.leaderEpoch)
	var behind error
	if i != LogEnd && at.HighWatermark < s.epochStart {
		behind = fmt.Errorf("%w: the high watermark %d of %s-%d is below the start %d of epoch %d", ErrOffsetNotAvailable, at.HighWatermark, p.tp.Topic, p.tp.Partition, s.epochStart, s.leaderEpoch)
	}
	switch timestamp {
	case Latest:
		if behind != nil {
			return noOffset, behind
		}
		return Offset{Offset: at.Limit(i), Timestamp: -1, LeaderEpoch: s.leaderEpoch}, nil
	case Earliest, EarliestLocal:
		return Offset{Offset: at.LogStart, Timestamp: -1, LeaderEpoch: p.log.EpochAt(at.LogStart)}, nil
	case LatestTiered, EarliestPendingUpload:
		return noOffset, nil
	}
	found, ok, err := p.lookUp(timestamp)
	switch {
	case err != nil:
		return noOffset, err
	case !ok || found.Offset >= at.Limit(i):
		return noOffset, behind
	}
	return Offset{Offset: found.Offset, Timestamp: found.Timestamp, LeaderEpoch: found.LeaderEpoch}, nil
}

func (p *Partition) lookUp(timestamp int64) (storage.TimestampOffset, bool, error) {
	if timestamp == MaxTimestamp {
		return p.log.MaxTimestamp()
	}
	return p.log.OffsetForTimestamp(timestamp)
}

// OffsetForLeaderEpoch returns the end of the given epoch, or of the highest
// lower epoch in the log (KIP-101, KIP-320).
func (p *Partition) OffsetForLeaderEpoch(epoch, currentLeaderEpoch int32) (EpochEnd, error) {
	if _, err := p.checkLeader(currentLeaderEpoch); err != nil {
		return EpochEnd{-1, -1}, err
	}
	found, end := p.log.EpochEnd(epoch)
	return EpochEnd{LeaderEpoch: found, EndOffset: end}, nil
}

// Producers lists the idempotent producers with a state in the partition.
func (p *Partition) Producers() ([]storage.ProducerState, error) {
	if _, err := p.checkLeader(NoEpoch); err != nil {
		return nil, err
	}
	return p.log.Producers(), nil
}

// DeleteRecords moves the log start up to offset, or to the high watermark for
// -1, and returns the new low watermark. It returns ErrPolicyViolation if the
// topic's cleanup.policy is not delete, and storage.ErrOffsetOutOfRange for an
// offset above the high watermark (P11).
func (p *Partition) DeleteRecords(offset int64) (lowWatermark int64, err error) {
	s, err := p.checkLeader(NoEpoch)
	if err != nil {
		return -1, err
	}
	if !s.config.Delete {
		return -1, fmt.Errorf("%w: the cleanup.policy of %s does not allow to delete records", ErrPolicyViolation, p.tp.Topic)
	}
	hw := p.hw.Load()
	if offset == -1 {
		offset = hw
	}
	if offset < 0 || offset > hw {
		return -1, fmt.Errorf("%w: %d is above the high watermark %d of %s-%d", storage.ErrOffsetOutOfRange, offset, hw, p.tp.Topic, p.tp.Partition)
	}
	if err := p.log.IncrementStartOffset(offset); err != nil {
		return -1, err
	}
	p.wake(ReadUncommitted)
	return p.log.StartOffset(), nil
}
