package record

import (
	"encoding/binary"
	"fmt"
)

// ControlType is the kind of a control record. Its key is
//
//	0  version  int16  0
//	2  type     int16
//
// and its value is the message of that type; those of the quorum are laid out
// in package metadata, that of a transaction's end is EndTxnMarker.
type ControlType int16

// The control types; a reader skips those it does not know.
const (
	ControlAbort          ControlType = 0
	ControlCommit         ControlType = 1
	ControlLeaderChange   ControlType = 2
	ControlSnapshotHeader ControlType = 3
	ControlSnapshotFooter ControlType = 4
	ControlKRaftVersion   ControlType = 5
	ControlKRaftVoters    ControlType = 6
)

// String is the name as Kafka's tools print it.
func (t ControlType) String() string {
	names := [...]string{"ABORT", "COMMIT", "LEADER_CHANGE", "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER", "KRAFT_VERSION", "KRAFT_VOTERS"}
	if t < 0 || int(t) >= len(names) {
		return fmt.Sprintf("UNKNOWN(%d)", int16(t))
	}
	return names[t]
}

// Key is the key of a control record of that type.
func (t ControlType) Key() [4]byte {
	var key [4]byte
	binary.BigEndian.PutUint16(key[2:], uint16(t))
	return key
}

// ParseControlKey reads the key of a control record. A later version only adds
// fields, so that its type is read all the same.
func ParseControlKey(key []byte) (ControlType, error) {
	if len(key) < 4 {
		return 0, invalid(InvalidRecord, "the key of a control record has 4 bytes, but this one %d", len(key))
	}
	if version := int16(binary.BigEndian.Uint16(key)); version < 0 {
		return 0, invalid(InvalidRecord, "the key of a control record has the version %d", version)
	}
	return ControlType(binary.BigEndian.Uint16(key[2:])), nil
}

// ControlBatch makes a batch of one control record. o.Control is set for it.
func ControlBatch(o BuilderOptions, timestampMs int64, kind ControlType, value []byte) (Batch, error) {
	b := NewBuilder(o)
	b.AppendControl(timestampMs, kind, value)
	return b.Build()
}

// EndTxnMarker ends a producer's transaction in one partition. The value of
// its record is
//
//	0  version            int16  0
//	2  coordinator epoch  int32
type EndTxnMarker struct {
	Commit           bool
	CoordinatorEpoch int32
}

// Type is ControlCommit or ControlAbort.
func (m EndTxnMarker) Type() ControlType {
	if m.Commit {
		return ControlCommit
	}
	return ControlAbort
}

// Value is the value of the marker's record.
func (m EndTxnMarker) Value() []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0}, uint32(m.CoordinatorEpoch))
}

// EndTxnBatch makes the batch of a marker. o.Producer must be set, with
// NoSequence.
func EndTxnBatch(o BuilderOptions, timestampMs int64, m EndTxnMarker) (Batch, error) {
	o.Transactional = true
	return ControlBatch(o, timestampMs, m.Type(), m.Value())
}

// ParseEndTxnMarker reads the record of a control batch as a marker.
func ParseEndTxnMarker(r *Record) (EndTxnMarker, error) {
	kind, err := ParseControlKey(r.Key)
	if err != nil {
		return EndTxnMarker{}, err
	}
	if kind != ControlCommit && kind != ControlAbort {
		return EndTxnMarker{}, invalid(InvalidRecord, "the control record at offset %d is a %s, not the end of a transaction", r.Offset, kind)
	}
	if len(r.Value) < 6 || int16(binary.BigEndian.Uint16(r.Value)) < 0 {
		return EndTxnMarker{}, invalid(InvalidRecord, "the end of a transaction at offset %d has a malformed value of %d bytes", r.Offset, len(r.Value))
	}
	return EndTxnMarker{Commit: kind == ControlCommit, CoordinatorEpoch: int32(binary.BigEndian.Uint32(r.Value[2:]))}, nil
}
