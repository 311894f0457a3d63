package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// deleteAcls answers DeleteAcls, versions 1–3: without an authorizer each
// filter is refused.
//
// Alter on the cluster.
func (h *Handler) deleteAcls(_ context.Context, _ *Request, req *kmsg.DeleteACLsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDeleteACLsResponse()
	for range req.Filters {
		result := kmsg.NewDeleteACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(protocol.SecurityDisabled), &noAuthorizer
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
