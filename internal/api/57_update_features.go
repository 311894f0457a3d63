package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// updateFeatures answers UpdateFeatures, versions 0–2 (KIP-584): the
// controller decides.
//
// Alter on the cluster.
func (h *Handler) updateFeatures(ctx context.Context, _ *Request, req *kmsg.UpdateFeaturesRequest) (kmsg.Response, error) {
	return h.Controller.UpdateFeatures(ctx, req), nil
}
