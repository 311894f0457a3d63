package group

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/replica/replicatest"
	"ottla/internal/vfs"
)

// The ids of topics; a and b are groups of different partitions of Topic.
var (
	offsetsID = metadata.UUID{0xc, 15: 1}
	topicT    = metadata.UUID{1, 15: 1}
	topicU    = metadata.UUID{2, 15: 1}
	nobody    = metadata.UUID{9, 15: 1}
)

// shards is a Coordinator over the two partitions of Topic, in a bubble.
type shards struct {
	*testing.T
	*Coordinator
	node *replicatest.Node
	me   Client
}

// onShards runs a test. Topic does not exist yet.
func onShards(t *testing.T, test func(s *shards), set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := replicatest.Start(t, append(set, "group.initial.rebalance.delay.ms=0")...)
		began := time.Now()
		s := &shards{T: t, node: n, me: Client{ID: "me", Host: "/127.0.0.1"}}
		s.Coordinator = NewCoordinator(Options{
			NodeID: n.Config.NodeID, Replicas: n.Replicas, Config: func() *config.Broker { return n.Config },
			Now: time.Now, Elapsed: func() time.Duration { return time.Since(began) },
			Random: rand.New(rand.NewPCG(1, 2)), Codecs: record.NewCodecs(), Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Code: func(err error) protocol.Code {
				switch {
				case err == nil:
					return protocol.None
				case errors.Is(err, coordinator.ErrNotCoordinator):
					return protocol.NotCoordinator
				case errors.Is(err, coordinator.ErrLoading):
					return protocol.CoordinatorLoadInProgress
				case errors.Is(err, coordinator.ErrTimedOut):
					return protocol.CoordinatorNotAvailable
				}
				return protocol.UnknownServerError
			},
		})
		defer s.Close()
		test(s)
	})
}

// commit lets replicas and coordinator follow committed metadata.
func (s *shards) commit(records ...metadata.Message) {
	s.Helper()
	delta := s.node.Commit(records...)
	s.Follow(s.node.Image, delta)
}

// begin makes the topics t with two partitions and u with one, and Topic.
func (s *shards) begin() {
	s.Helper()
	records := append(s.node.Topic("t", topicT, 2), s.node.Topic("u", topicU, 1)...)
	records = append(records, &metadata.FeatureLevelRecord{Name: metadata.FeatureGroupVersion, FeatureLevel: 1})
	s.commit(append(records, s.node.Topic(Topic, offsetsID, 2)...)...)
	synctest.Wait()
}

// commits is a request for partitions 0 and so on of topics; an offset of -1
// leaves a partition out.
func commits(group string, version int16, topics map[string][]int64, ids map[string]metadata.UUID) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = version, group, -1
	for _, name := range slices.Sorted(keysOf(topics)) {
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic, t.TopicID = name, ids[name]
		for i, offset := range topics[name] {
			if offset >= 0 {
				p := kmsg.NewOffsetCommitRequestTopicPartition()
				p.Partition, p.Offset, p.LeaderEpoch = int32(i), offset, -1
				t.Partitions = append(t.Partitions, p)
			}
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func keysOf[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// codes shows the codes of partitions as name-partition:CODE.
func codes(resp *kmsg.OffsetCommitResponse) string {
	var all []string
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			name := t.Topic
			if name == "" {
				name = fmt.Sprintf("#%x", t.TopicID[0])
			}
			all = append(all, fmt.Sprintf("%s-%d:%s", name, p.Partition, protocol.Code(p.ErrorCode).Name()))
		}
	}
	return strings.Join(all, " ")
}

func (s *shards) mustCommitOffsets(group string, topics map[string][]int64) {
	s.Helper()
	resp := s.OffsetCommit(s.Context(), s.me, commits(group, 9, topics, nil))
	if got := codes(resp); strings.Count(got, "NONE") != strings.Count(got, ":") {
		s.Fatalf("commit of %s: %s", group, got)
	}
}

// offsets shows what a group has committed, in version 10, of topics t, u and
// one that does not exist; all for everything.
func (s *shards) offsets(group string, all bool) string {
	s.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 10
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if !all {
		for _, id := range []metadata.UUID{nobody, topicT, topicU} {
			g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{TopicID: id, Partitions: []int32{0, 1}})
		}
	}
	req.Groups = append(req.Groups, g)
	answer := s.OffsetFetch(s.Context(), nil, req).Groups[0]
	if answer.ErrorCode != 0 {
		return protocol.Code(answer.ErrorCode).Name()
	}
	var list []string
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			text := fmt.Sprint(p.Offset)
			if p.ErrorCode != 0 {
				text = protocol.Code(p.ErrorCode).Name()
			}
			list = append(list, fmt.Sprintf("#%x-%d=%s", t.TopicID[0], p.Partition, text))
		}
	}
	return strings.Join(list, " ")
}

