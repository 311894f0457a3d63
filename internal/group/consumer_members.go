package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/schema"
)

// memberState is how far a member is on the way to its target, as Kafka's
// records number it.
type memberState int8

const (
	stable               memberState = 0
	unrevokedPartitions  memberState = 1 // it must revoke first
	unreleasedPartitions memberState = 2 // it waits for what others hold
	unknownState         memberState = 127
)

// The member epochs of requests that are no epochs.
const (
	epochJoin        = 0
	epochLeave       = -1
	epochLeaveStatic = -2 // a static member that will be back; also what its record says then
)

// consumerMember is a member of a consumer group. It never changes: a change
// makes another one.
type consumerMember struct {
	id string
	// sub is what the member says of itself. It must not be changed.
	sub *ConsumerGroupMemberMetadataValue

	epoch, previousEpoch int32
	state                memberState
	// assigned is what the member owns or is to take, revoking what it is to
	// give back. Both ascend, have no empty lists, and an epoch for each
	// partition.
	assigned, revoking []CurrentTopicPartitions
}

// newConsumerMember is a member of which nothing is known yet; as in Kafka it
// subscribes to the empty regular expression, which is none.
func newConsumerMember(id string) *consumerMember {
	return &consumerMember{id: id, sub: &ConsumerGroupMemberMetadataValue{RebalanceTimeoutMs: -1, SubscribedTopicRegex: new(string)}}
}

// regex is the regular expression that the member subscribes to, "" for none.
func (m *consumerMember) regex() string {
	if m.sub.SubscribedTopicRegex == nil {
		return ""
	}
	return *m.sub.SubscribedTopicRegex
}

// reconciled tells whether the member has come to its target.
func (m *consumerMember) reconciled(assignmentEpoch int32) bool {
	return m.state == stable && m.epoch == assignmentEpoch
}

// says returns the member with what a heartbeat says of it; nil fields leave
// what was said before.
func (m *consumerMember) says(c Client, req *kmsg.ConsumerGroupHeartbeatRequest) *consumerMember {
	sub := *m.sub
	sub.ClientID, sub.ClientHost, sub.ClassicMemberMetadata, sub.UnknownTags = c.ID, c.Host, nil, nil
	if req.InstanceID != nil {
		sub.InstanceID = req.InstanceID
	}
	if req.RackID != nil {
		sub.RackID = req.RackID
	}
	if req.RebalanceTimeoutMillis != -1 {
		sub.RebalanceTimeoutMs = req.RebalanceTimeoutMillis
	}
	if req.ServerAssignor != nil {
		sub.ServerAssignor = req.ServerAssignor
	}
	if req.SubscribedTopicNames != nil {
		names := slices.Clone(req.SubscribedTopicNames)
		slices.Sort(names)
		sub.SubscribedTopicNames = slices.Compact(names)
	}
	if req.SubscribedTopicRegex != nil {
		sub.SubscribedTopicRegex = req.SubscribedTopicRegex
	}
	if sub.equal(m.sub) {
		return m
	}
	next := *m
	next.sub = &sub
	return &next
}

// equal compares what two members say of themselves.
func (v *ConsumerGroupMemberMetadataValue) equal(w *ConsumerGroupMemberMetadataValue) bool {
	return v.ClientID == w.ClientID && v.ClientHost == w.ClientHost && v.RebalanceTimeoutMs == w.RebalanceTimeoutMs &&
		equalText(v.InstanceID, w.InstanceID) && equalText(v.RackID, w.RackID) &&
		equalText(v.ServerAssignor, w.ServerAssignor) && equalText(v.SubscribedTopicRegex, w.SubscribedTopicRegex) &&
		slices.Equal(v.SubscribedTopicNames, w.SubscribedTopicNames) &&
		(v.ClassicMemberMetadata == nil) == (w.ClassicMemberMetadata == nil)
}

func equalText(x, y *string) bool { return x == y || x != nil && y != nil && *x == *y }

