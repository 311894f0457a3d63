package group

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

// JoinGroup answers JoinGroup, versions 0–9, when the rebalance that it takes
// part in is over.
func (c *Coordinator) JoinGroup(ctx context.Context, client Client, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	fail := func(code protocol.Code, memberID string) *kmsg.JoinGroupResponse {
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.MemberID = int16(code), memberID
		return resp
	}
	if req.Group == "" {
		return fail(protocol.InvalidGroupID, req.MemberID)
	}
	resp, err := ask[*kmsg.JoinGroupResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.JoinGroup(at, to, client, req)
	})
	if err != nil {
		return fail(c.options.Code(err), "")
	}
	return resp
}

// SyncGroup answers SyncGroup, versions 0–5, when the leader has assigned. Since
// version 5 a member must say which protocol it follows.
func (c *Coordinator) SyncGroup(ctx context.Context, req *kmsg.SyncGroupRequest) *kmsg.SyncGroupResponse {
	fail := func(code protocol.Code) *kmsg.SyncGroupResponse {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = int16(code)
		return resp
	}
	switch {
	case req.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil):
		return fail(protocol.InconsistentGroupProtocol)
	case req.Group == "":
		return fail(protocol.InvalidGroupID)
	}
	resp, err := ask[*kmsg.SyncGroupResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.SyncGroup(at, to, req)
	})
	if err != nil {
		return fail(c.options.Code(err))
	}
	return resp
}

// Heartbeat answers Heartbeat, versions 0–4. While the group loads every member
// is well: what to do it learns from the next one.
func (c *Coordinator) Heartbeat(ctx context.Context, req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	fail := func(code protocol.Code) *kmsg.HeartbeatResponse {
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.ErrorCode = int16(code)
		return resp
	}
	if req.Group == "" {
		return fail(protocol.InvalidGroupID)
	}
	resp, err := ask[*kmsg.HeartbeatResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.Heartbeat(at, to, req)
	})
	switch code := c.options.Code(err); {
	case err == nil:
		return resp
	case code == protocol.CoordinatorLoadInProgress:
		return fail(protocol.None)
	default:
		return fail(code)
	}
}

// LeaveGroup answers LeaveGroup, versions 0–5.
func (c *Coordinator) LeaveGroup(ctx context.Context, req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	fail := func(code protocol.Code) *kmsg.LeaveGroupResponse {
		resp := kmsg.NewPtrLeaveGroupResponse()
		resp.ErrorCode = int16(code)
		return resp
	}
	if req.Group == "" {
		return fail(protocol.InvalidGroupID)
	}
	resp, err := ask[*kmsg.LeaveGroupResponse](ctx, c, req.Group, func(m *Machine, at coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		return m.LeaveGroup(at, to, req)
	})
	if err != nil {
		return fail(c.options.Code(err))
	}
	return resp
}