// everyAPI asks for group a, and returns the code of each answer.
func (s *shards) everyAPI() map[string]protocol.Code {
	s.Helper()
	ctx := s.Context()
	all := map[string]protocol.Code{}
	is := func(api string, code int16) { all[api] = protocol.Code(code) }
	id := "member"
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.MemberID = 9, "a", id
	is("JoinGroup", s.JoinGroup(ctx, s.me, join).ErrorCode)
	protocolName := "range"
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.ProtocolType, sync.Protocol = 5, "a", id, &protocolName, &protocolName
	is("SyncGroup", s.SyncGroup(ctx, sync).ErrorCode)
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID = 4, "a", id
	is("Heartbeat", s.Heartbeat(ctx, beat).ErrorCode)
	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Version, leave.Group = 5, "a"
	is("LeaveGroup", s.LeaveGroup(ctx, leave).ErrorCode)
	is("ConsumerGroupHeartbeat", s.ConsumerGroupHeartbeat(ctx, s.me, joining(id, "t")).ErrorCode)
	is("ConsumerGroupDescribe", s.ConsumerGroupDescribe(ctx, nil, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"a"}}).Groups[0].ErrorCode)
	commit := s.OffsetCommit(ctx, s.me, commits("a", 9, map[string][]int64{"t": {1}}, nil))
	is("OffsetCommit", commit.Topics[0].Partitions[0].ErrorCode)
	is("OffsetFetch", s.OffsetFetch(ctx, nil, &kmsg.OffsetFetchRequest{Version: 8, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "a"}}}).Groups[0].ErrorCode)
	is("OffsetDelete", s.OffsetDelete(ctx, s.me, &kmsg.OffsetDeleteRequest{Group: "a"}).ErrorCode)
	is("ListGroups", s.ListGroups(ctx, nil, kmsg.NewPtrListGroupsRequest()).ErrorCode)
	is("DescribeGroups", s.DescribeGroups(ctx, nil, &kmsg.DescribeGroupsRequest{Version: 6, Groups: []string{"a"}}).Groups[0].ErrorCode)
	is("DeleteGroups", s.DeleteGroups(ctx, nil, &kmsg.DeleteGroupsRequest{Groups: []string{"a"}}).Groups[0].ErrorCode)
	return all
}

// wantAll wants the same of every API, except for some.
func (s *shards) wantAll(when string, want protocol.Code, except map[string]protocol.Code) {
	s.Helper()
	got := s.everyAPI()
	if len(got) != 12 {
		s.Errorf("%d APIs", len(got))
	}
	for api, code := range got {
		expected := want
		if other, ok := except[api]; ok {
			expected = other
		}
		if code != expected {
			s.Errorf("%s: %s answers %v, want %v", when, api, code, expected)
		}
	}
}

