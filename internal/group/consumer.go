package group

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"ottla/internal/coordinator"
	"ottla/internal/group/assignor"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/schema"
)

// consumerGroup is a group of KIP-848: the broker assigns, and each member
// comes to its assignment by its own heartbeats.
//
// Three epochs count up. The group epoch says what is to be assigned: it grows
// when a subscription, or a topic subscribed to, changes (G2). The assignment
// epoch is the group epoch that the target assignment was computed for. A
// member epoch is the assignment epoch that a member has come to. Always
//
//	member epoch ≤ assignment epoch ≤ group epoch
//
// A heartbeat of a member:
//
//  1. Find the member, or make it when its epoch is 0. A static member takes
//     the place, and the assignment, of the one of its instance id that left
//     with epoch -2. A member of another epoch than its own is fenced, unless
//     it comes from the epoch before and may just have missed a reply.
//  2. Note what it says of itself; resolve its regular expression.
//  3. When its subscription changed, or the metadata hash of the group's
//     topics did, the group epoch grows.
//  4. When the group epoch is ahead of the assignment epoch, and the last
//     assignment is consumer.assignment.interval.ms old, the assignor computes
//     the target assignment of all members from the one before.
//  5. Reconcile the member with its target (reconciliation): first it is asked
//     to revoke, then its epoch moves up, then it gets what nobody holds (G10).
//
// Each step that changes something is a record, in Kafka's order; nothing of
// the group changes before they are applied. A member that is not heard of for
// the session timeout, or that does not revoke within its rebalance timeout, is
// fenced: its partitions are free, and it must come back with epoch 0.
//
// Rejected: to compute the target for all when a member leaves, as a classic
// group does. Nobody can use it before the next heartbeat, and a group of
// which many leave would compute as many assignments.
type consumerGroup struct {
	m       *Machine
	groupID string

	epoch           int32
	metadataHash    int64
	assignmentEpoch int32
	assignmentTime  int64 // in ms since 1970, 0 when Kafka 4.2 or older assigned
	members         map[string]*consumerMember
	target          map[string][]assignor.TopicPartitions
	regexes         map[string]*ConsumerGroupRegularExpressionValue
	// legacyMetadata is set while the log has what Kafka 4.0 kept of the topics;
	// it is forgotten with the next change.
	legacyMetadata bool

	// What follows from the above.

	statics   map[string]string // instance id → member id
	names     map[string]int    // topic name → members that subscribe to it by name
	regexUse  map[string]int    // regular expression → members
	assignors map[string]int    // name → members that prefer it
	held      map[partitionID]int

	// What is not kept: soft.

	// checked is the image that the metadata hash is known to be right for.
	checked *metadata.Image
	// resolved is the image that the regular expressions were last matched
	// against, at resolvedAt (Moment.Wall). matches is what came of it until a
	// heartbeat has taken it; no other is asked for until matchingUntil
	// (Moment.Mono).
	resolved      *metadata.Image
	resolvedAt    int64
	matches       *matches
	matchingUntil time.Duration
}

type partitionID struct {
	topic     schema.UUID
	partition int32
}

// firstEpoch is the epoch of a group that nobody wrote down yet, as in Kafka.
const firstEpoch = 1

func newConsumerGroup(m *Machine, id string) *consumerGroup {
	return &consumerGroup{
		m: m, groupID: id, epoch: firstEpoch, assignmentEpoch: firstEpoch, members: map[string]*consumerMember{}, target: map[string][]assignor.TopicPartitions{},
		regexes: map[string]*ConsumerGroupRegularExpressionValue{},
		statics: map[string]string{}, names: map[string]int{}, regexUse: map[string]int{}, assignors: map[string]int{},
		held: map[partitionID]int{},
	}
}

func (g *consumerGroup) id() string { return g.groupID }

func (*consumerGroup) kind() Kind { return Consumer }

func (*consumerGroup) protocolType() string { return "consumer" }

func (g *consumerGroup) empty() bool { return len(g.members) == 0 }

func (g *consumerGroup) size() int { return len(g.members) }

// state: Assigning when an assignment is due, Reconciling while a member has
// not come to its own.
func (g *consumerGroup) state() string {
	switch {
	case g.empty():
		return "Empty"
	case g.epoch > g.assignmentEpoch:
		return "Assigning"
	}
	for _, m := range g.members {
		if !m.reconciled(g.assignmentEpoch) {
			return "Reconciling"
		}
	}
	return "Stable"
}

func (g *consumerGroup) subscribed(topic string) bool {
	if g.names[topic] > 0 {
		return true
	}
	for _, r := range g.regexes {
		if slices.Contains(r.Topics, topic) {
			return true
		}
	}
	return false
}

