package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// offsetFetch answers OffsetFetch, versions 1–10: the group coordinator does.
// Versions before 8 ask for one group, and version 1 has no place for an error
// but the partitions.
//
// Describe on the groups and on the topics.
func (h *Handler) offsetFetch(ctx context.Context, r *Request, req *kmsg.OffsetFetchRequest) (kmsg.Response, error) {
	version := r.Header.Version
	if version >= 8 {
		return h.Groups.OffsetFetch(ctx, r.Meter, req), nil
	}
	req.Groups = append(req.Groups, oneGroup(req))
	answers := h.Groups.OffsetFetch(ctx, r.Meter, req).Groups
	if len(answers) == 0 { // the meter ended it
		return kmsg.NewPtrOffsetFetchResponse(), nil
	}
	answer := answers[0]
	resp := kmsg.NewPtrOffsetFetchResponse()
	resp.ErrorCode = answer.ErrorCode
	if version < 2 && resp.ErrorCode != 0 {
		resp.Topics = failOffsetFetch(req.Topics, protocol.Code(resp.ErrorCode))
		return resp, nil
	}
	for _, t := range answer.Topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// oneGroup is what a request before version 8 asks for.
func oneGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	group := kmsg.NewOffsetFetchRequestGroup()
	group.Group = req.Group
	if req.Topics == nil {
		return group
	}
	group.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, 0, len(req.Topics))
	for _, t := range req.Topics {
		group.Topics = append(group.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	return group
}

// failOffsetFetch gives every partition the same error.
func failOffsetFetch(topics []kmsg.OffsetFetchRequestTopic, code protocol.Code) []kmsg.OffsetFetchResponseTopic {
	var failed []kmsg.OffsetFetchResponseTopic
	for _, t := range topics {
		topic := kmsg.NewOffsetFetchResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(string), ErrorCode: int16(code),
			})
		}
		failed = append(failed, topic)
	}
	return failed
}
