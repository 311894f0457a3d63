package group

import (
	"fmt"
	"slices"

	"ottla/internal/coordinator"
	"ottla/internal/group/assignor"
	"ottla/internal/schema"
)

// foldedGroup is the consumer group that a record belongs to. It is nil for a tombstone
// of a group that is not there; a record makes the group, also in the place of
// an empty one of the other protocol.
func (m *Machine) foldedGroup(id string, tombstone bool) (*consumerGroup, error) {
	switch g := m.groups[id].(type) {
	case *consumerGroup:
		return g, nil
	case nil:
	default:
		if tombstone {
			return nil, nil
		}
		if !g.empty() {
			return nil, fmt.Errorf("group %q is a %s group with members", id, g.kind())
		}
	}
	if tombstone {
		return nil, nil
	}
	g := newConsumerGroup(m, id)
	m.setGroup(id, g)
	return g, nil
}

// fold reads a record of a consumer group into key and value, and finds the
// group that id, a field of the key, names. A nil group has nothing to apply.
func (m *Machine) fold(r coordinator.Record, key recordKey, id *string, value schema.Value) (g *consumerGroup, tombstone bool, err error) {
	if tombstone, err = parseRecord(r, key, value); err != nil {
		return nil, tombstone, err
	}
	g, err = m.foldedGroup(*id, tombstone)
	return g, tombstone, err
}

func (m *Machine) applyConsumerGroup(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupMetadataKey
	var value ConsumerGroupMetadataValue
	g, tombstone, err := m.fold(r, &key, &key.GroupID, &value)
	switch {
	case g == nil:
	case tombstone:
		m.dropGroup(key.GroupID)
	default:
		g.epoch, g.metadataHash = value.Epoch, value.MetadataHash
	}
	return err
}

func (m *Machine) applyPartitionMetadata(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupPartitionMetadataKey
	g, tombstone, err := m.fold(r, &key, &key.GroupID, &ConsumerGroupPartitionMetadataValue{})
	if g != nil {
		g.legacyMetadata = !tombstone
	}
	return err
}

func (m *Machine) applyConsumerMember(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupMemberMetadataKey
	value := NewConsumerGroupMemberMetadataValue()
	g, tombstone, err := m.fold(r, &key, &key.GroupID, value)
	if g == nil {
		return err
	}
	if tombstone {
		g.setMember(key.MemberID, nil)
		return nil
	}
	slices.Sort(value.SubscribedTopicNames)
	value.SubscribedTopicNames = slices.Compact(value.SubscribedTopicNames)
	next := consumerMember{id: key.MemberID}
	if old := g.members[key.MemberID]; old != nil {
		next = *old
	}
	next.sub = value
	g.setMember(key.MemberID, &next)
	return nil
}

func (m *Machine) applyTargetMetadata(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupTargetAssignmentMetadataKey
	var value ConsumerGroupTargetAssignmentMetadataValue
	g, tombstone, err := m.fold(r, &key, &key.GroupID, &value)
	if g == nil {
		return err
	}
	if tombstone {
		value = ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: -1}
	}
	g.assignmentEpoch, g.assignmentTime = value.AssignmentEpoch, value.AssignmentTimestamp
	return nil
}

func (m *Machine) applyTargetMember(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupTargetAssignmentMemberKey
	var value ConsumerGroupTargetAssignmentMemberValue
	g, tombstone, err := m.fold(r, &key, &key.GroupID, &value)
	if g == nil {
		return err
	}
	if tombstone {
		delete(g.target, key.MemberID)
		return nil
	}
	var target []assignor.TopicPartitions
	for _, tp := range value.TopicPartitions {
		if len(tp.Partitions) > 0 {
			slices.Sort(tp.Partitions)
			target = append(target, assignor.TopicPartitions{TopicID: tp.TopicID, Partitions: tp.Partitions})
		}
	}
	slices.SortFunc(target, func(x, y assignor.TopicPartitions) int { return compareIDs(x.TopicID, y.TopicID) })
	g.target[key.MemberID] = target
	return nil
}

func (m *Machine) applyCurrentAssignment(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupCurrentMemberAssignmentKey
	var value ConsumerGroupCurrentMemberAssignmentValue
	g, tombstone, err := m.fold(r, &key, &key.GroupID, &value)
	if g == nil {
		return err
	}
	old := g.members[key.MemberID]
	if old == nil {
		if tombstone {
			return nil
		}
		old = newConsumerMember(key.MemberID)
	}
	next := *old
	if tombstone {
		next.epoch, next.previousEpoch, next.state, next.assigned, next.revoking = epochLeave, epochLeave, stable, nil, nil
	} else {
		next.epoch, next.previousEpoch, next.state = value.MemberEpoch, value.PreviousMemberEpoch, memberState(value.State)
		if next.state < stable || next.state > unreleasedPartitions {
			next.state = unknownState
		}
		next.assigned = normalize(value.AssignedPartitions, value.MemberEpoch)
		next.revoking = normalize(value.PartitionsPendingRevocation, value.MemberEpoch)
	}
	g.setMember(key.MemberID, &next)
	return nil
}

func (m *Machine) applyRegex(r coordinator.Record, _ coordinator.Origin) error {
	var key ConsumerGroupRegularExpressionKey
	value := &ConsumerGroupRegularExpressionValue{}
	g, tombstone, err := m.fold(r, &key, &key.GroupID, value)
	switch {
	case g == nil:
	case tombstone:
		delete(g.regexes, key.RegularExpression)
	default:
		slices.Sort(value.Topics)
		g.regexes[key.RegularExpression] = value
	}
	return err
}
