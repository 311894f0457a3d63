package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/group/assignor"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/schema"
)

// refusal is an error with the message that its client is shown. It wraps a
// protocol.Code.
type refusal struct {
	code    protocol.Code
	message string
}

func (r *refusal) Error() string { return r.message }

func (r *refusal) Unwrap() error { return r.code }

func refuse(code protocol.Code, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// ConsumerGroupHeartbeat answers a heartbeat of a member of a consumer group,
// by which it also joins and leaves. The request passed checkHeartbeat. The
// response may be unresolved; then it is called again, with what found has of
// the expressions, which is nil at first.
func (m *Machine) ConsumerGroupHeartbeat(at coordinator.Moment, to coordinator.Ticket, c Client, req *kmsg.ConsumerGroupHeartbeatRequest, found *matches) coordinator.Output {
	out, resp, fail := m.consumerHeartbeat(at, c, req, found)
	switch {
	case fail == notMatched:
		return coordinator.Answer(to, &unresolved{image: at.Image, exprs: []string{strings.Clone(*req.SubscribedTopicRegex)}})
	case fail != nil:
		refused := newHeartbeatResponse(req)
		refused.ErrorCode, refused.ErrorMessage = int16(fail.code), kmsg.StringPtr(fail.message)
		return coordinator.Answer(to, refused)
	}
	out.Replies = append(out.Replies, coordinator.Reply{To: to, Response: resp})
	return out
}

func newHeartbeatResponse(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.Version = req.Version
	return resp
}

func (m *Machine) consumerHeartbeat(at coordinator.Moment, c Client, req *kmsg.ConsumerGroupHeartbeatRequest, found *matches) (coordinator.Output, kmsg.Response, *refusal) {
	all := &m.config().ConsumerGroups
	if req.MemberEpoch < 0 {
		out, resp, fail := m.consumerLeave(at, req)
		return out, resp, fail
	}
	h := &heartbeat{Machine: m, at: at, all: all, matches: found, own: m.config().ConsumerGroup(at.Image.Configs(metadata.ResourceGroup, req.Group)), req: req, client: c}
	for _, step := range heartbeatSteps {
		if fail := step(h); fail != nil {
			return coordinator.Output{}, nil, fail
		}
	}
	m.timers.Set(timerKey{h.group.groupID, h.member.id, sessionTimeout}, at.Mono+h.own.SessionTimeout)
	if h.due != nil {
		return coordinator.Output{Records: h.records}, &unresolved{h.reply(), at.Image, h.due}, nil
	}
	return coordinator.Output{Records: h.records}, h.reply(), nil
}

// checkHeartbeat refuses what no member may send, in Kafka's order.
func checkHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest, assignors []string) *refusal {
	blank := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case (req.Version >= 1 || req.MemberEpoch > 0 || req.MemberEpoch == epochLeave) && blank(&req.MemberID):
		return refuse(protocol.InvalidRequest, "MemberId can't be empty.")
	case blank(&req.Group):
		return refuse(protocol.InvalidRequest, "GroupId can't be empty.")
	case blank(req.InstanceID):
		return refuse(protocol.InvalidRequest, "InstanceId can't be empty.")
	case blank(req.RackID):
		return refuse(protocol.InvalidRequest, "RackId can't be empty.")
	case req.MemberEpoch == epochJoin && req.RebalanceTimeoutMillis == -1:
		return refuse(protocol.InvalidRequest, "RebalanceTimeoutMs must be provided in first request.")
	case req.MemberEpoch == epochJoin && (req.Topics == nil || len(req.Topics) > 0):
		return refuse(protocol.InvalidRequest, "TopicPartitions must be empty when (re-)joining.")
	case req.MemberEpoch == epochJoin && req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		return refuse(protocol.InvalidRequest, "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
	case req.MemberEpoch == epochLeaveStatic && req.InstanceID == nil:
		return refuse(protocol.InvalidRequest, "InstanceId can't be null.")
	case req.MemberEpoch < epochLeaveStatic:
		return refuse(protocol.InvalidRequest, "MemberEpoch is invalid.")
	case tooLong(&req.MemberID), tooLong(req.InstanceID), tooLong(req.RackID):
		return refuse(protocol.InvalidRequest, "MemberId, InstanceId and RackId can have %d bytes at most.", maxID)
	case req.ServerAssignor != nil && !slices.Contains(assignors, *req.ServerAssignor):
		return refuse(protocol.UnsupportedAssignor, "ServerAssignor %s is not supported. Supported assignors: %s.", *req.ServerAssignor, strings.Join(assignors, ", "))
	}
	return nil
}

