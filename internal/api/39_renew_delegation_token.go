package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// renewDelegationToken answers RenewDelegationToken, versions 1–2; see
// createDelegationToken.
func (h *Handler) renewDelegationToken(context.Context, *Request, *kmsg.RenewDelegationTokenRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrRenewDelegationTokenResponse()
	resp.ErrorCode, resp.ExpiryTimestamp = int16(protocol.DelegationTokenRequestNotAllowed), -1
	return resp, nil
}
