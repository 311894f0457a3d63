package group

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// TestCheckHeartbeat has a row for each rule of the request.
func TestCheckHeartbeat(t *testing.T) {
	text := kmsg.StringPtr
	for name, test := range map[string]struct {
		change func(r *kmsg.ConsumerGroupHeartbeatRequest)
		code   protocol.Code
		want   string
	}{
		"in order":             {func(*kmsg.ConsumerGroupHeartbeatRequest) {}, protocol.None, ""},
		"no member id":         {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID = " " }, protocol.InvalidRequest, "MemberId can't be empty."},
		"no member id, v0":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.Version = "", 0 }, protocol.None, ""},
		"no member id later":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberID, r.Version, r.MemberEpoch = "", 0, 1 }, protocol.InvalidRequest, "MemberId can't be empty."},
		"no group":             {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Group = "" }, protocol.InvalidRequest, "GroupId can't be empty."},
		"empty instance":       {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.InstanceID = text("") }, protocol.InvalidRequest, "InstanceId can't be empty."},
		"empty rack":           {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RackID = text("") }, protocol.InvalidRequest, "RackId can't be empty."},
		"no rebalance timeout": {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.RebalanceTimeoutMillis = -1 }, protocol.InvalidRequest, "RebalanceTimeoutMs must be provided in first request."},
		"owns something":       {func(r *kmsg.ConsumerGroupHeartbeatRequest) { owning(r, "t:0") }, protocol.InvalidRequest, "TopicPartitions must be empty when (re-)joining."},
		"owned is null":        {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.Topics = nil }, protocol.InvalidRequest, "TopicPartitions must be empty when (re-)joining."},
		"no subscription":      {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.SubscribedTopicNames = nil }, protocol.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
		"leaves, not static":   {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -2 }, protocol.InvalidRequest, "InstanceId can't be null."},
		"epoch -3":             {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.MemberEpoch = -3 }, protocol.InvalidRequest, "MemberEpoch is invalid."},
		"unknown assignor":     {func(r *kmsg.ConsumerGroupHeartbeatRequest) { r.ServerAssignor = text("x") }, protocol.UnsupportedAssignor, "ServerAssignor x is not supported. Supported assignors: uniform, range."},
	} {
		req := joining("m", "t")
		test.change(req)
		fail := checkHeartbeat(req, []string{"uniform", "range"})
		if fail == nil && test.code != protocol.None || fail != nil && (fail.code != test.code || fail.message != test.want) {
			t.Errorf("%s: %+v", name, fail)
		}
	}
}

func (e *room) wantReply(req *kmsg.ConsumerGroupHeartbeatRequest, want string) {
	e.t.Helper()
	if got := showReply(e.beat(req)); !strings.HasPrefix(got, want) {
		e.t.Errorf("%+v: %s, want %s", req, got, want)
	}
}

func TestConsumerGroupIsFull(t *testing.T) {
	e := newConsumerRoom(t, 1)
	e.topic("t", 1)
	e.cfg.ConsumerGroups.MaxSize = 1
	e.wantReply(joining("a", "t"), "epoch 2, assigned [t:0]")
	e.wantReply(joining("b", "t"), "GROUP_MAX_SIZE_REACHED The consumer group has reached its maximum capacity of 1 members.")
	e.wantReply(joining("a", "t"), "epoch 2, assigned [t:0]")
}

