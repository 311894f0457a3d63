package api

import (
	"context"
	"iter"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/meter"
)

// listPartitionReassignments answers ListPartitionReassignments, version 0
// (KIP-455): the partitions that are being moved, of the topics named or of
// all.
//
// Describe on the cluster.
func (h *Handler) listPartitionReassignments(_ context.Context, r *Request, req *kmsg.ListPartitionReassignmentsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	img := h.Controller.Image()
	if req.Topics == nil {
		for t := range img.Topics() {
			if err := r.Meter.Charge(t.NumPartitions() * movingPartition); err != nil {
				return nil, err
			}
			resp.Topics = appendMoving(resp.Topics, t, t.Partitions())
		}
		return resp, nil
	}
	for _, asked := range req.Topics {
		if err := r.Meter.Charge(len(asked.Partitions) * movingPartition); err != nil {
			return nil, err
		}
		if t := img.TopicByName(asked.Topic); t != nil {
			resp.Topics = appendMoving(resp.Topics, t, named(t, asked.Partitions))
		}
	}
	return resp, nil
}

// movingPartition is what a partition costs that is looked at, moving or not.
const movingPartition = meter.Lookup

// named iterates the partitions of a topic that have these ids.
func named(t *metadata.Topic, ids []int32) iter.Seq[*metadata.Partition] {
	return func(yield func(*metadata.Partition) bool) {
		for _, id := range ids {
			if p := t.Partition(id); p != nil && !yield(p) {
				return
			}
		}
	}
}

// appendMoving adds those partitions of a topic that are moving.
func appendMoving(list []kmsg.ListPartitionReassignmentsResponseTopic, t *metadata.Topic, partitions iter.Seq[*metadata.Partition]) []kmsg.ListPartitionReassignmentsResponseTopic {
	out := kmsg.NewListPartitionReassignmentsResponseTopic()
	out.Topic = t.Name
	for p := range partitions {
		if len(p.Adding)+len(p.Removing) == 0 {
			continue
		}
		moving := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		moving.Partition, moving.Replicas = p.ID, p.Replicas
		moving.AddingReplicas, moving.RemovingReplicas = p.Adding, p.Removing
		out.Partitions = append(out.Partitions, moving)
	}
	if len(out.Partitions) == 0 {
		return list
	}
	return append(list, out)
}