// TestNobodyAnswers: what each API says while the shard of its group is not
// here, loads, or cannot get its answer committed.
func TestNobodyAnswers(t *testing.T) {
	onShards(t, func(s *shards) {
		s.commit(append(s.node.Topic("t", topicT, 1), &metadata.FeatureLevelRecord{Name: metadata.FeatureGroupVersion, FeatureLevel: 1})...)
		// A list of all groups here is empty then.
		s.wantAll("before the topic exists", protocol.NotCoordinator, map[string]protocol.Code{"ListGroups": protocol.None})
		mixed := commits("a", 9, map[string][]int64{"t": {1}, "x": {2}}, nil)
		if got, want := codes(s.OffsetCommit(s.Context(), s.me, mixed)), "x-0:UNKNOWN_TOPIC_OR_PARTITION t-0:NOT_COORDINATOR"; got != want {
			t.Errorf("before the topic exists: %s, want %s", got, want)
		}
		s.commit(s.node.Topic(Topic, offsetsID, 2)...)
		synctest.Wait()
		s.mustCommitOffsets("a", map[string][]int64{"t": {1}})

		gate := make(chan struct{})
		s.node.Faults.Add(vfs.Rule{Op: vfs.OpRead, Path: Topic + "-1", Hook: func(vfs.Event) { <-gate }})
		s.commit(s.node.Partition(offsetsID, 1, 1))
		synctest.Wait()
		// A heartbeat that finds the coordinator loading is no reason to join again.
		s.wantAll("while it loads", protocol.CoordinatorLoadInProgress, map[string]protocol.Code{"Heartbeat": protocol.None})
		close(gate)
		synctest.Wait()
		if got := s.offsets("a", true); got != "#1-0=1" {
			t.Errorf("after the load: %q", got)
		}

		hang := make(chan struct{})
		s.node.Faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: Topic, Hook: func(vfs.Event) { <-hang }})
		for i := range 2 { // a read waits for what was written before it
			if got := codes(s.OffsetCommit(s.Context(), s.me, commits("a", 9, map[string][]int64{"t": {2}}, nil))); got != "t-0:COORDINATOR_NOT_AVAILABLE" {
				t.Errorf("commit %d on a disk that hangs: %s", i, got)
			}
			if got := s.offsets("a", true); got != "NOT_COORDINATOR" {
				t.Errorf("fetch %d on a disk that hangs: %s", i, got)
			}
		}
		close(hang)
	})
}

// TestNeedsNoGroup: what is refused before any group is asked.
func TestNeedsNoGroup(t *testing.T) {
	onShards(t, func(s *shards) {
		ctx := s.Context()
		join := kmsg.NewPtrJoinGroupRequest()
		join.MemberID = "kept"
		if resp := s.JoinGroup(ctx, s.me, join); protocol.Code(resp.ErrorCode) != protocol.InvalidGroupID || resp.MemberID != "kept" {
			t.Errorf("JoinGroup: %+v", resp)
		}
		name := "range"
		noProtocol := &kmsg.SyncGroupRequest{Version: 5, Group: "a", ProtocolType: &name}
		noType := &kmsg.SyncGroupRequest{Version: 5, Group: "a", Protocol: &name}
		for what, c := range map[string]struct {
			got  int16
			want protocol.Code
		}{
			"SyncGroup without a protocol": {s.SyncGroup(ctx, noProtocol).ErrorCode, protocol.InconsistentGroupProtocol},
			"SyncGroup without a type":     {s.SyncGroup(ctx, noType).ErrorCode, protocol.InconsistentGroupProtocol},
			"SyncGroup 4 needs neither":    {s.SyncGroup(ctx, &kmsg.SyncGroupRequest{Version: 4, Group: "a"}).ErrorCode, protocol.NotCoordinator},
			"SyncGroup":                    {s.SyncGroup(ctx, &kmsg.SyncGroupRequest{}).ErrorCode, protocol.InvalidGroupID},
			"Heartbeat":                    {s.Heartbeat(ctx, &kmsg.HeartbeatRequest{}).ErrorCode, protocol.InvalidGroupID},
			"LeaveGroup":                   {s.LeaveGroup(ctx, &kmsg.LeaveGroupRequest{}).ErrorCode, protocol.InvalidGroupID},
			"OffsetDelete":                 {s.OffsetDelete(ctx, s.me, &kmsg.OffsetDeleteRequest{}).ErrorCode, protocol.InvalidGroupID},
			"ConsumerGroupHeartbeat before group.version": {
				s.ConsumerGroupHeartbeat(ctx, s.me, joining("m", "t")).ErrorCode, protocol.UnsupportedVersion,
			},
			"ConsumerGroupDescribe before group.version": {
				s.ConsumerGroupDescribe(ctx, nil, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"a"}}).Groups[0].ErrorCode, protocol.UnsupportedVersion,
			},
		} {
			if protocol.Code(c.got) != c.want {
				t.Errorf("%s: %v, want %v", what, protocol.Code(c.got), c.want)
			}
		}
		if got := s.Partition("a"); got != 97%50 {
			t.Errorf("before the topic exists a's partition is %d", got)
		}
		s.begin()
		if got := s.Partition("a"); got != 97%2 {
			t.Errorf("a's partition is %d", got)
		}
		if resp := s.ConsumerGroupHeartbeat(ctx, s.me, joining("", "t")); protocol.Code(resp.ErrorCode) != protocol.InvalidRequest || resp.ErrorMessage == nil {
			t.Errorf("ConsumerGroupHeartbeat without a member id: %+v", resp)
		}
	})
}

