package group

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

// peer is a client that does one thing after the other. A response is nil while
// it is waited for.
type peer struct {
	e        *room
	group    string
	version  int16 // of JoinGroup
	id       string
	instance *string
	topics   []string
	names    []string
	session  time.Duration
	// rebalance is the rebalance timeout.
	rebalance time.Duration

	joined *kmsg.JoinGroupResponse
	synced *kmsg.SyncGroupResponse
}

func (e *room) peer() *peer {
	return &peer{
		e: e, group: "g", version: 3, topics: []string{"t"}, names: []string{"range"},
		session: 10 * time.Second, rebalance: 30 * time.Second,
	}
}

func (e *room) static(instance string) *peer {
	p := e.peer()
	p.version, p.instance = 9, &instance
	return p
}

// subscription is what a consumer says of itself.
func subscription(topics ...string) []byte {
	m := kmsg.ConsumerMemberMetadata{Topics: topics}
	return m.AppendTo(nil)
}

func (p *peer) join() *peer {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.MemberID, req.InstanceID = p.version, p.group, "consumer", p.id, p.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(p.session.Milliseconds()), int32(p.rebalance.Milliseconds())
	for _, name := range p.names {
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: subscription(p.topics...)})
	}
	p.joined = nil
	to := p.e.ticket(func(r kmsg.Response) {
		p.joined, _ = r.(*kmsg.JoinGroupResponse)
		if code := protocol.Code(p.joined.ErrorCode); code == protocol.None || code == protocol.MemberIDRequired {
			p.id = p.joined.MemberID
		}
	})
	p.e.do(p.e.m.JoinGroup(p.e.at(), to, Client{ID: "client", Host: "/127.0.0.1"}, req))
	return p
}

func (p *peer) generation() int32 {
	if p.joined == nil {
		return -1
	}
	return p.joined.Generation
}

// sync sends member ids and assignments by turns.
func (p *peer) sync(assignments ...string) *peer {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, p.group, p.id, p.instance, p.generation()
	for pair := range slices.Chunk(assignments, 2) {
		a := kmsg.SyncGroupRequestGroupAssignment{MemberID: pair[0], MemberAssignment: []byte(pair[1])}
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	p.synced = nil
	to := p.e.ticket(func(r kmsg.Response) { p.synced, _ = r.(*kmsg.SyncGroupResponse) })
	p.e.do(p.e.m.SyncGroup(p.e.at(), to, req))
	return p
}

func (p *peer) beat() (code protocol.Code) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, p.group, p.id, p.instance, p.generation()
	to := p.e.ticket(func(r kmsg.Response) { code = protocol.Code(r.(*kmsg.HeartbeatResponse).ErrorCode) })
	p.e.do(p.e.m.Heartbeat(p.e.at(), to, req))
	return code
}

func (p *peer) leave() (code protocol.Code) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 4, p.group
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: p.id, InstanceID: p.instance}}
	to := p.e.ticket(func(r kmsg.Response) { code = protocol.Code(r.(*kmsg.LeaveGroupResponse).Members[0].ErrorCode) })
	p.e.do(p.e.m.LeaveGroup(p.e.at(), to, req))
	return code
}

func (p *peer) commit(generation int32) error {
	_, err := p.e.m.groups[p.group].checkCommit(commitBy{memberID: p.id, instanceID: p.instance, generation: generation})
	return err
}

// code is what a JoinGroup got; −2: nothing yet.
func (p *peer) code() protocol.Code {
	if p.joined == nil {
		return -2
	}
	return protocol.Code(p.joined.ErrorCode)
}

// stable makes a stable group of these members; the first leads.
func (e *room) stable(members ...*peer) {
	e.t.Helper()
	e.cfg.Groups.InitialRebalanceDelay = time.Millisecond
	var assignments []string
	for _, p := range members {
		p.join()
	}
	e.advance(2 * time.Millisecond)
	for i, p := range members {
		assignments = append(assignments, p.id, fmt.Sprintf("t-%d", i))
	}
	for _, p := range slices.Backward(members) {
		p.sync(assignments...)
	}
	if g := e.m.classicGroup(members[0].group); g.current != classicStable {
		e.t.Fatalf("the group is %s", g.current)
	}
}

