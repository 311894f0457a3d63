package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// deleteRecords answers DeleteRecords, versions 0–2 (KIP-107): the log start
// offset moves up to the offset given, -1 for the high watermark. The records
// are gone for readers at once, their segments when retention runs.
//
// Delete on the topic.
func (h *Handler) deleteRecords(_ context.Context, _ *Request, req *kmsg.DeleteRecordsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDeleteRecordsResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewDeleteRecordsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			out := kmsg.NewDeleteRecordsResponseTopicPartition()
			out.Partition = p.Partition
			low, err := h.deleteBelow(t.Topic, p.Partition, p.Offset)
			out.LowWatermark, out.ErrorCode = low, int16(code(err))
			topic.Partitions = append(topic.Partitions, out)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// deleteBelow deletes and returns the new low watermark, -1 with an error.
func (h *Handler) deleteBelow(topic string, id int32, offset int64) (int64, error) {
	if isInternalTopic(topic) && h.Controller.Image().TopicByName(topic) != nil {
		return -1, protocol.InvalidTopicException
	}
	p, err := h.Replicas.Partition(topic, id)
	if err != nil {
		return -1, err
	}
	return p.DeleteRecords(offset)
}
