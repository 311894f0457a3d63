package group

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
)

// groupMetadataVersion is the version of the values that Kafka 4.3.1 writes. The
// newest, flexible one is only read, so that one can go back to an older Kafka.
const groupMetadataVersion = 3

// record is the group as a GroupMetadata record, with what the leader assigned.
func (g *classicGroup) record(assignments map[string][]byte) coordinator.Record {
	value := g.value(assignments)
	return coordinator.Record{Key: groupMetadataKey(g.groupID), Value: value.AppendTo(nil)}
}

// value is the group as it is to be written: with the assignments given, or those
// that the members have.
func (g *classicGroup) value(assignments map[string][]byte) kmsg.GroupMetadataValue {
	value := kmsg.GroupMetadataValue{
		Version: groupMetadataVersion, ProtocolType: g.protoType, Generation: g.generation,
		Protocol: g.protocol, CurrentStateTimestamp: g.since,
	}
	if g.leader != "" {
		value.Leader = &g.leader
	}
	for _, c := range g.inOrder {
		member := c.record(*g.protocol)
		if assignments != nil {
			member.Assignment = assignments[c.id]
		}
		value.Members = append(value.Members, member)
	}
	return value
}

func (c *classicMember) record(protocolName string) kmsg.GroupMetadataValueMember {
	return kmsg.GroupMetadataValueMember{
		MemberID: c.id, InstanceID: c.instanceID, ClientID: c.client.ID, ClientHost: c.client.Host,
		RebalanceTimeoutMillis: c.rebalanceTimeout, SessionTimeoutMillis: c.sessionTimeout,
		Subscription: c.metadata(protocolName), Assignment: c.assignment,
	}
}

// applyGroupMetadata folds the record of a classic group. Its tombstone ends
// the group, whose offsets have tombstones of their own.
func (m *Machine) applyGroupMetadata(r coordinator.Record, _ coordinator.Origin) error {
	key := kmsg.NewGroupMetadataKey()
	if err := key.ReadFrom(r.Key); err != nil {
		return err
	}
	g := m.classicGroup(key.Group)
	if r.Value == nil {
		if g != nil {
			g.cancelTimers()
			m.kept.add(-g.bytes)
		}
		if former := m.groups[key.Group]; former != nil && former.kind() == Classic {
			m.dropGroup(key.Group)
		}
		return nil
	}
	v := kmsg.NewGroupMetadataValue()
	if err := v.ReadFrom(r.Value); err != nil {
		return fmt.Errorf("group %q: %w", key.Group, err)
	}
	if v.Version < 0 || v.Version > 4 || len(v.Members) > 0 && v.Protocol == nil {
		return fmt.Errorf("group %q: layout %d, %d members, no protocol: %t", key.Group, v.Version, len(v.Members), v.Protocol == nil)
	}
	if g == nil {
		g = newClassicGroup(m, key.Group, v.CurrentStateTimestamp)
		m.setGroup(key.Group, g)
	}
	g.adopt(&v)
	return nil
}

// adopt takes over what a record says. At load that is all there is. Live, the
// step that wrote it has left the group so that only these changes remain:
//
//   - a generation gets its assignments, and is stable;
//   - a static member has a new member id (joiner);
//   - no members: the step says so already. Or it made the group, and then the
//     first member may be joining.
func (g *classicGroup) adopt(v *kmsg.GroupMetadataValue) {
	if len(v.Members) == 0 && (g.current == classicPreparingRebalance || g.current == classicCompletingRebalance) {
		return
	}
	g.generation, g.protoType, g.protocol, g.since = v.Generation, v.ProtocolType, v.Protocol, v.CurrentStateTimestamp
	g.adoptMembers(v)
	g.leader = ""
	if v.Leader != nil {
		g.leader = *v.Leader
	}
	g.current = classicEmpty
	if len(g.inOrder) > 0 {
		g.current = classicStable
	}
	g.subscriptions(g.protocol)
	if g.unsynced == 0 {
		g.m.timers.Cancel(g.timer(rebalanceTimeout, ""))
	}
}

// adoptMembers keeps of the members what the record does not say: who waits, and
// the protocols that were not chosen.
func (g *classicGroup) adoptMembers(v *kmsg.GroupMetadataValue) {
	former := g.classicMembers
	g.classicMembers = newClassicMembers(g.m.kept)
	g.m.kept.add(-former.bytes)
	for i := range v.Members {
		r := &v.Members[i]
		c := former.byID[r.MemberID]
		if joiner := g.joiner; c == nil && joiner != nil && joiner.id == r.MemberID {
			c = joiner
		}
		if told := memberOf(r, *v.Protocol); c == nil || !slices.ContainsFunc(c.protocols, told.protocols[0].equal) {
			c = told // at load, another record may have spoken of another protocol
		} else {
			c.rebalanceTimeout, c.sessionTimeout = told.rebalanceTimeout, told.sessionTimeout
		}
		c.assignment = slices.Clone(r.Assignment)
		g.insert(c)
	}
	g.joiner = nil
	for _, c := range former.inOrder {
		if g.byID[c.id] == nil {
			g.m.timers.Cancel(g.timer(sessionTimeout, c.id))
		}
	}
}

// memberOf is the member of a record. Version 0 has no rebalance timeout.
func memberOf(r *kmsg.GroupMetadataValueMember, protocolName string) *classicMember {
	c := &classicMember{
		id: r.MemberID, instanceID: r.InstanceID, client: Client{ID: r.ClientID, Host: r.ClientHost},
		rebalanceTimeout: r.RebalanceTimeoutMillis, sessionTimeout: r.SessionTimeoutMillis,
		protocols: []classicProtocol{{protocolName, slices.Clone(r.Subscription)}},
	}
	if c.rebalanceTimeout < 0 {
		c.rebalanceTimeout = c.sessionTimeout
	}
	return c
}

// cancelTimers ends the deadlines of a group that is no more.
func (g *classicGroup) cancelTimers() {
	for _, c := range g.inOrder {
		g.m.timers.Cancel(g.timer(sessionTimeout, c.id))
	}
	for memberID := range g.pending {
		g.m.timers.Cancel(g.timer(joinTimeout, memberID))
	}
	g.m.timers.Cancel(g.timer(initialDelay, ""))
	g.m.timers.Cancel(g.timer(rebalanceTimeout, ""))
}