func (e *room) g() *classicGroup { return e.m.classicGroup("g") }

func same[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestG1G3LeaderAloneAssigns: what a follower says in its SyncGroup does not
// count, and neither does what the leader says of a stable generation.
func TestG1G3LeaderAloneAssigns(t *testing.T) {
	e := newRoom(t, 1)
	a, b := e.peer(), e.peer()
	e.stable(a, b)
	a.join()
	b.join()
	same(t, "members for the leader", len(a.joined.Members), 2)
	same(t, "members for a follower", len(b.joined.Members), 0)
	same(t, "leader", b.joined.LeaderID, a.id)
	b.sync(a.id, "nothing", b.id, "all")
	if b.synced != nil {
		t.Fatal("a follower assigned")
	}
	a.sync(a.id, "one", b.id, "two")
	same(t, "of the leader", string(a.synced.MemberAssignment), "one")
	same(t, "of the follower", string(b.synced.MemberAssignment), "two")
	a.sync(a.id, "two", b.id, "one")
	same(t, "of the leader, once more", string(a.synced.MemberAssignment), "one")
}

// TestG2GenerationsGrow goes through all that ends a generation.
func TestG2GenerationsGrow(t *testing.T) {
	e := newRoom(t, 1)
	a, b := e.peer(), e.peer()
	e.stable(a, b)
	last := int32(0)
	grown := func(what string) {
		t.Helper()
		if now := e.g().generation; now <= last {
			t.Errorf("%s: generation %d after %d", what, now, last)
		}
		last = e.g().generation
	}
	grown("first")
	a.join()
	b.join()
	grown("the leader joined again")
	a.sync()
	e.reload()
	b.topics = []string{"t", "u"}
	b.join()
	a.join()
	grown("another coordinator, another subscription")
	e.advance(time.Minute)
	grown("nobody is left")
	same(t, "state", e.g().state(), "Empty")
	e.reload()
	c := e.peer().join()
	e.advance(time.Second)
	grown("somebody new")
	same(t, "its generation", c.generation(), last)
}

// TestG4Commits: an offset is committed by a member of the generation, or by
// nobody's member while there are none.
func TestG4Commits(t *testing.T) {
	e := newRoom(t, 1)
	a, s := e.peer(), e.static("one")
	e.stable(a, s)
	name := func(text string) *string { return &text }
	generation := e.g().generation
	tests := []struct {
		name string
		by   commitBy
		want error
		in   []classicState // besides these REBALANCE_IN_PROGRESS, or nil
	}{
		{"member", commitBy{memberID: a.id, generation: generation}, nil, nil},
		{"static", commitBy{memberID: s.id, instanceID: name("one"), generation: generation}, nil, nil},
		{"static, not saying so", commitBy{memberID: s.id, generation: generation}, nil, nil},
		{"former self", commitBy{memberID: "former", instanceID: name("one"), generation: generation}, protocol.FencedInstanceID, nil},
		{"unknown instance", commitBy{memberID: a.id, instanceID: name("two"), generation: generation}, protocol.UnknownMemberID, nil},
		{"old generation", commitBy{memberID: a.id, generation: generation - 1}, protocol.IllegalGeneration, nil},
		{"future generation", commitBy{memberID: a.id, generation: generation + 1}, protocol.IllegalGeneration, nil},
		{"member without generation", commitBy{memberID: a.id, generation: -1}, protocol.IllegalGeneration, nil},
		{"unknown member", commitBy{memberID: "unknown", generation: generation}, protocol.UnknownMemberID, nil},
		{"nobody in a generation", commitBy{generation: generation}, protocol.UnknownMemberID, nil},
		{"nobody", commitBy{generation: -1}, protocol.UnknownMemberID, nil},
		{"nobody in a transaction", commitBy{generation: -1, transactional: true}, nil, nil},
		{"old generation in a transaction", commitBy{memberID: a.id, generation: generation - 1, transactional: true}, protocol.IllegalGeneration, nil},
	}
	for _, state := range []classicState{classicStable, classicPreparingRebalance, classicCompletingRebalance} {
		e.g().current = state
		for _, test := range tests {
			want := test.want
			if want == nil && state == classicCompletingRebalance && !test.by.transactional {
				want = protocol.RebalanceInProgress
			}
			_, got := e.g().checkCommit(test.by)
			same(t, string(state)+": "+test.name, got, want)
		}
	}
	e.g().current = classicStable
	a.leave()
	s.leave()
	same(t, "state", e.g().state(), "Empty")
	_, err := e.g().checkCommit(commitBy{generation: -1})
	same(t, "nobody, no members", err, nil)
	_, err = e.g().checkCommit(commitBy{memberID: a.id, generation: generation})
	same(t, "former member", err, error(protocol.UnknownMemberID))
}

// TestCommitIsASignOfLife: who commits need not beat.
func TestCommitIsASignOfLife(t *testing.T) {
	e := newRoom(t, 1)
	a := e.peer()
	e.stable(a)
	for range 3 {
		e.advance(9 * time.Second)
		e.g().touch(e.at(), a.id)
		e.g().touch(e.at(), "unknown")
	}
	same(t, "after 27 s", a.beat(), protocol.None)
	e.advance(10 * time.Second)
	same(t, "after 10 s in silence", a.beat(), protocol.UnknownMemberID)
}

// TestG8RebalanceEnds: members that do not come back hold nobody up for longer
// than the longest rebalance timeout among them.
func TestG8RebalanceEnds(t *testing.T) {
	for _, longest := range []time.Duration{7 * time.Second, 20 * time.Second} {
		e := newRoom(t, 1)
		a, b, c := e.peer(), e.peer(), e.peer()
		a.rebalance, b.rebalance, c.rebalance = 5*time.Second, longest, 6*time.Second
		a.session, b.session, c.session = time.Minute, time.Minute, time.Minute
		e.stable(a, b, c)
		begun := e.now
		a.join()
		e.advance(time.Second)
		same(t, "who lives", b.beat(), protocol.RebalanceInProgress)
		e.advance(begun + longest - time.Millisecond - e.now)
		same(t, "before the timeout", a.code(), -2)
		e.advance(time.Millisecond)
		same(t, "at the timeout", a.code(), protocol.None)
		same(t, "members", len(a.joined.Members), 1)
		same(t, "who did not rejoin", b.beat(), protocol.UnknownMemberID)
	}
}

// TestG9Fenced: the older of two static members is told by every request.
func TestG9Fenced(t *testing.T) {
	for _, rebalancing := range []bool{false, true} {
		e := newRoom(t, 1)
		a, older := e.peer(), e.static("one")
		e.stable(a, older)
		if rebalancing {
			a.join()
		}
		newer := e.static("one").join()
		same(t, "heartbeat", older.beat(), protocol.FencedInstanceID)
		same(t, "commit", older.commit(older.generation()), error(protocol.FencedInstanceID))
		same(t, "leave", older.leave(), protocol.FencedInstanceID)
		older.sync()
		same(t, "sync", protocol.Code(older.synced.ErrorCode), protocol.FencedInstanceID)
		older.join()
		same(t, "join", older.code(), protocol.FencedInstanceID)
		same(t, "the newer", newer.beat(), protocol.None)
		same(t, "members", len(e.g().inOrder), 2)
	}
}

// TestNewMembersDoNotWaitForEver: a client that is gone while its first JoinGroup
// waits cannot be seen to be.
func TestNewMembersDoNotWaitForEver(t *testing.T) {
	e := newRoom(t, 1)
	a, b := e.peer(), e.peer()
	a.session, a.rebalance = 30*time.Minute, 10*time.Minute
	e.stable(a)
	b.join()
	e.advance(newMemberTimeout - time.Millisecond)
	same(t, "before", b.code(), -2)
	e.advance(time.Millisecond)
	same(t, "after", b.code(), protocol.UnknownMemberID)
	same(t, "members", len(e.g().inOrder), 1)
}

// TestReplacedMember: a static member's next process brings its own protocols,
// and its former self leaves nothing behind.
func TestReplacedMember(t *testing.T) {
	e := newRoom(t, 1)
	older, newer := e.static("one"), e.static("one")
	older.names, newer.names = []string{"range", "sticky"}, []string{"range", "sticky"}
	e.stable(older)
	newer.join()
	same(t, "supports the other protocol", e.g().supported("sticky"), true)
	_, old := e.m.timers.Deadline(e.g().timer(sessionTimeout, older.id))
	_, now := e.m.timers.Deadline(e.g().timer(sessionTimeout, newer.id))
	same(t, "session of the former self", old, false)
	same(t, "session", now, true)
}

// TestJoinLimits: what a JoinGroup may ask for.
func TestJoinLimits(t *testing.T) {
	e := newRoom(t, 1)
	for session, want := range map[time.Duration]protocol.Code{
		5999 * time.Millisecond: protocol.InvalidSessionTimeout, 6 * time.Second: protocol.MemberIDRequired,
		30 * time.Minute: protocol.MemberIDRequired, 30*time.Minute + time.Millisecond: protocol.InvalidSessionTimeout,
	} {
		p := e.peer()
		p.version, p.session = 9, session
		same(t, session.String(), p.join().code(), want)
	}
	p := e.peer()
	p.names = nil
	same(t, "no protocols", p.join().code(), protocol.InconsistentGroupProtocol)
	p = e.peer()
	p.version, p.instance = 9, &p.group
	for id := range e.g().pending {
		p.id = id
	}
	same(t, "static with a given id", p.join().code(), protocol.UnknownServerError)
	p = e.peer()
	p.group, p.id = "other", "x"
	same(t, "unknown group", p.join().code(), protocol.UnknownMemberID)
	if e.m.groups["other"] != nil {
		t.Error("a member that is not one made a group")
	}
}

// TestPendingIsBounded: member ids that nobody uses are not given out for ever.
func TestPendingIsBounded(t *testing.T) {
	e := newRoom(t, 1)
	p := e.peer()
	p.version = 4
	for range maxPending {
		p.id = ""
		same(t, "within the bound", p.join().code(), protocol.MemberIDRequired)
	}
	p.id = ""
	same(t, "beyond it", p.join().code(), protocol.GroupMaxSizeReached)
	e.advance(10 * time.Second)
	same(t, "pending", len(e.g().pending), 0)
	same(t, "later", p.join().code(), protocol.MemberIDRequired)
}

// TestMaxSizeForgetsPending: somebody who is not let in is waited for no longer.
func TestMaxSizeForgetsPending(t *testing.T) {
	e := newRoom(t, 1)
	a, b, late := e.peer(), e.peer(), e.peer()
	late.version = 4
	e.stable(a, b)
	late.join()
	e.cfg.Groups.MaxSize = 2
	a.join()
	b.join()
	same(t, "while the id is out", a.code(), -2)
	same(t, "it comes", late.join().code(), protocol.GroupMaxSizeReached)
	same(t, "nobody is waited for", a.code(), protocol.None)
}

// TestMemberIDs: ids are random UUIDs behind the client's name, within the length
// of a string.
func TestMemberIDs(t *testing.T) {
	m := newRoom(t, 1).m
	for _, prefix := range []string{"", "client", strings.Repeat("x", math.MaxInt16)} {
		id := m.newMemberID(prefix)
		if len(id) > maxID+37 || !strings.HasPrefix(prefix, id[:len(id)-37]) || !memberUUID.MatchString(id) {
			t.Errorf("%.40q: id of %d bytes, %.80q", prefix, len(id), id)
		}
		if again := m.newMemberID(prefix); id == again {
			t.Errorf("%q twice", id)
		}
	}
}

// TestVote is about which protocol a generation has.
func TestVote(t *testing.T) {
	for _, test := range []struct{ members, want string }{
		{"range", "range"},
		{"range,sticky range,sticky", "range"},
		{"range,sticky sticky,range", "range"},
		{"sticky,range range,sticky", "sticky"},
		{"range,sticky sticky,range sticky,range", "sticky"},
		{"range,sticky sticky", "sticky"},
		{"a,b,c b,c c,b", "b"},
		{"x,y,z z,y,x z,x,y y,x,z y,z,x", "y"},
	} {
		s := newClassicMembers(&ledger{})
		for i, names := range strings.Fields(test.members) {
			c := &classicMember{id: fmt.Sprint(i)}
			for _, name := range strings.Split(names, ",") {
				c.protocols = append(c.protocols, classicProtocol{name: name})
			}
			s.insert(c)
		}
		same(t, test.members, s.vote(), test.want)
	}
	twice := classicProtocols([]kmsg.JoinGroupRequestProtocol{{Name: "a", Metadata: []byte("1")}, {Name: "b"}, {Name: "a", Metadata: []byte("2")}})
	if len(twice) != 2 || string(twice[0].metadata) != "1" {
		t.Errorf("a protocol named twice: %v", twice)
	}
}

// TestSubscriptions: which topics members may read, for the expiry and the
// deletion of offsets.
func TestSubscriptions(t *testing.T) {
	e := newRoom(t, 1)
	a, b := e.peer(), e.peer()
	a.topics, b.topics = []string{"t", "u"}, []string{"u", "v"}
	e.stable(a, b)
	g := e.g()
	for topic, want := range map[string]bool{"t": true, "u": true, "v": true, "w": false} {
		same(t, topic, g.subscribed(topic), want)
	}
	same(t, "expires", g.expires(), true)
	same(t, "delete offsets", g.checkDeleteOffsets(), nil)
	same(t, "delete", g.checkDelete(), error(protocol.NonEmptyGroup))
	b.topics = []string{"w"}
	b.join()
	same(t, "expires while members rebalance", g.expires(), false)
	a.join()
	a.sync()
	same(t, "w later", g.subscribed("w"), true)
	same(t, "v later", g.subscribed("v"), false)

	g.protoType = "connect"
	same(t, "of another type", g.subscribed("nothing"), true)
	same(t, "of another type, expires", g.expires(), false)
	same(t, "of another type, delete offsets", g.checkDeleteOffsets(), error(protocol.NonEmptyGroup))
	g.protoType = consumerProtocolType
	_, since := g.emptySince()
	same(t, "empty", since, false)
	a.leave()
	b.leave()
	ms, since := g.emptySince()
	same(t, "empty when all left", since, true)
	same(t, "since", ms, e.at().Wall)
	same(t, "expires when all left", g.expires(), true)
	same(t, "w when all left", g.subscribed("w"), false)
	same(t, "delete when all left", g.checkDelete(), nil)
}

// TestBadSubscriptions: what cannot be read may be anything.
func TestBadSubscriptions(t *testing.T) {
	good := append(subscription("t"), "what later versions add"...)
	topics, ok := subscribedTopics(good)
	if !ok || !slices.Equal(topics, []string{"t"}) {
		t.Errorf("topics %v, %t", topics, ok)
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "cut": subscription("t")[:8], "negative version": {0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0},
		"null": {0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, "too many": {0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0},
	} {
		if topics, ok := subscribedTopics(bad); ok {
			t.Errorf("%s: topics %v", name, topics)
		}
		s := newClassicMembers(&ledger{})
		s.subscribe(bad)
		s.subscribe(good)
		if s.topics != nil {
			t.Errorf("%s: topics %v are known", name, s.topics)
		}
	}
}

// otherGroup stands for a group of another kind.
type otherGroup struct {
	*classicGroup
	members bool
	of      Kind
}

func (g otherGroup) empty() bool { return !g.members }
func (g otherGroup) kind() Kind  { return g.of }

// TestOtherKinds: an empty group of another kind gives way, one with members does
// not, and one that only has offsets is a classic group.
func TestOtherKinds(t *testing.T) {
	for _, test := range []struct {
		name    string
		group   otherGroup
		joins   protocol.Code
		records int
	}{
		{"members", otherGroup{members: true, of: Consumer}, protocol.InconsistentGroupProtocol, 0},
		{"empty", otherGroup{of: Consumer}, protocol.MemberIDRequired, 2},
		{"offsets", otherGroup{of: Classic}, protocol.MemberIDRequired, 0},
	} {
		e := newRoom(t, 1)
		test.group.classicGroup = newClassicGroup(e.m, "g", 0)
		e.m.groups["g"] = test.group
		e.wrote = func(coordinator.Record) { test.records-- }
		member := e.peer()
		member.id = "member"
		want := protocol.UnknownMemberID
		if test.group.members {
			want = protocol.InconsistentGroupProtocol
		}
		same(t, test.name+": member", member.join().code(), want)
		same(t, test.name+": heartbeat", member.beat(), protocol.UnknownMemberID)
		same(t, test.name+": leave", member.leave(), protocol.UnknownMemberID)
		member.sync()
		same(t, test.name+": sync", protocol.Code(member.synced.ErrorCode), protocol.UnknownMemberID)
		p := e.peer()
		p.version = 9
		same(t, test.name+": join", p.join().code(), test.joins)
		same(t, test.name+": records missing", test.records, 0)
	}
}

// TestVersions goes the way of a member in all versions of the requests, whose
// responses must be what a client of that version can read.
func TestVersions(t *testing.T) {
	for version := range int16(10) {
		e := newRoom(t, 1)
		e.cfg.Groups.InitialRebalanceDelay = time.Millisecond
		var last kmsg.Response
		to := func() coordinator.Ticket {
			return e.ticket(func(r kmsg.Response) {
				back := kmsg.ResponseForKey(r.Key())
				back.SetVersion(r.GetVersion())
				if err := back.ReadFrom(r.AppendTo(nil)); err != nil {
					t.Fatalf("%T version %d: %v", r, r.GetVersion(), err)
				}
				last = back
			})
		}
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis = version, "g", "consumer", 10_000
		join.RebalanceTimeoutMillis = 20_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("t")}}
		e.do(e.m.JoinGroup(e.at(), to(), Client{}, join))
		if version >= 4 {
			join.MemberID = last.(*kmsg.JoinGroupResponse).MemberID
			e.do(e.m.JoinGroup(e.at(), to(), Client{}, join))
		}
		wantTimeout := int32(20_000)
		if version == 0 {
			wantTimeout = 10_000
		}
		same(t, "rebalance timeout", e.g().inOrder[0].rebalanceTimeout, wantTimeout)
		e.advance(time.Millisecond)
		joined := last.(*kmsg.JoinGroupResponse)
		same(t, "leader", joined.LeaderID, joined.MemberID)
		same(t, "protocol", *joined.Protocol, "range")
		same(t, "protocol type", joined.ProtocolType != nil, version >= 7)

		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.Generation, sync.MemberID = min(version, 5), "g", joined.Generation, joined.MemberID
		sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: []byte("all")}}
		e.do(e.m.SyncGroup(e.at(), to(), sync))
		same(t, "assignment", string(last.(*kmsg.SyncGroupResponse).MemberAssignment), "all")

		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Version, beat.Group, beat.Generation, beat.MemberID = min(version, 4), "g", joined.Generation, joined.MemberID
		e.do(e.m.Heartbeat(e.at(), to(), beat))
		same(t, "heartbeat", last.(*kmsg.HeartbeatResponse).ErrorCode, 0)

		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Version, leave.Group, leave.MemberID = min(version, 5), "g", joined.MemberID
		if version >= 3 {
			leave.MemberID, leave.Members = "", []kmsg.LeaveGroupRequestMember{{MemberID: joined.MemberID}, {MemberID: "unknown"}}
		}
		e.do(e.m.LeaveGroup(e.at(), to(), leave))
		left := last.(*kmsg.LeaveGroupResponse)
		same(t, "leave", left.ErrorCode, 0)
		if version >= 3 && (left.Members[0].ErrorCode != 0 || protocol.Code(left.Members[1].ErrorCode) != protocol.UnknownMemberID) {
			t.Errorf("version %d: left %+v", version, left.Members)
		}
		same(t, "state", e.g().state(), "Empty")
	}
}

