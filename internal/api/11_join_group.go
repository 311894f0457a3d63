package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// joinGroup answers JoinGroup, versions 0–9: the group coordinator does, once the
// rebalance is over. When those who wait take too much memory it is
// COORDINATOR_LOAD_IN_PROGRESS, after which clients pause and join again.
//
// Read on the group.
func (h *Handler) joinGroup(ctx context.Context, r *Request, req *kmsg.JoinGroupRequest) (kmsg.Response, error) {
	if !r.park(waitingRequest + len(r.Body) + len(req.Protocols)*meter.Size[kmsg.JoinGroupRequestProtocol]()) {
		resp := kmsg.NewPtrJoinGroupResponse()
		resp.ErrorCode, resp.MemberID = int16(protocol.CoordinatorLoadInProgress), req.MemberID
		return resp, nil
	}
	return h.Groups.JoinGroup(ctx, client(r), req), nil
}

// waitingRequest is what a request that waits takes beside its message, in bytes:
// the call, the timer, the reply.
const waitingRequest = 1 << 10
