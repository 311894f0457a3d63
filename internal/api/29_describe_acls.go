package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// noAuthorizer is what Kafka says of ACLs as long as no authorizer is set, to
// those who want to change them.
var noAuthorizer = "No Authorizer is configured."

// describeAcls answers DescribeAcls, versions 1–3: without an authorizer there
// are no ACLs to describe.
//
// Describe on the cluster.
func (h *Handler) describeAcls(context.Context, *Request, *kmsg.DescribeACLsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeACLsResponse()
	message := "No Authorizer is configured on the broker"
	resp.ErrorCode, resp.ErrorMessage = int16(protocol.SecurityDisabled), &message
	return resp, nil
}