// TestLoadedGroupsStayStable: a broker restarts under 200 groups of 5 members.
// Their sessions begin anew, and nobody has to rejoin.
func TestLoadedGroupsStayStable(t *testing.T) {
	e := newRoom(t, 1)
	var all []*peer
	for i := range 200 {
		var members []*peer
		for range 5 {
			p := e.peer()
			p.group = fmt.Sprintf("group-%d", i)
			members = append(members, p)
		}
		e.stable(members...)
		all = append(all, members...)
	}
	for round := range 3 {
		e.reload()
		e.advance(10*time.Second - time.Millisecond)
		for _, p := range all {
			if code := p.beat(); code != protocol.None {
				t.Fatalf("round %d: a member of %s gets %s", round, p.group, code.Name())
			}
		}
	}
	for id, g := range e.m.groups {
		same(t, id, g.state(), "Stable")
	}
	e.advance(10 * time.Second)
	for id, g := range e.m.groups {
		same(t, id+" in silence", g.state(), "Empty")
	}
	e.m.timers.Cancel(timerKey{kind: expireOffsets})
	if next, some := e.m.Next(); some {
		t.Errorf("all are gone, and something is due at %v", next)
	}
}

// recordOf is a group as a record.
func recordOf(v kmsg.GroupMetadataValue) coordinator.Record {
	return coordinator.Record{Key: groupMetadataKey("g"), Value: v.AppendTo(nil)}
}

