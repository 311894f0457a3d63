package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// leaveGroup answers LeaveGroup, versions 0–5: the group coordinator does.
//
// Read on the group.
func (h *Handler) leaveGroup(ctx context.Context, _ *Request, req *kmsg.LeaveGroupRequest) (kmsg.Response, error) {
	return h.Groups.LeaveGroup(ctx, req), nil
}
