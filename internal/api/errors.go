package api

import (
	"context"
	"errors"
	"strings"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/storage"
)

// sentinels maps the errors of the other rooms to Kafka's codes. This and
// code are the one place where that is done.
var sentinels = []struct {
	err  error
	code protocol.Code
}{
	{replica.ErrUnknownTopicOrPartition, protocol.UnknownTopicOrPartition},
	{replica.ErrNotLeader, protocol.NotLeaderOrFollower},
	{replica.ErrFencedLeaderEpoch, protocol.FencedLeaderEpoch},
	{replica.ErrUnknownLeaderEpoch, protocol.UnknownLeaderEpoch},
	{replica.ErrNotEnoughReplicas, protocol.NotEnoughReplicas},
	{replica.ErrNotEnoughReplicasAfterAppend, protocol.NotEnoughReplicasAfterAppend},
	{replica.ErrOffsetNotAvailable, protocol.OffsetNotAvailable},
	{replica.ErrPolicyViolation, protocol.PolicyViolation},
	{replica.ErrTimedOut, protocol.RequestTimedOut},
	{storage.ErrOffsetOutOfRange, protocol.OffsetOutOfRange},
	{storage.ErrFencedEpoch, protocol.NotLeaderOrFollower},
	{storage.ErrBatchTooLarge, protocol.RecordListTooLarge},
	{storage.ErrOutOfOrderSequence, protocol.OutOfOrderSequenceNumber},
	{storage.ErrInvalidProducerEpoch, protocol.InvalidProducerEpoch},
	{storage.ErrInvalidTxnState, protocol.InvalidTxnState},
	{storage.ErrCoordinatorFenced, protocol.TransactionCoordinatorFenced},
	{storage.ErrTopicID, protocol.InconsistentTopicID},
	{storage.ErrStorage, protocol.KafkaStorageError},
	{storage.ErrClosed, protocol.NotLeaderOrFollower},
	{coordinator.ErrNotCoordinator, protocol.NotCoordinator},
	{coordinator.ErrLoading, protocol.CoordinatorLoadInProgress},
	{coordinator.ErrTimedOut, protocol.RequestTimedOut},
	{raft.ErrNotLeader, protocol.NotController},
	{raft.ErrBusy, protocol.NotController},
	{raft.ErrClosed, protocol.NotController},
	{context.DeadlineExceeded, protocol.RequestTimedOut},
	{context.Canceled, protocol.RequestTimedOut},
}

// recordCodes maps why a record batch was refused.
var recordCodes = map[record.Kind]protocol.Code{
	record.Corrupt:                protocol.CorruptMessage,
	record.InvalidRecord:          protocol.InvalidRecord,
	record.InvalidTimestamp:       protocol.InvalidTimestamp,
	record.TooLarge:               protocol.MessageTooLarge,
	record.UnsupportedCompression: protocol.UnsupportedCompressionType,
}

// code is the error code that a client gets for err; None for nil, and
// UnknownServerError for what no client can mend.
func code(err error) protocol.Code {
	if err == nil {
		return protocol.None
	}
	var invalid *record.InvalidError
	if errors.As(err, &invalid) {
		return recordCodes[invalid.Kind]
	}
	var corrupt *storage.CorruptError
	if errors.As(err, &corrupt) {
		return protocol.CorruptMessage
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return protocol.CodeOf(err)
}

// CoordinatorCode is code for a request that a coordinator could not answer. What
// went wrong with its own partition says nothing to the client, whom only
// concerns whether to wait or to look for another coordinator; Kafka has the
// same table (CoordinatorOperationExceptionHelper).
func CoordinatorCode(err error) protocol.Code {
	switch c := code(err); c {
	case protocol.UnknownTopicOrPartition, protocol.NotEnoughReplicas, protocol.RequestTimedOut:
		return protocol.CoordinatorNotAvailable
	case protocol.NotLeaderOrFollower, protocol.KafkaStorageError, protocol.FencedLeaderEpoch, protocol.UnknownLeaderEpoch:
		return protocol.NotCoordinator
	case protocol.MessageTooLarge, protocol.RecordListTooLarge, protocol.InvalidFetchSize:
		return protocol.UnknownServerError
	default:
		return c
	}
}

// message is what a client is told beside the code: the error's own words when
// it has any, else the code's.
func message(err error) *string {
	var invalid *record.InvalidError
	if errors.As(err, &invalid) {
		return &invalid.Message
	}
	var worded *protocol.Error
	if errors.As(err, &worded) {
		return &worded.Message
	}
	text := code(err).Message()
	return &text
}

// splitPrincipal splits a principal such as User:alice into type and name.
func splitPrincipal(principal string) (kind, name string) {
	kind, name, _ = strings.Cut(principal, ":")
	return kind, name
}