// checkCommit lets a member commit in its epoch (G4), and in an older one what
// it has had since then (KIP-1251); a tool may while there is no member.
func (g *consumerGroup) checkCommit(c commitBy) (partitionCheck, error) {
	if c.generation < 0 && g.empty() || c.transactional && c.generation == -1 && c.memberID == "" && c.instanceID == nil {
		return nil, nil
	}
	m := g.members[c.memberID]
	switch {
	case m == nil:
		return nil, protocol.UnknownMemberID
	case !c.transactional && c.version < 9:
		return nil, protocol.UnsupportedVersion
	case c.generation > m.epoch:
		return nil, protocol.StaleMemberEpoch
	case c.generation == m.epoch:
		return nil, nil
	}
	return func(_ string, topic metadata.UUID, partition int32) error {
		since, ok := assignedSince(m.assigned, topic, partition)
		if !ok {
			since, ok = assignedSince(m.revoking, topic, partition)
		}
		if !ok || c.generation < since {
			return protocol.StaleMemberEpoch
		}
		return nil
	}, nil
}

func (g *consumerGroup) checkFetch(memberID *string, epoch int32) error {
	if memberID == nil && epoch < 0 {
		return nil
	}
	if memberID == nil || g.members[*memberID] == nil {
		return protocol.UnknownMemberID
	}
	if g.members[*memberID].epoch != epoch {
		return protocol.StaleMemberEpoch
	}
	return nil
}

func (g *consumerGroup) checkDelete() error {
	if !g.empty() {
		return protocol.NonEmptyGroup
	}
	return nil
}

// checkDeleteOffsets: Kafka lets single offsets of topics go that nobody reads.
func (*consumerGroup) checkDeleteOffsets() error { return nil }

// tombstones are in Kafka's order: what members own, what they shall own, who
// they are, and then the group.
func (g *consumerGroup) tombstones() []coordinator.Record {
	ids := slices.Sorted(maps.Keys(g.members))
	var records []coordinator.Record
	for _, id := range ids {
		records = append(records, newRecord(&ConsumerGroupCurrentMemberAssignmentKey{g.groupID, id}, nil))
	}
	for _, id := range ids {
		records = append(records, newRecord(&ConsumerGroupTargetAssignmentMemberKey{g.groupID, id}, nil))
	}
	records = append(records, newRecord(&ConsumerGroupTargetAssignmentMetadataKey{g.groupID}, nil))
	for _, id := range ids {
		records = append(records, newRecord(&ConsumerGroupMemberMetadataKey{g.groupID, id}, nil))
	}
	for _, regex := range slices.Sorted(maps.Keys(g.regexes)) {
		records = append(records, newRecord(&ConsumerGroupRegularExpressionKey{g.groupID, regex}, nil))
	}
	return append(records,
		newRecord(&ConsumerGroupPartitionMetadataKey{g.groupID}, nil),
		newRecord(&ConsumerGroupMetadataKey{g.groupID}, nil))
}

// touch does nothing: a commit is no heartbeat in this protocol.
func (*consumerGroup) touch(coordinator.Moment, string) {}

// expires: what nobody subscribes to does, members or not.
func (*consumerGroup) expires() bool { return true }

// emptySince: the offsets of a consumer group count from their commits.
func (*consumerGroup) emptySince() (ms int64, ok bool) { return 0, false }

// topicsChanged: the next heartbeat looks at the newest image.
func (*consumerGroup) topicsChanged(coordinator.Moment, []metadata.TopicDelta) coordinator.Output {
	return coordinator.Output{}
}

// setMember puts a member into the group, or nil to take the one of this id
// out, and keeps what follows from the members.
func (g *consumerGroup) setMember(id string, m *consumerMember) {
	if old := g.members[id]; old != nil {
		g.count(old, -1)
		delete(g.members, id)
	}
	if m != nil {
		g.members[id] = m
		g.count(m, 1)
	}
}

func (g *consumerGroup) count(m *consumerMember, by int) {
	g.m.kept.add(by * m.size())
	if instance := m.sub.InstanceID; instance != nil {
		switch {
		case by > 0:
			g.statics[*instance] = m.id
		case g.statics[*instance] == m.id:
			delete(g.statics, *instance)
		}
	}
	for _, name := range m.sub.SubscribedTopicNames {
		add(g.names, name, by)
	}
	if regex := m.regex(); regex != "" {
		add(g.regexUse, regex, by)
	}
	if m.sub.ServerAssignor != nil {
		add(g.assignors, *m.sub.ServerAssignor, by)
	}
	for _, lists := range [][]CurrentTopicPartitions{m.assigned, m.revoking} {
		for _, tp := range lists {
			for _, p := range tp.Partitions {
				add(g.held, partitionID{tp.TopicID, p}, by)
			}
		}
	}
}

// add counts in a map, which holds no zeros.
func add[K comparable](counts map[K]int, key K, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

// static returns the static member of an instance id, nil when there is none.
func (g *consumerGroup) static(instance *string) *consumerMember {
	if instance == nil {
		return nil
	}
	return g.members[g.statics[*instance]]
}

// preferredAssignor is the assignor that most members prefer, among those that the
// broker offers; counts are those of the members. Of equals it is the one that
// the broker names first.
func preferredAssignor(counts map[string]int, offered []string) string {
	if len(offered) == 0 {
		return assignor.UniformName
	}
	return slices.MaxFunc(offered, func(x, y string) int { return cmp.Compare(counts[x], counts[y]) })
}
