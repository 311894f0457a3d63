package group

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
	"ottla/internal/schema"
	"ottla/internal/story"
)

// TestConsumerStories plays the scripts of testdata/consumer_*.txt. A command
// leads to records and a reply. A member such as A remembers its epoch and what
// it was assigned:
//
//	topic NAME N                    a topic is made, grows, or goes (0)
//	join A [static=NAME] [id=ID] [regex=R] [assignor=NAME] [v=N] [rebalance=D] [TOPIC…]
//	beat A [epoch=N] [own=t:0,1]    it has nothing new to say, or says what it owns
//	ack A                           it owns what it was assigned
//	say A [regex=R] [assignor=NAME] [TOPIC…]  everything, with a new subscription
//	leave A [epoch=N]
//	remove A… [static=NAME [id=ID]]  an administrator removes them
//	commit A t:0 [epoch=N]          would its commit be let in?
//	interval D                      group.consumer.assignment.interval.ms
//	tick D                          time passes
//	fail                            the next append fails
//	restart                         another broker takes over
//	describe
func TestConsumerStories(t *testing.T) {
	story.Play(t, "testdata/consumer_*.txt", func(t *testing.T, told *story.Told) func(story.Command) {
		s := &consumerTeller{room: newConsumerRoom(t, 1), members: map[string]*toldMember{}, told: told}
		s.wrote = func(r coordinator.Record) { told.Line("   + %s", formatConsumerRecord(t, r)) }
		return s.command
	})
}

type consumerTeller struct {
	*room
	members map[string]*toldMember
	told    *story.Told
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

func (s *consumerTeller) command(c story.Command) {
	switch c.Verb {
	case "topic":
		s.topic(c.Word(0), int32(story.Number(s.t, c.Word(1))))
	case "interval":
		s.cfg.ConsumerGroups.Default.AssignmentInterval = story.Duration(s.t, c.Word(0))
	case "tick":
		s.advance(story.Duration(s.t, c.Word(0)))
	case "fail":
		s.failing = true
	case "restart":
		s.reload()
	case "describe":
		s.describe()
	case "remove":
		s.remove(c)
	default:
		s.member(c)
	}
}

func (s *consumerTeller) member(c story.Command) {
	name, rest := c.Words[0], c.Words[1:]
	m := s.members[name]
	if m == nil || c.Verb == "join" {
		m = &toldMember{id: name}
		s.members[name] = m
	}
	if c.Verb == "join" || c.Verb == "say" {
		m.topics, m.regex, m.assignor = rest, c.Text("regex"), c.Text("assignor")
		if m.regex == nil { // clients say so when they do not use one
			m.regex = kmsg.StringPtr("")
		}
	}
	epoch := int32(c.Number("epoch", int(m.epoch)))
	var req *kmsg.ConsumerGroupHeartbeatRequest
	switch c.Verb {
	case "join":
		if id := c.Text("id"); id != nil {
			m.id = *id
		}
		m.instance = c.Text("static")
		req = joining(m.id, m.topics...)
		req.SubscribedTopicRegex, req.ServerAssignor = m.regex, m.assignor
		req.Version = int16(c.Number("v", int(req.Version)))
		req.RebalanceTimeoutMillis = int32(c.Duration("rebalance", millis(req.RebalanceTimeoutMillis)).Milliseconds())
	case "say":
		req = joining(m.id, m.topics...)
		req.MemberEpoch, req.SubscribedTopicRegex, req.ServerAssignor, req.Topics = epoch, m.regex, m.assignor, m.assigned
	case "beat":
		if req = later(m.id, epoch); c.Options["own"] != "" {
			owning(req, c.Options["own"])
		}
	case "ack":
		req = later(m.id, epoch)
		req.Topics = append([]kmsg.ConsumerGroupHeartbeatRequestTopic{}, m.assigned...)
	case "leave":
		req = later(m.id, int32(c.Number("epoch", epochLeave)))
	case "commit":
		s.commit(m, epoch, rest)
		return
	default:
		s.t.Fatalf("no command %q", c.Verb)
	}
	req.InstanceID = m.instance
	s.send(m, req)
}

func (s *consumerTeller) send(m *toldMember, req *kmsg.ConsumerGroupHeartbeatRequest) {
	resp := s.beat(req)
	s.told.Line("  <- %s", showReply(resp))
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
	s.told.Line("  <- %v", protocol.CodeOf(err))
}

func (s *consumerTeller) remove(c story.Command) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 5, "g"
	for _, name := range c.Words {
		m := kmsg.LeaveGroupRequestMember{MemberID: name}
		if told := s.members[name]; told != nil {
			m.MemberID = told.id
		}
		req.Members = append(req.Members, m)
	}
	if static := c.Text("static"); static != nil {
		req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: c.Options["id"], InstanceID: static})
	}
	to := s.ticket(func(r kmsg.Response) {
		if r == nil {
			s.told.Line("  <- not written")
			return
		}
		for _, m := range r.(*kmsg.LeaveGroupResponse).Members {
			s.told.Line("  <- %s%s %s", m.MemberID, showText(" static=", m.InstanceID), protocol.Code(m.ErrorCode).Name())
		}
	})
	s.do(s.m.LeaveGroup(s.at(), to, req))
}

func (s *consumerTeller) describe() {
	to := s.ticket(func(r kmsg.Response) {
		for _, g := range r.(*kmsg.ConsumerGroupDescribeResponse).Groups {
			if g.ErrorCode != 0 {
				s.told.Line("   . %v %s", protocol.Code(g.ErrorCode), *g.ErrorMessage)
				continue
			}
			s.told.Line("   . %s, epoch %d, assignment %d, %s", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
			for _, m := range g.Members {
				s.told.Line("   . %s epoch %d%s %s%s %s owns %s of %s", m.MemberID, m.MemberEpoch, showText(" static=", m.InstanceID),
					m.ClientHost, showText(" regex=", m.SubscribedTopicRegex), fmt.Sprint(m.SubscribedTopics), showNamed(m.Assignment), showNamed(m.TargetAssignment))
			}
		}
	})
	s.do(s.m.ConsumerGroupDescribe(s.at(), to, nil, "g"))
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