// TestOffsetsOfWhatExists: topics and partitions that do not exist are refused
// alone, and stand before the answers of the group.
func TestOffsetsOfWhatExists(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		ids := map[string]metadata.UUID{"t": topicT, "u": topicU, "x": nobody}
		for _, c := range []struct {
			version int16
			group   string
			topics  map[string][]int64
			want    string
		}{
			{9, "a", map[string][]int64{"t": {1, 2}, "u": {3}}, "t-0:NONE t-1:NONE u-0:NONE"},
			{9, "a", map[string][]int64{"x": {1}}, "x-0:UNKNOWN_TOPIC_OR_PARTITION"},
			{9, "a", map[string][]int64{"t": {4, -1, 5}}, "t-2:UNKNOWN_TOPIC_OR_PARTITION t-0:NONE"},
			{9, "a", map[string][]int64{"t": {4}, "u": {-1, 6}, "x": {7}}, "u-1:UNKNOWN_TOPIC_OR_PARTITION x-0:UNKNOWN_TOPIC_OR_PARTITION t-0:NONE"},
			{10, "a", map[string][]int64{"t": {8}, "x": {7}}, "#9-0:UNKNOWN_TOPIC_ID t-0:NONE"},
			{9, "", map[string][]int64{"t": {1}}, "t-0:NONE"}, // of no member: an id like others
		} {
			req := commits(c.group, c.version, c.topics, ids)
			if c.version >= 10 {
				for i := range req.Topics {
					req.Topics[i].Topic = ""
				}
			}
			if got := codes(s.OffsetCommit(s.Context(), s.me, req)); got != c.want {
				t.Errorf("%v in version %d: %s, want %s", c.topics, c.version, got, c.want)
			}
		}
		const all = "#1-0=8 #1-1=2 #2-0=3"
		if got := s.offsets("a", true); got != all {
			t.Errorf("all: %s, want %s", got, all)
		}
		const some = "#1-0=8 #1-1=2 #2-0=3 #2-1=-1 #9-0=UNKNOWN_TOPIC_ID #9-1=UNKNOWN_TOPIC_ID"
		if got := s.offsets("a", false); got != some {
			t.Errorf("some: %s, want %s", got, some)
		}
		if got := s.offsets("b", false); strings.ReplaceAll(got, "-1", "") != "#1-0= #1= #2-0= #2= #9-0=UNKNOWN_TOPIC_ID #9=UNKNOWN_TOPIC_ID" {
			t.Errorf("a group that does not exist: %s", got)
		}
	})
}

// TestOffsetTexts: the limit of an offset's text is in UTF-16 units, as Java
// counts, and refuses that offset alone.
func TestOffsetTexts(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		req := commits("a", 9, map[string][]int64{"t": {1, 2}, "u": {3}}, nil)
		fits, over := strings.Repeat("𝄞", 5), strings.Repeat("𝄞", 5)+"e"
		req.Topics[0].Partitions[0].Metadata, req.Topics[0].Partitions[1].Metadata = &over, &fits
		if got, want := codes(s.OffsetCommit(s.Context(), s.me, req)), "t-0:OFFSET_METADATA_TOO_LARGE t-1:NONE u-0:NONE"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := s.offsets("a", true); got != "#1-1=2 #2-0=3" {
			t.Errorf("committed: %s", got)
		}
	}, "offset.metadata.max.bytes=10")
}

