package group

import (
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// classicGroup is a group of the classic protocol: its members agree on
// generations, and one of them, the leader, decides who does what in each.
//
//  1. A member joins (JoinGroup). It gets a member id, which it must send again
//     before it counts (KIP-394), unless it is static (KIP-345) or old.
//  2. A member that is new, changed, or the leader rejoining begins a rebalance:
//     PreparingRebalance. The others learn of it by their heartbeats
//     (REBALANCE_IN_PROGRESS) and join again. Joins wait for their reply.
//  3. The phase ends when all have joined, or at the longest rebalance timeout
//     among the members: whoever is missing then is out, but static members
//     stay until their session ends. The first rebalance of an empty group ends
//     when no new member came for group.initial.rebalance.delay.ms instead, so
//     that a group that starts does not rebalance once for each member.
//  4. The generation grows by one. The protocol is the one that most members
//     vote for among those that all support. Every join is answered; the
//     leader's reply alone has the members and their subscriptions:
//     CompletingRebalance.
//  5. The members ask for their assignments (SyncGroup) and wait for the
//     leader's SyncGroup, which brings them. It is written as a GroupMetadata
//     record, and when that is applied the group is Stable. Members that do not
//     sync within the rebalance timeout are removed, which begins at 2.
//  6. A member that leaves, or is not heard of for its session timeout, is
//     removed, which begins at 2; when it was the last one, the group is Empty,
//     and that is written as well.
//
// Durable is what the last GroupMetadata record says: a Stable generation with
// its assignments, or that there are no members. Everything between two records
// is soft: a generation that was not written owns nothing, and a coordinator
// that takes over goes on with the last that was. Its number may then be given
// again, to members that joined the new coordinator; nobody owned a partition by
// it before. To write each phase, as records of KIP-848 do, was rejected: older
// versions of Kafka and its tools read GroupMetadata as a stable generation.
type classicGroup struct {
	m       *Machine
	groupID string

	current classicState
	// since is when the state was entered, in ms; -1: not known.
	since      int64
	generation int32
	// protoType is "" until the first member joins.
	protoType string
	// protocol is the generation's; nil without one.
	protocol *string
	// leader is a member id; "" without members.
	leader string
	classicMembers

	// pending are the member ids that were given out and not used yet.
	pending map[string]struct{}
	// initial: the rebalance is the first of an empty group.
	initial initialRebalance
	// joiner is a member that Apply will put into the place of its namesake, by
	// the record that this step writes.
	joiner *classicMember
}

// classicState is a state's name as Kafka shows it.
type classicState string

// The states of classic groups. Dead is what DescribeGroups calls a group that
// does not exist.
const (
	classicEmpty               classicState = "Empty"
	classicPreparingRebalance  classicState = "PreparingRebalance"
	classicCompletingRebalance classicState = "CompletingRebalance"
	classicStable              classicState = "Stable"
	classicDead                classicState = "Dead"
)

// newClassicGroup returns a group without members.
func newClassicGroup(m *Machine, groupID string, wall int64) *classicGroup {
	return &classicGroup{
		m: m, groupID: groupID, current: classicEmpty, since: wall,
		classicMembers: newClassicMembers(m.kept), pending: map[string]struct{}{},
	}
}

// classicGroup returns a group, nil when there is none or it is of another kind.
func (m *Machine) classicGroup(groupID string) *classicGroup {
	g, _ := m.groups[groupID].(*classicGroup)
	return g
}

// obtainClassic returns the group, which is made when it does not exist, and the
// records that say so. An empty group of another kind gives way to a classic
// one; with members it is INCONSISTENT_GROUP_PROTOCOL. One that only has offsets
// is a classic group already.
func (m *Machine) obtainClassic(at coordinator.Moment, groupID string) (*classicGroup, []coordinator.Record, error) {
	former := m.groups[groupID]
	if g, ok := former.(*classicGroup); ok {
		return g, nil, nil
	}
	if former != nil && !former.empty() {
		return nil, nil, protocol.InconsistentGroupProtocol
	}
	g := newClassicGroup(m, groupID, at.Wall)
	m.setGroup(groupID, g)
	switch {
	case former == nil:
		return g, []coordinator.Record{g.record(nil)}, nil
	case former.kind() == Classic:
		return g, nil, nil
	default:
		return g, append(former.tombstones(), g.record(nil)), nil
	}
}

// id implements group, and so do all methods below.
func (g *classicGroup) id() string { return g.groupID }

func (g *classicGroup) kind() Kind { return Classic }

func (g *classicGroup) state() string { return string(g.current) }

func (g *classicGroup) protocolType() string { return g.protoType }

func (g *classicGroup) empty() bool { return g.current == classicEmpty }

func (g *classicGroup) size() int { return len(g.inOrder) }

func (g *classicGroup) tombstones() []coordinator.Record {
	return []coordinator.Record{{Key: groupMetadataKey(g.groupID)}}
}

// expires implements group: while the members rebalance nobody knows what they
// will subscribe to.
func (g *classicGroup) expires() bool {
	return g.empty() || g.current == classicStable && g.protoType == consumerProtocolType && g.topics != nil
}

func (g *classicGroup) emptySince() (ms int64, ok bool) {
	return g.since, g.protoType != "" && g.empty() && g.since >= 0
}

func (g *classicGroup) checkDelete() error {
	if !g.empty() {
		return protocol.NonEmptyGroup
	}
	return nil
}

// checkDeleteOffsets implements group: of consumers alone is it known which topics
// they read.
func (g *classicGroup) checkDeleteOffsets() error {
	if !g.empty() && g.protoType != consumerProtocolType {
		return protocol.NonEmptyGroup
	}
	return nil
}

// checkFetch lets everybody read: the classic protocol does not say who asks.
func (g *classicGroup) checkFetch(*string, int32) error { return nil }

// checkCommit goes by who claims to be a member.
//
//   - Nobody: while the group is empty. A transaction may always, since older
//     versions of TxnOffsetCommit do not say.
//   - A member: in its generation, and not between JoinGroup and SyncGroup, when
//     its partitions may already be promised to another (REBALANCE_IN_PROGRESS).
func (g *classicGroup) checkCommit(c commitBy) (partitionCheck, error) {
	claims := c.generation >= 0 || c.memberID != "" || c.instanceID != nil
	switch {
	case c.generation < 0 && g.empty():
		return nil, nil
	case !claims && !c.transactional:
		return nil, protocol.UnknownMemberID
	case claims:
		if err := g.checkMember(c.memberID, c.instanceID); err != nil {
			return nil, err
		}
		if c.generation != g.generation {
			return nil, protocol.IllegalGeneration
		}
	}
	if !c.transactional && g.current == classicCompletingRebalance {
		return nil, protocol.RebalanceInProgress
	}
	return nil, nil
}

// topicsChanged implements group: it is the leader who watches the topics.
func (g *classicGroup) topicsChanged(coordinator.Moment, []metadata.TopicDelta) coordinator.Output {
	return coordinator.Output{}
}

// checkMember tells whether a request may speak for a member (G9).
func (g *classicGroup) checkMember(memberID string, instanceID *string) error {
	if instanceID != nil {
		switch holder := g.statics[*instanceID]; {
		case holder == nil:
			return protocol.UnknownMemberID
		case holder.id != memberID:
			return protocol.FencedInstanceID
		}
	}
	if g.byID[memberID] == nil {
		return protocol.UnknownMemberID
	}
	return nil
}
