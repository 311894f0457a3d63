package group

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
	"ottla/internal/schema"
)

// TestConsumerStories plays the scripts of testdata/consumer_*.txt and compares
// what they bring about. A script is commands, each followed by the records that
// it led to and the reply, until an empty line. A member such as A remembers its
// epoch and what it was assigned:
//
//	topic NAME N                    a topic is made, grows, or goes (0)
//	join A [static=NAME] [id=ID] [regex=R] [assignor=NAME] [v=N] [rebalance=D] [TOPIC…]
//	beat A [epoch=N] [own=t:0,1]    it has nothing new to say, or says what it owns
//	ack A                           it owns what it was assigned
//	say A [regex=R] [assignor=NAME] [TOPIC…]  everything, with a new subscription
//	leave A [epoch=N]
//	remove A… [static=NAME [id=ID]]  an administrator removes them
//	commit A t:0 [epoch=N]          would its commit be let in?
//	set KEY=VALUE                   a config of the group
//	interval D                      group.consumer.assignment.interval.ms
//	tick D                          time passes
//	fail                            the next append fails
//	restart                         another broker takes over
//	describe
//
// `go test -run Stories -rewrite` writes the scripts anew; read the diff.
func TestConsumerStories(t *testing.T) {
	files, err := filepath.Glob("testdata/consumer_*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newConsumerTeller(t).play(string(want))
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

type consumerTeller struct {
	*room
	members map[string]*toldMember
	told    bytes.Buffer
}

type toldMember struct {
	id       string
	instance *string
	epoch    int32
	assigned []kmsg.ConsumerGroupHeartbeatRequestTopic
	topics   []string
	regex    *string
	assignor *string
}

func newConsumerTeller(t *testing.T) *consumerTeller {
	s := &consumerTeller{room: newConsumerRoom(t, 1), members: map[string]*toldMember{}}
	s.wrote = func(r coordinator.Record) { fmt.Fprintf(&s.told, "   + %s\n", formatConsumerRecord(t, r)) }
	return s
}

func (s *consumerTeller) play(script string) string {
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
			skip = true
		}
	}
	return s.told.String()
}

func (s *consumerTeller) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *consumerTeller) command(words []string) {
	values, plain := map[string]string{}, []string{}
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			values[key] = value
		} else {
			plain = append(plain, w)
		}
	}
	switch words[0] {
	case "topic":
		s.topic(plain[0], numbers(plain[1])[0])
	case "interval":
		s.cfg.ConsumerGroups.Default.AssignmentInterval = s.duration(plain[0])
	case "tick":
		s.advance(s.duration(plain[0]))
	case "fail":
		s.failing = true
	case "restart":
		s.reload()
	case "describe":
		s.describe()
	case "remove":
		s.remove(plain, values)
	default:
		s.member(words[0], plain, values)
	}
}

func (s *consumerTeller) member(verb string, plain []string, values map[string]string) {
	name, rest := plain[0], plain[1:]
	m := s.members[name]
	if m == nil || verb == "join" {
		m = &toldMember{id: name}
		s.members[name] = m
	}
	text := func(key string) *string {
		if value, ok := values[key]; ok {
			return &value
		}
		return nil
	}
	if verb == "join" || verb == "say" {
		m.topics, m.regex, m.assignor = rest, text("regex"), text("assignor")
		if m.regex == nil { // clients say so when they do not use one
			m.regex = kmsg.StringPtr("")
		}
	}
	epoch := m.epoch
	if words := numbers(values["epoch"]); len(words) > 0 {
		epoch = words[0]
	}
	var req *kmsg.ConsumerGroupHeartbeatRequest
	switch verb {
	case "join":
		if id, ok := values["id"]; ok {
			m.id = id
		}
		m.instance = text("static")
		req = joining(m.id, m.topics...)
		req.SubscribedTopicRegex, req.ServerAssignor = m.regex, m.assignor
		if v := numbers(values["v"]); len(v) > 0 {
			req.Version = int16(v[0])
		}
		if d, ok := values["rebalance"]; ok {
			req.RebalanceTimeoutMillis = int32(s.duration(d).Milliseconds())
		}
	case "say":
		req = joining(m.id, m.topics...)
		req.MemberEpoch, req.SubscribedTopicRegex, req.ServerAssignor, req.Topics = epoch, m.regex, m.assignor, m.assigned
	case "beat":
		if req = later(m.id, epoch); values["own"] != "" {
			owning(req, values["own"])
		}
	case "ack":
		req = later(m.id, epoch)
		req.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, m.assigned...)
	case "leave":
		if values["epoch"] == "" {
			epoch = epochLeave
		}
		req = later(m.id, epoch)
	case "commit":
		s.commit(m, epoch, rest)
		return
	default:
		s.t.Fatalf("what is %q?", verb)
	}
	req.InstanceID = m.instance
	s.send(m, req)
}

