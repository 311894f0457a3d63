package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// unregisterBroker answers UnregisterBroker, version 0: a broker that is gone
// for good is forgotten. The controller decides.
//
// Alter on the cluster.
func (h *Handler) unregisterBroker(ctx context.Context, _ *Request, req *kmsg.UnregisterBrokerRequest) (kmsg.Response, error) {
	return h.Controller.UnregisterBroker(ctx, req), nil
}
