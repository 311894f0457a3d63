package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/pattern"
	"ottla/internal/protocol"
)

// transactionStates are the names that a filter may use (KIP-664).
var transactionStates = []string{
	"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "PrepareEpochFence", "Dead",
}

// listTransactions answers ListTransactions, versions 0–2: there are none
// until transactions exist; filters for states that Kafka does not know come
// back as such. The pattern (KIP-1152, v2) must be a regular expression.
//
// Describe on the transactional id.
func (h *Handler) listTransactions(_ context.Context, _ *Request, req *kmsg.ListTransactionsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrListTransactionsResponse()
	for _, state := range req.StateFilters {
		if !slices.Contains(transactionStates, state) {
			resp.UnknownStateFilters = append(resp.UnknownStateFilters, state)
		}
	}
	// Kafka uses RE2, too.
	if pattern.Check(deref(req.TransactionalIDPattern)) != nil {
		resp.ErrorCode = int16(protocol.InvalidRegularExpression)
	}
	return resp, nil
}
