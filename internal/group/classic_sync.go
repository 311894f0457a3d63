package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

// SyncGroup decides a SyncGroup, versions 0–5: a member asks for its assignment,
// the leader brings everybody's. The reply waits for the leader's, which waits
// until the assignment is written.
//
// Errors: UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION,
// INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS (join again).
func (m *Machine) SyncGroup(at coordinator.Moment, to coordinator.Ticket, req *kmsg.SyncGroupRequest) coordinator.Output {
	w := waiter{to, req.Version}
	g := m.classicGroup(req.Group)
	if g == nil {
		return refuseSync(w, protocol.UnknownMemberID)
	}
	if err := g.checkSync(req); err != nil {
		return refuseSync(w, err)
	}
	var out coordinator.Output
	c := g.byID[req.MemberID]
	switch g.current {
	case classicPreparingRebalance:
		return refuseSync(w, protocol.RebalanceInProgress)
	case classicStable:
		g.synced(c)
		return coordinator.Answer(to, g.synchronized(c.assignment, w))
	case classicCompletingRebalance:
		if c.sync.waits() {
			out.Replies = append(out.Replies, syncError(c.sync, protocol.UnknownMemberID))
		}
		c.sync = w
		g.synced(c)
		if g.leader == c.id {
			g.assign(at, &out, req.GroupAssignment)
		}
		return out
	case classicEmpty, classicDead:
	}
	return refuseSync(w, protocol.UnknownMemberID)
}

// checkSync tells whether a member may sync. Its protocol is said since version
// 5.
func (g *classicGroup) checkSync(req *kmsg.SyncGroupRequest) error {
	differs := func(got, want *string) bool { return got != nil && want != nil && *got != *want }
	if err := g.checkMember(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	switch {
	case req.Generation != g.generation:
		return protocol.IllegalGeneration
	case differs(req.ProtocolType, &g.protoType), differs(req.Protocol, g.protocol):
		return protocol.InconsistentGroupProtocol
	}
	return nil
}

// synced notes that a member asked for its assignment.
func (g *classicGroup) synced(c *classicMember) {
	g.setUnsynced(c, false)
	if g.unsynced == 0 && g.current == classicStable {
		g.m.timers.Cancel(g.timer(rebalanceTimeout, ""))
	}
}

// assign writes the leader's assignment; members that it does not name get none.
// Apply makes the group stable. Should the append fail, then those who waited
// are told, and the generation waits for another SyncGroup of its leader.
func (g *classicGroup) assign(at coordinator.Moment, out *coordinator.Output, assignments []kmsg.SyncGroupRequestGroupAssignment) {
	byMember := make(map[string][]byte, len(assignments))
	for _, a := range assignments {
		byMember[a.MemberID] = slices.Clone(a.MemberAssignment)
	}
	out.Records = append(out.Records, g.record(byMember))
	for _, c := range g.inOrder {
		if c.sync.waits() {
			out.Replies = append(out.Replies, coordinator.Reply{To: c.sync.to, Response: g.synchronized(byMember[c.id], c.sync)})
			c.sync = waiter{}
			g.renew(at, c)
		}
	}
}

// synchronized is the reply with an assignment.
func (g *classicGroup) synchronized(assignment []byte, w waiter) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	protocolType := g.protoType
	resp.Version, resp.ProtocolType, resp.Protocol = w.version, &protocolType, g.protocol
	resp.MemberAssignment = assignment
	return resp
}

func syncError(w waiter, err error) coordinator.Reply {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.Version, resp.ErrorCode = w.version, int16(protocol.CodeOf(err))
	return coordinator.Reply{To: w.to, Response: resp}
}

func refuseSync(w waiter, err error) coordinator.Output {
	return coordinator.Output{Replies: []coordinator.Reply{syncError(w, err)}}
}
