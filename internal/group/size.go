package group

import "github.com/twmb/franz-go/pkg/kmsg"

// What the parts of responses take in memory beside the bytes that are counted.
const (
	memberBytes    = 256
	partitionBytes = 64
	groupBytes     = 128
)

// sizeOf is about how many bytes a response takes that may take many; 0 for the
// others.
func sizeOf(response kmsg.Response) (n int64) {
	switch r := response.(type) {
	case *kmsg.JoinGroupResponse:
		for _, m := range r.Members {
			n += memberBytes + int64(len(m.ProtocolMetadata))
		}
	case *kmsg.SyncGroupResponse:
		n = int64(len(r.MemberAssignment))
	case *kmsg.OffsetCommitResponse:
		for _, t := range r.Topics {
			n += int64(len(t.Partitions)) * partitionBytes
		}
	case *kmsg.OffsetFetchResponse:
		for _, g := range r.Groups {
			for _, t := range g.Topics {
				n += fetchedBytes(t.Partitions)
			}
		}
	case *kmsg.ListGroupsResponse:
		n = int64(len(r.Groups)) * groupBytes
	case *kmsg.DescribeGroupsResponse:
		for _, g := range r.Groups {
			for _, m := range g.Members {
				n += memberBytes + int64(len(m.ProtocolMetadata)+len(m.MemberAssignment))
			}
		}
	case *kmsg.ConsumerGroupDescribeResponse:
		for _, g := range r.Groups {
			for _, m := range g.Members {
				n += memberBytes + assignedBytes(m.Assignment.TopicPartitions) + assignedBytes(m.TargetAssignment.TopicPartitions)
			}
		}
	}
	return n
}

// fetchedBytes is what the offsets of a topic take.
func fetchedBytes(partitions []kmsg.OffsetFetchResponseGroupTopicPartition) (n int64) {
	for _, p := range partitions {
		n += partitionBytes
		if p.Metadata != nil {
			n += int64(len(*p.Metadata))
		}
	}
	return n
}

// assignedBytes is what an assignment takes.
func assignedBytes(topics []kmsg.AssignmentTopicPartition) (n int64) {
	for _, t := range topics {
		n += partitionBytes + 4*int64(len(t.Partitions))
	}
	return n
}

// parkedShare of ottla.memory.max is what the answers of all groups may take
// while they wait to be committed; each shard has its part of it.
const parkedShare = 8

// The memory of answers when ottla.memory.max is not known, and the least of a
// shard.
const (
	parkedUnknown = 64 << 20
	parkedLeast   = 64 << 10
)

// parkedMost is coordinator.Options.ParkedMost.
func (c *Coordinator) parkedMost() int64 {
	all := int64(parkedUnknown)
	o := c.options.Config()
	if o.Ottla.MemoryMax > 0 {
		all = o.Ottla.MemoryMax / parkedShare
	}
	return max(parkedLeast, all/int64(max(1, o.Offsets.Partitions)))
}
