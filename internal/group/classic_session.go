package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

// Heartbeat decides a Heartbeat, versions 0–4: a member lives. It is told when
// it shall join again.
//
// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
// REBALANCE_IN_PROGRESS.
func (m *Machine) Heartbeat(at coordinator.Moment, to coordinator.Ticket, req *kmsg.HeartbeatRequest) coordinator.Output {
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = req.Version
	resp.ErrorCode = int16(protocol.CodeOf(m.heartbeat(at, req)))
	return coordinator.Answer(to, resp)
}

func (m *Machine) heartbeat(at coordinator.Moment, req *kmsg.HeartbeatRequest) error {
	g := m.classicGroup(req.Group)
	if g == nil {
		return protocol.UnknownMemberID
	}
	if err := g.checkMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	if req.Generation != g.generation {
		return protocol.IllegalGeneration
	}
	g.renew(at, g.byID[req.MemberID])
	if g.current == classicPreparingRebalance {
		return protocol.RebalanceInProgress
	}
	return nil
}

// renew begins a member's session anew.
func (g *classicGroup) renew(at coordinator.Moment, c *classicMember) {
	g.m.timers.Set(g.timer(sessionTimeout, c.id), at.Mono+millis(c.sessionTimeout))
}

// touch implements group.
func (g *classicGroup) touch(at coordinator.Moment, memberID string) {
	if c := g.byID[memberID]; c != nil {
		g.renew(at, c)
	}
}

// expireSession removes a member that was not heard of. One whose request waits
// is not expected to be: its session begins anew with the reply.
func (g *classicGroup) expireSession(at coordinator.Moment, out *coordinator.Output, memberID string) {
	c := g.byID[memberID]
	if c == nil || !c.fresh && (c.join.waits() || c.sync.waits()) {
		return
	}
	g.remove(out, memberID)
	if g.current == classicStable || g.current == classicCompletingRebalance {
		g.rebalance(at, out)
		return
	}
	g.afterRemoval(at, out)
}

// afterRemoval ends the phase of joining if it was the last one missing that was
// removed; as in Kafka, a first rebalance too.
func (g *classicGroup) afterRemoval(at coordinator.Moment, out *coordinator.Output) {
	if g.current == classicPreparingRebalance && g.allJoined() {
		g.completeJoin(at, out)
	}
}

func (g *classicGroup) isPending(memberID string) bool {
	_, ok := g.pending[memberID]
	return ok
}

func (g *classicGroup) forgetPending(memberID string) {
	delete(g.pending, memberID)
	g.m.timers.Cancel(g.timer(joinTimeout, memberID))
}

// leavable is a group whose members LeaveGroup takes out; errs has the error of
// each.
type leavable interface {
	leave(at coordinator.Moment, members []kmsg.LeaveGroupRequestMember) (out coordinator.Output, errs []error)
}

// LeaveGroup decides a LeaveGroup, versions 0–5: members leave, or an
// administrator removes members, static ones by their instance ids. Those of
// consumer groups go as well, as in Kafka.
//
// Errors, of each member: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID. Before version 3
// there is one member, and its error is the response's.
func (m *Machine) LeaveGroup(at coordinator.Moment, to coordinator.Ticket, req *kmsg.LeaveGroupRequest) coordinator.Output {
	members := req.Members
	if req.Version < 3 {
		members = []kmsg.LeaveGroupRequestMember{{MemberID: req.MemberID}}
	}
	out, errs := coordinator.Output{}, slices.Repeat([]error{protocol.UnknownMemberID}, len(members))
	if g, ok := m.groups[req.Group].(leavable); ok {
		out, errs = g.leave(at, members)
	}
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.Version = req.Version
	for i, member := range members {
		resp.Members = append(resp.Members, kmsg.LeaveGroupResponseMember{
			MemberID: member.MemberID, InstanceID: member.InstanceID, ErrorCode: int16(protocol.CodeOf(errs[i])),
		})
	}
	if req.Version < 3 {
		resp.ErrorCode, resp.Members = resp.Members[0].ErrorCode, nil
	}
	out.Replies = append(out.Replies, coordinator.Reply{To: to, Response: resp})
	return out
}

// leave implements leavable: those who stay rebalance.
func (g *classicGroup) leave(at coordinator.Moment, members []kmsg.LeaveGroupRequestMember) (out coordinator.Output, errs []error) {
	left := false
	for _, who := range members {
		err := g.leaveOne(&out, who)
		errs = append(errs, err)
		left = left || err == nil
	}
	if left && !g.empty() {
		g.rebalance(at, &out)
	}
	return out, errs
}

// leaveOne takes a member out, or the holder of a member id that was given out.
func (g *classicGroup) leaveOne(out *coordinator.Output, who kmsg.LeaveGroupRequestMember) error {
	memberID := who.MemberID
	switch {
	case memberID == "" && who.InstanceID != nil && g.statics[*who.InstanceID] != nil:
		memberID = g.statics[*who.InstanceID].id
	case g.isPending(memberID):
		g.forgetPending(memberID)
		return nil
	default:
		if err := g.checkMember(memberID, who.InstanceID); err != nil {
			return err
		}
	}
	g.remove(out, memberID)
	return nil
}

// loaded implements group: it begins the sessions of a group that was read from the log. One that is
// larger than it may be by now rebalances, so that its members can commit.
func (g *classicGroup) loaded(at coordinator.Moment) (out coordinator.Output) {
	for _, c := range g.inOrder {
		g.renew(at, c)
	}
	if len(g.inOrder) > int(g.m.config().Groups.MaxSize) {
		g.rebalance(at, &out)
	}
	return out
}
