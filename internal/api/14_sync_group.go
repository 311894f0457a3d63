package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// syncGroup answers SyncGroup, versions 0–5: the group coordinator does.
//
// Read on the group.
func (h *Handler) syncGroup(ctx context.Context, _ *Request, req *kmsg.SyncGroupRequest) (kmsg.Response, error) {
	return h.Groups.SyncGroup(ctx, req), nil
}