func tooLong(id *string) bool { return id != nil && len(*id) > maxID }

// admit refuses a subscription that takes more than the member's last one when
// there is no memory for it.
func (h *heartbeat) admit() *refusal {
	n := namesSize(h.req.SubscribedTopicNames) - namesSize(h.found.sub.SubscribedTopicNames) - len(h.found.regex())
	if h.req.SubscribedTopicRegex != nil {
		n += len(*h.req.SubscribedTopicRegex)
	}
	if h.before == nil {
		n += keptMember
	}
	if h.kept.admit(n) != nil {
		return refuse(protocol.CoordinatorLoadInProgress, "The memory for groups is used up.")
	}
	return nil
}

// heartbeatSteps are those of consumerGroup's comment.
var heartbeatSteps = []func(h *heartbeat) *refusal{
	(*heartbeat).findGroup, (*heartbeat).findMember, (*heartbeat).admit, (*heartbeat).update, (*heartbeat).bump, (*heartbeat).assign, (*heartbeat).reconcile,
}

// heartbeat is a heartbeat while it is decided: the group as it is, and what
// becomes of it.
type heartbeat struct {
	*Machine
	at  coordinator.Moment
	all *config.ConsumerGroups
	own config.ConsumerGroup
	req *kmsg.ConsumerGroupHeartbeatRequest
	// client is who sends it.
	client Client

	group *consumerGroup
	// before is the member that the group has, nil for a new one. A static
	// member has another id when it is replaced.
	before *consumerMember
	// found is the member as this heartbeat finds it, member what it becomes.
	found, member *consumerMember

	// changed says that the subscription is another one, grows that this makes
	// the group epoch grow.
	changed, grows bool
	// regexes are the regular expressions that the group has after this; nil for
	// no change.
	regexes map[string]*ConsumerGroupRegularExpressionValue
	// matches is what was matched for this heartbeat, nil for nothing; due are the
	// regular expressions that are to be matched for later ones.
	matches *matches
	due     []string

	epoch       int32 // of the group
	targetEpoch int32
	target      []assignor.TopicPartitions
	records     []coordinator.Record
}

// findGroup finds the group, or makes it for a member that joins. An empty
// group of the classic protocol gives way to it.
func (h *heartbeat) findGroup() *refusal {
	join := h.req.MemberEpoch == epochJoin
	switch g := h.groups[h.req.Group].(type) {
	case nil:
		if !join {
			return refuse(protocol.GroupIDNotFound, "Consumer group %s not found.", h.req.Group)
		}
		h.group = newConsumerGroup(h.Machine, strings.Clone(h.req.Group))
	case *consumerGroup:
		h.group = g
	default:
		switch {
		case !join:
			return refuse(protocol.GroupIDNotFound, "Group %s is not a consumer group.", h.req.Group)
		case !g.empty():
			// What Kafka does when group.consumer.migration.policy is disabled: the
			// migration of a live group is not there yet.
			return refuse(protocol.GroupIDNotFound, "Cannot upgrade classic group %s to consumer group because online upgrade is disabled.", h.req.Group)
		}
		h.records = append(h.records, g.tombstones()...)
		h.group = newConsumerGroup(h.Machine, strings.Clone(h.req.Group))
	}
	h.epoch = h.group.epoch
	return nil
}

// findMember finds the member, or makes it when it joins.
func (h *heartbeat) findMember() *refusal {
	g, req := h.group, h.req
	if len(g.members) >= int(h.all.MaxSize) && g.members[req.MemberID] == nil {
		return refuse(protocol.GroupMaxSizeReached, "The consumer group has reached its maximum capacity of %d members.", h.all.MaxSize)
	}
	// A request's strings last as long as the request.
	id := strings.Clone(req.MemberID)
	if id == "" {
		id = h.newID()
	}
	if req.InstanceID != nil {
		return h.findStatic(id)
	}
	h.before = g.members[id]
	if h.before == nil && req.MemberEpoch != epochJoin {
		return unknownMember(g, id)
	}
	return h.take(id)
}

