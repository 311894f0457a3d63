package controller

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// AssignReplicasToDirs notes in which of its log dirs a broker keeps replicas
// (KIP-858): a broker with several chooses by itself, and says so here.
func (c *Controller) AssignReplicasToDirs(ctx context.Context, req *kmsg.AssignReplicasToDirsRequest) *kmsg.AssignReplicasToDirsResponse {
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.AssignReplicasToDirsResponse], error) {
		records, resp, err := assignReplicasToDirs(v, req)
		return outcome[*kmsg.AssignReplicasToDirsResponse]{records: records, reply: resp}, err
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
		resp.ErrorCode = code(err)
	}
	return resp
}

func assignReplicasToDirs(v *view, req *kmsg.AssignReplicasToDirsRequest) ([]metadata.Message, *kmsg.AssignReplicasToDirsResponse, error) {
	if err := v.checkBrokerEpoch(req.BrokerID, req.BrokerEpoch); err != nil {
		return nil, nil, err
	}
	if v.img.MetadataVersion() < metadata.DirectoriesLevel {
		return nil, nil, protocol.UnsupportedVersion
	}
	b := v.img.Broker(req.BrokerID)
	resp := req.ResponseKind().(*kmsg.AssignReplicasToDirsResponse)
	var records []metadata.Message
	lost := map[metadata.UUID][]int32{} // replicas in log dirs that are not online
	for i := range req.Directories {
		d := &req.Directories[i]
		dir := kmsg.NewAssignReplicasToDirsResponseDirectory()
		dir.ID = d.ID
		for j := range d.Topics {
			t := &d.Topics[j]
			topic := kmsg.NewAssignReplicasToDirsResponseDirectoryTopic()
			topic.TopicID = t.TopicID
			for _, p := range t.Partitions {
				m, err := assignReplica(v, b.ID, d.ID, t.TopicID, p.Partition)
				if m != nil {
					records = append(records, m)
				}
				if err == nil && !b.HasLogDir(d.ID) {
					lost[t.TopicID] = append(lost[t.TopicID], p.Partition)
				}
				result := kmsg.NewAssignReplicasToDirsResponseDirectoryTopicPartition()
				result.Partition, result.ErrorCode = p.Partition, code(err)
				topic.Partitions = append(topic.Partitions, result)
			}
			dir.Topics = append(dir.Topics, topic)
		}
		resp.Directories = append(resp.Directories, dir)
	}
	more, err := replicasLost(v, b.ID, records, lost)
	return append(records, more...), resp, err
}

// assignReplica decides one replica; the message is nil when nothing changes.
func assignReplica(v *view, broker int32, dir, topic metadata.UUID, index int32) (metadata.Message, error) {
	t := v.img.TopicByID(topic)
	if t == nil {
		return nil, protocol.UnknownTopicID
	}
	p := t.Partition(index)
	if p == nil {
		return nil, protocol.UnknownTopicOrPartition
	}
	if !slices.Contains(p.Replicas, broker) {
		return nil, protocol.NotLeaderOrFollower
	}
	change := v.change(t, p)
	change.directories[broker] = dir
	if m := change.build(); m != nil {
		return m, nil
	}
	return nil, nil
}

// replicasLost takes leadership and ISR from replicas whose log dir is not
// online, once the records that put them there are applied.
func replicasLost(v *view, broker int32, assigned []metadata.Message, lost map[metadata.UUID][]int32) ([]metadata.Message, error) {
	if len(lost) == 0 {
		return nil, nil
	}
	v, err := v.after(assigned)
	if err != nil {
		return nil, err
	}
	var records []metadata.Message
	for t := range v.img.Topics() {
		for _, index := range lost[t.ID] {
			p := t.Partition(index)
			change := v.change(t, p)
			change.isr = without(p.ISR, []int32{broker})
			if m := change.build(); m != nil {
				records = append(records, m)
			}
		}
	}
	return records, nil
}
