package group

import (
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

const (
	// newMemberTimeout is how long a member may wait for its first generation.
	// Its client cannot be seen to go, since it sends nothing while it waits.
	newMemberTimeout = 5 * time.Minute
	// maxPending bounds the member ids that were given out and not used yet.
	maxPending = 10_000
)

// joinStep is a JoinGroup while it is decided.
type joinStep struct {
	at        coordinator.Moment
	waiter    waiter
	client    Client
	req       *kmsg.JoinGroupRequest
	protocols []classicProtocol
	out       coordinator.Output
}

// JoinGroup decides a JoinGroup, versions 0–9: a member joins, joins again, or
// asks for a member id. The reply waits for the end of the rebalance that it
// begins or takes part in.
//
// Errors: INVALID_SESSION_TIMEOUT, INCONSISTENT_GROUP_PROTOCOL, UNKNOWN_MEMBER_ID,
// FENCED_INSTANCE_ID, MEMBER_ID_REQUIRED (join again with the id in the reply),
// GROUP_MAX_SIZE_REACHED.
func (m *Machine) JoinGroup(at coordinator.Moment, to coordinator.Ticket, c Client, req *kmsg.JoinGroupRequest) coordinator.Output {
	j := joinStep{at: at, waiter: waiter{to, req.Version}, client: c, req: req, protocols: classicProtocols(req.Protocols)}
	limits := m.config().Groups
	if s := millis(req.SessionTimeoutMillis); s < limits.MinSessionTimeout || s > limits.MaxSessionTimeout {
		return j.refuse(protocol.InvalidSessionTimeout, req.MemberID)
	}
	if req.Version == 0 {
		req.RebalanceTimeoutMillis = req.SessionTimeoutMillis
	}
	if req.MemberID != "" && m.classicGroup(req.Group) == nil && m.vacant(req.Group) {
		return j.refuse(protocol.UnknownMemberID, req.MemberID)
	}
	if err := j.admit(m); err != nil {
		return j.refuse(err, req.MemberID)
	}
	g, records, err := m.obtainClassic(at, req.Group)
	if err != nil {
		return j.refuse(err, "")
	}
	j.out.Records = records
	j.decide(g)
	return j.out
}

// admit refuses a member whose ids are too long, one that would make the
// subscriptions of its group larger than a record of the group can be, and
// anybody when there is no memory for what would be kept.
func (j *joinStep) admit(m *Machine) error {
	if len(j.req.MemberID) > maxID+len("-")+36 || j.req.InstanceID != nil && len(*j.req.InstanceID) > maxID {
		return protocol.InvalidRequest
	}
	n, have := keptMember+protocolsSize(j.protocols), 0
	if g := m.classicGroup(j.req.Group); g != nil {
		have = g.bytes
		if c := g.byID[j.req.MemberID]; c != nil {
			n -= c.size()
		}
	}
	if n > 0 && have+n > maxGroupBytes {
		return protocol.GroupMaxSizeReached
	}
	return m.kept.admit(n)
}

// maxGroupBytes bounds what the members of a classic group say of themselves. In
// Kafka a group whose chosen protocol takes more than a record of
// __consumer_offsets, 1 MiB, cannot be written; members name several protocols.
const maxGroupBytes = 8 << 20

// vacant tells whether nobody is a member of a group of that id.
func (m *Machine) vacant(groupID string) bool {
	g := m.groups[groupID]
	return g == nil || g.empty()
}

// decide goes by who joins: somebody new, the holder of a member id that was
// given out, or a member.
func (j *joinStep) decide(g *classicGroup) {
	memberID := j.req.MemberID
	switch {
	case !g.accepts(memberID):
		g.remove(&j.out, memberID)
		g.forgetPending(memberID)
		g.maybeCompleteJoin(j.at, &j.out)
		j.refuse(protocol.GroupMaxSizeReached, "")
	case !g.supports(j.req.ProtocolType, j.protocols):
		j.refuse(protocol.InconsistentGroupProtocol, memberID)
	case memberID == "":
		j.somebody(g)
	case g.isPending(memberID) && j.req.InstanceID != nil:
		j.refuse(protocol.UnknownServerError, "") // as Kafka: ids are given out to dynamic members alone
	case g.isPending(memberID):
		j.add(g, memberID)
	default:
		if err := g.checkMember(memberID, j.req.InstanceID); err != nil {
			j.refuse(err, memberID)
			return
		}
		j.again(g, g.byID[memberID])
	}
}

// somebody has no member id: one is made.
func (j *joinStep) somebody(g *classicGroup) {
	instanceID := j.req.InstanceID
	switch {
	case instanceID != nil:
		newID := g.m.newMemberID(*instanceID)
		if former := g.statics[*instanceID]; former != nil {
			j.replace(g, former, newID)
			return
		}
		j.add(g, newID)
	case j.waiter.version < 4:
		j.add(g, g.m.newMemberID(j.client.ID))
	case len(g.pending) >= maxPending:
		j.refuse(protocol.GroupMaxSizeReached, "")
	default:
		memberID := g.m.newMemberID(j.client.ID)
		g.pending[memberID] = struct{}{}
		g.m.timers.Set(g.timer(joinTimeout, memberID), j.at.Mono+millis(j.req.SessionTimeoutMillis))
		j.refuse(protocol.MemberIDRequired, memberID)
	}
}

// newMemberID is a prefix that tells whose it is, cut to maxID bytes, and a random
// UUID.
func (m *Machine) newMemberID(prefix string) string {
	id := uuid.UUID(m.randomBytes())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	suffix := "-" + id.String()
	return prefix[:min(len(prefix), maxID)] + suffix
}

func (m *Machine) randomBytes() (b [16]byte) {
	for i := range b {
		b[i] = byte(m.random.Uint32())
	}
	return b
}

// member is the member that the request describes.
func (j *joinStep) member(memberID string) *classicMember {
	return &classicMember{
		id: memberID, instanceID: j.req.InstanceID, client: j.client,
		rebalanceTimeout: j.req.RebalanceTimeoutMillis, sessionTimeout: j.req.SessionTimeoutMillis,
		protocols: j.protocols, join: j.waiter,
	}
}

// add makes a member, which begins a rebalance.
func (j *joinStep) add(g *classicGroup, memberID string) {
	g.forgetPending(memberID)
	c := j.member(memberID)
	c.fresh = true
	if len(g.inOrder) == 0 {
		g.protoType, g.leader = j.req.ProtocolType, memberID
	}
	g.insert(c)
	g.initial.joined = true
	g.m.timers.Set(g.timer(sessionTimeout, memberID), j.at.Mono+newMemberTimeout)
	g.rebalance(j.at, &j.out)
}

// again is a member that joins once more. A reply that got lost is given again;
// what changes the assignment begins a rebalance: other protocols or
// subscriptions, or a leader that wants to assign anew.
func (j *joinStep) again(g *classicGroup, c *classicMember) {
	same := c.matches(j.protocols)
	switch {
	case g.current == classicCompletingRebalance && same,
		g.current == classicStable && same && g.leader != c.id:
		j.out.Replies = append(j.out.Replies, g.joined(c, j.waiter))
	default:
		g.update(c, j, &j.out)
		g.rebalance(j.at, &j.out)
	}
}

// update takes over what a member says of itself, and lets it wait. A JoinGroup
// of it that waited is sent again by a client that gave up the first.
func (g *classicGroup) update(c *classicMember, j *joinStep, out *coordinator.Output) {
	if c.join.waits() {
		out.Replies = append(out.Replies, joinError(c.join, protocol.UnknownMemberID, ""))
	}
	g.setJoin(c, j.waiter)
	g.setProtocols(c, j.protocols)
	c.rebalanceTimeout, c.sessionTimeout = j.req.RebalanceTimeoutMillis, j.req.SessionTimeoutMillis
}

// replace is a static member that started again without its member id. It takes
// the place and the assignment of its former self, which is fenced (KIP-345).
//
// A stable group stays so if the protocol does: the new id is written. Version
// 9 tells a leader that there is nothing to assign (KIP-814); before, it must
// not learn that it leads, so it is told its former id.
func (j *joinStep) replace(g *classicGroup, former *classicMember, newID string) {
	c := j.member(newID)
	c.client, c.assignment, c.unsynced = former.client, former.assignment, former.unsynced
	g.m.timers.Set(g.timer(sessionTimeout, newID), j.at.Mono+millis(c.sessionTimeout))
	if g.current == classicStable && g.voteWith(former, c) == *g.protocol {
		j.persist(g, former, c)
		return
	}
	g.fence(&j.out, former)
	g.m.timers.Cancel(g.timer(sessionTimeout, former.id))
	g.replaceMember(former, c)
	g.rebalance(j.at, &j.out)
}

// persist writes a stable group in which c stands for its former self; Apply puts
// it there.
func (j *joinStep) persist(g *classicGroup, former, c *classicMember) {
	w := c.join
	c.join = waiter{}
	g.joiner = c
	leader := g.leader == former.id
	resp := g.newJoined(w, c.id)
	value := g.value(nil)
	for i := range value.Members {
		if value.Members[i].MemberID == former.id {
			value.Members[i] = c.record(*g.protocol)
		}
	}
	if leader {
		value.Leader = &c.id
	}
	if leader && w.version >= 9 {
		resp.LeaderID, resp.SkipAssignment = c.id, true
		resp.Members = g.subscribers(*g.protocol, former, c)
	}
	j.out.Records = append(j.out.Records, coordinator.Record{Key: groupMetadataKey(g.groupID), Value: value.AppendTo(nil)})
	j.out.Replies = append(j.out.Replies, coordinator.Reply{To: w.to, Response: resp})
}

// refuse answers with an error, a protocol.Code. The member id is what the
// client shall go on with.
func (j *joinStep) refuse(err error, memberID string) coordinator.Output {
	j.out.Replies = append(j.out.Replies, joinError(j.waiter, err, memberID))
	return j.out
}

// accepts tells whether the group has room. While members rejoin, those that
// have joined count, so that a group that is over a lowered limit sheds who
// comes last.
func (g *classicGroup) accepts(memberID string) bool {
	limit := int(g.m.config().Groups.MaxSize)
	c := g.byID[memberID]
	switch g.current {
	case classicEmpty:
		return true
	case classicPreparingRebalance:
		return c != nil && c.join.waits() || g.joining < limit
	default:
		return c != nil || len(g.inOrder) < limit
	}
}

// supports tells whether somebody can join with these protocols.
func (g *classicGroup) supports(protocolType string, protocols []classicProtocol) bool {
	if g.empty() {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protoType {
		return false
	}
	for _, p := range protocols {
		if g.supported(p.name) {
			return true
		}
	}
	return false
}

// joined is the reply to a member that is in the generation.
func (g *classicGroup) joined(c *classicMember, w waiter) coordinator.Reply {
	resp := g.newJoined(w, c.id)
	if g.leader == c.id {
		resp.Members = g.subscribers(*g.protocol, nil, nil)
	}
	return coordinator.Reply{To: w.to, Response: resp}
}

// newJoined is the reply with the generation. It holds no pointer to what may
// change before it leaves.
func (g *classicGroup) newJoined(w waiter, memberID string) *kmsg.JoinGroupResponse {
	resp := newJoinReply(w, memberID)
	protocolType := g.protoType
	resp.Generation, resp.Protocol, resp.ProtocolType, resp.LeaderID = g.generation, g.protocol, &protocolType, g.leader
	return resp
}

// subscribers are the members as the leader sees them, with one in the place of
// another.
func (g *classicGroup) subscribers(name string, former, c *classicMember) []kmsg.JoinGroupResponseMember {
	members := make([]kmsg.JoinGroupResponseMember, 0, len(g.inOrder))
	for _, member := range g.inOrder {
		if member == former {
			member = c
		}
		members = append(members, kmsg.JoinGroupResponseMember{
			MemberID: member.id, InstanceID: member.instanceID, ProtocolMetadata: member.metadata(name),
		})
	}
	return members
}

func newJoinReply(w waiter, memberID string) *kmsg.JoinGroupResponse {
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.Version, resp.MemberID = w.version, memberID
	return resp
}

func joinError(w waiter, err error, memberID string) coordinator.Reply {
	resp := newJoinReply(w, memberID)
	resp.ErrorCode = int16(protocol.CodeOf(err))
	return coordinator.Reply{To: w.to, Response: resp}
}
