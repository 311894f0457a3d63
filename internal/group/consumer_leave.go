package group

import (
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// consumerLeave takes a member out of its group. A static member that leaves
// with epoch -2 keeps its place until its session ends.
func (m *Machine) consumerLeave(at coordinator.Moment, req *kmsg.ConsumerGroupHeartbeatRequest) (coordinator.Output, *kmsg.ConsumerGroupHeartbeatResponse, *refusal) {
	var out coordinator.Output
	g, fail := m.consumerGroup(req.Group)
	if fail != nil {
		return out, nil, fail
	}
	resp := newHeartbeatResponse(req)
	resp.MemberID, resp.MemberEpoch = &req.MemberID, req.MemberEpoch
	member := g.members[req.MemberID]
	if req.InstanceID != nil {
		member = g.static(req.InstanceID)
		fail = checkInstance(member, req.MemberID, *req.InstanceID)
	} else if member == nil {
		fail = unknownMember(g, req.MemberID)
	}
	switch {
	case fail != nil:
		return out, nil, fail
	case req.InstanceID != nil && req.MemberEpoch == epochLeaveStatic:
		out.Records = []coordinator.Record{member.leftForNow().assignmentRecord(g.groupID)}
	default:
		out = g.fence(at, member)
	}
	return out, resp, nil
}

// consumerGroup returns the consumer group of an id.
func (m *Machine) consumerGroup(id string) (*consumerGroup, *refusal) {
	switch g := m.groups[id].(type) {
	case nil:
		return nil, refuse(protocol.GroupIDNotFound, "Group %s not found.", id)
	case *consumerGroup:
		return g, nil
	}
	return nil, refuse(protocol.GroupIDNotFound, "Group %s is not a consumer group.", id)
}

// leave implements leavable: an administrator, or a client that asks with the
// classic protocol's request, removes members by their ids, or static ones by
// their instance ids. Their partitions are free at once, with one new group
// epoch for all of them.
func (g *consumerGroup) leave(at coordinator.Moment, members []kmsg.LeaveGroupRequestMember) (out coordinator.Output, errs []error) {
	var gone []*consumerMember
	errs = make([]error, len(members))
	for i, who := range members {
		member := g.members[who.MemberID]
		if who.InstanceID != nil {
			member = g.static(who.InstanceID)
		}
		switch {
		case member == nil:
			errs[i] = protocol.UnknownMemberID
		case who.InstanceID != nil && who.MemberID != "" && who.MemberID != member.id:
			errs[i] = protocol.FencedInstanceID
		case !slices.Contains(gone, member):
			gone = append(gone, member)
		}
	}
	if len(gone) > 0 {
		out = g.fence(at, gone...)
	}
	return out, errs
}

// fence takes members out of the group: what they held is free. The group epoch
// grows; the next heartbeat of another member computes the assignment.
func (g *consumerGroup) fence(at coordinator.Moment, gone ...*consumerMember) (out coordinator.Output) {
	names, use := maps.Clone(g.names), maps.Clone(g.regexUse)
	for _, member := range gone {
		out.Records = append(out.Records, member.tombstones(g.groupID)...)
		for _, name := range member.sub.SubscribedTopicNames {
			add(names, name, -1)
		}
		if regex := member.regex(); regex != "" {
			add(use, regex, -1)
		}
	}
	for _, regex := range slices.Sorted(maps.Keys(g.regexes)) {
		if use[regex] == 0 && g.regexUse[regex] > 0 {
			out.Records = append(out.Records, newRecord(&ConsumerGroupRegularExpressionKey{g.groupID, regex}, nil))
			continue
		}
		for _, name := range g.regexes[regex].Topics {
			names[name]++
		}
	}
	hash := g.m.hashes.of(at.Image, slices.Sorted(maps.Keys(names)))
	out.Records = append(out.Records, newRecord(&ConsumerGroupMetadataKey{g.groupID}, &ConsumerGroupMetadataValue{Epoch: g.epoch + 1, MetadataHash: hash}))
	return out
}

// fenceAgain is when a member is fenced once more if that could not be written.
const fenceAgain = time.Second

// due fences a member whose session, or time to revoke, is over. Who has nothing to
// revoke any more is passed over: what it did was written, so nothing is to be
// done. The timer is set again, for the case that the records cannot be written;
// when they are it finds no member.
func (g *consumerGroup) due(at coordinator.Moment, key timerKey) coordinator.Output {
	member := g.members[key.member]
	if member == nil || key.kind == revokeTimeout && (member.state != unrevokedPartitions || member.epoch == epochLeaveStatic) {
		return coordinator.Output{}
	}
	g.m.timers.Set(key, at.Mono+fenceAgain)
	return g.fence(at, member)
}

// loaded begins the sessions of the members, and their time to revoke.
func (g *consumerGroup) loaded(at coordinator.Moment) coordinator.Output {
	own := g.m.config().ConsumerGroup(at.Image.Configs(metadata.ResourceGroup, g.groupID))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		member := g.members[id]
		g.m.timers.Set(timerKey{g.groupID, id, sessionTimeout}, at.Mono+own.SessionTimeout)
		if member.state == unrevokedPartitions && member.epoch != epochLeaveStatic {
			g.m.timers.Set(timerKey{g.groupID, id, revokeTimeout}, at.Mono+time.Duration(member.sub.RebalanceTimeoutMs)*time.Millisecond)
		}
	}
	return coordinator.Output{}
}
