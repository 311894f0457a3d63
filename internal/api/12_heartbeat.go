package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// heartbeat answers Heartbeat, versions 0–4: the group coordinator does.
//
// Read on the group.
func (h *Handler) heartbeat(ctx context.Context, _ *Request, req *kmsg.HeartbeatRequest) (kmsg.Response, error) {
	return h.Groups.Heartbeat(ctx, req), nil
}
