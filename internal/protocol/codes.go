package protocol

import (
	"errors"
	"fmt"
)

// Code is a Kafka error code as it stands in a response. It is an error, so
// that rooms return codes as they are; None must not be returned as an error.
type Code int16

// The error codes of Apache Kafka 4.3.1, under the names of its protocol
// documentation.
const (
	UnknownServerError                 Code = -1
	None                               Code = 0
	OffsetOutOfRange                   Code = 1
	CorruptMessage                     Code = 2
	UnknownTopicOrPartition            Code = 3
	InvalidFetchSize                   Code = 4
	LeaderNotAvailable                 Code = 5
	NotLeaderOrFollower                Code = 6
	RequestTimedOut                    Code = 7
	BrokerNotAvailable                 Code = 8
	ReplicaNotAvailable                Code = 9
	MessageTooLarge                    Code = 10
	StaleControllerEpoch               Code = 11
	OffsetMetadataTooLarge             Code = 12
	NetworkException                   Code = 13
	CoordinatorLoadInProgress          Code = 14
	CoordinatorNotAvailable            Code = 15
	NotCoordinator                     Code = 16
	InvalidTopicException              Code = 17
	RecordListTooLarge                 Code = 18
	NotEnoughReplicas                  Code = 19
	NotEnoughReplicasAfterAppend       Code = 20
	InvalidRequiredAcks                Code = 21
	IllegalGeneration                  Code = 22
	InconsistentGroupProtocol          Code = 23
	InvalidGroupID                     Code = 24
	UnknownMemberID                    Code = 25
	InvalidSessionTimeout              Code = 26
	RebalanceInProgress                Code = 27
	InvalidCommitOffsetSize            Code = 28
	TopicAuthorizationFailed           Code = 29
	GroupAuthorizationFailed           Code = 30
	ClusterAuthorizationFailed         Code = 31
	InvalidTimestamp                   Code = 32
	UnsupportedSaslMechanism           Code = 33
	IllegalSaslState                   Code = 34
	UnsupportedVersion                 Code = 35
	TopicAlreadyExists                 Code = 36
	InvalidPartitions                  Code = 37
	InvalidReplicationFactor           Code = 38
	InvalidReplicaAssignment           Code = 39
	InvalidConfig                      Code = 40
	NotController                      Code = 41
	InvalidRequest                     Code = 42
	UnsupportedForMessageFormat        Code = 43
	PolicyViolation                    Code = 44
	OutOfOrderSequenceNumber           Code = 45
	DuplicateSequenceNumber            Code = 46
	InvalidProducerEpoch               Code = 47
	InvalidTxnState                    Code = 48
	InvalidProducerIDMapping           Code = 49
	InvalidTransactionTimeout          Code = 50
	ConcurrentTransactions             Code = 51
	TransactionCoordinatorFenced       Code = 52
	TransactionalIDAuthorizationFailed Code = 53
	SecurityDisabled                   Code = 54
	OperationNotAttempted              Code = 55
	KafkaStorageError                  Code = 56
	LogDirNotFound                     Code = 57
	SaslAuthenticationFailed           Code = 58
	UnknownProducerID                  Code = 59
	ReassignmentInProgress             Code = 60
	DelegationTokenAuthDisabled        Code = 61
	DelegationTokenNotFound            Code = 62
	DelegationTokenOwnerMismatch       Code = 63
	DelegationTokenRequestNotAllowed   Code = 64
	DelegationTokenAuthorizationFailed Code = 65
	DelegationTokenExpired             Code = 66
	InvalidPrincipalType               Code = 67
	NonEmptyGroup                      Code = 68
	GroupIDNotFound                    Code = 69
	FetchSessionIDNotFound             Code = 70
	InvalidFetchSessionEpoch           Code = 71
	ListenerNotFound                   Code = 72
	TopicDeletionDisabled              Code = 73
	FencedLeaderEpoch                  Code = 74
	UnknownLeaderEpoch                 Code = 75
	UnsupportedCompressionType         Code = 76
	StaleBrokerEpoch                   Code = 77
	OffsetNotAvailable                 Code = 78
	MemberIDRequired                   Code = 79
	PreferredLeaderNotAvailable        Code = 80
	GroupMaxSizeReached                Code = 81
	FencedInstanceID                   Code = 82
	EligibleLeadersNotAvailable        Code = 83
	ElectionNotNeeded                  Code = 84
	NoReassignmentInProgress           Code = 85
	GroupSubscribedToTopic             Code = 86
	InvalidRecord                      Code = 87
	UnstableOffsetCommit               Code = 88
	ThrottlingQuotaExceeded            Code = 89
	ProducerFenced                     Code = 90
	ResourceNotFound                   Code = 91
	DuplicateResource                  Code = 92
	UnacceptableCredential             Code = 93
	InconsistentVoterSet               Code = 94
	InvalidUpdateVersion               Code = 95
	FeatureUpdateFailed                Code = 96
	PrincipalDeserializationFailure    Code = 97
	SnapshotNotFound                   Code = 98
	PositionOutOfRange                 Code = 99
	UnknownTopicID                     Code = 100
	DuplicateBrokerRegistration        Code = 101
	BrokerIDNotRegistered              Code = 102
	InconsistentTopicID                Code = 103
	InconsistentClusterID              Code = 104
	TransactionalIDNotFound            Code = 105
	FetchSessionTopicIDError           Code = 106
	IneligibleReplica                  Code = 107
	NewLeaderElected                   Code = 108
	OffsetMovedToTieredStorage         Code = 109
	FencedMemberEpoch                  Code = 110
	UnreleasedInstanceID               Code = 111
	UnsupportedAssignor                Code = 112
	StaleMemberEpoch                   Code = 113
	MismatchedEndpointType             Code = 114
	UnsupportedEndpointType            Code = 115
	UnknownControllerID                Code = 116
	UnknownSubscriptionID              Code = 117
	TelemetryTooLarge                  Code = 118
	InvalidRegistration                Code = 119
	TransactionAbortable               Code = 120
	InvalidRecordState                 Code = 121
	ShareSessionNotFound               Code = 122
	InvalidShareSessionEpoch           Code = 123
	FencedStateEpoch                   Code = 124
	InvalidVoterKey                    Code = 125
	DuplicateVoter                     Code = 126
	VoterNotFound                      Code = 127
	InvalidRegularExpression           Code = 128
	RebootstrapRequired                Code = 129
	StreamsInvalidTopology             Code = 130
	StreamsInvalidTopologyEpoch        Code = 131
	StreamsTopologyFenced              Code = 132
	ShareSessionLimitReached           Code = 133
)