// TestG4ConsumerCommits: who may commit, and what, by member epoch (KIP-1251).
func TestG4ConsumerCommits(t *testing.T) {
	e := newConsumerRoom(t, 1)
	e.topic("t", 2)
	e.beat(joining("a", "t"))
	e.beat(joining("b", "t"))
	e.beat(later("a", 2)) // shall revoke t:1
	g := e.consumers()
	for name, test := range map[string]struct {
		by        commitBy
		partition int32
		want      error
	}{
		"in its epoch":              {commitBy{memberID: "a", generation: 2, version: 9}, 0, nil},
		"what it is to revoke":      {commitBy{memberID: "a", generation: 2, version: 9}, 1, nil},
		"ahead":                     {commitBy{memberID: "a", generation: 3, version: 9}, 0, protocol.StaleMemberEpoch},
		"before it had the topic":   {commitBy{memberID: "a", generation: 1, version: 9}, 0, protocol.StaleMemberEpoch},
		"an older version":          {commitBy{memberID: "a", generation: 2, version: 8}, 0, protocol.UnsupportedVersion},
		"in a transaction":          {commitBy{memberID: "a", generation: 2, version: 3, transactional: true}, 0, nil},
		"by an old transaction":     {commitBy{generation: -1, version: 2, transactional: true}, 0, nil},
		"unknown":                   {commitBy{memberID: "x", generation: 2, version: 9}, 0, protocol.UnknownMemberID},
		"a tool":                    {commitBy{generation: -1, version: 9}, 0, protocol.UnknownMemberID},
		"behind, not of the member": {commitBy{memberID: "b", generation: 2, version: 9}, 0, protocol.StaleMemberEpoch},
	} {
		check, err := g.checkCommit(test.by)
		if err == nil && check != nil {
			err = check("t", topicID("t"), test.partition)
		}
		if err != test.want { //nolint:errorlint // the seam gives the codes themselves
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	e.beat(owning(later("a", 2), "t:0")) // it goes on to epoch 3
	check, err := g.checkCommit(commitBy{memberID: "a", generation: 2, version: 9})
	if err != nil || check == nil || check("t", topicID("t"), 0) != nil {
		t.Errorf("a member cannot commit what it kept in the epoch before: %v", err)
	}
	if check("t", topicID("t"), 1) == nil {
		t.Error("a member commits what it gave back")
	}
}

func TestConsumerOffsetsOf(t *testing.T) {
	e := newConsumerRoom(t, 1)
	e.topic("t", 1)
	req := joining("a", "t")
	req.SubscribedTopicRegex = kmsg.StringPtr("u.*")
	e.topic("u1", 1)
	e.beat(req)
	g := e.consumers()
	if !g.subscribed("t") || !g.subscribed("u1") || g.subscribed("v") {
		t.Error("subscribed is wrong")
	}
	unknown, known := "x", "a"
	for name, test := range map[string]struct {
		member *string
		epoch  int32
		want   error
	}{
		"nobody": {nil, -1, nil}, "member": {&known, 2, nil}, "old": {&known, 1, protocol.StaleMemberEpoch},
		"unknown": {&unknown, 2, protocol.UnknownMemberID}, "no id": {nil, 2, protocol.UnknownMemberID},
	} {
		if err := g.checkFetch(test.member, test.epoch); err != test.want { //nolint:errorlint // the seam gives the codes themselves
			t.Errorf("%s: %v", name, err)
		}
	}
	if g.checkDelete() != protocol.NonEmptyGroup { //nolint:errorlint // the seam gives the codes themselves
		t.Error("a group with members may be deleted")
	}
	e.beat(later("a", -1))
	if g.checkDelete() != nil || g.checkDeleteOffsets() != nil || !g.expires() || g.protocolType() != "consumer" {
		t.Error("an empty group is in the way")
	}
	if _, ok := g.emptySince(); ok {
		t.Error("offsets count from when the group became empty")
	}
	for _, r := range g.tombstones() {
		e.do(coordinator.Output{Records: []coordinator.Record{r}})
	}
	if e.consumers() != nil || len(e.m.groups) != 0 {
		t.Error("the group is still there")
	}
	if left := e.loaded(true); len(left.groups) != 0 {
		t.Errorf("the log still has %v", left.groups)
	}
}

// TestConversion: an empty group takes the protocol of who joins, one with
// members refuses.
func TestConversion(t *testing.T) {
	e := newConsumerRoom(t, 1)
	e.topic("t", 1)
	p := e.peer()
	e.stable(p)
	e.wantReply(joining("a", "t"), "GROUP_ID_NOT_FOUND Cannot upgrade classic group g to consumer group because online upgrade is disabled.")
	e.wantReply(later("a", 1), "GROUP_ID_NOT_FOUND Group g is not a consumer group.")
	e.wantReply(later("a", -1), "GROUP_ID_NOT_FOUND Group g is not a consumer group.")
	p.leave()
	e.wantReply(joining("a", "t"), "epoch 2, assigned [t:0]")
	if e.consumers() == nil {
		t.Fatalf("it is %T", e.m.groups["g"])
	}
	if code := e.peer().join().code(); code != protocol.InconsistentGroupProtocol {
		t.Errorf("a classic member joins: %v", code)
	}
	e.beat(later("a", -1))
	e.stable(e.peer())
	if e.g() == nil {
		t.Fatalf("it is %T", e.m.groups["g"])
	}
	if m := e.loaded(true); m.classicGroup("g") == nil {
		t.Errorf("the log says it is %T", m.groups["g"])
	}
}

// TestGroupConfigs: what a group's own configs say holds for it.
func TestGroupConfigs(t *testing.T) {
	e := newConsumerRoom(t, 1)
	cfg, err := config.Load(config.Sources{Set: []string{"log.dirs=/data"}})
	if err != nil {
		t.Fatal(err)
	}
	e.cfg = *cfg
	e.topic("t", 1)
	e.metadata(&metadata.ConfigRecord{ResourceType: metadata.ResourceGroup, ResourceName: "g", Name: "consumer.heartbeat.interval.ms", Value: kmsg.StringPtr("7000")})
	if resp := e.beat(joining("a", "t")); resp.HeartbeatIntervalMillis != 7000 {
		t.Errorf("interval %d", resp.HeartbeatIntervalMillis)
	}
}

// TestApplyConsumer: records that the log of another broker may have.
func TestApplyConsumer(t *testing.T) {
	e := newConsumerRoom(t, 1)
	apply := func(key recordKey, value interface {
		AppendTo([]byte, int16) []byte
		Parse([]byte, int16) error
	}) error {
		return e.m.Apply(newRecord(key, value), coordinator.Origin{ProducerID: coordinator.NoProducer})
	}
	for _, key := range []recordKey{ // tombstones of what compaction took
		&ConsumerGroupMetadataKey{"g"}, &ConsumerGroupPartitionMetadataKey{"g"}, &ConsumerGroupMemberMetadataKey{"g", "m"},
		&ConsumerGroupTargetAssignmentMetadataKey{"g"}, &ConsumerGroupTargetAssignmentMemberKey{"g", "m"},
		&ConsumerGroupCurrentMemberAssignmentKey{"g", "m"}, &ConsumerGroupRegularExpressionKey{"g", "r"},
	} {
		if err := apply(key, nil); err != nil || len(e.m.groups) != 0 {
			t.Errorf("%T: %v, %d groups", key, err, len(e.m.groups))
		}
		if err := e.m.Apply(coordinator.Record{Key: key.Append(nil), Value: []byte{0, 7}}, coordinator.Origin{}); err == nil {
			t.Errorf("%T: version 7 is taken", key)
		}
		if err := e.m.Apply(coordinator.Record{Key: append(key.Append(nil), 0)}, coordinator.Origin{}); err == nil {
			t.Errorf("%T: a key too long is taken", key)
		}
	}
	// Kafka 4.0: no epochs of partitions, the topics' metadata, a state of a newer version.
	apply(&ConsumerGroupPartitionMetadataKey{"g"}, &ConsumerGroupPartitionMetadataValue{})
	apply(&ConsumerGroupMemberMetadataKey{"g", "m"}, &ConsumerGroupMemberMetadataValue{SubscribedTopicNames: []string{"t"}})
	apply(&ConsumerGroupMetadataKey{"g"}, &ConsumerGroupMetadataValue{Epoch: 5})
	apply(&ConsumerGroupTargetAssignmentMetadataKey{"g"}, &ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: 5})
	apply(&ConsumerGroupCurrentMemberAssignmentKey{"g", "m"}, &ConsumerGroupCurrentMemberAssignmentValue{MemberEpoch: 5, State: 9,
		AssignedPartitions: []CurrentTopicPartitions{{TopicID: topicID("t"), Partitions: []int32{1, 0}, AssignmentEpochs: []int32{}}, {TopicID: topicID("s")}}})
	g := e.consumers()
	if m := g.members["m"]; showCurrent(m.assigned) != "[t:0,1@5]" || m.state != unknownState || !g.legacyMetadata {
		t.Errorf("%+v, legacy %t", m, g.legacyMetadata)
	}
	e.topic("t", 2)
	e.wantReply(later("m", 5), "FENCED_MEMBER_EPOCH The consumer group member is in a unknown state.")
	e.wantReply(owning(later("m", 5)), "epoch 6")
	if g.legacyMetadata {
		t.Error("the old metadata record is still there")
	}
}

// TestRefusal: an error has its code.
func TestRefusal(t *testing.T) {
	err := refuse(protocol.InvalidRequest, "%s.", "why")
	if err.Error() != "why." || protocol.CodeOf(err) != protocol.InvalidRequest {
		t.Errorf("%v, %v", err, protocol.CodeOf(err))
	}
}

func BenchmarkConsumerHeartbeats(b *testing.B) {
	e := newConsumerRoom(b, 1)
	e.topic("t", 100)
	var requests []*kmsg.ConsumerGroupHeartbeatRequest
	const groups, members = 100, 100
	for g := range groups {
		for m := range members {
			req := joining(fmt.Sprintf("m%d", m), "t")
			req.Group = fmt.Sprintf("g%d", g)
			e.beat(req)
		}
	}
	for g := range groups {
		for m := range members {
			id := fmt.Sprintf("m%d", m)
			req := later(id, 0)
			req.Group = fmt.Sprintf("g%d", g)
			for range 5 { // to the target
				req.MemberEpoch = e.m.groups[req.Group].(*consumerGroup).members[id].epoch
				req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
				if m > 0 {
					req.Topics = nil
				}
				e.beat(req)
			}
			req.Topics = nil
			requests = append(requests, req)
		}
	}
	client := Client{ID: "client", Host: "/127.0.0.1"}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.m.ConsumerGroupHeartbeat(e.at(), 1, client, requests[i%len(requests)], nil)
		i++
	}
}

