package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// createDelegationToken answers CreateDelegationToken, versions 1–3. A token
// may not be asked for on a PLAINTEXT listener (KIP-48), and others are not
// served yet.
func (h *Handler) createDelegationToken(_ context.Context, r *Request, req *kmsg.CreateDelegationTokenRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrCreateDelegationTokenResponse()
	resp.ErrorCode = int16(protocol.DelegationTokenRequestNotAllowed)
	resp.PrincipalType, resp.PrincipalName = splitPrincipal(r.Principal)
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName = splitPrincipal(r.Principal)
	if req.OwnerPrincipalName != nil && *req.OwnerPrincipalName != "" && req.OwnerPrincipalType != nil {
		resp.PrincipalType, resp.PrincipalName = *req.OwnerPrincipalType, *req.OwnerPrincipalName
	}
	resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = -1, -1, -1
	resp.HMAC = []byte{}
	return resp, nil
}
