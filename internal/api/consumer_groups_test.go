package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// joinConsumer is the first heartbeat of a member.
func joinConsumer(group, member string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis = group, member, 60_000
	req.SubscribedTopicNames, req.Topics = topics, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

func describeConsumers(groups ...string) *kmsg.ConsumerGroupDescribeRequest {
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, true
	return req
}

// TestConsumerGroups joins, describes and leaves in every version.
func TestConsumerGroups(t *testing.T) {
	story(t, map[string]string{"group.consumer.assignment.interval.ms": "0"}, func(t *testing.T, x *fixture) {
		id := x.topic("a", 3)
		none := ask[*kmsg.ConsumerGroupHeartbeatResponse](x, 1, joinConsumer("g", "m", "a"))
		wantCode(t, "before the topic exists", none.ErrorCode, protocol.NotCoordinator)
		wantCode(t, "describe", ask[*kmsg.ConsumerGroupDescribeResponse](x, 1, describeConsumers("g")).Groups[0].ErrorCode, protocol.NotCoordinator)
		x.coordinated("g", "h")
		x.eachVersion(68, func(version int16) {
			joined := ask[*kmsg.ConsumerGroupHeartbeatResponse](x, version, joinConsumer("g", "m", "a"))
			wantCode(t, "join", joined.ErrorCode, protocol.None)
			if a := joined.Assignment; a == nil || len(a.Topics) != 1 || a.Topics[0].TopicID != id || len(a.Topics[0].Partitions) != 3 || joined.HeartbeatIntervalMillis != 5000 {
				t.Fatalf("%+v %+v", joined, joined.Assignment)
			}
			x.eachVersion(69, func(describe int16) {
				resp := ask[*kmsg.ConsumerGroupDescribeResponse](x, describe, describeConsumers("g", "h", ""))
				g := resp.Groups[0]
				if g.Group != "g" || g.State != "Stable" || g.AssignorName != "uniform" || len(g.Members) != 1 || g.AuthorizedOperations != groupOperations ||
					g.Members[0].ClientHost != "/10.0.0.9" || g.Members[0].Assignment.TopicPartitions[0].Topic != "a" {
					t.Errorf("%+v", g)
				}
				wantCode(t, "describe none", resp.Groups[1].ErrorCode, protocol.GroupIDNotFound)
				wantCode(t, "describe without a name", resp.Groups[2].ErrorCode, protocol.InvalidGroupID)
			})
			leave := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			leave.Group, leave.MemberID, leave.MemberEpoch = "g", "m", -1
			left := ask[*kmsg.ConsumerGroupHeartbeatResponse](x, version, leave)
			if wantCode(t, "leave", left.ErrorCode, protocol.None); left.MemberEpoch != -1 || *left.MemberID != "m" {
				t.Errorf("%+v", left)
			}
		})
		bad := ask[*kmsg.ConsumerGroupHeartbeatResponse](x, 1, joinConsumer("", "m", "a"))
		if wantCode(t, "no group", bad.ErrorCode, protocol.InvalidRequest); *bad.ErrorMessage != "GroupId can't be empty." {
			t.Errorf("%q", *bad.ErrorMessage)
		}
	})
}

// TestConsumerGroupsDisabled: the protocol can be switched off.
func TestConsumerGroupsDisabled(t *testing.T) {
	story(t, map[string]string{"group.coordinator.rebalance.protocols": "classic"}, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.coordinated("g")
		wantCode(t, "join", ask[*kmsg.ConsumerGroupHeartbeatResponse](x, 1, joinConsumer("g", "m", "a")).ErrorCode, protocol.UnsupportedVersion)
		wantCode(t, "describe", ask[*kmsg.ConsumerGroupDescribeResponse](x, 1, describeConsumers("g")).Groups[0].ErrorCode, protocol.UnsupportedVersion)
	})
}