// TestOffsetsOfMembers: a member of a consumer group commits and fetches in its
// epoch, and in an older one what it has had since; a commit that may not write
// one of its offsets writes none.
func TestOffsetsOfMembers(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		beat := func(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
			resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, req)
			if resp.ErrorCode != 0 {
				t.Fatalf("%+v", resp)
			}
			return resp
		}
		// m has t-0 and t-1, then gives one up for n.
		first := beat(joining("m", "t")).MemberEpoch
		beat(joining("n", "t"))
		revoked := beat(later("m", first))
		if revoked.Assignment == nil || len(revoked.Assignment.Topics) != 1 || len(revoked.Assignment.Topics[0].Partitions) != 1 {
			t.Fatalf("%+v", revoked.Assignment)
		}
		kept := revoked.Assignment.Topics[0].Partitions[0]
		given := later("m", first)
		given.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: topicT, Partitions: []int32{kept}}}
		second := beat(given).MemberEpoch
		if second <= first {
			t.Fatalf("epoch %d after %d", second, first)
		}
		only, both := []int64{-1, -1}, []int64{7, 7}
		only[kept] = 5
		for _, c := range []struct {
			what    string
			member  string
			epoch   int32
			offsets []int64
			want    string
		}{
			{"a stranger", "x", second, only, "UNKNOWN_MEMBER_ID"},
			{"nobody", "", -1, only, "UNKNOWN_MEMBER_ID"},
			{"the next epoch", "m", second + 1, only, "STALE_MEMBER_EPOCH"},
			{"the epoch before", "m", first, only, "NONE"},
			{"the epoch before, and what was given up", "m", first, both, "STALE_MEMBER_EPOCH"},
			{"its epoch", "m", second, only, "NONE"},
		} {
			req := commits("g", 9, map[string][]int64{"t": c.offsets}, nil)
			req.MemberID, req.Generation = c.member, c.epoch
			if got := codes(s.OffsetCommit(s.Context(), s.me, req)); strings.Count(got, ":"+c.want) != strings.Count(got, ":") {
				t.Errorf("commit of %s: %s, want %s", c.what, got, c.want)
			}
		}
		if got, want := s.offsets("g", true), fmt.Sprintf("#1-%d=5", kept); got != want {
			t.Errorf("committed: %s, want %s", got, want)
		}
		m, x := "m", "x"
		for _, c := range []struct {
			member *string
			epoch  int32
			want   protocol.Code
		}{{nil, -1, protocol.None}, {&m, second, protocol.None}, {&m, first, protocol.StaleMemberEpoch}, {&x, second, protocol.UnknownMemberID}} {
			req := &kmsg.OffsetFetchRequest{Version: 9, Groups: []kmsg.OffsetFetchRequestGroup{{Group: "g", MemberID: c.member, MemberEpoch: c.epoch}}}
			answer := s.OffsetFetch(s.Context(), nil, req).Groups[0]
			if protocol.Code(answer.ErrorCode) != c.want || (c.want == protocol.None) != (len(answer.Topics) > 0) {
				t.Errorf("fetch in epoch %d: %v with %d topics, want %v", c.epoch, protocol.Code(answer.ErrorCode), len(answer.Topics), c.want)
			}
		}
	}, "group.consumer.assignment.interval.ms=0")
}

// TestClassicMember: what a classic member asks for goes through its shard to
// its group, and ends it.
func TestClassicMember(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		ctx := s.Context()
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 3, "a", "consumer", 10_000, 30_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: (&kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}).AppendTo(nil)}}
		joined := s.JoinGroup(ctx, s.me, join)
		if joined.ErrorCode != 0 || joined.LeaderID != joined.MemberID || len(joined.Members) != 1 {
			t.Fatalf("%+v", joined)
		}
		sync := &kmsg.SyncGroupRequest{Version: 3, Group: "a", Generation: joined.Generation, MemberID: joined.MemberID,
			GroupAssignment: []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("all")}}}
		if resp := s.SyncGroup(ctx, sync); resp.ErrorCode != 0 || string(resp.MemberAssignment) != "all" {
			t.Errorf("%+v", resp)
		}
		beat := &kmsg.HeartbeatRequest{Version: 3, Group: "a", Generation: joined.Generation, MemberID: joined.MemberID}
		if resp := s.Heartbeat(ctx, beat); resp.ErrorCode != 0 {
			t.Errorf("%+v", resp)
		}
		if all, _ := s.Figures(ctx, 10); len(all) != 1 || all[0].Members != 1 {
			t.Errorf("figures %v", all)
		}
		if resp := s.LeaveGroup(ctx, &kmsg.LeaveGroupRequest{Version: 2, Group: "a", MemberID: joined.MemberID}); resp.ErrorCode != 0 {
			t.Errorf("%+v", resp)
		}
		if resp := s.Heartbeat(ctx, beat); protocol.Code(resp.ErrorCode) != protocol.UnknownMemberID {
			t.Errorf("after it left: %+v", resp)
		}
	})
}

