package raft

import (
	"fmt"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// entryKind is the meaning of a batch to raft: 0 for an ordinary entry, one of
// these, or both (Kafka's first leader writes them together).
type entryKind int8

const (
	beginsTerm    entryKind = 1 << iota // LeaderChange: the empty entry that begins a term
	changesVoters                       // KRaftVoters: a change of the configuration
)

// newDataBatch makes the batch of a proposal. Offset and epoch are set when it
// is proposed; the CRC does not cover them. All records have the same
// timestamp, because Kafka's reader accepts only the timestamp delta 0. The
// record versions follow from the metadata.version, which a record of the batch
// may change.
func newDataBatch(nowMs int64, level int16, records []metadata.Message) (record.Batch, error) {
	b := record.NewBuilder(record.BuilderOptions{})
	var value []byte
	for _, m := range records {
		level = metadata.LevelAfter(level, m)
		value = metadata.AppendValueAt(value[:0], m, level)
		b.Append(nowMs, nil, value)
		if b.Size() > MaxBatchBytes {
			return nil, fmt.Errorf("%w: %d records", ErrTooLarge, len(records))
		}
	}
	return b.Build()
}

// newNoOpBatch makes the batch of an empty entry within a term. Raft replaces a
// change of voters that it refuses with such an entry.
func newNoOpBatch(at anchor, term int32, nowMs int64) (record.Batch, error) {
	batch, err := newDataBatch(nowMs, metadata.CurrentLevel, []metadata.Message{&metadata.NoOpRecord{}})
	if err == nil {
		stamp(batch, at.offset, term)
	}
	return batch, err
}

// stamp writes the fields that the leader sets: offset and epoch.
func stamp(batch record.Batch, baseOffset int64, term int32) {
	batch.SetBaseOffset(baseOffset)
	batch.SetLeaderEpoch(term)
}

// newLeaderChangeBatch makes the batch of the empty entry that begins a term.
// Kafka writes version 0, which has only node ids.
func newLeaderChangeBatch(at anchor, term int32, nowMs int64, leader int32, voters, granting []int32) (record.Batch, error) {
	m := metadata.LeaderChangeMessage{LeaderID: leader}
	for _, id := range voters {
		m.Voters = append(m.Voters, metadata.LeaderChangeVoter{VoterID: id})
	}
	for _, id := range granting {
		m.GrantingVoters = append(m.GrantingVoters, metadata.LeaderChangeVoter{VoterID: id})
	}
	o := record.BuilderOptions{BaseOffset: at.offset, LeaderEpoch: term}
	return record.ControlBatch(o, nowMs, record.ControlLeaderChange, m.AppendTo(nil, 0))
}

// newVotersBatch makes the batch of a change of voters.
func newVotersBatch(nowMs int64, voters *metadata.VotersRecord) (record.Batch, error) {
	return record.ControlBatch(record.BuilderOptions{}, nowMs, record.ControlKRaftVoters, voters.AppendTo(nil, 0))
}

// checkEntryBatch checks that bytes can be one entry: exactly one whole batch
// within the limits and with a valid checksum (P5).
func checkEntryBatch(data []byte) (record.Batch, error) {
	batch, rest, err := record.Next(data)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%d bytes follow the batch", len(rest))
	}
	return batch, checkBatch(batch)
}

// checkBatch does the same for a single batch.
func checkBatch(batch record.Batch) error {
	if err := batch.CheckCRC(); err != nil {
		return err
	}
	switch {
	case batch.LastOffsetDelta() < 0 || batch.BaseOffset() < 0:
		return fmt.Errorf("offset %d with the last delta %d", batch.BaseOffset(), batch.LastOffsetDelta())
	case batch.LeaderEpoch() < 0:
		return fmt.Errorf("leader epoch %d", batch.LeaderEpoch())
	case len(batch) > MaxBatchBytes:
		return fmt.Errorf("%d bytes, at most %d", len(batch), MaxBatchBytes)
	}
	return nil
}

// kindOf tells what a batch is to raft.
func kindOf(batch record.Batch) (entryKind, error) {
	if !batch.IsControl() {
		return 0, nil
	}
	var kind entryKind
	err := controlRecords(batch, func(t record.ControlType, _ []byte) error {
		switch t {
		case record.ControlLeaderChange:
			kind |= beginsTerm
		case record.ControlKRaftVoters:
			kind |= changesVoters
		}
		return nil
	})
	return kind, err
}

// controlRecords calls each with every record of a control batch.
func controlRecords(batch record.Batch, each func(record.ControlType, []byte) error) error {
	if batch.Compression() != record.None {
		return fmt.Errorf("the control batch at offset %d is compressed", batch.BaseOffset())
	}
	for r, err := range batch.Records(nil) {
		if err != nil {
			return err
		}
		t, err := record.ParseControlKey(r.Key)
		if err != nil {
			return err
		}
		if err := each(t, r.Value); err != nil {
			return err
		}
	}
	return nil
}

// votersOf returns the set of a batch that changes voters. If it has several,
// the last one counts.
func votersOf(batch record.Batch) (*metadata.VotersRecord, error) {
	var voters *metadata.VotersRecord
	err := controlRecords(batch, func(t record.ControlType, value []byte) error {
		if t != record.ControlKRaftVoters {
			return nil
		}
		voters = &metadata.VotersRecord{}
		return voters.Parse(value, 0)
	})
	if err == nil && voters == nil {
		err = fmt.Errorf("no voters in the control batch at offset %d", batch.BaseOffset())
	}
	if err == nil {
		err = checkVoters(voters)
	}
	return voters, err
}

// committed converts a batch to the form that the owner gets.
func committed(batch record.Batch, codecs *record.Codecs) (Committed, error) {
	c := Committed{
		BaseOffset: batch.BaseOffset(),
		LastOffset: batch.LastOffset(),
		Epoch:      batch.LeaderEpoch(),
		Timestamp:  batch.MaxTimestamp(),
	}
	if batch.IsControl() {
		err := controlRecords(batch, func(t record.ControlType, value []byte) error {
			if t != record.ControlLeaderChange {
				return nil
			}
			c.LeaderChange = &metadata.LeaderChangeMessage{}
			return c.LeaderChange.Parse(value, 0)
		})
		return c, err
	}
	var err error
	c.Records, err = dataRecords(nil, batch, codecs)
	return c, err
}

// dataRecords appends the metadata records of a data batch.
func dataRecords(dst []metadata.Message, batch record.Batch, codecs *record.Codecs) ([]metadata.Message, error) {
	for r, err := range batch.Records(codecs) {
		if err != nil {
			return dst, err
		}
		m, err := metadata.ParseValue(r.Value)
		if err != nil {
			return dst, fmt.Errorf("the record at offset %d: %w", r.Offset, err)
		}
		dst = append(dst, m)
	}
	return dst, nil
}
