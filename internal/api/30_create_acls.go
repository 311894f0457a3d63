package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// createAcls answers CreateAcls, versions 1–3: without an authorizer each
// creation is refused.
//
// Alter on the cluster.
func (h *Handler) createAcls(_ context.Context, _ *Request, req *kmsg.CreateACLsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrCreateACLsResponse()
	for range req.Creations {
		result := kmsg.NewCreateACLsResponseResult()
		result.ErrorCode, result.ErrorMessage = int16(protocol.SecurityDisabled), &noAuthorizer
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
