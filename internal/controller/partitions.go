package controller

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// CreatePartitions adds partitions to topics (KIP-195).
func (c *Controller) CreatePartitions(ctx context.Context, req *kmsg.CreatePartitionsRequest) *kmsg.CreatePartitionsResponse {
	resp, err := submitWithin(ctx, c, req.TimeoutMillis, func(v *view) (outcome[*kmsg.CreatePartitionsResponse], error) {
		records, resp, err := createPartitions(v, req)
		return outcome[*kmsg.CreatePartitionsResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, grownTopic(req.Topics[i].Topic, err))
	}
	return resp
}

func createPartitions(v *view, req *kmsg.CreatePartitionsRequest) ([]metadata.Message, *kmsg.CreatePartitionsResponse, error) {
	count := map[string]int{}
	for i := range req.Topics {
		count[req.Topics[i].Topic]++
	}
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	var records []metadata.Message
	for i := range req.Topics {
		t := &req.Topics[i]
		switch {
		case count[t.Topic] == 1:
			more, err := growTopic(v, t, maxRecordsPerBatch-len(records))
			records = append(records, more...)
			resp.Topics = append(resp.Topics, grownTopic(t.Topic, err))
		case count[t.Topic] > 1: // once for all
			resp.Topics = append(resp.Topics, grownTopic(t.Topic, protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name.")))
			count[t.Topic] = 0
		}
	}
	if req.ValidateOnly {
		records = nil
	}
	return records, resp, nil
}

// growTopic decides one topic, whose new partitions may be at most room: Kafka
// answers UNKNOWN_SERVER_ERROR to more.
func growTopic(v *view, t *kmsg.CreatePartitionsRequestTopic, room int) ([]metadata.Message, error) {
	topic := v.img.TopicByName(t.Topic)
	if topic == nil {
		return nil, protocol.UnknownTopicOrPartition
	}
	have := int32(topic.NumPartitions())
	switch {
	case t.Count == have:
		return nil, protocol.Errorf(protocol.InvalidPartitions, "Topic already has %d partition(s).", have)
	case t.Count < have:
		return nil, protocol.Errorf(protocol.InvalidPartitions,
			"The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, have, t.Count)
	}
	more := int(t.Count - have)
	if t.Assignment != nil && len(t.Assignment) != more {
		return nil, protocol.Errorf(protocol.InvalidReplicaAssignment,
			"Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", more, len(t.Assignment))
	}
	if more > room {
		return nil, protocol.UnknownServerError
	}
	factor := len(topic.Partition(0).Replicas)
	assignments, err := growth(v, t, have, more, factor)
	if err != nil {
		return nil, err
	}
	var records []metadata.Message
	for i, a := range assignments {
		records = append(records, v.partitionRecord(topic.ID, have+int32(i), a))
	}
	return records, nil
}

// growth is where the new partitions go, the first of which has the id first.
func growth(v *view, t *kmsg.CreatePartitionsRequestTopic, first int32, more, factor int) ([]assignment, error) {
	if t.Assignment == nil {
		return v.place(more, int16(factor))
	}
	var out []assignment
	for i := range t.Assignment {
		replicas := t.Assignment[i].Replicas
		if err := v.checkReplicas(replicas, factor); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(replicas, v.active) {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment,
				"All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", first+int32(i))
		}
		out = append(out, v.assign(replicas))
	}
	return out, nil
}

func grownTopic(name string, err error) kmsg.CreatePartitionsResponseTopic {
	t := kmsg.NewCreatePartitionsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = name, code(err), text(err)
	return t
}
