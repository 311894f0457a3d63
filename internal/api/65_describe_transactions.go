package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// describeTransactions answers DescribeTransactions, version 0 (KIP-664):
// there are none until transactions exist.
//
// Describe on the transactional id.
func (h *Handler) describeTransactions(_ context.Context, r *Request, req *kmsg.DescribeTransactionsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeTransactionsResponse()
	for _, id := range req.TransactionalIDs {
		if err := r.Meter.Charge(meter.Size[kmsg.DescribeTransactionsResponseTransactionState]()); err != nil {
			return nil, err
		}
		state := kmsg.NewDescribeTransactionsResponseTransactionState()
		state.TransactionalID = id
		state.ErrorCode = int16(protocol.TransactionalIDNotFound)
		if id == "" {
			state.ErrorCode = int16(protocol.InvalidRequest)
		}
		resp.TransactionStates = append(resp.TransactionStates, state)
	}
	return resp, nil
}
