package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/storage"
)

// coordinated finds the coordinators of groups, which makes the topic, and waits
// until they are loaded.
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
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = groups
	loading := func(g kmsg.DescribeGroupsResponseGroup) bool {
		return protocol.Code(g.ErrorCode) == protocol.CoordinatorLoadInProgress
	}
	for slices.ContainsFunc(ask[*kmsg.DescribeGroupsResponse](x, 5, describe).Groups, loading) {
		<-time.After(time.Millisecond)
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

// TestNoCoordinator: before the topic exists nobody coordinates, and nothing is
// listed.
func TestNoCoordinator(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		resp := ask[*kmsg.OffsetCommitResponse](x, 9, commitRequest("g", "a", id, 1))
		wantCode(t, "commit", resp.Topics[0].Partitions[0].ErrorCode, protocol.NotCoordinator)
		fetch := kmsg.NewPtrOffsetFetchRequest()
		fetch.Group, fetch.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "a", Partitions: []int32{0}}}
		wantCode(t, "fetch 1", ask[*kmsg.OffsetFetchResponse](x, 1, fetch).Topics[0].Partitions[0].ErrorCode, protocol.NotCoordinator)
		wantCode(t, "fetch 7", ask[*kmsg.OffsetFetchResponse](x, 7, fetch).ErrorCode, protocol.NotCoordinator)
		forget := kmsg.NewPtrOffsetDeleteRequest()
		forget.Group = "g"
		wantCode(t, "offset delete", ask[*kmsg.OffsetDeleteResponse](x, 0, forget).ErrorCode, protocol.NotCoordinator)
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{"g"}
		wantCode(t, "describe", ask[*kmsg.DescribeGroupsResponse](x, 6, describe).Groups[0].ErrorCode, protocol.NotCoordinator)
		remove := kmsg.NewPtrDeleteGroupsRequest()
		remove.Groups = []string{"g"}
		wantCode(t, "delete", ask[*kmsg.DeleteGroupsResponse](x, 2, remove).Groups[0].ErrorCode, protocol.NotCoordinator)
		list := ask[*kmsg.ListGroupsResponse](x, 5, kmsg.NewPtrListGroupsRequest())
		if list.ErrorCode != 0 || len(list.Groups) != 0 {
			t.Errorf("list: %+v", list)
		}
	})
}

// TestOffsetsTopic: it is made once, as Kafka makes it, however many ask.
func TestOffsetsTopic(t *testing.T) {
	story(t, map[string]string{"offsets.topic.num.partitions": "3", "offsets.topic.segment.bytes": "2097152", "offsets.topic.replication.factor": "3"}, func(t *testing.T, x *fixture) {
		done := make(chan struct{}, 8)
		for range cap(done) {
			go func() {
				x.coordinated("g")
				done <- struct{}{}
			}()
		}
		for range cap(done) {
			<-done
		}
		topic := x.controller.Image().TopicByName("__consumer_offsets")
		if topic.NumPartitions() != 3 || len(topic.Partition(0).Replicas) != 1 {
			t.Errorf("%d partitions, replicas %v", topic.NumPartitions(), topic.Partition(0).Replicas)
		}
		c := x.log("__consumer_offsets", 0).Config()
		if !c.Compact || c.Delete || c.SegmentBytes != 2097152 {
			t.Errorf("config %+v", c)
		}
	})
}

// TestLargeRequests: what is too much is refused, and the group goes on.
func TestLargeRequests(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1200)
		x.coordinated("g")
		large := commitRequest("g", "a", id, make([]int64, 400)...)
		for i := range large.Topics[0].Partitions {
			large.Topics[0].Partitions[i].Metadata = ptr(strings.Repeat("x", 4096)) // 1.6 MB in all
		}
		resp := ask[*kmsg.OffsetCommitResponse](x, 9, large)
		wantCode(t, "more than max.message.bytes", resp.Topics[0].Partitions[0].ErrorCode, protocol.UnknownServerError)
		if p := x.fetchOffset("g", id, 0); p.Offset != -1 {
			t.Errorf("a refused commit left the offset %d", p.Offset)
		}
		many := commitRequest("g", "a", id, 7)
		for i := range 10_000 {
			t := kmsg.NewOffsetCommitRequestTopic()
			t.Topic, t.Partitions = fmt.Sprint("unknown-", i), []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}
			many.Topics = append(many.Topics, t)
		}
		resp = ask[*kmsg.OffsetCommitResponse](x, 9, many)
		if len(resp.Topics) != 10_001 {
			t.Errorf("%d topics are answered", len(resp.Topics))
		}
		if p := x.fetchOffset("g", id, 0); p.Offset != 7 {
			t.Errorf("the offset is %d, want 7", p.Offset)
		}
		// Tombstones of a group that do not fit one batch are split.
		long := strings.Repeat("h", 1000)
		x.coordinated(long)
		for i := range 3 {
			commit := commitRequest(long, "a", id, make([]int64, 300)...)
			wantCode(t, fmt.Sprint("commit ", i), ask[*kmsg.OffsetCommitResponse](x, 9, commit).Topics[0].Partitions[0].ErrorCode, protocol.None)
		}
		for first := 300; first < 1200; first += 300 {
			rest := commitRequest(long, "a", id, make([]int64, 300)...)
			for i := range rest.Topics[0].Partitions {
				rest.Topics[0].Partitions[i].Partition = int32(first + i)
			}
			wantCode(t, "commit", ask[*kmsg.OffsetCommitResponse](x, 9, rest).Topics[0].Partitions[0].ErrorCode, protocol.None)
		}
		remove := kmsg.NewPtrDeleteGroupsRequest()
		remove.Groups = []string{long}
		wantCode(t, "delete", ask[*kmsg.DeleteGroupsResponse](x, 2, remove).Groups[0].ErrorCode, protocol.None)
		if p := x.fetchOffset(long, id, 1199); p.Offset != -1 {
			t.Errorf("a deleted group has the offset %d", p.Offset)
		}
	})
}

func TestCoordinatorCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want protocol.Code
	}{
		{coordinator.ErrLoading, protocol.CoordinatorLoadInProgress},
		{coordinator.ErrNotCoordinator, protocol.NotCoordinator},
		{coordinator.ErrTimedOut, protocol.CoordinatorNotAvailable},
		{context.DeadlineExceeded, protocol.CoordinatorNotAvailable},
		{fmt.Errorf("append: %w", replica.ErrNotEnoughReplicas), protocol.CoordinatorNotAvailable},
		{replica.ErrUnknownTopicOrPartition, protocol.CoordinatorNotAvailable},
		{replica.ErrNotLeader, protocol.NotCoordinator},
		{replica.ErrFencedLeaderEpoch, protocol.NotCoordinator},
		{storage.ErrStorage, protocol.NotCoordinator},
		{storage.ErrBatchTooLarge, protocol.UnknownServerError},
		{&record.InvalidError{Kind: record.TooLarge}, protocol.UnknownServerError},
		{errors.New("anything"), protocol.UnknownServerError},
		{protocol.IllegalGeneration, protocol.IllegalGeneration},
	} {
		if got := CoordinatorCode(c.err); got != c.want {
			t.Errorf("%v: %v, want %v", c.err, got, c.want)
		}
	}
}
