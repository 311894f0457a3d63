package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
)

// listPartitionReassignments answers ListPartitionReassignments, version 0
// (KIP-455): the partitions that are being moved, of the topics named or of
// all.
//
// Describe on the cluster.
func (h *Handler) listPartitionReassignments(_ context.Context, _ *Request, req *kmsg.ListPartitionReassignmentsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	img := h.Controller.Image()
	if req.Topics == nil {
		for t := range img.Topics() {
			resp.Topics = appendMoving(resp.Topics, t, nil)
		}
		return resp, nil
	}
	for _, asked := range req.Topics {
		if t := img.TopicByName(asked.Topic); t != nil {
			resp.Topics = appendMoving(resp.Topics, t, asked.Partitions)
		}
	}
	return resp, nil
}

// appendMoving adds the moving partitions of a topic; of all when ids is nil.
func appendMoving(list []kmsg.ListPartitionReassignmentsResponseTopic, t *metadata.Topic, ids []int32) []kmsg.ListPartitionReassignmentsResponseTopic {
	out := kmsg.NewListPartitionReassignmentsResponseTopic()
	out.Topic = t.Name
	add := func(p *metadata.Partition) {
		if p == nil || len(p.Adding)+len(p.Removing) == 0 {
			return
		}
		moving := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
		moving.Partition, moving.Replicas = p.ID, p.Replicas
		moving.AddingReplicas, moving.RemovingReplicas = p.Adding, p.Removing
		out.Partitions = append(out.Partitions, moving)
	}
	if ids == nil {
		for p := range t.Partitions() {
			add(p)
		}
	}
	for _, id := range ids {
		add(t.Partition(id))
	}
	if len(out.Partitions) == 0 {
		return list
	}
	return append(list, out)
}
