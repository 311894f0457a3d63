package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// offsetDelete answers OffsetDelete, version 0: the group coordinator does.
//
// Delete on the group, Read on the topics.
func (h *Handler) offsetDelete(ctx context.Context, r *Request, req *kmsg.OffsetDeleteRequest) (kmsg.Response, error) {
	return h.Groups.OffsetDelete(ctx, client(r), req), nil
}
