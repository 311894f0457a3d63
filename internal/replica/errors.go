package replica

import "errors"

// The errors that a caller tells apart with errors.Is. Each is the Kafka error
// of the same meaning, named behind it; storage.ErrOffsetOutOfRange,
// storage.ErrStorage, the producer errors of package storage and
// *record.InvalidError come through as they are.
var (
	// ErrUnknownTopicOrPartition: the metadata has no such partition, or it was
	// deleted while somebody waited. UNKNOWN_TOPIC_OR_PARTITION.
	ErrUnknownTopicOrPartition = errors.New("unknown topic or partition")
	// ErrNotLeader: the partition exists but this node does not lead it, or not
	// yet. NOT_LEADER_OR_FOLLOWER.
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
	// ErrTimedOut: the records are written but not acknowledged in time.
	// REQUEST_TIMED_OUT.
	ErrTimedOut = errors.New("timed out waiting for the replicas")
	// ErrPolicyViolation: cleanup.policy does not allow to delete records.
	// POLICY_VIOLATION.
	ErrPolicyViolation = errors.New("policy violation")
)
