package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// expireDelegationToken answers ExpireDelegationToken, versions 1–2; see
// createDelegationToken.
func (h *Handler) expireDelegationToken(context.Context, *Request, *kmsg.ExpireDelegationTokenRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrExpireDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = int16(protocol.DelegationTokenRequestNotAllowed), -1
	return resp, nil
}
