package group

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
	"ottla/internal/story"
)

// memberUUID is the random part of a member id.
var memberUUID = regexp.MustCompile(`[^ ,;:\[\]]*-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// TestClassicStories plays the scripts of testdata/classic_*.txt. A command
// leads to records, replies, and a group in another state. A client such as A
// remembers its member id and its generation:
//
//	config max.size=N | initial.delay=D    configures the broker
//	join A [v=N] [id=ID] [static=NAME] [type=T] [session=D] [rebalance=D] [PROTOCOL:TOPICS…]
//	sync A [v=N] [generation=N] [B:TEXT…]  the leader with what it assigns
//	beat A [generation=N]
//	leave A [v=N] | leave static=NAME
//	commit A [generation=N]                would its commit be let in?
//	tick D                                 time passes
//	fail                                   the next append fails
//	restart                                another broker takes over
//	forget A                               the client's process starts again
//	describe
//
// A's first member id is called A-1, the next A-2.
func TestClassicStories(t *testing.T) {
	story.Play(t, "testdata/classic_*.txt", func(t *testing.T, told *story.Told) func(story.Command) {
		s := newTeller(t, told)
		return func(c story.Command) {
			s.command(c)
			s.changed()
		}
	})
}

// teller plays a story.
type teller struct {
	*room
	clients map[string]*remembered
	names   map[string]string // member id → what it is called
	given   map[string]int    // ids given to a prefix
	told    *story.Told
	before  string
}

// remembered is what a client of a story remembers.
type remembered struct {
	memberID   string
	instanceID *string
	generation int32
	protocol   *string
}

func newTeller(t *testing.T, told *story.Told) *teller {
	s := &teller{room: newRoom(t, 1), clients: map[string]*remembered{}, names: map[string]string{}, given: map[string]int{}, told: told}
	s.wrote = func(r coordinator.Record) { told.Line("   + %s", formatRecord(t, r)) }
	told.Rename = s.rename
	return s
}

// rename gives member ids short names, in the order in which they were first
// told of.
func (s *teller) rename(line string) string {
	return memberUUID.ReplaceAllStringFunc(line, func(id string) string {
		if s.names[id] == "" {
			prefix := id[:len(id)-37]
			s.given[prefix]++
			s.names[id] = fmt.Sprintf("%s-%d", prefix, s.given[prefix])
		}
		return s.names[id]
	})
}

// changed tells of a group that is in another state than before.
func (s *teller) changed() {
	state := "no group"
	if g := s.m.classicGroup("g"); g != nil {
		state = fmt.Sprintf("%s, generation %d, %d members, %d pending", g.state(), g.generation, len(g.inOrder), len(g.pending))
	}
	if state != s.before {
		s.before = state
		s.told.Line("   = %s", state)
	}
}

// pairs are words NAME:TEXT.
func pairs(words []string) (all [][2]string) {
	for _, w := range words {
		if name, text, ok := strings.Cut(w, ":"); ok {
			all = append(all, [2]string{name, text})
		}
	}
	return all
}

func (s *teller) client(name string) *remembered {
	if s.clients[name] == nil {
		s.clients[name] = &remembered{generation: -1}
	}
	return s.clients[name]
}

func (s *teller) command(c story.Command) {
	name := c.Word(0)
	switch c.Verb {
	case "config":
		s.cfg.Groups.MaxSize = int32(c.Number("max.size", int(s.cfg.Groups.MaxSize)))
		s.cfg.Groups.InitialRebalanceDelay = c.Duration("initial.delay", 3*time.Second)
	case "join":
		s.join(name, c)
	case "sync":
		s.sync(name, c)
	case "beat":
		s.beat(name, c)
	case "leave":
		s.leave(name, c)
	case "commit":
		s.commit(name, c)
	case "tick":
		s.advance(story.Duration(s.t, name))
	case "fail":
		s.failing = true
	case "restart":
		s.reload()
	case "forget":
		delete(s.clients, name)
	case "describe":
		s.describe()
	default:
		s.t.Fatalf("no command %q", c.Verb)
	}
}

// reply is what becomes of a ticket: f tells of the response, if there is one.
func reply[R kmsg.Response](s *teller, name, api string, f func(R) string) coordinator.Ticket {
	return s.ticket(func(r kmsg.Response) {
		if r == nil {
			s.told.Line("  <- %s %s not answered", name, api)
			return
		}
		s.told.Line("  <- %s %s %s", name, api, f(r.(R)))
	})
}

func (s *teller) join(name string, c story.Command) {
	m := s.client(name)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(c.Number("v", 9))
	req.Group, req.ProtocolType, req.MemberID = "g", "consumer", m.memberID
	if t := c.Text("type"); t != nil {
		req.ProtocolType = *t
	}
	if id := c.Text("id"); id != nil {
		req.MemberID = *id
	}
	if static := c.Text("static"); static != nil {
		m.instanceID = static
	}
	req.InstanceID = m.instanceID
	req.SessionTimeoutMillis = int32(c.Duration("session", 10*time.Second).Milliseconds())
	req.RebalanceTimeoutMillis = int32(c.Duration("rebalance", 30*time.Second).Milliseconds())
	protocols := pairs(c.Words[1:])
	if len(protocols) == 0 {
		protocols = [][2]string{{"range", "t"}}
	}
	for _, p := range protocols {
		metadata := kmsg.ConsumerMemberMetadata{Topics: strings.Split(p[1], ",")}
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: p[0], Metadata: metadata.AppendTo(nil)})
	}
	to := reply(s, name, "JoinGroup", func(r *kmsg.JoinGroupResponse) string {
		code := protocol.Code(r.ErrorCode)
		if code == protocol.None || code == protocol.MemberIDRequired {
			m.memberID, m.generation, m.protocol = r.MemberID, r.Generation, r.Protocol
		}
		if code != protocol.None {
			return fmt.Sprintf("%s %s", code.Name(), r.MemberID)
		}
		text := fmt.Sprintf("%s generation=%d protocol=%s leader=%s", r.MemberID, r.Generation, *r.Protocol, r.LeaderID)
		if r.SkipAssignment {
			text += " skip-assignment"
		}
		for _, other := range r.Members {
			topics, _ := subscribedTopics(other.ProtocolMetadata)
			text += fmt.Sprintf(" %s:%s", other.MemberID, strings.Join(topics, ","))
		}
		return text
	})
	s.do(s.m.JoinGroup(s.at(), to, Client{ID: name, Host: "/127.0.0.1"}, req))
}

func (s *teller) sync(name string, c story.Command) {
	m := s.client(name)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(c.Number("v", 5))
	req.Group, req.MemberID, req.InstanceID = "g", m.memberID, m.instanceID
	req.Generation = int32(c.Number("generation", int(m.generation)))
	consumer := "consumer"
	req.ProtocolType, req.Protocol = &consumer, m.protocol
	if p := c.Text("protocol"); p != nil {
		req.Protocol = p
	}
	for _, p := range pairs(c.Words[1:]) {
		a := kmsg.SyncGroupRequestGroupAssignment{MemberID: s.client(p[0]).memberID, MemberAssignment: []byte(p[1])}
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	to := reply(s, name, "SyncGroup", func(r *kmsg.SyncGroupResponse) string {
		if code := protocol.Code(r.ErrorCode); code != protocol.None {
			return code.Name()
		}
		return fmt.Sprintf("%q %s", r.MemberAssignment, *r.Protocol)
	})
	s.do(s.m.SyncGroup(s.at(), to, req))
}

func (s *teller) beat(name string, c story.Command) {
	m := s.client(name)
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID = "g", m.memberID, m.instanceID
	req.Generation = int32(c.Number("generation", int(m.generation)))
	to := reply(s, name, "Heartbeat", func(r *kmsg.HeartbeatResponse) string { return protocol.Code(r.ErrorCode).Name() })
	s.do(s.m.Heartbeat(s.at(), to, req))
}

func (s *teller) leave(name string, c story.Command) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = int16(c.Number("v", 5))
	req.Group = "g"
	if static := c.Text("static"); static != nil {
		name = "admin"
		req.Members = []kmsg.LeaveGroupRequestMember{{InstanceID: static}}
	} else {
		m := s.client(name)
		req.MemberID = m.memberID
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.memberID, InstanceID: m.instanceID}}
	}
	to := reply(s, name, "LeaveGroup", func(r *kmsg.LeaveGroupResponse) string {
		text := protocol.Code(r.ErrorCode).Name()
		for _, other := range r.Members {
			text += fmt.Sprintf(" %s:%s", other.MemberID, protocol.Code(other.ErrorCode).Name())
		}
		return text
	})
	s.do(s.m.LeaveGroup(s.at(), to, req))
}

func (s *teller) commit(name string, c story.Command) {
	m := s.client(name)
	by := commitBy{memberID: m.memberID, instanceID: m.instanceID, generation: int32(c.Number("generation", int(m.generation)))}
	_, err := s.m.groups["g"].checkCommit(by)
	if err != nil {
		s.told.Line("  <- %s", protocol.CodeOf(err).Name())
		return
	}
	s.m.groups["g"].touch(s.at(), m.memberID)
	s.told.Line("  <- NONE")
}

func (s *teller) describe() {
	d := s.m.classicGroup("g").describe()
	s.told.Line("   . %s %s %s", d.State, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		topics, _ := subscribedTopics(m.ProtocolMetadata)
		s.told.Line("   . %s client=%s%s topics=%v assignment=%q", m.MemberID, m.ClientID, m.ClientHost, topics, m.MemberAssignment)
	}
}

func formatRecord(t testing.TB, r coordinator.Record) string {
	if r.Value == nil {
		return "tombstone"
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(r.Value); err != nil {
		t.Fatal(err)
	}
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	line := fmt.Sprintf("v%d generation=%d type=%q protocol=%s leader=%s since=%d", v.Version, v.Generation, v.ProtocolType,
		text(v.Protocol), text(v.Leader), v.CurrentStateTimestamp)
	for _, m := range v.Members {
		line += fmt.Sprintf(" %s/%s:%q", m.MemberID, text(m.InstanceID), m.Assignment)
	}
	return line
}
