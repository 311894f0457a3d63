package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeGroups answers DescribeGroups, versions 0–6: the group coordinator
// does.
//
// Describe on the groups.
func (h *Handler) describeGroups(ctx context.Context, r *Request, req *kmsg.DescribeGroupsRequest) (kmsg.Response, error) {
	resp := h.Groups.DescribeGroups(ctx, r.Meter, req)
	for i := range resp.Groups {
		g := &resp.Groups[i]
		g.AuthorizedOperations = noOperations
		if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = groupOperations
		}
	}
	return resp, nil
}
