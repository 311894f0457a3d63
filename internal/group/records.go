package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
)

// recordType is what a record of __consumer_offsets is about: the int16 that its
// key begins with. Its value begins with the version of its layout, an int16,
// too.
type recordType int16

// The types of records, by the names of Kafka's schemas.
const (
	legacyOffsetCommit                   recordType = 0
	offsetCommit                         recordType = 1
	groupMetadata                        recordType = 2
	consumerGroupMetadata                recordType = 3
	consumerGroupPartitionMetadata       recordType = 4
	consumerGroupMemberMetadata          recordType = 5
	consumerGroupTargetAssignmentMeta    recordType = 6
	consumerGroupTargetAssignmentMember  recordType = 7
	consumerGroupCurrentMemberAssignment recordType = 8
	consumerGroupRegularExpression       recordType = 16
)

// fold applies one record of a type.
type fold func(m *Machine, r coordinator.Record, o coordinator.Origin) error

// folds has a row for each type that is served. A type without one was written
// by a Kafka broker for groups of another kind: it is named and skipped.
var folds = map[recordType]fold{
	legacyOffsetCommit: (*Machine).applyOffset,
	offsetCommit:       (*Machine).applyOffset,
	groupMetadata:      (*Machine).applyGroupMetadata,

	consumerGroupMetadata:                (*Machine).applyConsumerGroup,
	consumerGroupPartitionMetadata:       (*Machine).applyPartitionMetadata,
	consumerGroupMemberMetadata:          (*Machine).applyConsumerMember,
	consumerGroupTargetAssignmentMeta:    (*Machine).applyTargetMetadata,
	consumerGroupTargetAssignmentMember:  (*Machine).applyTargetMember,
	consumerGroupCurrentMemberAssignment: (*Machine).applyCurrentAssignment,
	consumerGroupRegularExpression:       (*Machine).applyRegex,
}

// errShort says that a record ends before its fields do.
var errShort = errors.New("it is shorter than its fields")

// Apply folds a record of any type.
func (m *Machine) Apply(r coordinator.Record, o coordinator.Origin) error {
	if len(r.Key) < 2 {
		return fmt.Errorf("key of %d bytes: %w", len(r.Key), errShort)
	}
	kind := recordType(binary.BigEndian.Uint16(r.Key))
	apply := folds[kind]
	if apply == nil {
		return fmt.Errorf("record type %d is unknown", kind)
	}
	if r.Value != nil && len(r.Value) < 2 {
		return fmt.Errorf("value of a record of type %d: %w", kind, errShort)
	}
	if err := apply(m, r, o); err != nil {
		return fmt.Errorf("record of type %d: %w", kind, err)
	}
	return nil
}

// groupMetadataKey is the key of the record that holds a classic group.
func groupMetadataKey(group string) []byte {
	key := kmsg.NewGroupMetadataKey()
	key.Version, key.Group = int16(groupMetadata), group
	return key.AppendTo(nil)
}
