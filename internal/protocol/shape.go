package protocol

// shape says what the body of a request is made of, version by version.
type shape struct {
	// name is the schema's.
	name string
	// min and max are the versions that Apache Kafka 4.3.1 has, flexible the
	// first with compact lengths and tagged fields (KIP-482).
	min, max, flexible int16
	// cost is how many bytes decoding may allocate for each byte of the body.
	cost int
	// fields are the types of the fields in their order on the wire:
	//
	//	1 2 4 8   an integer, a float or a boolean of so many bytes
	//	u         a UUID
	//	s b       a string, bytes
	//	*t        an array of one of these
	//	[ … ]     an array of structures
	//	{ … }     a structure
	//	~t        t may be null
	//	(r … )    fields of the versions r: 3+, -2, 4-7
	//	<n t>     the tagged field number n
	fields string
}

// never is the first flexible version of an API that has none.
const never = 1<<15 - 1

// shapeOf returns the shape of an API, nil when Kafka 4.3.1 does not have it.
func shapeOf(key int16) *shape {
	if key < 0 || int(key) >= len(shapes) || shapes[key].fields == "" {
		return nil
	}
	return &shapes[key]
}

// APIName is the name of an API in Kafka's documentation, such as CreateTopics;
// empty when Kafka 4.3.1 does not have it.
func APIName(key int16) string {
	if s := shapeOf(key); s != nil {
		return s.name
	}
	return ""
}

// Versions is the range of versions that Kafka 4.3.1 has of an API. Produce is
// advertised from version 0 on all the same.
func Versions(key int16) (minVersion, maxVersion int16, ok bool) {
	s := shapeOf(key)
	if s == nil {
		return 0, 0, false
	}
	return s.min, s.max, true
}

// Amplification is how many bytes decoding a request may allocate for each byte
// of its body; small bodies may take more (some KiB). It bounds what a body can
// be made to do, ordinary ones take a fraction.
func Amplification(key int16) int {
	if s := shapeOf(key); s != nil {
		return s.cost
	}
	return 0
}

