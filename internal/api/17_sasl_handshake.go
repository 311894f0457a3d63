package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// saslHandshake answers SaslHandshake, versions 0–1. It begins the
// authentication of a SASL listener; on a PLAINTEXT listener it comes at the
// wrong time.
func (h *Handler) saslHandshake(context.Context, *Request, *kmsg.SASLHandshakeRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.ErrorCode = int16(protocol.IllegalSaslState)
	return resp, nil
}
