package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// coordinated finds the coordinator of a group, which makes the topic.
func (x *fixture) coordinated(groups ...string) {
	x.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKeys = groups
	for _, c := range ask[*kmsg.FindCoordinatorResponse](x, 6, req).Coordinators {
		wantCode(x, "the coordinator of "+c.Key, c.ErrorCode, protocol.None)
		if c.NodeID != 1 || c.Host != "127.0.0.1" || c.Port != 9092 {
			x.Errorf("the coordinator of %s is %+v", c.Key, c)
		}
	}
}

// commitRequest commits offsets of partition 0 and so on of a topic.
func commitRequest(group, topic string, id [16]byte, offsets ...int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic, t.TopicID = topic, id
	for i, offset := range offsets {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = int32(i), offset, 3, ptr("said")
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// fetchOffset is the committed offset of a partition, in the newest version.
func (x *fixture) fetchOffset(group string, topic [16]byte, partition int32) kmsg.OffsetFetchResponseGroupTopicPartition {
	x.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{TopicID: topic, Partitions: []int32{partition}})
	req.Groups = append(req.Groups, g)
	answer := ask[*kmsg.OffsetFetchResponse](x, 10, req).Groups[0]
	wantCode(x, "fetch of "+group, answer.ErrorCode, protocol.None)
	return answer.Topics[0].Partitions[0]
}

// TestCommitAndFetch commits in every version and fetches in every version.
func TestCommitAndFetch(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 2)
		x.coordinated("g", "ä")
		next := int64(0)
		x.eachVersion(8, func(commit int16) {
			next++
			resp := ask[*kmsg.OffsetCommitResponse](x, commit, commitRequest("g", "a", id, next, next+100))
			for _, p := range resp.Topics[0].Partitions {
				wantCode(x, "commit", p.ErrorCode, protocol.None)
			}
			if p := x.fetchOffset("g", id, 1); p.Offset != next+100 || *p.Metadata != "said" {
				t.Errorf("after commit %d: %+v", commit, p)
			}
			x.eachVersion(9, func(fetch int16) {
				req := kmsg.NewPtrOffsetFetchRequest()
				if fetch < 8 {
					req.Group, req.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{1, 0}}}
				} else {
					g := kmsg.NewOffsetFetchRequestGroup()
					g.Group, g.Topics = "g", []kmsg.OffsetFetchRequestGroupTopic{{Topic: "a", TopicID: id, Partitions: []int32{1, 0}}}
					req.Groups = append(req.Groups, g)
				}
				resp := ask[*kmsg.OffsetFetchResponse](x, fetch, req)
				var got []int64
				if fetch < 8 {
					for _, p := range resp.Topics[0].Partitions {
						got = append(got, p.Offset)
					}
				} else {
					for _, p := range resp.Groups[0].Topics[0].Partitions {
						got = append(got, p.Offset)
					}
				}
				if len(got) != 2 || got[0] != next+100 || got[1] != next {
					t.Errorf("fetch %d after commit %d: %v, want %d and %d", fetch, commit, got, next+100, next)
				}
			})
		})
	})
}