// TestExpiryOfGroups: offsets of topics that a member reads stay, and so do
// those of a classic group with members; an empty consumer group goes with its
// last offset.
func TestExpiryOfGroups(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		for _, id := range []string{"g", "idle", "classic"} {
			s.mustCommitOffsets(id, map[string][]int64{"t": {1, 2}, "u": {3}})
		}
		epoch := s.ConsumerGroupHeartbeat(s.Context(), s.me, joining("m", "u")).MemberEpoch
		gone := joining("m", "u")
		gone.Group = "idle"
		left := later("m", epochLeave)
		left.Group = "idle"
		for _, req := range []*kmsg.ConsumerGroupHeartbeatRequest{gone, left} {
			if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, req); resp.ErrorCode != 0 {
				t.Fatalf("%+v", resp)
			}
		}
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 3, "classic", "consumer", 30*60_000, 30*60_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: (&kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}).AppendTo(nil)}}
		if resp := s.JoinGroup(s.Context(), s.me, join); resp.ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
		for range 11 { // the session of m is 45 s, the retention 5 minutes
			<-time.After(30 * time.Second)
			if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, later("m", epoch)); resp.ErrorCode != 0 {
				t.Fatalf("%+v", resp)
			}
		}
		for id, want := range map[string]string{"g": "#2-0=3", "idle": "", "classic": "#1-0=1 #1-1=2 #2-0=3"} {
			if got := s.offsets(id, true); got != want {
				t.Errorf("%s has %q, want %q", id, got, want)
			}
		}
		var listed []string
		for _, g := range s.ListGroups(s.Context(), nil, kmsg.NewPtrListGroupsRequest()).Groups {
			listed = append(listed, g.Group)
		}
		if strings.Join(listed, " ") != "classic g" {
			t.Errorf("groups left: %v", listed)
		}
	}, "offsets.retention.minutes=5", "offsets.retention.check.interval.ms=10000")
}

// TestOffsetDelete: offsets go one by one; those of topics that a member reads
// stay.
func TestOffsetDelete(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		forget := func(group string, topics map[string][]int32) string {
			req := &kmsg.OffsetDeleteRequest{Group: group}
			for _, name := range slices.Sorted(keysOf(topics)) {
				topic := kmsg.OffsetDeleteRequestTopic{Topic: name}
				for _, p := range topics[name] {
					topic.Partitions = append(topic.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
				}
				req.Topics = append(req.Topics, topic)
			}
			resp := s.OffsetDelete(s.Context(), s.me, req)
			if resp.ErrorCode != 0 {
				return protocol.Code(resp.ErrorCode).Name()
			}
			var all []string
			for _, topic := range resp.Topics {
				for _, p := range topic.Partitions {
					all = append(all, fmt.Sprintf("%s-%d:%s", topic.Topic, p.Partition, protocol.Code(p.ErrorCode).Name()))
				}
			}
			return strings.Join(all, " ")
		}
		if got := forget("a", map[string][]int32{"t": {0}}); got != "GROUP_ID_NOT_FOUND" {
			t.Errorf("no group: %s", got)
		}
		s.mustCommitOffsets("a", map[string][]int64{"t": {1, 2}, "u": {3}})
		got := forget("a", map[string][]int32{"t": {1, 2}, "u": {5}, "x": {0}})
		if want := "t-2:UNKNOWN_TOPIC_OR_PARTITION t-1:NONE u-5:UNKNOWN_TOPIC_OR_PARTITION x-0:UNKNOWN_TOPIC_OR_PARTITION"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := s.offsets("a", true); got != "#1-0=1 #2-0=3" {
			t.Errorf("left: %s", got)
		}
		join := joining("m", "u")
		join.Group = "a"
		if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, join); resp.ErrorCode != 0 {
			t.Fatalf("%+v", resp)
		}
		if got := forget("a", map[string][]int32{"t": {0}, "u": {0}}); got != "t-0:NONE u-0:GROUP_SUBSCRIBED_TO_TOPIC" {
			t.Errorf("read by a member: %s", got)
		}
	})
}

