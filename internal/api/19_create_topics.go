package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopics answers CreateTopics, versions 2–7: the controller decides.
//
// Create on the cluster or the topic.
func (h *Handler) createTopics(ctx context.Context, _ *Request, req *kmsg.CreateTopicsRequest) (kmsg.Response, error) {
	return h.Controller.CreateTopics(ctx, req), nil
}
