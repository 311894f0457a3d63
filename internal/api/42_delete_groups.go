package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteGroups answers DeleteGroups, versions 0–2: the group coordinator does.
//
// Delete on the groups.
func (h *Handler) deleteGroups(ctx context.Context, r *Request, req *kmsg.DeleteGroupsRequest) (kmsg.Response, error) {
	return h.Groups.DeleteGroups(ctx, r.Meter, req), nil
}