// take goes on with the member before, or with a new one.
func (h *heartbeat) take(id string) *refusal {
	h.found = h.before
	if h.found == nil {
		h.found = newConsumerMember(id)
	}
	return checkEpoch(h.found, h.req)
}

func (h *heartbeat) findStatic(id string) *refusal {
	g, req := h.group, h.req
	existing := g.static(req.InstanceID)
	if req.MemberEpoch != epochJoin {
		if fail := checkInstance(existing, id, *req.InstanceID); fail != nil {
			return fail
		}
		h.before = existing
		return h.take(id)
	}
	if existing == nil {
		h.before = g.members[id]
		return h.take(id)
	}
	if existing.epoch != epochLeaveStatic {
		return refuse(protocol.UnreleasedInstanceID, "Static member %s with instance id %s cannot join the group because the instance id is owned by %s member.",
			id, *req.InstanceID, existing.id)
	}
	h.before, h.found = existing, existing.replacement(id)
	h.records = append(h.records, existing.tombstones(g.groupID)...)
	h.records = append(h.records,
		h.found.subscriptionRecord(g.groupID),
		targetRecord(g.groupID, id, g.target[existing.id]),
		h.found.assignmentRecord(g.groupID))
	return nil
}

// checkInstance checks the id of a static member that is not joining.
func checkInstance(existing *consumerMember, id, instance string) *refusal {
	switch {
	case existing == nil:
		return refuse(protocol.UnknownMemberID, "Instance id %s is unknown.", instance)
	case existing.id != id:
		return refuse(protocol.FencedInstanceID, "Static member %s with instance id %s was fenced by member %s.", id, instance, existing.id)
	}
	return nil
}

func unknownMember(g *consumerGroup, id string) *refusal {
	return refuse(protocol.UnknownMemberID, "Member %s is not a member of group %s.", id, g.groupID)
}

// checkEpoch fences a member of another epoch. One that comes with the epoch
// before, and owns nothing else than it was assigned since, has missed a reply.
func checkEpoch(m *consumerMember, req *kmsg.ConsumerGroupHeartbeatRequest) *refusal {
	what := "smaller"
	switch {
	case req.MemberEpoch == epochJoin || req.MemberEpoch == m.epoch:
		return nil
	case req.MemberEpoch > m.epoch:
		what = "greater"
	case req.MemberEpoch == m.previousEpoch && ownsOnly(req.Topics, m.assigned):
		return nil
	}
	return refuse(protocol.FencedMemberEpoch, "The consumer group member has a %s member epoch (%d) than the one known by the group coordinator (%d). "+
		"The member must abandon all its partitions and rejoin.", what, req.MemberEpoch, m.epoch)
}

func ownsOnly(owned []kmsg.ConsumerGroupHeartbeatRequestTopic, assigned []CurrentTopicPartitions) bool {
	if owned == nil {
		return false
	}
	for _, t := range owned {
		for _, p := range t.Partitions {
			if _, ok := assignedSince(assigned, t.TopicID, p); !ok {
				return false
			}
		}
	}
	return true
}

// update notes what the member says of itself.
func (h *heartbeat) update() *refusal {
	h.member = h.found.says(h.client, h.req)
	if h.member != h.found || h.before == nil {
		h.records = append(h.records, h.member.subscriptionRecord(h.group.groupID))
	}
	if !slices.Equal(h.member.sub.SubscribedTopicNames, h.found.sub.SubscribedTopicNames) {
		h.changed, h.grows = true, true
	}
	return h.updateRegexes()
}

// bump makes the group epoch grow when it must.
func (h *heartbeat) bump() *refusal {
	g := h.group
	if !h.grows && g.checked == h.at.Image {
		return nil
	}
	hash := h.hashes.of(h.at.Image, h.subscribedNames())
	if h.grows || hash != g.metadataHash {
		h.epoch++
		h.records = append(h.records, newRecord(&ConsumerGroupMetadataKey{g.groupID}, &ConsumerGroupMetadataValue{Epoch: h.epoch, MetadataHash: hash}))
	} else {
		g.checked = h.at.Image
	}
	if g.legacyMetadata {
		h.records = append(h.records, newRecord(&ConsumerGroupPartitionMetadataKey{g.groupID}, nil))
	}
	return nil
}

