package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// describeUserScramCredentials answers DescribeUserScramCredentials, version 0
// (KIP-554): mechanism and iterations of each user, never the secrets.
//
// Describe on the cluster.
func (h *Handler) describeUserScramCredentials(_ context.Context, _ *Request, req *kmsg.DescribeUserSCRAMCredentialsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.ErrorMessage = new(string)
	known, order := scramByUser(h.Controller.Image())
	if len(req.Users) == 0 {
		for _, user := range order {
			resp.Results = append(resp.Results, *known[user])
		}
		return resp, nil
	}
	count := map[string]int{}
	for _, user := range req.Users {
		count[user.Name]++
	}
	for _, user := range req.Users {
		if count[user.Name] > 0 {
			resp.Results = append(resp.Results, scramResult(known, user.Name, count[user.Name]))
			count[user.Name] = 0
		}
	}
	return resp, nil
}

func scramByUser(img *metadata.Image) (map[string]*kmsg.DescribeUserSCRAMCredentialsResponseResult, []string) {
	known := map[string]*kmsg.DescribeUserSCRAMCredentialsResponseResult{}
	var order []string
	for c := range img.SCRAMCredentials() {
		result := known[c.Name]
		if result == nil {
			fresh := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
			fresh.User = c.Name
			result = &fresh
			known[c.Name] = result
			order = append(order, c.Name)
		}
		info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
		info.Mechanism, info.Iterations = c.Mechanism, c.Iterations
		result.CredentialInfos = append(result.CredentialInfos, info)
	}
	return known, order
}

func scramResult(known map[string]*kmsg.DescribeUserSCRAMCredentialsResponseResult, user string, times int) kmsg.DescribeUserSCRAMCredentialsResponseResult {
	if result := known[user]; result != nil && times == 1 {
		return *result
	}
	result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
	result.User = user
	err := protocol.Errorf(protocol.ResourceNotFound, "Attempt to describe a user credential that does not exist: %s", user)
	if times > 1 {
		err = protocol.Errorf(protocol.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: %s", user)
	}
	result.ErrorCode, result.ErrorMessage = int16(code(err)), message(err)
	return result
}
