package group

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// newConsumerRoom is a room for groups of KIP-848.
func newConsumerRoom(t testing.TB, seed uint64) *room {
	e := newRoom(t, seed)
	e.cfg.ConsumerGroups = config.ConsumerGroups{
		MaxSize: 2147483647, Assignors: []string{"uniform", "range"}, RegexRefresh: 10 * time.Minute, Enabled: true,
		Upgrade: true, Downgrade: true,
		Default: config.ConsumerGroup{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second},
	}
	return e
}

// topicID is the id of the topics of tests: their name.
func topicID(name string) (id metadata.UUID) {
	copy(id[:], name)
	return id
}

// topic makes a topic, or lets it grow; with 0 partitions it goes.
func (e *room) topic(name string, partitions int32) {
	var records []metadata.Message
	have := int32(0)
	if t := e.image.TopicByName(name); t != nil {
		have = int32(t.NumPartitions())
		if partitions == 0 {
			records = append(records, &metadata.RemoveTopicRecord{TopicID: topicID(name)})
		}
	} else {
		records = append(records, &metadata.TopicRecord{Name: name, TopicID: topicID(name)})
	}
	for p := have; p < partitions; p++ {
		records = append(records, &metadata.PartitionRecord{PartitionID: p, TopicID: topicID(name), Replicas: []int32{1}, ISR: []int32{1}, Leader: 1})
	}
	e.metadata(records...)
}

// metadata commits records, and returns which topics they changed.
func (e *room) metadata(records ...metadata.Message) []metadata.TopicDelta {
	e.t.Helper()
	image, delta, err := e.image.Apply(records, e.image.Offset+int64(len(records)), 1)
	if err != nil {
		e.t.Fatal(err)
	}
	e.image = image
	return delta.Topics
}

// beat does a heartbeat, and matches regular expressions as the Coordinator does;
// the response is nil when it could not be written.
func (e *room) beat(req *kmsg.ConsumerGroupHeartbeatRequest) *kmsg.ConsumerGroupHeartbeatResponse {
	e.t.Helper()
	resp := e.decide(req, nil)
	if u, ok := resp.(*unresolved); ok && u.ConsumerGroupHeartbeatResponse == nil {
		resp = e.decide(req, e.match(u))
	}
	switch r := resp.(type) {
	case nil:
		return nil
	case *unresolved:
		e.m.regexesMatched(e.at(), req.Group, e.match(r))
		return r.ConsumerGroupHeartbeatResponse
	}
	return resp.(*kmsg.ConsumerGroupHeartbeatResponse)
}

// decide is one decision on a heartbeat.
func (e *room) decide(req *kmsg.ConsumerGroupHeartbeatRequest, found *matches) (resp kmsg.Response) {
	to := e.ticket(func(r kmsg.Response) { resp = r })
	e.do(e.m.ConsumerGroupHeartbeat(e.at(), to, Client{ID: "client", Host: "/127.0.0.1"}, req, found))
	return resp
}

func (e *room) match(u *unresolved) *matches {
	e.t.Helper()
	found, err := newMatcher().match(context.Background(), u.image, u.exprs)
	if err != nil {
		e.t.Fatal(err)
	}
	return found
}

// consumers is the consumer group of the tests.
func (e *room) consumers() *consumerGroup {
	g, _ := e.m.groups["g"].(*consumerGroup)
	return g
}

// joining is a request with all that a member says when it joins.
func joining(id string, topics ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = 1, "g", id, 60_000
	req.SubscribedTopicNames, req.Topics = append([]string{}, topics...), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// later is a request of a member that has nothing new to say.
func later(id string, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, "g", id, epoch
	return req
}

// owning adds what a member owns, such as t:0,1.
func owning(req *kmsg.ConsumerGroupHeartbeatRequest, what ...string) *kmsg.ConsumerGroupHeartbeatRequest {
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, w := range what {
		name, list, _ := strings.Cut(w, ":")
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topicID(name), Partitions: numbers(list)})
	}
	return req
}

func numbers(list string) (all []int32) {
	for _, word := range strings.Split(list, ",") {
		var n int32
		if _, err := fmt.Sscan(word, &n); err == nil {
			all = append(all, n)
		}
	}
	return all
}

func showTopic(topic metadata.UUID, partitions []int32) string {
	words := make([]string, len(partitions))
	for i, p := range partitions {
		words[i] = fmt.Sprint(p)
	}
	return strings.TrimRight(string(topic[:]), "\x00") + ":" + strings.Join(words, ",")
}

// showCurrent shows what a member owns and since which epochs, such as t:0,1@3.
func showCurrent(lists []CurrentTopicPartitions) string {
	words := make([]string, len(lists))
	for i, tp := range lists {
		words[i] = showTopic(tp.TopicID, tp.Partitions)
		if epochs := slices.Compact(slices.Sorted(slices.Values(tp.AssignmentEpochs))); len(epochs) == 1 {
			words[i] += fmt.Sprintf("@%d", epochs[0])
		} else {
			words[i] += fmt.Sprintf("@%v", tp.AssignmentEpochs)
		}
	}
	return "[" + strings.Join(words, " ") + "]"
}

// showReply shows a response on one line.
func showReply(r *kmsg.ConsumerGroupHeartbeatResponse) string {
	switch {
	case r == nil:
		return "not written"
	case r.ErrorCode != 0:
		name, _, _ := strings.Cut(protocol.Code(r.ErrorCode).Error(), ":")
		return name + " " + *r.ErrorMessage
	case r.Assignment == nil:
		return fmt.Sprintf("epoch %d", r.MemberEpoch)
	}
	words := make([]string, len(r.Assignment.Topics))
	for i, t := range r.Assignment.Topics {
		words[i] = showTopic(t.TopicID, t.Partitions)
	}
	return fmt.Sprintf("epoch %d, assigned [%s]", r.MemberEpoch, strings.Join(words, " "))
}

// durableConsumers is all durable state of a machine's consumer groups.
func durableConsumers(m *Machine) string {
	var b strings.Builder
	for _, id := range m.sorted() {
		g, ok := m.groups[id].(*consumerGroup)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "%s epoch %d hash %d assignment %d at %d legacy %t\n", id, g.epoch, g.metadataHash, g.assignmentEpoch, g.assignmentTime, g.legacyMetadata)
		for _, member := range slices.Sorted(maps.Keys(g.members)) {
			c := g.members[member]
			fmt.Fprintf(&b, " %s epoch %d %d state %d %s %s %x\n", member, c.epoch, c.previousEpoch, c.state, showCurrent(c.assigned), showCurrent(c.revoking), c.subscriptionRecord(id).Value)
		}
		fmt.Fprintf(&b, " target %v\n statics %v names %v regexes %v assignors %v held %v\n", g.target, g.statics, g.names, g.regexUse, g.assignors, g.held)
		for _, regex := range slices.Sorted(maps.Keys(g.regexes)) {
			fmt.Fprintf(&b, " %s %v\n", regex, *g.regexes[regex])
		}
	}
	return b.String()
}
