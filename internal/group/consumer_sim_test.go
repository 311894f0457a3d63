package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// TestConsumerSimulation lets members do what clients do – beat, revoke late,
// crash, pause, lag, lose replies, come back – while topics grow and the
// partition moves, and checks after every step:
//
//   - no partition is read by two members that may still commit it (G1, G10);
//   - epochs grow and keep their order (G2);
//   - a machine that loads the log has the same state.
//
// In the end, when faults stop, every member comes to its target, and all
// partitions are read.
func TestConsumerSimulation(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		s := newConsumerSim(t, seed)
		for range 250 {
			s.step()
			s.check()
		}
		s.settle()
	}
}

type consumerSim struct {
	*room
	r       *rand.Rand
	seed    uint64
	clients []*simConsumer
	born    int
	epoch   int32 // the highest group epoch so far
}

// simConsumer is a client of KIP-848.
type simConsumer struct {
	id       string
	instance *string
	topics   []string
	regex    *string
	epoch    int32
	// owned is what it reads, assigned what it was told to.
	owned, assigned map[partitionID]bool
	full            bool // the next request says everything
	slow            int  // beats until it has revoked
	paused, dead    bool
}

func newConsumerSim(t *testing.T, seed uint64) *consumerSim {
	s := &consumerSim{room: newConsumerRoom(t, seed), r: rand.New(rand.NewPCG(seed, 9)), seed: seed}
	if s.r.IntN(2) == 0 {
		s.cfg.ConsumerGroups.Default.AssignmentInterval = time.Second
	}
	s.topic("a", 3)
	s.topic("b", 4)
	return s
}

func (s *consumerSim) fatalf(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("seed %d: %s\n%s", s.seed, fmt.Sprintf(format, args...), durableConsumers(s.m))
}

func (s *consumerSim) step() {
	switch n := s.r.IntN(100); {
	case n < 4 || len(s.clients) == 0:
		s.spawn()
	case n < 6:
		s.topic([]string{"a", "b", "ab"}[s.r.IntN(3)], int32(1+s.r.IntN(8)))
	case n < 8:
		s.reload()
	case n < 10:
		s.failing = true
	case n < 25:
		s.advance(time.Duration(s.r.IntN(8)) * time.Second)
	default:
		s.act(s.clients[s.r.IntN(len(s.clients))])
	}
	s.clients = slices.DeleteFunc(s.clients, func(c *simConsumer) bool { return c.dead })
}

func (s *consumerSim) spawn() {
	if len(s.clients) >= 6 {
		return
	}
	s.born++
	c := &simConsumer{id: fmt.Sprintf("m%03d", s.born), full: true, owned: map[partitionID]bool{}, assigned: map[partitionID]bool{}}
	if s.r.IntN(3) == 0 {
		instance := fmt.Sprint("i", s.r.IntN(3))
		for _, other := range s.clients {
			if other.instance != nil && *other.instance == instance {
				return
			}
		}
		c.instance = &instance
	}
	s.subscribe(c)
	s.clients = append(s.clients, c)
}

func (s *consumerSim) subscribe(c *simConsumer) {
	c.topics = [][]string{{"a"}, {"a", "b"}, {"b"}, {"a", "b", "ab"}, {}}[s.r.IntN(5)]
	c.regex = kmsg.StringPtr([]string{"", "a.*", "b|ab"}[s.r.IntN(3)])
}

// act lets a client do something.
func (s *consumerSim) act(c *simConsumer) {
	switch n := s.r.IntN(60); {
	case n == 0: // it crashes; a static one starts again under a new member id
		c.dead = true
	case n == 1:
		c.paused = !c.paused
	case n == 2 && c.epoch > 0:
		s.subscribe(c)
		c.full = true
	case n == 3 && c.epoch > 0:
		req := later(c.id, epochLeave)
		if req.InstanceID = c.instance; c.instance != nil && s.r.IntN(2) == 0 {
			req.MemberEpoch = epochLeaveStatic
		}
		c.owned = map[partitionID]bool{} // a client revokes before it leaves
		s.send(c, req, s.r.IntN(4) > 0)
		c.dead = true
	case n == 4 && c.epoch > 1: // a request that was long on its way
		s.send(c, later(c.id, c.epoch-1), false)
	case !c.paused:
		s.beats(c, s.r.IntN(15) > 0)
	}
}

// beats sends the heartbeat that a client sends now; heard tells whether the
// reply comes back.
func (s *consumerSim) beats(c *simConsumer, heard bool) {
	if c.slow--; c.slow <= 0 {
		for p := range c.owned {
			if !c.assigned[p] {
				delete(c.owned, p)
			}
		}
		if len(c.owned) < len(c.assigned) {
			maps.Copy(c.owned, c.assigned)
		}
	}
	req := later(c.id, c.epoch)
	if c.full || c.epoch == 0 {
		req = joining(c.id, c.topics...)
		req.MemberEpoch, req.SubscribedTopicRegex = c.epoch, c.regex
	}
	req.InstanceID = c.instance
	req.Topics = s.owned(c)
	s.send(c, req, heard)
}