// sameAssignment compares what two members own and how far they are.
func (m *consumerMember) sameAssignment(n *consumerMember) bool {
	return m.epoch == n.epoch && m.previousEpoch == n.previousEpoch && m.state == n.state &&
		samePartitions(m.assigned, n.assigned) && samePartitions(m.revoking, n.revoking)
}

func samePartitions(x, y []CurrentTopicPartitions) bool {
	return slices.EqualFunc(x, y, func(a, b CurrentTopicPartitions) bool {
		return a.TopicID == b.TopicID && slices.Equal(a.Partitions, b.Partitions) && slices.Equal(a.AssignmentEpochs, b.AssignmentEpochs)
	})
}

// subscriptionRecord writes what the member says of itself.
func (m *consumerMember) subscriptionRecord(group string) coordinator.Record {
	return newRecord(&ConsumerGroupMemberMetadataKey{group, m.id}, m.sub)
}

// assignmentRecord writes what the member owns.
func (m *consumerMember) assignmentRecord(group string) coordinator.Record {
	return newRecord(&ConsumerGroupCurrentMemberAssignmentKey{group, m.id}, &ConsumerGroupCurrentMemberAssignmentValue{
		MemberEpoch: m.epoch, PreviousMemberEpoch: m.previousEpoch, State: int8(m.state),
		AssignedPartitions: m.assigned, PartitionsPendingRevocation: m.revoking,
	})
}

// tombstones forget the member; the order matters to Kafka, which loads them.
func (m *consumerMember) tombstones(group string) []coordinator.Record {
	return []coordinator.Record{
		newRecord(&ConsumerGroupCurrentMemberAssignmentKey{group, m.id}, nil),
		newRecord(&ConsumerGroupTargetAssignmentMemberKey{group, m.id}, nil),
		newRecord(&ConsumerGroupMemberMetadataKey{group, m.id}, nil),
	}
}

// leftForNow is a static member that left and will be back: it keeps what it is
// assigned, and no partition's epoch, for none of its commits can be late.
func (m *consumerMember) leftForNow() *consumerMember {
	next := *m
	next.epoch, next.revoking = epochLeaveStatic, nil
	next.assigned = slices.Clone(m.assigned)
	for i := range next.assigned {
		next.assigned[i].AssignmentEpochs = make([]int32, len(next.assigned[i].Partitions))
	}
	return &next
}

// replacement is the static member that takes the place of m.
func (m *consumerMember) replacement(id string) *consumerMember {
	next := *m
	next.id, next.epoch, next.previousEpoch = id, epochJoin, epochJoin
	return &next
}

// normalize sorts what a record says of partitions, drops empty lists, and
// gives those without epochs, which Kafka before 4.3 wrote, the member's.
func normalize(lists []CurrentTopicPartitions, memberEpoch int32) []CurrentTopicPartitions {
	var out []CurrentTopicPartitions
	for _, tp := range lists {
		if len(tp.Partitions) == 0 {
			continue
		}
		n := CurrentTopicPartitions{TopicID: tp.TopicID}
		order := make([]int, len(tp.Partitions))
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(x, y int) int { return int(tp.Partitions[x]) - int(tp.Partitions[y]) })
		for _, i := range order {
			epoch := max(memberEpoch, 0)
			if len(tp.AssignmentEpochs) == len(tp.Partitions) {
				epoch = tp.AssignmentEpochs[i]
			}
			n.Partitions = append(n.Partitions, tp.Partitions[i])
			n.AssignmentEpochs = append(n.AssignmentEpochs, epoch)
		}
		out = append(out, n)
	}
	slices.SortFunc(out, func(x, y CurrentTopicPartitions) int { return compareIDs(x.TopicID, y.TopicID) })
	return out
}

func compareIDs(x, y schema.UUID) int { return slices.Compare(x[:], y[:]) }

// assignedSince is the member epoch since which a partition is in lists.
func assignedSince(lists []CurrentTopicPartitions, topic schema.UUID, partition int32) (epoch int32, ok bool) {
	for i := range lists {
		if lists[i].TopicID != topic {
			continue
		}
		if at, found := slices.BinarySearch(lists[i].Partitions, partition); found {
			return lists[i].AssignmentEpochs[at], true
		}
	}
	return 0, false
}
