package api

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// joinRequest joins a group of consumers.
func joinRequest(memberID string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.ProtocolType, req.MemberID = "g", "consumer", memberID
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, 60_000
	subscription := kmsg.ConsumerMemberMetadata{Topics: []string{"a"}}
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription.AppendTo(nil)}}
	return req
}

func syncRequest(j *kmsg.JoinGroupResponse, assignments ...string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation, req.ProtocolType, req.Protocol = "g", j.MemberID, j.Generation, ptr("consumer"), ptr("range")
	for i, a := range assignments {
		req.GroupAssignment = append(req.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
			MemberID: j.Members[i].MemberID, MemberAssignment: []byte(a),
		})
	}
	return req
}

func beatRequest(j *kmsg.JoinGroupResponse) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = "g", j.MemberID, j.Generation
	return req
}

// TestClassicGroup goes through the life of a group in every version: a member
// joins and waits for more, a second one makes them rebalance, one dies, the
// other leaves.
func TestClassicGroup(t *testing.T) {
	for version := range int16(10) {
		story(t, nil, func(t *testing.T, x *fixture) {
			x.topic("a", 2)
			x.coordinated("g")
			join := func() *kmsg.JoinGroupResponse {
				id := ""
				if version >= 4 {
					first := ask[*kmsg.JoinGroupResponse](x, version, joinRequest(""))
					wantCode(x, "join without an id", first.ErrorCode, protocol.MemberIDRequired)
					id = first.MemberID
				}
				return ask[*kmsg.JoinGroupResponse](x, version, joinRequest(id))
			}
			begun := time.Now()
			a := join()
			wantCode(x, "join", a.ErrorCode, protocol.None)
			if waited := time.Since(begun); waited < 3*time.Second || waited > 4*time.Second {
				t.Errorf("the first member waits %v for more", waited)
			}
			sync := ask[*kmsg.SyncGroupResponse](x, min(version, 5), syncRequest(a, "all"))
			if string(sync.MemberAssignment) != "all" {
				t.Errorf("assignment %q, %d", sync.MemberAssignment, sync.ErrorCode)
			}
			other := make(chan *kmsg.JoinGroupResponse)
			go func() { other <- join() }()
			<-time.After(time.Second)
			wantCode(x, "heartbeat", ask[*kmsg.HeartbeatResponse](x, min(version, 4), beatRequest(a)).ErrorCode, protocol.RebalanceInProgress)
			a = ask[*kmsg.JoinGroupResponse](x, version, joinRequest(a.MemberID))
			b := <-other
			if len(a.Members) != 2 || len(b.Members) != 0 || a.Generation != b.Generation || b.LeaderID != a.MemberID {
				t.Fatalf("joined as %+v and %+v", a, b)
			}
			followed := make(chan *kmsg.SyncGroupResponse)
			go func() { followed <- ask[*kmsg.SyncGroupResponse](x, min(version, 5), syncRequest(b)) }()
			<-time.After(time.Second)
			ask[*kmsg.SyncGroupResponse](x, min(version, 5), syncRequest(a, "one", "two"))
			if got := <-followed; string(got.MemberAssignment) != "two" {
				t.Errorf("assignment %q, %d", got.MemberAssignment, got.ErrorCode)
			}
			x.describedAs("Stable", 2)
			commit := commitRequest("g", "a", [16]byte{}, 1)
			commit.MemberID, commit.Generation = a.MemberID, a.Generation-1
			got := ask[*kmsg.OffsetCommitResponse](x, 8, commit)
			wantCode(x, "commit in an old generation", got.Topics[0].Partitions[0].ErrorCode, protocol.IllegalGeneration)

			<-time.After(9 * time.Second)
			wantCode(x, "heartbeat", ask[*kmsg.HeartbeatResponse](x, min(version, 4), beatRequest(a)).ErrorCode, protocol.None)
			<-time.After(2 * time.Second)
			wantCode(x, "of the dead", ask[*kmsg.HeartbeatResponse](x, min(version, 4), beatRequest(b)).ErrorCode, protocol.UnknownMemberID)
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID, leave.Members = "g", a.MemberID, []kmsg.LeaveGroupRequestMember{{MemberID: a.MemberID}}
			left := ask[*kmsg.LeaveGroupResponse](x, min(version, 5), leave)
			wantCode(x, "leave", left.ErrorCode, protocol.None)
			x.describedAs("Empty", 0)
		})
	}
}

// describedAs describes the group, and lists it.
func (x *fixture) describedAs(state string, members int) {
	x.Helper()
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{"g"}
	d := ask[*kmsg.DescribeGroupsResponse](x, 6, req).Groups[0]
	if d.State != state || d.ProtocolType != "consumer" || len(d.Members) != members {
		x.Errorf("described as %+v", d)
	}
	for _, m := range d.Members {
		if m.ClientID != "test" || m.ClientHost != "/10.0.0.9" {
			x.Errorf("a member is described as %+v", m)
		}
	}
	list := ask[*kmsg.ListGroupsResponse](x, 5, kmsg.NewPtrListGroupsRequest())
	if len(list.Groups) != 1 || list.Groups[0].GroupState != state || list.Groups[0].GroupType != "classic" {
		x.Errorf("listed as %+v", list.Groups)
	}
}

// TestClassicRefusals: what is refused without asking a group, in every version.
func TestClassicRefusals(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		refused := func(what string, group string, want protocol.Code) {
			j := &kmsg.JoinGroupResponse{MemberID: "m"}
			x.eachVersion(11, func(version int16) {
				req := joinRequest("m")
				req.Group = group
				wantCode(x, what+": join", ask[*kmsg.JoinGroupResponse](x, version, req).ErrorCode, want)
			})
			x.eachVersion(12, func(version int16) {
				req := beatRequest(j)
				req.Group = group
				wantCode(x, what+": heartbeat", ask[*kmsg.HeartbeatResponse](x, version, req).ErrorCode, want)
			})
			x.eachVersion(13, func(version int16) {
				req := kmsg.NewPtrLeaveGroupRequest()
				req.Group = group
				wantCode(x, what+": leave", ask[*kmsg.LeaveGroupResponse](x, version, req).ErrorCode, want)
			})
			x.eachVersion(14, func(version int16) {
				req := syncRequest(j)
				req.Group = group
				wantCode(x, what+": sync", ask[*kmsg.SyncGroupResponse](x, version, req).ErrorCode, want)
			})
		}
		refused("no group", "", protocol.InvalidGroupID)
		refused("no coordinator", "g", protocol.NotCoordinator)
		req := syncRequest(&kmsg.JoinGroupResponse{})
		req.Protocol = nil
		wantCode(x, "sync without a protocol", ask[*kmsg.SyncGroupResponse](x, 5, req).ErrorCode, protocol.InconsistentGroupProtocol)
	})
}