func (s *consumerSim) owned(c *simConsumer) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	byTopic := map[metadata.UUID][]int32{}
	for p := range c.owned {
		byTopic[p.topic] = append(byTopic[p.topic], p.partition)
	}
	topics := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for id, partitions := range byTopic {
		topics = append(topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: partitions})
	}
	return topics
}

func (s *consumerSim) send(c *simConsumer, req *kmsg.ConsumerGroupHeartbeatRequest, heard bool) {
	resp := s.room.beat(req)
	if resp == nil || !heard {
		c.full = true
		return
	}
	switch protocol.Code(resp.ErrorCode) {
	case protocol.None:
		if req.MemberEpoch < 0 {
			return
		}
		c.epoch, c.full = resp.MemberEpoch, false
		if resp.Assignment != nil {
			c.assigned = map[partitionID]bool{}
			for _, t := range resp.Assignment.Topics {
				for _, p := range t.Partitions {
					c.assigned[partitionID{t.TopicID, p}] = true
				}
			}
			if c.slow = s.r.IntN(5); s.r.IntN(30) == 0 {
				c.slow = 100 // it will be fenced
			}
		}
	case protocol.FencedMemberEpoch, protocol.UnknownMemberID, protocol.GroupIDNotFound:
		c.epoch, c.full, c.owned, c.assigned = 0, true, map[partitionID]bool{}, map[partitionID]bool{}
		if c.instance != nil {
			s.born++
			c.id = fmt.Sprintf("m%03d", s.born)
		}
	case protocol.UnreleasedInstanceID, protocol.FencedInstanceID:
		c.epoch, c.full, c.owned, c.assigned = 0, true, map[partitionID]bool{}, map[partitionID]bool{}
	default:
		s.fatalf("%s for %+v", showReply(resp), req)
	}
}

func (s *consumerSim) check() {
	checkKept(s.t, s.m)
	g := s.consumers()
	if g == nil {
		return
	}
	if g.epoch < s.epoch {
		s.fatalf("the group epoch went back from %d", s.epoch)
	}
	s.epoch = g.epoch
	if g.assignmentEpoch > g.epoch {
		s.fatalf("the assignment epoch is ahead")
	}
	holders := map[partitionID]string{}
	for id, m := range g.members {
		if m.epoch > g.assignmentEpoch {
			s.fatalf("member %s is ahead", id)
		}
		for _, lists := range [][]CurrentTopicPartitions{m.assigned, m.revoking} {
			for _, tp := range lists {
				for _, p := range tp.Partitions {
					if other, ok := holders[partitionID{tp.TopicID, p}]; ok {
						s.fatalf("%s is held by %s and %s", showTopic(tp.TopicID, []int32{p}), other, id)
					}
					holders[partitionID{tp.TopicID, p}] = id
				}
			}
		}
	}
	for p, n := range g.held {
		if n != 1 || holders[p] == "" {
			s.fatalf("%v is counted %d times, and held by %q", p, n, holders[p])
		}
	}
	// G10: what a client reads, and could commit, nobody else holds.
	for _, c := range s.clients {
		m := g.members[c.id]
		if m == nil || c.epoch == 0 || m.epoch < 0 {
			continue // fenced: it cannot commit
		}
		for p := range c.owned {
			check, err := g.checkCommit(commitBy{memberID: c.id, generation: c.epoch, version: 9})
			if err == nil && check != nil {
				err = check("", p.topic, p.partition)
			}
			if holder := holders[p]; err == nil && holder != "" && holder != c.id {
				s.fatalf("%s reads %v in epoch %d, which %s holds", c.id, p, c.epoch, holder)
			}
		}
	}
	if s.r.IntN(20) > 0 {
		return
	}
	if live, loaded := durableConsumers(s.m), durableConsumers(s.loaded(s.r.IntN(2) == 0)); live != loaded {
		s.fatalf("the log says\n%s", loaded)
	}
}

// settle ends all faults, and waits until nothing moves any more.
func (s *consumerSim) settle() {
	s.failing = false
	for _, c := range s.clients {
		c.paused, c.slow = false, 0
	}
	if len(s.clients) == 0 {
		s.spawn()
	}
	for range 40 { // longer than any timeout
		for _, c := range s.clients {
			c.slow = 0
			s.beats(c, true)
			s.check()
		}
		s.advance(5 * time.Second)
	}
	g := s.consumers()
	if g == nil || g.state() != "Stable" || len(g.members) != len(s.clients) {
		s.fatalf("it does not come to rest: %d clients", len(s.clients))
	}
	want := map[partitionID]bool{}
	for topic := range s.image.Topics() {
		if g.subscribed(topic.Name) {
			for p := range topic.NumPartitions() {
				want[partitionID{topic.ID, int32(p)}] = true
			}
		}
	}
	got := map[partitionID]bool{}
	for _, c := range s.clients {
		for p := range c.owned {
			if got[p] {
				s.fatalf("%v is read twice", p)
			}
			got[p] = true
		}
	}
	if !maps.Equal(got, want) {
		s.fatalf("%v are read, want %v", got, want)
	}
}