// TestSeveralGroups: the APIs for several groups ask their shards, and answer in
// the order of the request.
func TestSeveralGroups(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		for _, id := range []string{"b", "a", "c"} { // two shards
			s.mustCommitOffsets(id, map[string][]int64{"t": {1}})
		}
		if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, joining("m", "t")); resp.ErrorCode != 0 { // of group g
			t.Fatalf("%+v", resp)
		}
		list := func(states, types []string) (ids string) {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = states, types
			for _, g := range s.ListGroups(s.Context(), nil, req).Groups {
				ids += fmt.Sprintf("%s:%s:%s:%s ", g.Group, g.GroupState, g.GroupType, g.ProtocolType)
			}
			return ids
		}
		const simples, consumers = "a:Empty:classic: b:Empty:classic: c:Empty:classic: ", "g:Stable:consumer:consumer "
		for _, c := range []struct {
			states, types []string
			want          string
		}{
			{nil, nil, simples + consumers},
			{[]string{" eMPTY"}, nil, simples},
			{nil, []string{"CONSUMER"}, consumers},
			{[]string{"Empty"}, []string{"consumer"}, ""},
			{[]string{"Empty", "Stable"}, []string{"classic", "consumer"}, simples + consumers},
		} {
			if got := list(c.states, c.types); got != c.want {
				t.Errorf("%v of %v: %q, want %q", c.states, c.types, got, c.want)
			}
		}
		for version, want := range map[int16]string{5: "c:Empty:NONE:- x:Dead:NONE:- a:Empty:NONE:- g:Dead:NONE:- ",
			6: "c:Empty:NONE:- x:Dead:GROUP_ID_NOT_FOUND:Group x not found. a:Empty:NONE:- g:Dead:GROUP_ID_NOT_FOUND:Group g is not a classic group. "} {
			described := ""
			for _, g := range s.DescribeGroups(s.Context(), nil, &kmsg.DescribeGroupsRequest{Version: version, Groups: []string{"c", "x", "a", "g"}}).Groups {
				why := "-"
				if g.ErrorMessage != nil {
					why = *g.ErrorMessage
				}
				described += fmt.Sprintf("%s:%s:%s:%s ", g.Group, g.State, protocol.Code(g.ErrorCode).Name(), why)
			}
			if described != want {
				t.Errorf("described in version %d: %q, want %q", version, described, want)
			}
		}
		described := ""
		for _, g := range s.ConsumerGroupDescribe(s.Context(), nil, &kmsg.ConsumerGroupDescribeRequest{Groups: []string{"a", "", "g"}}).Groups {
			described += fmt.Sprintf("%s:%s:%s ", g.Group, protocol.Code(g.ErrorCode).Name(), g.State)
		}
		if want := "a:GROUP_ID_NOT_FOUND: :INVALID_GROUP_ID: g:NONE:Stable "; described != want {
			t.Errorf("consumer groups: %q, want %q", described, want)
		}
		deleted := ""
		for _, g := range s.DeleteGroups(s.Context(), nil, &kmsg.DeleteGroupsRequest{Groups: []string{"c", "x", "c", "g", "a"}}).Groups {
			deleted += fmt.Sprintf("%s:%s ", g.Group, protocol.Code(g.ErrorCode).Name())
		}
		if want := "c:NONE x:GROUP_ID_NOT_FOUND g:NON_EMPTY_GROUP a:NONE "; deleted != want {
			t.Errorf("deleted: %q, want %q", deleted, want)
		}
		if got := list(nil, nil); got != "b:Empty:classic: "+consumers {
			t.Errorf("left: %q", got)
		}
	})
}

