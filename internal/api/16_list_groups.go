package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// listGroups answers ListGroups, versions 0–5: the group coordinator does, for
// the groups that it coordinates.
//
// Describe on the cluster, or on the groups.
func (h *Handler) listGroups(ctx context.Context, r *Request, req *kmsg.ListGroupsRequest) (kmsg.Response, error) {
	return h.Groups.ListGroups(ctx, r.Meter, req), nil
}
