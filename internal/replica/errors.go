package replica

import "errors"

// The errors that callers distinguish with errors.Is. Each corresponds to the
// Kafka error named after it. storage.ErrOffsetOutOfRange, storage.ErrStorage,
// the producer errors of package storage and *record.InvalidError are returned
// unchanged.
var (
	// ErrUnknownTopicOrPartition: the metadata has no such partition, or it was
	// deleted while a request waited. UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownTopicOrPartition = errors.New("unknown topic or partition")
	// ErrNotLeader: the partition exists, but this node does not lead it, or
	// does not lead it yet. NOT_LEADER_OR_FOLLOWER.
	ErrNotLeader = errors.New("not the leader of the partition")
	// ErrFencedLeaderEpoch: the request names an older leader epoch.
	// FENCED_LEADER_EPOCH.
	ErrFencedLeaderEpoch = errors.New("fenced leader epoch")
	// ErrUnknownLeaderEpoch: the request names a newer leader epoch.
	// UNKNOWN_LEADER_EPOCH.
	ErrUnknownLeaderEpoch = errors.New("unknown leader epoch")
	// ErrOffsetNotAvailable: the high watermark has not reached the start of the
	// leader's epoch yet (P10). OFFSET_NOT_AVAILABLE.
	ErrOffsetNotAvailable = errors.New("offset not available yet")
	// ErrNotEnoughReplicas: acks=all with an ISR below min.insync.replicas;
	// nothing was written (P16). NOT_ENOUGH_REPLICAS.
	ErrNotEnoughReplicas = errors.New("not enough in-sync replicas")
	// ErrNotEnoughReplicasAfterAppend: the ISR shrank below
	// min.insync.replicas after the write. NOT_ENOUGH_REPLICAS_AFTER_APPEND.
	ErrNotEnoughReplicasAfterAppend = errors.New("not enough in-sync replicas after the append")
	// ErrTimedOut: the records were written, but not acknowledged in time.
	// REQUEST_TIMED_OUT.
	ErrTimedOut = errors.New("timed out waiting for the replicas")
	// ErrPolicyViolation: cleanup.policy does not allow to delete records.
	// POLICY_VIOLATION.
	ErrPolicyViolation = errors.New("policy violation")
)
