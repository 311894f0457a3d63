package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// electLeaders answers ElectLeaders, versions 0–2 (KIP-460): preferred or
// unclean elections. The controller decides.
//
// Alter on the cluster.
func (h *Handler) electLeaders(ctx context.Context, _ *Request, req *kmsg.ElectLeadersRequest) (kmsg.Response, error) {
	return h.Controller.ElectLeaders(ctx, req), nil
}
