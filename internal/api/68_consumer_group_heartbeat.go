package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerGroupHeartbeat answers ConsumerGroupHeartbeat, versions 0–1: the group
// coordinator does (KIP-848).
//
// Read on the group.
func (h *Handler) consumerGroupHeartbeat(ctx context.Context, r *Request, req *kmsg.ConsumerGroupHeartbeatRequest) (kmsg.Response, error) {
	return h.Groups.ConsumerGroupHeartbeat(ctx, client(r), req), nil
}