// TestApplyClassic: a tombstone ends a group with its deadlines, the layouts of
// older and newer Kafka are read, and what is none is refused.
func TestApplyClassic(t *testing.T) {
	e := newRoom(t, 1)
	p := e.peer()
	p.version = 9
	p.join()
	out := coordinator.Output{Records: e.g().tombstones()}
	e.wrote = func(r coordinator.Record) { same(t, "tombstone", formatRecord(t, r), "tombstone") }
	e.do(out)
	same(t, "groups", len(e.m.groups), 0)
	if _, some := e.m.Next(); some {
		t.Error("something is due")
	}
	e.do(out) // of a group that is not there
	name := "range"
	for version := range int16(5) {
		v := kmsg.GroupMetadataValue{Version: version, ProtocolType: "consumer", Generation: 7, Protocol: &name, Leader: &p.id, CurrentStateTimestamp: 5}
		v.Members = []kmsg.GroupMetadataValueMember{{MemberID: p.id, RebalanceTimeoutMillis: 30_000, SessionTimeoutMillis: 10_000, Assignment: []byte("a")}}
		if err := e.m.Apply(recordOf(v), coordinator.Origin{}); err != nil {
			t.Fatal(version, err)
		}
		g := e.g()
		want := int32(30_000)
		if version == 0 {
			want = 10_000
		}
		same(t, "rebalance timeout", g.inOrder[0].rebalanceTimeout, want)
		same(t, "generation", g.generation, 7)
		same(t, "leader", g.leader, p.id)
		v.Members, v.Protocol, v.Leader = nil, nil, nil
		if err := e.m.Apply(recordOf(v), coordinator.Origin{}); err != nil {
			t.Fatal(version, err)
		}
		_, known := g.emptySince()
		same(t, "empty since", known, version >= 2)
	}
	good := groupMetadataKey("g")
	v := kmsg.GroupMetadataValue{Version: 3, Protocol: &name, Members: []kmsg.GroupMetadataValueMember{{MemberID: "m"}}}
	value := v.AppendTo(nil)
	v.Protocol = nil
	for what, r := range map[string]coordinator.Record{
		"key cut": {Key: good[:3], Value: value}, "value cut": {Key: good, Value: value[:len(value)-1]},
		"version": {Key: good, Value: append([]byte{0, 5}, value[2:]...)}, "members without protocol": {Key: good, Value: v.AppendTo(nil)},
	} {
		before := durable(e.g())
		if err := e.m.Apply(r, coordinator.Origin{}); err == nil {
			t.Errorf("%s: taken", what)
		}
		same(t, what, durable(e.g()), before)
	}
}

