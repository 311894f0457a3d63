package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// alterConfigs answers AlterConfigs, versions 0–2, which replaces all configs
// of a resource at once. Clients of today use IncrementalAlterConfigs instead.
// The controller decides.
//
// AlterConfigs on the topic or the cluster.
func (h *Handler) alterConfigs(ctx context.Context, _ *Request, req *kmsg.AlterConfigsRequest) (kmsg.Response, error) {
	return h.Controller.AlterConfigs(ctx, req), nil
}
