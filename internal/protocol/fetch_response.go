package protocol

// FetchResponse is the body of a response to Fetch, versions 4–18, without the
// records, which are sent from elsewhere.
type FetchResponse struct {
	ThrottleMillis int32
	// Error is the error of the request as a whole (from version 7).
	Error Code
	// SessionID is the fetch session (from version 7), 0 for none.
	SessionID int32
	Topics    []FetchResponseTopic
	// NodeEndpoints name the leaders that CurrentLeader fields point at
	// (KIP-951, from version 16); usually empty.
	NodeEndpoints []NodeEndpoint
}

// FetchResponseTopic answers one topic: by Name up to version 12, by ID from 13
// on.
type FetchResponseTopic struct {
	Name       string
	ID         [16]byte
	Partitions []FetchResponsePartition
}

// FetchResponsePartition answers one partition. Offsets are −1 when unknown.
type FetchResponsePartition struct {
	Index            int32
	Error            Code
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64 // from version 5
	// DivergingEpoch is where the follower's log leaves the leader's (KIP-595,
	// from version 12); nil leaves it out.
	DivergingEpoch *EpochEndOffset
	// CurrentLeader is sent from version 12 on; nil leaves it out.
	CurrentLeader *LeaderIDAndEpoch
	// SnapshotID is sent from version 12 on, to observers of the metadata log;
	// nil leaves it out.
	SnapshotID *SnapshotID
	// AbortedTransactions is null (nil) for read_uncommitted.
	AbortedTransactions []AbortedTransaction
	// PreferredReadReplica is a broker id (KIP-392, from version 11), −1 for
	// none. Mind that 0 is a broker.
	PreferredReadReplica int32
	// RecordsLen is the number of bytes of the records: they are sent in a slot
	// when there are any. Kafka answers no records with an empty field, not
	// null.
	RecordsLen int
}

// EpochEndOffset is the end of an epoch in the leader's log.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// SnapshotID names a snapshot of the metadata log.
type SnapshotID struct {
	EndOffset int64
	Epoch     int32
}

// AbortedTransaction tells a read_committed consumer what to leave out.
type AbortedTransaction struct {
	ProducerID  int64
	FirstOffset int64
}

// AppendFetchResponse appends the body of a response and returns where the
// records belong: for every partition with RecordsLen > 0, in the order of the
// response, the index into the result before which its records are sent.
// slots is appended to and may be nil.
func AppendFetchResponse(dst []byte, version int16, r *FetchResponse, slots []int) ([]byte, []int) {
	w := writer{dst: dst, flexible: version >= shapes[fetch].flexible}
	w.int32(r.ThrottleMillis)
	if version >= 7 {
		w.int16(int16(r.Error))
		w.int32(r.SessionID)
	}
	w.arrayLen(len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		w.topic(version >= 13, t.Name, t.ID)
		w.arrayLen(len(t.Partitions))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			w.fetchPartition(version, p)
			if p.RecordsLen > 0 {
				slots = append(slots, len(w.dst))
			}
			w.fetchPartitionTags(p)
		}
		w.tags(0)
	}
	w.nodeEndpoints(version >= 16, r.NodeEndpoints)
	return w.dst, slots
}

const fetch = 1

// fetchPartition writes a partition up to its records.
func (w *writer) fetchPartition(version int16, p *FetchResponsePartition) {
	w.int32(p.Index)
	w.int16(int16(p.Error))
	w.int64(p.HighWatermark)
	w.int64(p.LastStableOffset)
	if version >= 5 {
		w.int64(p.LogStartOffset)
	}
	if p.AbortedTransactions == nil {
		w.nullArray()
	} else {
		w.arrayLen(len(p.AbortedTransactions))
	}
	for i := range p.AbortedTransactions {
		w.int64(p.AbortedTransactions[i].ProducerID)
		w.int64(p.AbortedTransactions[i].FirstOffset)
		w.tags(0)
	}
	if version >= 11 {
		w.int32(p.PreferredReadReplica)
	}
	w.arrayLen(p.RecordsLen)
}

// fetchPartitionTags writes the tagged fields behind the records.
func (w *writer) fetchPartitionTags(p *FetchResponsePartition) {
	if !w.flexible {
		return
	}
	n := 0
	for _, present := range [...]bool{p.DivergingEpoch != nil, p.CurrentLeader != nil, p.SnapshotID != nil} {
		if present {
			n++
		}
	}
	w.tags(n)
	if d := p.DivergingEpoch; d != nil {
		w.tag(0, 4+8+1)
		w.int32(d.Epoch)
		w.int64(d.EndOffset)
		w.tags(0)
	}
	if p.CurrentLeader != nil {
		w.currentLeader(1, p.CurrentLeader)
	}
	if s := p.SnapshotID; s != nil {
		w.tag(2, 8+4+1)
		w.int64(s.EndOffset)
		w.int32(s.Epoch)
		w.tags(0)
	}
}
