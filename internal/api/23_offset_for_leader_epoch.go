package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
)

// offsetForLeaderEpoch answers OffsetForLeaderEpoch, versions 2–4 (KIP-101,
// KIP-320): where in the leader's log an epoch ends, so that a client whose log
// went another way knows where to come back.
//
// Describe on the topic.
func (h *Handler) offsetForLeaderEpoch(_ context.Context, r *Request, req *kmsg.OffsetForLeaderEpochRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			if err := r.Meter.Charge(meter.Lookup + meter.Size[kmsg.OffsetForLeaderEpochResponseTopicPartition]()); err != nil {
				return nil, err
			}
			topic.Partitions = append(topic.Partitions, h.epochEnd(t.Topic, p))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

func (h *Handler) epochEnd(topic string, asked kmsg.OffsetForLeaderEpochRequestTopicPartition) kmsg.OffsetForLeaderEpochResponseTopicPartition {
	out := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
	out.Partition = asked.Partition
	out.LeaderEpoch, out.EndOffset = -1, -1
	p, err := h.Replicas.Partition(topic, asked.Partition)
	if err == nil {
		end, findErr := p.OffsetForLeaderEpoch(asked.LeaderEpoch, asked.CurrentLeaderEpoch)
		out.LeaderEpoch, out.EndOffset, err = end.LeaderEpoch, end.EndOffset, findErr
	}
	out.ErrorCode = int16(code(err))
	return out
}
