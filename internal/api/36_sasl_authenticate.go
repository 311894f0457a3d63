package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// saslAuthenticate answers SaslAuthenticate, versions 0–2; see saslHandshake.
func (h *Handler) saslAuthenticate(context.Context, *Request, *kmsg.SASLAuthenticateRequest) (kmsg.Response, error) {
	message := "SaslAuthenticate request received after successful authentication"
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	resp.ErrorCode, resp.ErrorMessage = int16(protocol.IllegalSaslState), &message
	return resp, nil
}