// TestRecordIsKafkas compares a record with bytes written down from Kafka's
// schema: GroupMetadataKey 2, GroupMetadataValue 3.
func TestRecordIsKafkas(t *testing.T) {
	e := newRoom(t, 1)
	a := e.static("i")
	a.topics = nil
	e.stable(a)
	r := e.log[len(e.log)-1].Record
	id := a.id
	str := func(s string) string { return string([]byte{0, byte(len(s))}) + s }
	blob := func(s string) string { return string([]byte{0, 0, 0, byte(len(s))}) + s }
	want := "\x00\x03" + str("consumer") + "\x00\x00\x00\x01" + str("range") + str(id) + // version, type, generation, protocol, leader
		"\x00\x00\x00\x00\x00\x0f\x42\x41" + // since 1000001
		"\x00\x00\x00\x01" + str(id) + str("i") + str("client") + str("/127.0.0.1") + "\x00\x00\x75\x30" + "\x00\x00\x27\x10" +
		blob("\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff") + blob("t-0")
	if string(r.Key) != "\x00\x02\x00\x01g" || !bytes.Equal(r.Value, []byte(want)) {
		t.Errorf("key %q, value\ngot  %q\nwant %q", r.Key, r.Value, want)
	}
}

// TestDeadlinesOfOthers: what is due for somebody who is gone does nothing.
func TestDeadlinesOfOthers(t *testing.T) {
	e := newRoom(t, 1)
	a := e.peer()
	e.stable(a)
	for _, kind := range []timerKind{sessionTimeout, joinTimeout, revokeTimeout, expireOffsets} {
		out := e.g().due(e.at(), e.g().timer(kind, "gone"))
		if len(out.Records)+len(out.Replies) > 0 || e.g().current != classicStable {
			t.Errorf("kind %d: %+v, %s", kind, out, e.g().current)
		}
	}
	a.leave()
	out := e.g().due(e.at(), e.g().timer(rebalanceTimeout, ""))
	if len(out.Records)+len(out.Replies) > 0 || !e.g().empty() {
		t.Errorf("%+v, %s", out, e.g().current)
	}
}

// FuzzApplyClassic: no bytes make a machine panic, and a group that it takes can
// be written and read again.
func FuzzApplyClassic(f *testing.F) {
	e := newRoom(f, 1)
	a, b := e.peer(), e.static("i")
	e.stable(a, b)
	for _, r := range e.log {
		f.Add(r.Key, r.Value)
	}
	f.Add(groupMetadataKey("g"), []byte{0, 4, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		e := newRoom(t, 1)
		if len(key) < 2 || key[0] != 0 || key[1] != byte(groupMetadata) || e.m.Apply(coordinator.Record{Key: key, Value: value}, coordinator.Origin{}) != nil {
			return
		}
		for id, g := range e.m.groups {
			again := newRoom(t, 1).m
			r := g.(*classicGroup).record(nil)
			if err := again.Apply(r, coordinator.Origin{}); err != nil {
				t.Fatal(err)
			}
			if got, want := durable(again.classicGroup(id)), durable(g.(*classicGroup)); got != want {
				t.Fatalf("%s\n%s", got, want)
			}
			g.(*classicGroup).loaded(e.at())
			e.advance(time.Hour)
		}
	})
}