func BenchmarkConsumerRebalance(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		e := newConsumerRoom(b, 1)
		e.topic("t", 1000)
		epochs := make([]int32, 100)
		owned := make([][]kmsg.ConsumerGroupHeartbeatRequestTopic, 100)
		take := func(m int, resp *kmsg.ConsumerGroupHeartbeatResponse) {
			epochs[m] = resp.MemberEpoch
			if resp.Assignment == nil {
				return
			}
			owned[m] = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			for _, t := range resp.Assignment.Topics {
				owned[m] = append(owned[m], kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
		}
		for m := range 100 {
			take(m, e.beat(joining(fmt.Sprintf("m%d", m), "t")))
		}
		for e.consumers().state() != "Stable" {
			for m := range 100 {
				req := later(fmt.Sprintf("m%d", m), epochs[m])
				req.Topics = owned[m]
				take(m, e.beat(req))
			}
			e.advance(time.Millisecond)
		}
	}
}

// TestRemoveVersions: before version 3 a LeaveGroup has one member, and no list.
func TestRemoveVersions(t *testing.T) {
	for version := range int16(6) {
		e := newConsumerRoom(t, 1)
		e.topic("t", 2)
		e.beat(joining("m", "t"))
		remove := func(id string) (code protocol.Code) {
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Version, req.Group = version, "g"
			if version < 3 {
				req.MemberID = id
			} else {
				req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: id}}
			}
			to := e.ticket(func(r kmsg.Response) {
				left := r.(*kmsg.LeaveGroupResponse)
				code = protocol.Code(left.ErrorCode)
				if version >= 3 {
					code = protocol.Code(left.Members[0].ErrorCode)
				}
			})
			e.do(e.m.LeaveGroup(e.at(), to, req))
			return code
		}
		same(t, "who is not there", remove("x"), protocol.UnknownMemberID)
		same(t, "who is there", remove("m"), protocol.None)
		same(t, "state", e.consumers().state(), "Empty")
		same(t, "once more", remove("m"), protocol.UnknownMemberID)
	}
}
