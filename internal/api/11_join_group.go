package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// joinGroup answers JoinGroup, versions 0–9: the group coordinator does.
//
// Read on the group.
func (h *Handler) joinGroup(ctx context.Context, r *Request, req *kmsg.JoinGroupRequest) (kmsg.Response, error) {
	return h.Groups.JoinGroup(ctx, client(r), req), nil
}
