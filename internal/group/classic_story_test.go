package group

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories say now into testdata")

// memberUUID is the random part of a member id.
var memberUUID = regexp.MustCompile(`[^ ,;:\[\]]*-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)

// TestClassicStories plays the scripts of testdata/classic_*.txt and compares
// what they bring about. A script is commands, each followed by the records that
// it led to, the replies that left, and what became of the group, until an empty
// line. A client such as A remembers its member id and its generation:
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
// A's first member id is called A-1, the next A-2. `make golden` writes the
// scripts anew; read the diff.
func TestClassicStories(t *testing.T) {
	files, err := filepath.Glob("testdata/classic_*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newTeller(t).play(string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s tells another story now:\n%s", file, got)
			}
		})
	}
}

// teller plays a story.
type teller struct {
	*room
	clients map[string]*remembered
	names   map[string]string // member id → what it is called
	given   map[string]int    // ids given to a prefix
	told    bytes.Buffer
	before  string
}

// remembered is what a client of a story remembers.
type remembered struct {
	memberID   string
	instanceID *string
	generation int32
	protocol   *string
}

func newTeller(t *testing.T) *teller {
	s := &teller{room: newRoom(t, 1), clients: map[string]*remembered{}, names: map[string]string{}, given: map[string]int{}}
	s.wrote = func(r coordinator.Record) { s.line("   + %s", formatRecord(t, r)) }
	return s
}

func (s *teller) play(script string) string {
	skip := false
	for _, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&s.told, line)
		case line == "":
			if skip {
				fmt.Fprintln(&s.told)
			}
			skip = false
		case !skip:
			fmt.Fprintln(&s.told, line)
			s.command(strings.Fields(line))
			s.changed()
			skip = true
		}
	}
	return s.told.String()
}

// line writes a line in which member ids have their short names, given in the
// order in which they were first told of.
func (s *teller) line(format string, args ...any) {
	text := memberUUID.ReplaceAllStringFunc(fmt.Sprintf(format, args...), func(id string) string {
		if s.names[id] == "" {
			prefix := id[:len(id)-37]
			s.given[prefix]++
			s.names[id] = fmt.Sprintf("%s-%d", prefix, s.given[prefix])
		}
		return s.names[id]
	})
	fmt.Fprintln(&s.told, strings.TrimRight(text, " "))
}

// changed tells of a group that is in another state than before.
func (s *teller) changed() {
	state := "no group"
	if g := s.m.classicGroup("g"); g != nil {
		state = fmt.Sprintf("%s, generation %d, %d members, %d pending", g.state(), g.generation, len(g.inOrder), len(g.pending))
	}
	if state != s.before {
		s.before = state
		s.line("   = %s", state)
	}
}

// options are the words of a command: KEY=VALUE, and NAME:TEXT in their order.
type options struct {
	values map[string]string
	pairs  [][2]string
}

func parse(words []string) options {
	o := options{values: map[string]string{}}
	for _, w := range words {
		if key, value, ok := strings.Cut(w, "="); ok {
			o.values[key] = value
		} else if key, value, ok := strings.Cut(w, ":"); ok {
			o.pairs = append(o.pairs, [2]string{key, value})
		}
	}
	return o
}

func (s *teller) number(o options, key string, otherwise int) int {
	text, ok := o.values[key]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *teller) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *teller) millis(o options, key string, otherwise int32) int32 {
	if text, ok := o.values[key]; ok {
		return int32(s.duration(text).Milliseconds())
	}
	return otherwise
}

func (s *teller) client(name string) *remembered {
	if s.clients[name] == nil {
		s.clients[name] = &remembered{generation: -1}
	}
	return s.clients[name]
}

func (s *teller) command(words []string) {
	name := ""
	if len(words) > 1 {
		name = words[1]
	}
	o := parse(words[1:])
	switch words[0] {
	case "config":
		s.cfg.Groups.MaxSize = int32(s.number(o, "max.size", int(s.cfg.Groups.MaxSize)))
		s.cfg.Groups.InitialRebalanceDelay = millis(s.millis(o, "initial.delay", 3000))
	case "join":
		s.join(name, s.client(name), o)
	case "sync":
		s.sync(name, s.client(name), o)
	case "beat":
		s.beat(name, s.client(name), o)
	case "leave":
		s.leave(name, o)
	case "commit":
		s.commit(s.client(name), o)
	case "tick":
		s.advance(s.duration(name))
	case "fail":
		s.failing = true
	case "restart":
		s.reload()
	case "forget":
		delete(s.clients, name)
	case "describe":
		s.describe()
	default:
		s.t.Fatalf("no command %q", words[0])
	}
}

// reply is what becomes of a ticket: f tells of the response, if there is one.
func reply[R kmsg.Response](s *teller, name, api string, f func(R) string) coordinator.Ticket {
	return s.ticket(func(r kmsg.Response) {
		if r == nil {
			s.line("  <- %s %s not answered", name, api)
			return
		}
		s.line("  <- %s %s %s", name, api, f(r.(R)))
	})
}

func (s *teller) join(name string, c *remembered, o options) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(s.number(o, "v", 9))
	req.Group, req.ProtocolType, req.MemberID = "g", "consumer", c.memberID
	if t, ok := o.values["type"]; ok {
		req.ProtocolType = t
	}
	if id, ok := o.values["id"]; ok {
		req.MemberID = id
	}
	if static, ok := o.values["static"]; ok {
		c.instanceID = &static
	}
	req.InstanceID = c.instanceID
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = s.millis(o, "session", 10_000), s.millis(o, "rebalance", 30_000)
	if len(o.pairs) == 0 {
		o.pairs = [][2]string{{"range", "t"}}
	}
	for _, p := range o.pairs {
		metadata := kmsg.ConsumerMemberMetadata{Topics: strings.Split(p[1], ",")}
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: p[0], Metadata: metadata.AppendTo(nil)})
	}
	to := reply(s, name, "JoinGroup", func(r *kmsg.JoinGroupResponse) string {
		code := protocol.Code(r.ErrorCode)
		if code == protocol.None || code == protocol.MemberIDRequired {
			c.memberID, c.generation, c.protocol = r.MemberID, r.Generation, r.Protocol
		}
		if code != protocol.None {
			return fmt.Sprintf("%s %s", code.Name(), r.MemberID)
		}
		text := fmt.Sprintf("%s generation=%d protocol=%s leader=%s", r.MemberID, r.Generation, *r.Protocol, r.LeaderID)
		if r.SkipAssignment {
			text += " skip-assignment"
		}
		for _, m := range r.Members {
			topics, _ := subscribedTopics(m.ProtocolMetadata)
			text += fmt.Sprintf(" %s:%s", m.MemberID, strings.Join(topics, ","))
		}
		return text
	})
	s.do(s.m.JoinGroup(s.at(), to, Client{ID: name, Host: "/127.0.0.1"}, req))
}

func (s *teller) sync(name string, c *remembered, o options) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(s.number(o, "v", 5))
	req.Group, req.MemberID, req.InstanceID = "g", c.memberID, c.instanceID
	req.Generation = int32(s.number(o, "generation", int(c.generation)))
	consumer := "consumer"
	req.ProtocolType, req.Protocol = &consumer, c.protocol
	if p, ok := o.values["protocol"]; ok {
		req.Protocol = &p
	}
	for _, p := range o.pairs {
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

func (s *teller) beat(name string, c *remembered, o options) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID = "g", c.memberID, c.instanceID
	req.Generation = int32(s.number(o, "generation", int(c.generation)))
	to := reply(s, name, "Heartbeat", func(r *kmsg.HeartbeatResponse) string { return protocol.Code(r.ErrorCode).Name() })
	s.do(s.m.Heartbeat(s.at(), to, req))
}

func (s *teller) leave(name string, o options) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = int16(s.number(o, "v", 5))
	req.Group = "g"
	if static, ok := o.values["static"]; ok {
		name = "admin"
		req.Members = []kmsg.LeaveGroupRequestMember{{InstanceID: &static}}
	} else {
		c := s.client(name)
		req.MemberID = c.memberID
		req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.memberID, InstanceID: c.instanceID}}
	}
	to := reply(s, name, "LeaveGroup", func(r *kmsg.LeaveGroupResponse) string {
		text := protocol.Code(r.ErrorCode).Name()
		for _, m := range r.Members {
			text += fmt.Sprintf(" %s:%s", m.MemberID, protocol.Code(m.ErrorCode).Name())
		}
		return text
	})
	s.do(s.m.LeaveGroup(s.at(), to, req))
}

func (s *teller) commit(c *remembered, o options) {
	by := commitBy{memberID: c.memberID, instanceID: c.instanceID, generation: int32(s.number(o, "generation", int(c.generation)))}
	_, err := s.m.groups["g"].checkCommit(by)
	if err != nil {
		s.line("  <- %s", protocol.CodeOf(err).Name())
		return
	}
	s.m.groups["g"].touch(s.at(), c.memberID)
	s.line("  <- NONE")
}

func (s *teller) describe() {
	d := s.m.classicGroup("g").describe()
	s.line("   . %s %s %s", d.State, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		topics, _ := subscribedTopics(m.ProtocolMetadata)
		s.line("   . %s client=%s%s topics=%v assignment=%q", m.MemberID, m.ClientID, m.ClientHost, topics, m.MemberAssignment)
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