func (s *consumerTeller) send(m *toldMember, req *kmsg.ConsumerGroupHeartbeatRequest) {
	resp := s.beat(req)
	fmt.Fprintf(&s.told, "  <- %s\n", showReply(resp))
	if resp == nil || resp.ErrorCode != 0 {
		return
	}
	m.epoch, m.id = resp.MemberEpoch, *resp.MemberID
	if resp.Assignment != nil {
		m.assigned = nil
		for _, t := range resp.Assignment.Topics {
			m.assigned = append(m.assigned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
}

func (s *consumerTeller) commit(m *toldMember, epoch int32, what []string) {
	check, err := s.m.groups["g"].checkCommit(commitBy{memberID: m.id, generation: epoch, version: 9})
	for _, w := range what {
		name, list, _ := strings.Cut(w, ":")
		for _, p := range numbers(list) {
			if err == nil && check != nil {
				err = check(name, topicID(name), p)
			}
		}
	}
	fmt.Fprintf(&s.told, "  <- %v\n", protocol.CodeOf(err))
}

func (s *consumerTeller) remove(names []string, values map[string]string) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 5, "g"
	for _, name := range names {
		m := kmsg.LeaveGroupRequestMember{MemberID: name}
		if told := s.members[name]; told != nil {
			m.MemberID = told.id
		}
		req.Members = append(req.Members, m)
	}
	if static, ok := values["static"]; ok {
		req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: values["id"], InstanceID: &static})
	}
	to := s.ticket(func(r kmsg.Response) {
		if r == nil {
			fmt.Fprintln(&s.told, "  <- not written")
			return
		}
		for _, m := range r.(*kmsg.LeaveGroupResponse).Members {
			fmt.Fprintf(&s.told, "  <- %s%s %s\n", m.MemberID, showText(" static=", m.InstanceID), protocol.Code(m.ErrorCode).Name())
		}
	})
	s.do(s.m.LeaveGroup(s.at(), to, req))
}

