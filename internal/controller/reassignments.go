package controller

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// AlterPartitionReassignments gives partitions other replicas, or takes a
// reassignment under way back (KIP-455, KIP-860). kmsg names it
// AlterPartitionAssignments.
func (c *Controller) AlterPartitionReassignments(ctx context.Context, req *kmsg.AlterPartitionAssignmentsRequest) *kmsg.AlterPartitionAssignmentsResponse {
	resp, err := submitWithin(ctx, c, req.TimeoutMillis, func(v *view) (outcome[*kmsg.AlterPartitionAssignmentsResponse], error) {
		records, resp := alterPartitionReassignments(v, req)
		return outcome[*kmsg.AlterPartitionAssignmentsResponse]{records: records, reply: resp}, bounded(records)
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
		resp.ErrorCode, resp.ErrorMessage = code(err), text(err)
	}
	return resp
}

func alterPartitionReassignments(v *view, req *kmsg.AlterPartitionAssignmentsRequest) ([]metadata.Message, *kmsg.AlterPartitionAssignmentsResponse) {
	resp := req.ResponseKind().(*kmsg.AlterPartitionAssignmentsResponse)
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	if len(req.Topics) == 0 {
		resp.ErrorMessage = new(string) // Kafka's shortcut for nothing to do: empty, not null
	}
	anyFactor := req.Version < 1 || req.AllowReplicationFactorChange
	var records []metadata.Message
	for i := range req.Topics {
		t := &req.Topics[i]
		topic := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			m, err := reassign(v, t.Topic, p.Partition, p.Replicas, anyFactor)
			if m != nil {
				records = append(records, m)
			}
			result := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			result.Partition, result.ErrorCode, result.ErrorMessage = p.Partition, code(err), text(err)
			topic.Partitions = append(topic.Partitions, result)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return records, resp
}

// reassign decides one partition; the message is nil when nothing changes.
func reassign(v *view, name string, index int32, target []int32, anyFactor bool) (metadata.Message, error) {
	t := v.img.TopicByName(name)
	if t == nil {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "Unable to find a topic named %s.", name)
	}
	p := t.Partition(index)
	if p == nil {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "Unable to find partition %s:%d.", name, index)
	}
	change := v.change(t, p)
	var err error
	if target == nil {
		err = cancelReassignment(v, t, p, change)
	} else {
		err = beginReassignment(v, p, target, anyFactor, change)
	}
	if err != nil {
		return nil, err
	}
	if m := change.build(); m != nil {
		return m, nil
	}
	return nil, nil
}

// beginReassignment aims at other replicas: for the time being the partition
// has the old and the new ones. build ends it at once when the ISR allows it.
func beginReassignment(v *view, p *metadata.Partition, target []int32, anyFactor bool, change *partitionChange) error {
	if err := v.checkReplicas(target, -1); err != nil {
		return err
	}
	stay := without(union(p.Replicas, p.Adding), p.Removing)
	if !anyFactor && len(stay) != len(target) {
		return protocol.Errorf(protocol.InvalidReplicationFactor, "The replication factor is changed from %d to %d", len(stay), len(target))
	}
	// Sorted, as Kafka's.
	removing, adding := without(p.Replicas, target), without(target, p.Replicas)
	slices.Sort(removing)
	slices.Sort(adding)
	change.replicas = append(slices.Clone(target), removing...)
	if len(removing) > 0 {
		change.removing = removing
	}
	if len(adding) > 0 {
		change.adding = adding
	}
	return nil
}

// cancelReassignment goes back to the replicas from before. When none of them
// is in sync that is an unclean election, which the topic must allow.
func cancelReassignment(v *view, t *metadata.Topic, p *metadata.Partition, change *partitionChange) error {
	if len(p.Removing)+len(p.Adding) == 0 {
		return protocol.NoReassignmentInProgress
	}
	unclean := v.uncleanElections(t.Name)
	change.replicas = without(p.Replicas, p.Adding)
	change.isr = without(p.ISR, p.Adding)
	change.removing, change.adding = nil, nil
	if len(change.isr) == 0 {
		if !unclean {
			return protocol.Errorf(protocol.InvalidReplicaAssignment,
				"Unable to revert partition assignment for %s:%d because it would require an unclean leader election.", t.Name, p.ID)
		}
		change.isr = change.replicas[:1]
	}
	if unclean {
		change.election = electUnclean
	}
	return nil
}