// shapes are the requests of Apache Kafka 4.3.1, but the unstable version 6 of
// InitProducerId. A test encodes random messages of every version with kmsg and
// walks them.
var shapes = [...]shape{
	0:  {"Produce", 3, 13, 9, 3, `~s 2 4 [(-12 s) (13+ u) [4 ~b]]`},
	1:  {"Fetch", 4, 18, 12, 28, `(-14 4) 4 4 4 1 (7+ 4 4) [(-12 s) (13+ u) [4 (9+ 4) 8 (12+ 4) (5+ 8) 4 <0 u> <1 8>]] (7+ [(-12 s) (13+ u) *4]) (11+ s) <0 s> <1 {4 8}>`},
	2:  {"ListOffsets", 1, 11, 6, 21, `4 (2+ 1) [s [4 (4+ 4) 8]] (10+ 4)`},
	3:  {"Metadata", 0, 13, 9, 31, `(0 [s]) (1+ ~[(10+ u) (-9 s) (10+ ~s)]) (4+ 1) (8-10 1) (8+ 1)`},
	8:  {"OffsetCommit", 2, 10, 8, 28, `s 4 s (7+ ~s) (-4 8) [(-9 s) (10+ u) [4 8 (6+ 4) ~s]]`},
	9:  {"OffsetFetch", 1, 10, 6, 28, `(-7 s) (-1 [s *4]) (2-7 ~[s *4]) (8+ [s (9+ ~s 4) ~[(-9 s) (10+ u) *4]]) (7+ 1)`},
	10: {"FindCoordinator", 0, 6, 3, 22, `(-3 s) (1+ 1) (4+ *s)`},
	11: {"JoinGroup", 0, 9, 6, 21, `s 4 (1+ 4) s (5+ ~s) s [s b] (8+ ~s)`},
	12: {"Heartbeat", 0, 4, 4, 4, `s 4 s (3+ ~s)`},
	13: {"LeaveGroup", 0, 5, 4, 24, `s (-2 s) (3+ [s ~s (5+ ~s)])`},
	14: {"SyncGroup", 0, 5, 4, 21, `s 4 s (3+ ~s) (5+ ~s ~s) [s b]`},
	15: {"DescribeGroups", 0, 6, 5, 22, `*s (3+ 1)`},
	16: {"ListGroups", 0, 5, 3, 22, `(4+ *s) (5+ *s)`},
	17: {"SaslHandshake", 0, 1, never, 4, `s`},
	18: {"ApiVersions", 0, 4, 3, 4, `(3+ s s)`},
	19: {"CreateTopics", 2, 7, 5, 21, `[s 4 2 [4 *4] [s ~s]] 4 1`},
	20: {"DeleteTopics", 1, 6, 4, 22, `(6+ [~s u]) (-5 *s) 4`},
	21: {"DeleteRecords", 0, 2, 2, 21, `[s [4 8]] 4`},
	22: {"InitProducerId", 0, 5, 2, 4, `~s 4 (3+ 8 2)`},
	23: {"OffsetForLeaderEpoch", 2, 4, 4, 21, `(3+ 4) [s [4 4 4]]`},
	24: {"AddPartitionsToTxn", 0, 5, 3, 21, `(4+ [s 8 2 1 [s *4]]) (-3 s 8 2 [s *4])`},
	25: {"AddOffsetsToTxn", 0, 4, 3, 4, `s 8 2 s`},
	26: {"EndTxn", 0, 5, 3, 4, `s 8 2 1`},
	27: {"WriteTxnMarkers", 1, 2, 1, 21, `[8 2 1 [s *4] 4 (2+ 1)]`},
	28: {"TxnOffsetCommit", 0, 5, 3, 28, `s s 8 2 (3+ 4 s ~s) [s [4 8 (2+ 4) ~s]]`},
	29: {"DescribeAcls", 1, 3, 2, 4, `1 ~s 1 ~s ~s 1 1`},
	30: {"CreateAcls", 1, 3, 2, 15, `[1 s 1 s s 1 1]`},
	31: {"DeleteAcls", 1, 3, 2, 18, `[1 ~s 1 ~s ~s 1 1]`},
	32: {"DescribeConfigs", 1, 4, 4, 22, `[1 s ~*s] 1 (3+ 1)`},
	33: {"AlterConfigs", 0, 2, 2, 21, `[1 s [s ~s]] 1`},
	34: {"AlterReplicaLogDirs", 1, 2, 2, 21, `[s [s *4]]`},
	35: {"DescribeLogDirs", 1, 5, 2, 21, `~[s *4]`},
	36: {"SaslAuthenticate", 0, 2, 2, 4, `b`},
	37: {"CreatePartitions", 0, 3, 2, 21, `[s 4 ~[*4]] 4 1`},
	38: {"CreateDelegationToken", 1, 3, 2, 18, `(3+ ~s ~s) [s s] 8`},
	39: {"RenewDelegationToken", 1, 2, 2, 4, `b 8`},
	40: {"ExpireDelegationToken", 1, 2, 2, 4, `b 8`},
	41: {"DescribeDelegationToken", 1, 3, 2, 18, `~[s s]`},
	42: {"DeleteGroups", 0, 2, 2, 22, `*s`},
	43: {"ElectLeaders", 0, 2, 2, 21, `(1+ 1) ~[s *4] 4`},
	44: {"IncrementalAlterConfigs", 0, 1, 1, 20, `[1 s [s 1 ~s]] 1`},
	45: {"AlterPartitionReassignments", 0, 1, 0, 21, `4 (1+ 1) [s [4 ~*4]]`},
	46: {"ListPartitionReassignments", 0, 0, 0, 21, `4 ~[s *4]`},
	47: {"OffsetDelete", 0, 0, never, 9, `s [s [4]]`},
	48: {"DescribeClientQuotas", 0, 1, 1, 19, `[s 1 ~s] 1`},
	49: {"AlterClientQuotas", 0, 1, 1, 24, `[[s ~s] [s 8 1]] 1`},
	50: {"DescribeUserScramCredentials", 0, 0, 0, 17, `~[s]`},
	51: {"AlterUserScramCredentials", 0, 0, 0, 16, `[s 1] [s 1 4 b b]`},
	52: {"Vote", 0, 2, 0, 21, `~s (1+ 4) [s [4 4 4 (1+ u u) 4 8 (2+ 1)]]`},
	53: {"BeginQuorumEpoch", 0, 1, 1, 21, `~s (1+ 4) [s [4 (1+ u) 4 4]] (1+ [s s 2])`},
	54: {"EndQuorumEpoch", 0, 1, 1, 21, `~s [s [4 4 4 (0 *4) (1+ [4 u])]] (1+ [s s 2])`},
	55: {"DescribeQuorum", 0, 2, 0, 21, `[s [4]]`},
	56: {"AlterPartition", 2, 3, 0, 9, `4 8 [u [4 4 (-2 *4) (3+ [4 8]) 1 4]]`},
	57: {"UpdateFeatures", 0, 2, 0, 12, `4 [s 2 (0 1) (1+ 1)] (1+ 1)`},
	58: {"Envelope", 0, 0, 0, 4, `b ~b b`},
	59: {"FetchSnapshot", 0, 1, 0, 21, `4 4 [s [4 4 {8 4} 8 <0 u>]] <0 s>`},
	60: {"DescribeCluster", 0, 2, 0, 4, `1 (1+ 1) (2+ 1)`},
	61: {"DescribeProducers", 0, 0, 0, 21, `[s *4]`},
	62: {"BrokerRegistration", 0, 4, 0, 12, `4 s u [s s 2 2] [s 2 2] ~s (1+ 1) (2+ *u) (3+ 8)`},
	63: {"BrokerHeartbeat", 0, 2, 0, 4, `4 8 8 1 1 <0 *u> <1 *u>`},
	64: {"UnregisterBroker", 0, 0, 0, 4, `4`},
	65: {"DescribeTransactions", 0, 0, 0, 22, `*s`},
	66: {"ListTransactions", 0, 2, 0, 22, `*s *8 (1+ 8) (2+ ~s)`},
	67: {"AllocateProducerIds", 0, 0, 0, 4, `4 8`},
	68: {"ConsumerGroupHeartbeat", 0, 1, 0, 22, `s s 4 ~s ~s 4 ~*s (1+ ~s) ~s ~[u *4]`},
	69: {"ConsumerGroupDescribe", 0, 1, 0, 22, `*s 1`},
	70: {"ControllerRegistration", 0, 0, 0, 12, `4 u 1 [s s 2 2] [s 2 2]`},
	71: {"GetTelemetrySubscriptions", 0, 0, 0, 4, `u`},
	72: {"PushTelemetry", 0, 0, 0, 4, `u 4 1 1 b`},
	73: {"AssignReplicasToDirs", 0, 0, 0, 9, `4 8 [u [u [4]]]`},
	74: {"ListConfigResources", 0, 1, 0, 4, `(1+ *1)`},
	75: {"DescribeTopicPartitions", 0, 0, 0, 17, `[s] 4 ~{s 4}`},
	76: {"ShareGroupHeartbeat", 1, 1, 0, 22, `s s 4 ~s ~*s`},
	77: {"ShareGroupDescribe", 1, 1, 0, 22, `*s 1`},
	78: {"ShareFetch", 1, 2, 0, 12, `~s ~s 4 4 4 4 4 4 (2+ 1 1) [u [4 [8 8 *1]]] [u *4]`},
	79: {"ShareAcknowledge", 1, 2, 0, 12, `~s ~s 4 (2+ 1) [u [4 [8 8 *1]]]`},
	80: {"AddRaftVoter", 0, 1, 0, 15, `~s 4 4 u [s s 2] (1+ 1)`},
	81: {"RemoveRaftVoter", 0, 0, 0, 4, `~s 4 u`},
	82: {"UpdateRaftVoter", 0, 0, 0, 15, `~s 4 4 u [s s 2] {2 2}`},
	83: {"InitializeShareGroupState", 0, 0, 0, 6, `s [u [4 4 8]]`},
	84: {"ReadShareGroupState", 0, 0, 0, 7, `s [u [4 4]]`},
	85: {"WriteShareGroupState", 0, 1, 0, 6, `s [u [4 4 4 8 (1+ 4) [8 8 1 2]]]`},
	86: {"DeleteShareGroupState", 0, 0, 0, 9, `s [u [4]]`},
	87: {"ReadShareGroupStateSummary", 0, 1, 0, 7, `s [u [4 4]]`},
	88: {"StreamsGroupHeartbeat", 0, 0, 0, 27, `s s 4 4 ~s ~s 4 ~{4 [s *s *s [s 4 2 [s s]] *s [s 4 2 [s s]] [*2 *2 *2]]} ~[s *4] ~[s *4] ~[s *4] ~s ~{s 2} ~[s s] ~[s 4 8] ~[s 4 8] 1`},
	89: {"StreamsGroupDescribe", 0, 0, 0, 22, `*s 1`},
	90: {"DescribeShareGroupOffsets", 0, 1, 0, 21, `[s ~[s *4]]`},
	91: {"AlterShareGroupOffsets", 0, 0, 0, 21, `s [s [4 8]]`},
	92: {"DeleteShareGroupOffsets", 0, 0, 0, 17, `s [s]`},
}