func (s *consumerTeller) describe() {
	to := s.ticket(func(r kmsg.Response) {
		for _, g := range r.(*kmsg.ConsumerGroupDescribeResponse).Groups {
			if g.ErrorCode != 0 {
				fmt.Fprintf(&s.told, "   . %v %s\n", protocol.Code(g.ErrorCode), *g.ErrorMessage)
				continue
			}
			fmt.Fprintf(&s.told, "   . %s, epoch %d, assignment %d, %s\n", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
			for _, m := range g.Members {
				fmt.Fprintf(&s.told, "   . %s epoch %d%s %s%s %s owns %s of %s\n", m.MemberID, m.MemberEpoch, showText(" static=", m.InstanceID),
					m.ClientHost, showText(" regex=", m.SubscribedTopicRegex), fmt.Sprint(m.SubscribedTopics), showNamed(m.Assignment), showNamed(m.TargetAssignment))
			}
		}
	})
	s.do(s.m.ConsumerGroupDescribe(s.at(), to, "g"))
}

func showText(prefix string, s *string) string {
	if s == nil || *s == "" {
		return ""
	}
	return prefix + *s
}

func showNamed(a kmsg.Assignment) string {
	var words []string
	for _, tp := range a.TopicPartitions {
		words = append(words, showTopic(tp.TopicID, tp.Partitions))
	}
	return "[" + strings.Join(words, " ") + "]"
}

// formatConsumerRecord shows a record on one line.
func formatConsumerRecord(t testing.TB, r coordinator.Record) string {
	kind := recordType(binary.BigEndian.Uint16(r.Key))
	keys := map[recordType]recordKey{
		consumerGroupMetadata: &ConsumerGroupMetadataKey{}, consumerGroupPartitionMetadata: &ConsumerGroupPartitionMetadataKey{},
		consumerGroupMemberMetadata: &ConsumerGroupMemberMetadataKey{}, consumerGroupTargetAssignmentMeta: &ConsumerGroupTargetAssignmentMetadataKey{},
		consumerGroupTargetAssignmentMember: &ConsumerGroupTargetAssignmentMemberKey{}, consumerGroupCurrentMemberAssignment: &ConsumerGroupCurrentMemberAssignmentKey{},
		consumerGroupRegularExpression: &ConsumerGroupRegularExpressionKey{},
	}
	values := map[recordType]schema.Value{
		consumerGroupMetadata: &ConsumerGroupMetadataValue{}, consumerGroupPartitionMetadata: &ConsumerGroupPartitionMetadataValue{},
		consumerGroupMemberMetadata: NewConsumerGroupMemberMetadataValue(), consumerGroupTargetAssignmentMeta: &ConsumerGroupTargetAssignmentMetadataValue{},
		consumerGroupTargetAssignmentMember: &ConsumerGroupTargetAssignmentMemberValue{}, consumerGroupCurrentMemberAssignment: &ConsumerGroupCurrentMemberAssignmentValue{},
		consumerGroupRegularExpression: &ConsumerGroupRegularExpressionValue{},
	}
	if keys[kind] == nil {
		return fmt.Sprintf("record of kind %d, tombstone %t", kind, r.Value == nil)
	}
	gone, err := parseRecord(r, keys[kind], values[kind])
	if err != nil {
		t.Fatal(err)
	}
	names := map[recordType]string{3: "group", 4: "topics", 5: "member", 6: "assignment", 7: "target", 8: "current", 16: "regex"}
	line := names[kind]
	switch k := keys[kind].(type) {
	case *ConsumerGroupMemberMetadataKey:
		line += " " + k.MemberID
	case *ConsumerGroupTargetAssignmentMemberKey:
		line += " " + k.MemberID
	case *ConsumerGroupCurrentMemberAssignmentKey:
		line += " " + k.MemberID
	case *ConsumerGroupRegularExpressionKey:
		line += " " + k.RegularExpression
	}
	if gone {
		return line + " gone"
	}
	switch v := values[kind].(type) {
	case *ConsumerGroupMetadataValue:
		line += fmt.Sprintf(" epoch=%d hash=%d", v.Epoch, v.MetadataHash)
	case *ConsumerGroupMemberMetadataValue:
		line += fmt.Sprintf("%s%s%s %v%s rebalance=%d", showText(" static=", v.InstanceID), showText(" rack=", v.RackID), showText(" assignor=", v.ServerAssignor),
			v.SubscribedTopicNames, showText(" regex=", v.SubscribedTopicRegex), v.RebalanceTimeoutMs)
	case *ConsumerGroupTargetAssignmentMetadataValue:
		line += fmt.Sprintf(" epoch=%d at=%d", v.AssignmentEpoch, v.AssignmentTimestamp)
	case *ConsumerGroupTargetAssignmentMemberValue:
		for _, tp := range v.TopicPartitions {
			line += " " + showTopic(tp.TopicID, tp.Partitions)
		}
	case *ConsumerGroupCurrentMemberAssignmentValue:
		line += fmt.Sprintf(" epoch=%d before=%d state=%d %s", v.MemberEpoch, v.PreviousMemberEpoch, v.State, showCurrent(v.AssignedPartitions))
		if len(v.PartitionsPendingRevocation) > 0 {
			line += " revoking " + showCurrent(v.PartitionsPendingRevocation)
		}
	case *ConsumerGroupRegularExpressionValue:
		line += fmt.Sprintf(" %v at=%d", v.Topics, v.Timestamp)
	}
	return line
}
