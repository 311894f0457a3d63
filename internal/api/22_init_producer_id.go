package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/record"
)

// initProducerID answers InitProducerId, versions 0–5 (KIP-98, KIP-360): an
// idempotent producer gets an id that nobody had before, and epoch 0. A
// producer that has an id and asks again gets a new one, as Kafka does.
//
// Transactions are not served yet: a transactional id gets
// TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which every client takes as fatal,
// unless it is empty or its timeout is not within transaction.max.timeout.ms,
// which Kafka refuses as well.
//
// Write on the transactional id, or IdempotentWrite on the cluster.
func (h *Handler) initProducerID(ctx context.Context, r *Request, req *kmsg.InitProducerIDRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrInitProducerIDResponse()
	resp.ProducerID, resp.ProducerEpoch = record.NoProducerID, record.NoProducerEpoch
	known := r.Header.Version >= 3 && req.ProducerID != record.NoProducerID
	epoch := r.Header.Version >= 3 && req.ProducerEpoch != record.NoProducerEpoch
	switch {
	case req.TransactionalID != nil && *req.TransactionalID != "":
		resp.ErrorCode = int16(h.refuseTransactions(req.TransactionTimeoutMillis))
		return resp, nil
	case known != epoch, req.TransactionalID != nil:
		resp.ErrorCode = int16(protocol.InvalidRequest)
		return resp, nil
	}
	id, code := h.newProducerID(ctx)
	if code == protocol.None {
		resp.ProducerID, resp.ProducerEpoch = id, 0
	}
	resp.ErrorCode = int16(code)
	return resp, nil
}

// newProducerID draws an id. Whatever keeps the controller from giving the next
// block passes: the client shall ask again.
func (h *Handler) newProducerID(ctx context.Context) (int64, protocol.Code) {
	id, err := h.ProducerID(ctx)
	if err != nil {
		return record.NoProducerID, protocol.CoordinatorLoadInProgress
	}
	return id, protocol.None
}

// refuseTransactions is what a transactional producer is told.
func (h *Handler) refuseTransactions(timeoutMillis int32) protocol.Code {
	if timeoutMillis <= 0 || int64(timeoutMillis) > h.Config().Producers.TransactionMaxTimeout.Milliseconds() {
		return protocol.InvalidTransactionTimeout
	}
	return protocol.TransactionalIDAuthorizationFailed
}
