package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// describeDelegationToken answers DescribeDelegationToken, versions 1–3; see
// createDelegationToken.
func (h *Handler) describeDelegationToken(context.Context, *Request, *kmsg.DescribeDelegationTokenRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeDelegationTokenResponse()
	resp.ErrorCode = int16(protocol.DelegationTokenRequestNotAllowed)
	return resp, nil
}
