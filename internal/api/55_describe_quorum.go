package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/raft"
)

// metadataTopic is the one topic that has a quorum.
const metadataTopic = "__cluster_metadata"

// describeQuorum answers DescribeQuorum, versions 0–2 (KIP-595, KIP-853): who
// votes on the metadata log, who follows it, and how far each is. Only the
// request for partition 0 of __cluster_metadata alone is valid.
//
// Describe on the cluster.
func (h *Handler) describeQuorum(_ context.Context, _ *Request, req *kmsg.DescribeQuorumRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeQuorumResponse()
	resp.ErrorMessage = new(string)
	if len(req.Topics) != 1 || req.Topics[0].Topic != metadataTopic ||
		len(req.Topics[0].Partitions) != 1 || req.Topics[0].Partitions[0].Partition != 0 {
		return failDescribeQuorum(req, resp), nil
	}
	status := h.Quorum()
	topic := kmsg.NewDescribeQuorumResponseTopic()
	topic.Topic = metadataTopic
	topic.Partitions = append(topic.Partitions, quorumPartition(status))
	resp.Topics = append(resp.Topics, topic)
	for _, v := range status.Voters {
		resp.Nodes = append(resp.Nodes, quorumNode(v))
	}
	return resp, nil
}

func failDescribeQuorum(req *kmsg.DescribeQuorumRequest, resp *kmsg.DescribeQuorumResponse) kmsg.Response {
	for _, t := range req.Topics {
		topic := kmsg.NewDescribeQuorumResponseTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewDescribeQuorumResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, int16(protocol.UnknownTopicOrPartition)
			partition.ErrorMessage = message(protocol.UnknownTopicOrPartition)
			topic.Partitions = append(topic.Partitions, partition)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

func quorumPartition(status raft.Status) kmsg.DescribeQuorumResponseTopicPartition {
	p := kmsg.NewDescribeQuorumResponseTopicPartition()
	p.ErrorMessage = new(string)
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = status.LeaderID, status.LeaderEpoch, status.HighWatermark
	for _, v := range status.Voters {
		state := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		state.ReplicaID, state.ReplicaDirectoryID = v.NodeID, v.DirectoryID
		state.LogEndOffset = v.LogEndOffset
		state.LastFetchTimestamp, state.LastCaughtUpTimestamp = v.LastFetch, v.LastCaughtUp
		p.CurrentVoters = append(p.CurrentVoters, state)
	}
	return p
}

func quorumNode(v raft.VoterStatus) kmsg.DescribeQuorumResponseNode {
	node := kmsg.NewDescribeQuorumResponseNode()
	node.NodeID = v.NodeID
	for _, e := range v.Endpoints {
		listener := kmsg.NewDescribeQuorumResponseNodeListener()
		listener.Name, listener.Host, listener.Port = e.Name, e.Host, e.Port
		node.Listeners = append(node.Listeners, listener)
	}
	return node
}
