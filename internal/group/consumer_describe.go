package group

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/meter"
)

// The types of members in ConsumerGroupDescribe, version 1.
const (
	memberClassic  = 0
	memberConsumer = 1
)

// ConsumerGroupDescribe describes one group, versions 0–1.
func (m *Machine) ConsumerGroupDescribe(at coordinator.Moment, to coordinator.Ticket, bill *meter.Meter, id string) coordinator.Output {
	resp := kmsg.NewPtrConsumerGroupDescribeResponse()
	g, fail := m.consumerGroup(id)
	if fail != nil {
		d := kmsg.NewConsumerGroupDescribeResponseGroup()
		d.Group, d.ErrorCode, d.ErrorMessage = id, int16(fail.code), &fail.message
		resp.Groups = append(resp.Groups, d)
	} else if bill.Add(g.describedSize()) == nil {
		resp.Groups = append(resp.Groups, g.described(at.Image))
	}
	return coordinator.Answer(to, resp)
}

// describedSize is what described takes, in bytes.
func (g *consumerGroup) describedSize() int {
	size := meter.Size[kmsg.ConsumerGroupDescribeResponseGroup]()
	for id, m := range g.members {
		size += meter.Size[kmsg.ConsumerGroupDescribeResponseGroupMember]() + len(id) + len(m.sub.ClientID)
		for _, topic := range m.sub.SubscribedTopicNames {
			size += len(topic)
		}
		for _, tp := range union(m.assigned, m.revoking) {
			size += meter.Size[kmsg.AssignmentTopicPartition]() + 4*len(tp.Partitions)
		}
		for _, tp := range g.target[id] {
			size += meter.Size[kmsg.AssignmentTopicPartition]() + 4*len(tp.Partitions)
		}
	}
	return size
}

// described shows the group; topics that are gone are left out.
func (g *consumerGroup) described(image *metadata.Image) kmsg.ConsumerGroupDescribeResponseGroup {
	d := kmsg.NewConsumerGroupDescribeResponseGroup()
	d.Group, d.State, d.Epoch, d.AssignmentEpoch = g.groupID, g.state(), g.epoch, g.assignmentEpoch
	d.AssignorName = preferredAssignor(g.assignors, g.m.config().ConsumerGroups.Assignors)
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		member := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		member.MemberID, member.InstanceID, member.RackID, member.MemberEpoch = id, m.sub.InstanceID, m.sub.RackID, m.epoch
		member.ClientID, member.ClientHost = m.sub.ClientID, m.sub.ClientHost
		member.SubscribedTopics, member.SubscribedTopicRegex = m.sub.SubscribedTopicNames, m.sub.SubscribedTopicRegex
		member.MemberType = memberConsumer
		if m.sub.ClassicMemberMetadata != nil {
			member.MemberType = memberClassic
		}
		for _, tp := range union(m.assigned, m.revoking) {
			member.Assignment.TopicPartitions = appendNamed(member.Assignment.TopicPartitions, image, tp.TopicID, tp.Partitions)
		}
		for _, tp := range g.target[id] {
			member.TargetAssignment.TopicPartitions = appendNamed(member.TargetAssignment.TopicPartitions, image, tp.TopicID, tp.Partitions)
		}
		d.Members = append(d.Members, member)
	}
	return d
}

func appendNamed(list []kmsg.AssignmentTopicPartition, image *metadata.Image, id metadata.UUID, partitions []int32) []kmsg.AssignmentTopicPartition {
	t := image.TopicByID(id)
	if t == nil {
		return list
	}
	tp := kmsg.NewAssignmentTopicPartition()
	tp.TopicID, tp.Topic, tp.Partitions = id, t.Name, partitions
	return append(list, tp)
}