// TestFigures: all groups are listed in pieces, up to the bound, and a shard that
// is not there is left out.
func TestFigures(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		const groups = figuresPiece + 100 // with an offset each, they count twice: more than a piece in each shard
		for i := range groups {
			s.mustCommitOffsets(fmt.Sprintf("a%04d", i), map[string][]int64{"t": {int64(i)}})
		}
		s.mustCommitOffsets("many", map[string][]int64{"u": {7}, "t": {5, 6}})
		all, omitted := s.Figures(s.Context(), 1<<30)
		if len(all) != groups+1 || omitted != 0 {
			t.Errorf("%d groups and %d more, want %d", len(all), omitted, groups+1)
		}
		seen := map[string]bool{}
		for _, f := range all {
			if seen[f.Group] {
				t.Errorf("%s is listed twice", f.Group)
			}
			seen[f.Group] = true
			if want := "[{t 0 5} {t 1 6} {u 0 7}]"; f.Group == "many" && fmt.Sprint(f.Offsets) != want {
				t.Errorf("offsets %v, want %s", f.Offsets, want)
			}
		}
		for shard := range int32(2) {
			ids, err := s.groupIDs(s.Context(), shard)
			if err != nil {
				t.Fatal(err)
			}
			if piece, done, err := s.figuresPiece(s.Context(), shard, ids, 1<<30); err != nil || len(piece) != figuresPiece/2 || done != len(piece) {
				t.Errorf("%d groups in a piece, %d ids, %v", len(piece), done, err)
			}
			gone := append([]string{"A"}, ids[0], "zz")
			if piece, done, err := s.figuresPiece(s.Context(), shard, gone, 1<<30); err != nil || len(piece) != 1 || done != 3 {
				t.Errorf("%v of groups that are gone, %d ids, %v", piece, done, err)
			}
		}
		if few, omitted := s.Figures(s.Context(), 5); len(few) != 5 || omitted != groups-4 {
			t.Errorf("%d groups with an offset each, want 5; %d more", len(few), omitted)
		}
		s.onlyMany(2, "[{t 0 5} {t 1 6}]", 1)
		s.onlyMany(1, "[{u 0 7}]", 2)
		for i := range 3 { // groups without offsets, before the others
			join := joining("m", "t")
			join.Group = fmt.Sprint("A", i)
			if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, join); resp.ErrorCode != 0 {
				t.Fatalf("%+v", resp)
			}
		}
		if few, omitted := s.Figures(s.Context(), 1); len(few) != 1 || omitted != groups+3 {
			t.Errorf("%v, want a single group", few)
		}
		s.commit(&metadata.RemoveTopicRecord{TopicID: offsetsID})
		if none, omitted := s.Figures(s.Context(), 5); len(none) != 0 || omitted != 0 {
			t.Errorf("%d groups without a shard", len(none))
		}
	})
}

// onlyMany lists the group many alone, with most offsets at the most.
func (s *shards) onlyMany(most int, want string, omitted int) {
	s.Helper()
	for shard := range int32(2) {
		piece, _, err := s.figuresPiece(s.Context(), shard, []string{"many"}, most)
		if err != nil {
			s.Fatal(err)
		}
		for _, f := range piece {
			if fmt.Sprint(f.Offsets) != want || f.Omitted != omitted {
				s.Errorf("offsets %v and %d more, want %s and %d", f.Offsets, f.Omitted, want, omitted)
			}
		}
	}
}

// TestForgetsInPieces: the offsets of a deleted topic may be more than one batch
// holds.
func TestForgetsInPieces(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		for i := range 50 {
			s.mustCommitOffsets(fmt.Sprintf("group-%d", i), map[string][]int64{"t": {1, 2}, "u": {3}})
		}
		s.commit(&metadata.RemoveTopicRecord{TopicID: topicT})
		synctest.Wait()
		all, _ := s.Figures(s.Context(), 1000)
		for _, f := range all {
			if len(f.Offsets) != 1 || f.Offsets[0].Topic != "u" {
				t.Errorf("%s has %v", f.Group, f.Offsets)
			}
		}
	}, "message.max.bytes=1000")
}

// TestAnotherResponse: a step that answers with another API's response is an
// error, not a crash.
func TestAnotherResponse(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		_, err := ask[*kmsg.HeartbeatResponse](context.Background(), s.Coordinator, "a", func(_ *Machine, _ coordinator.Moment, to coordinator.Ticket) coordinator.Output {
			return coordinator.Answer(to, kmsg.NewPtrLeaveGroupResponse())
		})
		if !errors.Is(err, errResponse) {
			t.Errorf("%v", err)
		}
	})
}
