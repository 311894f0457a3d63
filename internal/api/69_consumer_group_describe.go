package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerGroupDescribe answers ConsumerGroupDescribe, versions 0–1: the group
// coordinator does.
//
// Describe on the groups.
func (h *Handler) consumerGroupDescribe(ctx context.Context, r *Request, req *kmsg.ConsumerGroupDescribeRequest) (kmsg.Response, error) {
	resp := h.Groups.ConsumerGroupDescribe(ctx, r.Meter, req)
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = noOperations
		if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = groupOperations
		}
	}
	return resp, nil
}
