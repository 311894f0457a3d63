package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
	"ottla/internal/replica"
)

// listOffsets answers ListOffsets, versions 1–11: the first offset whose record
// is at or after a timestamp, or a special one (earliest, latest, and by
// version max-timestamp 7, earliest-local 8, latest-tiered 9,
// earliest-pending-upload 11).
//
// Describe on the topic.
func (h *Handler) listOffsets(_ context.Context, r *Request, req *kmsg.ListOffsetsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrListOffsetsResponse()
	twice := duplicatePartitions(req)
	for _, t := range req.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			if err := r.Meter.Charge(offsetLookup + meter.Size[kmsg.ListOffsetsResponseTopicPartition]()); err != nil {
				return nil, err
			}
			out := kmsg.NewListOffsetsResponseTopicPartition()
			out.Partition = p.Partition
			found, err := replica.Offset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}, error(protocol.InvalidRequest)
			switch {
			case !validIsolation(req.IsolationLevel):
				err = protocol.UnknownServerError // as Kafka answers
			case !twice[fetchKey{topic: t.Topic, partition: p.Partition}]:
				found, err = h.listOffset(t.Topic, p, req, r.Header.Version)
			}
			out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, found.LeaderEpoch
			out.ErrorCode = int16(code(err))
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// offsetLookup is charged for a lookup by time: two index blocks, and a part of a
// segment.
const offsetLookup = 256

// duplicatePartitions are those named more than once: each is refused.
func duplicatePartitions(req *kmsg.ListOffsetsRequest) map[fetchKey]bool {
	seen, twice := map[fetchKey]bool{}, map[fetchKey]bool{}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			key := fetchKey{topic: t.Topic, partition: p.Partition}
			twice[key] = seen[key]
			seen[key] = true
		}
	}
	return twice
}

func (h *Handler) listOffset(topic string, asked kmsg.ListOffsetsRequestTopicPartition, req *kmsg.ListOffsetsRequest, version int16) (replica.Offset, error) {
	none := replica.Offset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}
	if asked.Timestamp < 0 && version < firstVersionOf(asked.Timestamp) {
		return none, protocol.UnsupportedVersion
	}
	p, err := h.Replicas.Partition(topic, asked.Partition)
	if err != nil {
		return none, err
	}
	isolation := isolationOf(req.IsolationLevel)
	if req.ReplicaID >= 0 || req.ReplicaID == debugConsumer {
		isolation = replica.LogEnd
	}
	epoch := asked.CurrentLeaderEpoch
	if version < 4 {
		epoch = replica.NoEpoch
	}
	return p.ListOffset(asked.Timestamp, isolation, epoch)
}

// debugConsumer is the replica id of a tool that reads up to the log's end.
const debugConsumer = -2

// firstVersionOf is the version that brought a special timestamp; no version
// has an unknown one.
func firstVersionOf(timestamp int64) int16 {
	switch timestamp {
	case replica.Latest, replica.Earliest:
		return 1
	case replica.MaxTimestamp:
		return 7
	case replica.EarliestLocal:
		return 8
	case replica.LatestTiered:
		return 9
	case replica.EarliestPendingUpload:
		return 11
	}
	return 1<<15 - 1
}

// validIsolation tells whether a request's isolation level exists.
func validIsolation(level int8) bool { return level == 0 || level == 1 }

// isolationOf is the isolation level of a request (KIP-98).
func isolationOf(level int8) replica.Isolation {
	if level == 1 {
		return replica.ReadCommitted
	}
	return replica.ReadUncommitted
}
