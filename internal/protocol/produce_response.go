package protocol

// ProduceResponse is the body of a response to Produce, versions 3–13.
type ProduceResponse struct {
	Topics         []ProduceResponseTopic
	ThrottleMillis int32
	// NodeEndpoints name the leaders that CurrentLeader fields point at
	// (KIP-951, from version 10); usually empty.
	NodeEndpoints []NodeEndpoint
}

// ProduceResponseTopic answers one topic: by Name up to version 12, by ID from
// 13 on.
type ProduceResponseTopic struct {
	Name       string
	ID         [16]byte
	Partitions []ProduceResponsePartition
}

// ProduceResponsePartition answers one partition.
type ProduceResponsePartition struct {
	Index int32
	Error Code
	// BaseOffset is the offset of the first record; −1 with an error.
	BaseOffset int64
	// LogAppendTimeMillis is −1 unless the topic's timestamps are the broker's.
	LogAppendTimeMillis int64
	// LogStartOffset is sent from version 5 on; −1 when unknown.
	LogStartOffset int64
	// RecordErrors names the records that were wrong (KIP-467, from version 8).
	RecordErrors []RecordError
	// ErrorMessage is sent from version 8 on; nil for none.
	ErrorMessage *string
	// CurrentLeader is sent from version 10 on with NOT_LEADER_OR_FOLLOWER and
	// FENCED_LEADER_EPOCH; nil leaves it out.
	CurrentLeader *LeaderIDAndEpoch
}

// RecordError names a record of a batch by its index, and what was wrong.
type RecordError struct {
	Index int32
	// Message is nil when there is nothing to say.
	Message *string
}

// LeaderIDAndEpoch names the leader of a partition.
type LeaderIDAndEpoch struct {
	LeaderID    int32
	LeaderEpoch int32
}

// NodeEndpoint is the address of a broker.
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	// Rack is nil when the broker has none.
	Rack *string
}

// AppendProduceResponse appends the body of a response.
func AppendProduceResponse(dst []byte, version int16, r *ProduceResponse) []byte {
	w := writer{dst: dst, flexible: version >= shapes[produce].flexible}
	w.arrayLen(len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		w.topic(version >= 13, t.Name, t.ID)
		w.arrayLen(len(t.Partitions))
		for j := range t.Partitions {
			w.producePartition(version, &t.Partitions[j])
		}
		w.tags(0)
	}
	w.int32(r.ThrottleMillis)
	w.nodeEndpoints(version >= 10, r.NodeEndpoints)
	return w.dst
}

func (w *writer) producePartition(version int16, p *ProduceResponsePartition) {
	w.int32(p.Index)
	w.int16(int16(p.Error))
	w.int64(p.BaseOffset)
	w.int64(p.LogAppendTimeMillis)
	if version >= 5 {
		w.int64(p.LogStartOffset)
	}
	if version >= 8 {
		w.arrayLen(len(p.RecordErrors))
		for i := range p.RecordErrors {
			w.int32(p.RecordErrors[i].Index)
			w.nullableString(p.RecordErrors[i].Message)
			w.tags(0)
		}
		w.nullableString(p.ErrorMessage)
	}
	if version < 10 || p.CurrentLeader == nil {
		w.tags(0)
		return
	}
	w.tags(1)
	w.currentLeader(0, p.CurrentLeader)
}
