package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// syncGroup answers SyncGroup, versions 0–5: the group coordinator does, once the
// leader has assigned. When those who wait take too much memory it is
// COORDINATOR_LOAD_IN_PROGRESS, as for JoinGroup.
//
// Read on the group.
func (h *Handler) syncGroup(ctx context.Context, r *Request, req *kmsg.SyncGroupRequest) (kmsg.Response, error) {
	if !r.park(waitingRequest + len(r.Body) + len(req.GroupAssignment)*meter.Size[kmsg.SyncGroupRequestGroupAssignment]()) {
		resp := kmsg.NewPtrSyncGroupResponse()
		resp.ErrorCode = int16(protocol.CoordinatorLoadInProgress)
		return resp, nil
	}
	return h.Groups.SyncGroup(ctx, req), nil
}