// codeTexts holds name and default message of each code, the first that of
// UnknownServerError. Where a response carries the default message to clients
// the wording is Kafka's, so that programs that compare it go on working.
var codeTexts = [...]struct{ name, message string }{
	UnknownServerError + 1:                 {"UNKNOWN_SERVER_ERROR", "The server experienced an unexpected error when processing the request."},
	None + 1:                               {"NONE", ""},
	OffsetOutOfRange + 1:                   {"OFFSET_OUT_OF_RANGE", "The requested offset is not within the range of offsets maintained by the server."},
	CorruptMessage + 1:                     {"CORRUPT_MESSAGE", "The records fail their checksum or are corrupt in another way."},
	UnknownTopicOrPartition + 1:            {"UNKNOWN_TOPIC_OR_PARTITION", "This server does not host this topic-partition."},
	InvalidFetchSize + 1:                   {"INVALID_FETCH_SIZE", "The fetch size is not valid."},
	LeaderNotAvailable + 1:                 {"LEADER_NOT_AVAILABLE", "There is no leader for this topic-partition as we are in the middle of a leadership election."},
	NotLeaderOrFollower + 1:                {"NOT_LEADER_OR_FOLLOWER", "This broker is not the leader of the partition, or not a replica of it."},
	RequestTimedOut + 1:                    {"REQUEST_TIMED_OUT", "The request timed out."},
	BrokerNotAvailable + 1:                 {"BROKER_NOT_AVAILABLE", "The broker is not available."},
	ReplicaNotAvailable + 1:                {"REPLICA_NOT_AVAILABLE", "The replica is not available."},
	MessageTooLarge + 1:                    {"MESSAGE_TOO_LARGE", "The records are larger than the broker accepts."},
	StaleControllerEpoch + 1:               {"STALE_CONTROLLER_EPOCH", "The controller moved to another broker."},
	OffsetMetadataTooLarge + 1:             {"OFFSET_METADATA_TOO_LARGE", "The metadata of the committed offset is too large."},
	NetworkException + 1:                   {"NETWORK_EXCEPTION", "The connection was closed before a response came."},
	CoordinatorLoadInProgress + 1:          {"COORDINATOR_LOAD_IN_PROGRESS", "The coordinator is still loading its state."},
	CoordinatorNotAvailable + 1:            {"COORDINATOR_NOT_AVAILABLE", "The coordinator is not available."},
	NotCoordinator + 1:                     {"NOT_COORDINATOR", "This broker is not the coordinator."},
	InvalidTopicException + 1:              {"INVALID_TOPIC_EXCEPTION", "The request attempted to perform an operation on an invalid topic."},
	RecordListTooLarge + 1:                 {"RECORD_LIST_TOO_LARGE", "The batch is larger than a segment."},
	NotEnoughReplicas + 1:                  {"NOT_ENOUGH_REPLICAS", "Fewer replicas are in sync than min.insync.replicas asks for; nothing was written."},
	NotEnoughReplicasAfterAppend + 1:       {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", "The records were written, but to fewer replicas than min.insync.replicas asks for."},
	InvalidRequiredAcks + 1:                {"INVALID_REQUIRED_ACKS", "acks is none of -1, 0 and 1."},
	IllegalGeneration + 1:                  {"ILLEGAL_GENERATION", "The generation of the group is not the current one."},
	InconsistentGroupProtocol + 1:          {"INCONSISTENT_GROUP_PROTOCOL", "The member's protocols match none of the group's."},
	InvalidGroupID + 1:                     {"INVALID_GROUP_ID", "The group id is not valid."},
	UnknownMemberID + 1:                    {"UNKNOWN_MEMBER_ID", "The coordinator does not know this member."},
	InvalidSessionTimeout + 1:              {"INVALID_SESSION_TIMEOUT", "The session timeout lies outside group.min.session.timeout.ms and group.max.session.timeout.ms."},
	RebalanceInProgress + 1:                {"REBALANCE_IN_PROGRESS", "The group is rebalancing; join again."},
	InvalidCommitOffsetSize + 1:            {"INVALID_COMMIT_OFFSET_SIZE", "The committed offset has an invalid size."},
	TopicAuthorizationFailed + 1:           {"TOPIC_AUTHORIZATION_FAILED", "Topic authorization failed."},
	GroupAuthorizationFailed + 1:           {"GROUP_AUTHORIZATION_FAILED", "Group authorization failed."},
	ClusterAuthorizationFailed + 1:         {"CLUSTER_AUTHORIZATION_FAILED", "Cluster authorization failed."},
	InvalidTimestamp + 1:                   {"INVALID_TIMESTAMP", "The timestamp lies outside what the topic accepts."},
	UnsupportedSaslMechanism + 1:           {"UNSUPPORTED_SASL_MECHANISM", "The broker does not offer this SASL mechanism."},
	IllegalSaslState + 1:                   {"ILLEGAL_SASL_STATE", "Request is not valid given the current SASL state."},
	UnsupportedVersion + 1:                 {"UNSUPPORTED_VERSION", "The version of API is not supported."},
	TopicAlreadyExists + 1:                 {"TOPIC_ALREADY_EXISTS", "Topic with this name already exists."},
	InvalidPartitions + 1:                  {"INVALID_PARTITIONS", "Number of partitions is below 1."},
	InvalidReplicationFactor + 1:           {"INVALID_REPLICATION_FACTOR", "Replication factor is below 1 or larger than the number of available brokers."},
	InvalidReplicaAssignment + 1:           {"INVALID_REPLICA_ASSIGNMENT", "Replica assignment is invalid."},
	InvalidConfig + 1:                      {"INVALID_CONFIG", "Configuration is invalid."},
	NotController + 1:                      {"NOT_CONTROLLER", "This is not the correct controller for this cluster."},
	InvalidRequest + 1:                     {"INVALID_REQUEST", "This most likely occurs because of a request being malformed by the client library or the message was sent to an incompatible broker. See the broker logs for more details."},
	UnsupportedForMessageFormat + 1:        {"UNSUPPORTED_FOR_MESSAGE_FORMAT", "The message format of the log does not allow this request."},
	PolicyViolation + 1:                    {"POLICY_VIOLATION", "Request parameters do not satisfy the configured policy."},
	OutOfOrderSequenceNumber + 1:           {"OUT_OF_ORDER_SEQUENCE_NUMBER", "The batch does not follow the producer's last one."},
	DuplicateSequenceNumber + 1:            {"DUPLICATE_SEQUENCE_NUMBER", "The batch was written before."},
	InvalidProducerEpoch + 1:               {"INVALID_PRODUCER_EPOCH", "The producer's epoch is older than the one known."},
	InvalidTxnState + 1:                    {"INVALID_TXN_STATE", "The transaction is in a state that does not allow this."},
	InvalidProducerIDMapping + 1:           {"INVALID_PRODUCER_ID_MAPPING", "The producer id does not belong to the transactional id."},
	InvalidTransactionTimeout + 1:          {"INVALID_TRANSACTION_TIMEOUT", "The transaction timeout is above transaction.max.timeout.ms."},
	ConcurrentTransactions + 1:             {"CONCURRENT_TRANSACTIONS", "Another operation on the transaction is still going on."},
	TransactionCoordinatorFenced + 1:       {"TRANSACTION_COORDINATOR_FENCED", "Another transaction coordinator has taken over."},
	TransactionalIDAuthorizationFailed + 1: {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "Transactional Id authorization failed."},
	SecurityDisabled + 1:                   {"SECURITY_DISABLED", "Security features are disabled."},
	OperationNotAttempted + 1:              {"OPERATION_NOT_ATTEMPTED", "The operation was not tried, because another of the same request failed."},
	KafkaStorageError + 1:                  {"KAFKA_STORAGE_ERROR", "The log directory failed."},
	LogDirNotFound + 1:                     {"LOG_DIR_NOT_FOUND", "The log directory is not one of the broker's."},
	SaslAuthenticationFailed + 1:           {"SASL_AUTHENTICATION_FAILED", "SASL authentication failed."},
	UnknownProducerID + 1:                  {"UNKNOWN_PRODUCER_ID", "The broker has no state of this producer id."},
	ReassignmentInProgress + 1:             {"REASSIGNMENT_IN_PROGRESS", "A partition reassignment is in progress."},
	DelegationTokenAuthDisabled + 1:        {"DELEGATION_TOKEN_AUTH_DISABLED", "Delegation Token feature is not enabled."},
	DelegationTokenNotFound + 1:            {"DELEGATION_TOKEN_NOT_FOUND", "Delegation Token is not found on server."},
	DelegationTokenOwnerMismatch + 1:       {"DELEGATION_TOKEN_OWNER_MISMATCH", "Specified Principal is not valid Owner/Renewer."},
	DelegationTokenRequestNotAllowed + 1:   {"DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "Delegation Token requests are not allowed on PLAINTEXT/1-way SSL channels and on delegation token authenticated channels."},
	DelegationTokenAuthorizationFailed + 1: {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", "Delegation Token authorization failed."},
	DelegationTokenExpired + 1:             {"DELEGATION_TOKEN_EXPIRED", "Delegation Token is expired."},
	InvalidPrincipalType + 1:               {"INVALID_PRINCIPAL_TYPE", "Supplied principalType is not supported."},
	NonEmptyGroup + 1:                      {"NON_EMPTY_GROUP", "The group is not empty."},
	GroupIDNotFound + 1:                    {"GROUP_ID_NOT_FOUND", "The group id does not exist."},
	FetchSessionIDNotFound + 1:             {"FETCH_SESSION_ID_NOT_FOUND", "The fetch session does not exist."},
	InvalidFetchSessionEpoch + 1:           {"INVALID_FETCH_SESSION_EPOCH", "The epoch of the fetch session is not the expected one."},
	ListenerNotFound + 1:                   {"LISTENER_NOT_FOUND", "The leader has no listener of the name that the request came through."},
	TopicDeletionDisabled + 1:              {"TOPIC_DELETION_DISABLED", "Topic deletion is disabled."},
	FencedLeaderEpoch + 1:                  {"FENCED_LEADER_EPOCH", "The leader epoch of the request is older than the broker's."},
	UnknownLeaderEpoch + 1:                 {"UNKNOWN_LEADER_EPOCH", "The leader epoch of the request is newer than the broker's."},
	UnsupportedCompressionType + 1:         {"UNSUPPORTED_COMPRESSION_TYPE", "The partition's compression is not supported by the version of the request."},
	StaleBrokerEpoch + 1:                   {"STALE_BROKER_EPOCH", "Broker epoch has changed."},
	OffsetNotAvailable + 1:                 {"OFFSET_NOT_AVAILABLE", "The leader is new and does not know yet which offsets are committed."},
	MemberIDRequired + 1:                   {"MEMBER_ID_REQUIRED", "A member id is needed before joining the group."},
	PreferredLeaderNotAvailable + 1:        {"PREFERRED_LEADER_NOT_AVAILABLE", "The preferred leader was not available."},
	GroupMaxSizeReached + 1:                {"GROUP_MAX_SIZE_REACHED", "The group is full."},
	FencedInstanceID + 1:                   {"FENCED_INSTANCE_ID", "Another member has registered with this group.instance.id."},
	EligibleLeadersNotAvailable + 1:        {"ELIGIBLE_LEADERS_NOT_AVAILABLE", "Eligible topic partition leaders are not available."},
	ElectionNotNeeded + 1:                  {"ELECTION_NOT_NEEDED", "Leader election not needed for topic partition."},
	NoReassignmentInProgress + 1:           {"NO_REASSIGNMENT_IN_PROGRESS", "No partition reassignment is in progress."},
	GroupSubscribedToTopic + 1:             {"GROUP_SUBSCRIBED_TO_TOPIC", "The group is subscribed to the topic, so its offsets stay."},
	InvalidRecord + 1:                      {"INVALID_RECORD", "This record has failed the validation on broker and hence will be rejected."},
	UnstableOffsetCommit + 1:               {"UNSTABLE_OFFSET_COMMIT", "Offsets of an open transaction are pending."},
	ThrottlingQuotaExceeded + 1:            {"THROTTLING_QUOTA_EXCEEDED", "The throttling quota has been exceeded."},
	ProducerFenced + 1:                     {"PRODUCER_FENCED", "A newer producer uses the same transactional id."},
	ResourceNotFound + 1:                   {"RESOURCE_NOT_FOUND", "A request illegally referred to a resource that does not exist."},
	DuplicateResource + 1:                  {"DUPLICATE_RESOURCE", "A request illegally referred to the same resource twice."},
	UnacceptableCredential + 1:             {"UNACCEPTABLE_CREDENTIAL", "Requested credential would not meet criteria for acceptability."},
	InconsistentVoterSet + 1:               {"INCONSISTENT_VOTER_SET", "Sender or receiver is not one of the expected voters."},
	InvalidUpdateVersion + 1:               {"INVALID_UPDATE_VERSION", "The given update version was invalid."},
	FeatureUpdateFailed + 1:                {"FEATURE_UPDATE_FAILED", "The features could not be updated."},
	PrincipalDeserializationFailure + 1:    {"PRINCIPAL_DESERIALIZATION_FAILURE", "The forwarded principal cannot be read."},
	SnapshotNotFound + 1:                   {"SNAPSHOT_NOT_FOUND", "The snapshot does not exist."},
	PositionOutOfRange + 1:                 {"POSITION_OUT_OF_RANGE", "The position lies outside the snapshot."},
	UnknownTopicID + 1:                     {"UNKNOWN_TOPIC_ID", "This server does not host this topic ID."},
	DuplicateBrokerRegistration + 1:        {"DUPLICATE_BROKER_REGISTRATION", "This broker ID is already in use."},
	BrokerIDNotRegistered + 1:              {"BROKER_ID_NOT_REGISTERED", "The given broker ID was not registered."},
	InconsistentTopicID + 1:                {"INCONSISTENT_TOPIC_ID", "The topic id of the request is not that of the log."},
	InconsistentClusterID + 1:              {"INCONSISTENT_CLUSTER_ID", "The cluster id of the request is not that of the server."},
	TransactionalIDNotFound + 1:            {"TRANSACTIONAL_ID_NOT_FOUND", "The transactionalId could not be found."},
	FetchSessionTopicIDError + 1:           {"FETCH_SESSION_TOPIC_ID_ERROR", "The fetch session mixes topic ids and names."},
	IneligibleReplica + 1:                  {"INELIGIBLE_REPLICA", "A replica of the new ISR may not be in it."},
	NewLeaderElected + 1:                   {"NEW_LEADER_ELECTED", "The partition was changed and has another leader now."},
	OffsetMovedToTieredStorage + 1:         {"OFFSET_MOVED_TO_TIERED_STORAGE", "The offset is in tiered storage."},
	FencedMemberEpoch + 1:                  {"FENCED_MEMBER_EPOCH", "The member's epoch is fenced; it must give up its partitions and join again."},
	UnreleasedInstanceID + 1:               {"UNRELEASED_INSTANCE_ID", "Another member of the group still uses the instance id."},
	UnsupportedAssignor + 1:                {"UNSUPPORTED_ASSIGNOR", "The group does not support this assignor."},
	StaleMemberEpoch + 1:                   {"STALE_MEMBER_EPOCH", "The member's epoch is old; it must take the new one from its next heartbeat."},
	MismatchedEndpointType + 1:             {"MISMATCHED_ENDPOINT_TYPE", "The request was sent to an endpoint of the wrong type."},
	UnsupportedEndpointType + 1:            {"UNSUPPORTED_ENDPOINT_TYPE", "This endpoint type is not supported yet."},
	UnknownControllerID + 1:                {"UNKNOWN_CONTROLLER_ID", "This controller ID is not known."},
	UnknownSubscriptionID + 1:              {"UNKNOWN_SUBSCRIPTION_ID", "The telemetry subscription is unknown or outdated."},
	TelemetryTooLarge + 1:                  {"TELEMETRY_TOO_LARGE", "The telemetry is larger than the broker accepts."},
	InvalidRegistration + 1:                {"INVALID_REGISTRATION", "The controller refuses the registration."},
	TransactionAbortable + 1:               {"TRANSACTION_ABORTABLE", "The transaction failed; abort it to go on with the transactional id."},
	InvalidRecordState + 1:                 {"INVALID_RECORD_STATE", "The state of the record does not allow this acknowledgement."},
	ShareSessionNotFound + 1:               {"SHARE_SESSION_NOT_FOUND", "The share session does not exist."},
	InvalidShareSessionEpoch + 1:           {"INVALID_SHARE_SESSION_EPOCH", "The epoch of the share session is not the expected one."},
	FencedStateEpoch + 1:                   {"FENCED_STATE_EPOCH", "The state epoch of the share group is not the coordinator's."},
	InvalidVoterKey + 1:                    {"INVALID_VOTER_KEY", "The voter key is not that of the receiver."},
	DuplicateVoter + 1:                     {"DUPLICATE_VOTER", "The voter is in the set already."},
	VoterNotFound + 1:                      {"VOTER_NOT_FOUND", "The voter is not in the set."},
	InvalidRegularExpression + 1:           {"INVALID_REGULAR_EXPRESSION", "The regular expression is not valid."},
	RebootstrapRequired + 1:                {"REBOOTSTRAP_REQUIRED", "The client's metadata is too old; it must bootstrap again."},
	StreamsInvalidTopology + 1:             {"STREAMS_INVALID_TOPOLOGY", "The topology is not valid."},
	StreamsInvalidTopologyEpoch + 1:        {"STREAMS_INVALID_TOPOLOGY_EPOCH", "The epoch of the topology is not valid."},
	StreamsTopologyFenced + 1:              {"STREAMS_TOPOLOGY_FENCED", "The epoch of the topology is outdated."},
	ShareSessionLimitReached + 1:           {"SHARE_SESSION_LIMIT_REACHED", "The limit of share sessions is reached."},
}

// Name is the code's name in Kafka's documentation, such as
// OFFSET_OUT_OF_RANGE; UNKNOWN_SERVER_ERROR for a number that is no code.
func (c Code) Name() string { return codeTexts[c.index()].name }

// Message is the code's default message; empty for None.
func (c Code) Message() string { return codeTexts[c.index()].message }

// Known tells whether Kafka 4.3.1 has the code.
func (c Code) Known() bool { return int(c)+1 >= 0 && int(c)+1 < len(codeTexts) }

func (c Code) index() int {
	if !c.Known() {
		return 0
	}
	return int(c) + 1
}

// Error is name and default message.
func (c Code) Error() string {
	if c.Message() == "" {
		return c.Name()
	}
	return c.Name() + ": " + c.Message()
}

// Error is a code with a message of its own, for responses that carry one.
type Error struct {
	Code    Code
	Message string
}

// Errorf returns an *Error with a formatted message, cut to maxErrorText bytes.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: Cut(fmt.Sprintf(format, args...), maxErrorText)}
}

// Error is the code's name and the message.
func (e *Error) Error() string { return e.Code.Name() + ": " + e.Message }

// Unwrap returns the code, so that errors.Is(err, protocol.InvalidConfig) holds.
func (e *Error) Unwrap() error { return e.Code }

// CodeOf is the code that an error carries: None for nil, UnknownServerError
// for one that carries none.
func CodeOf(err error) Code {
	if err == nil {
		return None
	}
	var code Code
	if errors.As(err, &code) {
		return code
	}
	return UnknownServerError
}

// MessageOf is the message of the *Error that err carries, else the default
// message of its code; nil for nil.
func MessageOf(err error) *string {
	if err == nil {
		return nil
	}
	message := CodeOf(err).Message()
	var e *Error
	if errors.As(err, &e) {
		message = e.Message
	}
	return &message
}
