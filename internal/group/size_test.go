package group

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestSizeOf: what a large response is said to take is not less than what it takes
// encoded, and not ten times as much. A small one takes nothing.
func TestSizeOf(t *testing.T) {
	const many = 1000
	text := strings.Repeat("x", 100)
	partitions := make([]int32, many)
	join, commit, fetch, list := kmsg.NewPtrJoinGroupResponse(), kmsg.NewPtrOffsetCommitResponse(), kmsg.NewPtrOffsetFetchResponse(), kmsg.NewPtrListGroupsResponse()
	classic, consumer := kmsg.NewPtrDescribeGroupsResponse(), kmsg.NewPtrConsumerGroupDescribeResponse()
	var committed kmsg.OffsetCommitResponseTopic
	var fetched kmsg.OffsetFetchResponseGroupTopic
	var group kmsg.DescribeGroupsResponseGroup
	var described kmsg.ConsumerGroupDescribeResponseGroup
	for range many {
		join.Members = append(join.Members, kmsg.JoinGroupResponseMember{MemberID: text, ProtocolMetadata: []byte(text)})
		committed.Partitions = append(committed.Partitions, kmsg.OffsetCommitResponseTopicPartition{})
		fetched.Partitions = append(fetched.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Metadata: &text})
		list.Groups = append(list.Groups, kmsg.ListGroupsResponseGroup{Group: text})
		group.Members = append(group.Members, kmsg.DescribeGroupsResponseGroupMember{MemberID: text, ProtocolMetadata: []byte(text), MemberAssignment: []byte(text)})
	}
	commit.Topics = append(commit.Topics, committed)
	fetch.Groups = append(fetch.Groups, kmsg.OffsetFetchResponseGroup{Topics: []kmsg.OffsetFetchResponseGroupTopic{fetched}})
	classic.Groups = append(classic.Groups, group)
	assignment := kmsg.Assignment{TopicPartitions: []kmsg.AssignmentTopicPartition{{Topic: "t", Partitions: partitions}}}
	for range 10 {
		described.Members = append(described.Members, kmsg.ConsumerGroupDescribeResponseGroupMember{Assignment: assignment, TargetAssignment: assignment})
	}
	consumer.Groups = append(consumer.Groups, described)
	for _, r := range []kmsg.Response{join, commit, fetch, list, classic, consumer, &kmsg.SyncGroupResponse{MemberAssignment: make([]byte, many)}} {
		r.SetVersion(r.MaxVersion())
		size, encoded := sizeOf(r), int64(len(r.AppendTo(nil)))
		if size < encoded*9/10 || size > 10*encoded {
			t.Errorf("%T takes %d bytes encoded, %d are counted", r, encoded, size)
		}
	}
	if n := sizeOf(kmsg.NewPtrHeartbeatResponse()); n != 0 {
		t.Errorf("a heartbeat's takes %d", n)
	}
}