// subscribedNames are the topics that the group subscribes to after this
// heartbeat, ascending, whether they exist or not.
func (h *heartbeat) subscribedNames() []string {
	names := maps.Clone(h.group.names)
	if h.before != nil {
		for _, name := range h.before.sub.SubscribedTopicNames {
			add(names, name, -1)
		}
	}
	for _, name := range h.member.sub.SubscribedTopicNames {
		add(names, name, 1)
	}
	for _, r := range h.regexesAfter() {
		for _, name := range r.Topics {
			names[name]++
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// assign computes the target assignment when it is due, and finds the member's
// share of it.
func (h *heartbeat) assign() *refusal {
	g := h.group
	h.targetEpoch, h.target = g.assignmentEpoch, g.target[h.found.id]
	if h.before != nil {
		h.target = g.target[h.before.id]
	}
	if h.epoch <= g.assignmentEpoch || !h.assignmentDue() {
		return nil
	}
	members := h.membersAfter()
	ids := slices.Sorted(maps.Keys(members))
	counts := map[string]int{}
	for _, m := range members {
		if m.sub.ServerAssignor != nil {
			counts[*m.sub.ServerAssignor]++
		}
	}
	input := h.assignorInput(ids, members)
	targets := assignor.ByName(preferredAssignor(counts, h.all.Assignors))(input)
	for i, id := range ids {
		old, had := input.Members[i].Owned, h.hasTarget(id)
		if !had || !sameTarget(old, targets[i]) {
			h.records = append(h.records, targetRecord(g.groupID, id, targets[i]))
		}
		if id == h.member.id {
			h.target = targets[i]
		}
	}
	h.targetEpoch = h.epoch
	h.records = append(h.records, newRecord(&ConsumerGroupTargetAssignmentMetadataKey{g.groupID},
		&ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: h.epoch, AssignmentTimestamp: h.at.Wall}))
	return nil
}

// assignmentDue spaces assignments. A clock that was set back does not hold
// them up.
func (h *heartbeat) assignmentDue() bool {
	last, now := h.group.assignmentTime, h.at.Wall
	return last == 0 || now < last || now >= last+h.own.AssignmentInterval.Milliseconds()
}

// membersAfter are the members after this heartbeat.
func (h *heartbeat) membersAfter() map[string]*consumerMember {
	members := maps.Clone(h.group.members)
	if h.before != nil {
		delete(members, h.before.id)
	}
	members[h.member.id] = h.member
	return members
}

// hasTarget tells whether the log has a target assignment of a member.
func (h *heartbeat) hasTarget(id string) bool {
	if id == h.member.id && h.before != nil {
		id = h.before.id
	}
	_, ok := h.group.target[id]
	return ok || h.replaces() && id == h.before.id
}

// replaces tells whether a static member takes another's place.
func (h *heartbeat) replaces() bool { return h.before != nil && h.before != h.found }

// assignorInput is the group as assignors see it.
func (h *heartbeat) assignorInput(ids []string, members map[string]*consumerMember) *assignor.Group {
	input := &assignor.Group{Members: make([]assignor.Member, len(ids))}
	index := map[string]int{} // topic name → index
	for _, name := range h.subscribedNames() {
		if t := h.at.Image.TopicByName(name); t != nil {
			input.Topics = append(input.Topics, assignor.Topic{ID: t.ID, Partitions: int32(t.NumPartitions())})
		}
	}
	slices.SortFunc(input.Topics, func(x, y assignor.Topic) int { return compareIDs(x.ID, y.ID) })
	for i, t := range input.Topics {
		index[h.at.Image.TopicByID(t.ID).Name] = i
	}
	var last *consumerMember
	for i, id := range ids {
		m := members[id]
		input.Members[i] = assignor.Member{ID: id, InstanceID: m.sub.InstanceID, Owned: h.group.target[id]}
		if id == h.member.id && h.before != nil {
			input.Members[i].Owned = h.group.target[h.before.id]
		}
		// Most members subscribe as their neighbours do.
		if last != nil && slices.Equal(last.sub.SubscribedTopicNames, m.sub.SubscribedTopicNames) && last.regex() == m.regex() {
			input.Members[i].Topics = input.Members[i-1].Topics
		} else {
			input.Members[i].Topics = h.topicsOf(m, index)
		}
		last = m
	}
	return input
}

// topicsOf are the topics that a member subscribes to, as indexes, ascending.
func (h *heartbeat) topicsOf(m *consumerMember, index map[string]int) []int {
	var topics []int
	for _, names := range [][]string{m.sub.SubscribedTopicNames, h.matched(m)} {
		for _, name := range names {
			if t, ok := index[name]; ok {
				topics = append(topics, t)
			}
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}

func sameTarget(x, y []assignor.TopicPartitions) bool {
	return slices.EqualFunc(x, y, func(a, b assignor.TopicPartitions) bool {
		return a.TopicID == b.TopicID && slices.Equal(a.Partitions, b.Partitions)
	})
}

func targetRecord(group, member string, target []assignor.TopicPartitions) coordinator.Record {
	value := &ConsumerGroupTargetAssignmentMemberValue{}
	for _, tp := range target {
		value.TopicPartitions = append(value.TopicPartitions, TargetTopicPartitions{TopicID: tp.TopicID, Partitions: tp.Partitions})
	}
	return newRecord(&ConsumerGroupTargetAssignmentMemberKey{group, member}, value)
}

// reconcile brings the member nearer to its target. The deadline of one that has
// revoked is left alone, for it may not be possible to write that: see due.
func (h *heartbeat) reconcile() *refusal {
	if !h.changed && h.member.reconciled(h.targetEpoch) {
		return nil
	}
	g := h.group
	next := (&reconciliation{
		member: h.member, targetEpoch: h.targetEpoch, target: h.target, owned: h.req.Topics, changed: h.changed,
		held:       func(topic schema.UUID, p int32) bool { return g.held[partitionID{topic, p}] > 0 },
		subscribes: h.subscribes,
	}).next()
	if next == nil {
		return refuse(protocol.FencedMemberEpoch, "The consumer group member is in a unknown state. The member must abandon all its partitions and rejoin.")
	}
	if next.sameAssignment(h.member) {
		return nil
	}
	h.records = append(h.records, next.assignmentRecord(g.groupID))
	h.member = next
	if next.state == unrevokedPartitions {
		h.timers.Set(timerKey{g.groupID, next.id, revokeTimeout}, h.at.Mono+time.Duration(next.sub.RebalanceTimeoutMs)*time.Millisecond)
	}
	return nil
}

// subscribes tells whether the member subscribes to a topic that exists.
func (h *heartbeat) subscribes(topic schema.UUID) bool {
	t := h.at.Image.TopicByID(topic)
	if t == nil {
		return false
	}
	for _, names := range [][]string{h.member.sub.SubscribedTopicNames, h.matched(h.member)} {
		if _, ok := slices.BinarySearch(names, t.Name); ok {
			return true
		}
	}
	return false
}

// reply tells the member its epoch, and what it is assigned when it may not
// know that: when it joins, when it says all of itself, and after a change.
func (h *heartbeat) reply() *kmsg.ConsumerGroupHeartbeatResponse {
	resp := newHeartbeatResponse(h.req)
	resp.MemberID, resp.MemberEpoch = &h.member.id, h.member.epoch
	resp.HeartbeatIntervalMillis = int32(h.own.HeartbeatInterval.Milliseconds())
	req := h.req
	full := req.RebalanceTimeoutMillis != -1 && (req.SubscribedTopicNames != nil || req.SubscribedTopicRegex != nil) && req.Topics != nil
	if req.MemberEpoch == epochJoin || full || !samePartitions(h.found.assigned, h.member.assigned) {
		resp.Assignment = &kmsg.ConsumerGroupHeartbeatResponseAssignment{}
		for _, tp := range h.member.assigned {
			resp.Assignment.Topics = append(resp.Assignment.Topics, kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{TopicID: tp.TopicID, Partitions: tp.Partitions})
		}
	}
	return resp
}
