package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/controller"
	"ottla/internal/meter"
	"ottla/internal/protocol"
	"ottla/internal/storage"
)

// describeProducers answers DescribeProducers, version 0 (KIP-664): the
// idempotent and transactional producers that a partition remembers.
//
// Read on the topic.
func (h *Handler) describeProducers(_ context.Context, r *Request, req *kmsg.DescribeProducersRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeProducersResponseTopic()
		topic.Topic = t.Topic
		for _, id := range t.Partitions {
			topic.Partitions = append(topic.Partitions, h.producersOf(r.Meter, t.Topic, id))
			if err := r.Meter.Err(); err != nil {
				return nil, err
			}
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp, nil
}

// describedProducer is what a producer takes: as storage lists it, twice, and in
// the answer.
var describedProducer = 4*meter.Size[storage.ProducerState]() + meter.Size[kmsg.DescribeProducersResponseTopicPartitionActiveProducer]()

func (h *Handler) producersOf(m *meter.Meter, topic string, id int32) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = id
	if err := controller.ValidTopicName(topic); err != nil {
		out.ErrorCode, out.ErrorMessage = int16(protocol.InvalidTopicException), message(err)
		return out
	}
	p, err := h.Replicas.Partition(topic, id)
	var producers []storage.ProducerState
	if err == nil && m.Charge(p.Log().ProducerCount()*describedProducer) != nil {
		return out
	}
	if err == nil {
		producers, err = p.Producers()
	}
	if err != nil {
		out.ErrorCode = int16(code(err))
		if h.Controller.Image().TopicByName(topic) == nil { // Kafka words only this
			out.ErrorMessage = message(err)
		}
		return out
	}
	out.ActiveProducers = make([]kmsg.DescribeProducersResponseTopicPartitionActiveProducer, 0, len(producers))
	for _, state := range producers {
		active := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		active.ProducerID, active.ProducerEpoch = state.ProducerID, int32(state.Epoch)
		active.LastSequence, active.LastTimestamp = state.LastSequence, state.LastTimestamp
		active.CoordinatorEpoch, active.CurrentTxnStartOffset = state.CoordinatorEpoch, state.TxnFirstOffset
		out.ActiveProducers = append(out.ActiveProducers, active)
	}
	return out
}
