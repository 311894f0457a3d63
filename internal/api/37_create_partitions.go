package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createPartitions answers CreatePartitions, versions 0–3: the controller
// decides.
//
// Alter on the topic.
func (h *Handler) createPartitions(ctx context.Context, _ *Request, req *kmsg.CreatePartitionsRequest) (kmsg.Response, error) {
	return h.Controller.CreatePartitions(ctx, req), nil
}
