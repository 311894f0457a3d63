package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteTopics answers DeleteTopics, versions 1–6, by name or (v6) by id: the
// controller decides.
//
// Delete on the topic.
func (h *Handler) deleteTopics(ctx context.Context, _ *Request, req *kmsg.DeleteTopicsRequest) (kmsg.Response, error) {
	return h.Controller.DeleteTopics(ctx, req), nil
}
