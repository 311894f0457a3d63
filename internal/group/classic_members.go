package group

import (
	"bytes"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
)

// classicMember is a member of a classic group.
type classicMember struct {
	id string
	// instanceID makes the member static (KIP-345).
	instanceID *string
	client     Client
	// rebalanceTimeout and sessionTimeout are in ms.
	rebalanceTimeout, sessionTimeout int32
	// protocols are what the member supports, the preferred first.
	protocols  []classicProtocol
	assignment []byte

	// fresh members were not in a generation yet: they are let go if nothing
	// comes of it for newMemberTimeout, though their JoinGroup waits.
	fresh bool
	// unsynced members know of the generation and did not ask for their
	// assignment yet.
	unsynced bool
	// join and sync are the requests that wait.
	join, sync waiter
}

// classicProtocol is a name such as "range", and what the member has to say to a
// leader that assigns by it.
type classicProtocol struct {
	name     string
	metadata []byte
}

func (p classicProtocol) equal(other classicProtocol) bool {
	return p.name == other.name && bytes.Equal(p.metadata, other.metadata)
}

// waiter is a request that waits for its reply; the zero value is nobody.
type waiter struct {
	to      coordinator.Ticket
	version int16
}

func (w waiter) waits() bool { return w.to != coordinator.NoTicket }

// consumerProtocolType is the protocol type of groups of consumers, whose
// metadata are subscriptions.
const consumerProtocolType = "consumer"

// metadata is what the member says under a protocol; nil when it does not
// support it.
func (c *classicMember) metadata(name string) []byte {
	for _, p := range c.protocols {
		if p.name == name {
			return p.metadata
		}
	}
	return nil
}

// matches tells whether a JoinGroup says what the member said before.
func (c *classicMember) matches(protocols []classicProtocol) bool {
	return slices.EqualFunc(c.protocols, protocols, classicProtocol.equal)
}

// classicProtocols copies the protocols of a request; of two with one name the
// first counts, as in Kafka.
func classicProtocols(from []kmsg.JoinGroupRequestProtocol) []classicProtocol {
	protocols := make([]classicProtocol, 0, len(from))
	seen := make(map[string]bool, len(from))
	for _, p := range from {
		if !seen[p.Name] {
			seen[p.Name] = true
			protocols = append(protocols, classicProtocol{p.Name, slices.Clone(p.Metadata)})
		}
	}
	return protocols
}

// classicMembers are the members of a group.
type classicMembers struct {
	// inOrder are the members, the oldest first: what is decided of several does
	// not depend on chance.
	inOrder []*classicMember
	byID    map[string]*classicMember
	// statics are the static members, by instance id.
	statics map[string]*classicMember
	// supporters count the members that support a protocol.
	supporters map[string]int
	// joining and syncing count the members that wait in JoinGroup, and those
	// that are unsynced.
	joining, unsynced int
	// topics are what the members subscribe to; nil when that is not known.
	topics map[string]struct{}
	// bytes is what the members keep; kept counts it too.
	bytes int
	kept  *ledger
}

func newClassicMembers(kept *ledger) classicMembers {
	return classicMembers{
		kept: kept,
		byID: map[string]*classicMember{}, statics: map[string]*classicMember{},
		supporters: map[string]int{}, topics: map[string]struct{}{},
	}
}

// insert adds a member.
func (s *classicMembers) insert(c *classicMember) {
	s.inOrder = append(s.inOrder, c)
	s.link(c)
}

// link and unlink keep the indexes.
func (s *classicMembers) link(c *classicMember) {
	s.byID[c.id] = c
	if c.instanceID != nil {
		s.statics[*c.instanceID] = c
	}
	s.count(c, 1)
}

func (s *classicMembers) unlink(c *classicMember) {
	delete(s.byID, c.id)
	if c.instanceID != nil {
		delete(s.statics, *c.instanceID)
	}
	s.count(c, -1)
}

func (s *classicMembers) count(c *classicMember, by int) {
	n := by * c.size()
	s.bytes += n
	s.kept.add(n)
	for _, p := range c.protocols {
		if s.supporters[p.name] += by; s.supporters[p.name] == 0 {
			delete(s.supporters, p.name)
		}
	}
	if c.join.waits() {
		s.joining += by
	}
	if c.unsynced {
		s.unsynced += by
	}
}

// drop takes members out; pick says which.
func (s *classicMembers) drop(pick func(c *classicMember) bool) {
	s.inOrder = slices.DeleteFunc(s.inOrder, func(c *classicMember) bool {
		if pick(c) {
			s.unlink(c)
			return true
		}
		return false
	})
}

// replace puts a member into the place of another.
func (s *classicMembers) replace(former, c *classicMember) {
	s.unlink(former)
	s.inOrder[slices.Index(s.inOrder, former)] = c
	s.link(c)
}

// setJoin, setUnsynced and setProtocols change what is counted.
func (s *classicMembers) setJoin(c *classicMember, w waiter) {
	s.count(c, -1)
	c.join = w
	s.count(c, 1)
}

func (s *classicMembers) setUnsynced(c *classicMember, unsynced bool) {
	s.count(c, -1)
	c.unsynced = unsynced
	s.count(c, 1)
}

func (s *classicMembers) setProtocols(c *classicMember, protocols []classicProtocol) {
	s.count(c, -1)
	c.protocols = protocols
	s.count(c, 1)
}

// rebalanceTimeout is the longest of the members'.
func (s *classicMembers) rebalanceTimeout() time.Duration {
	var longest int32
	for _, c := range s.inOrder {
		longest = max(longest, c.rebalanceTimeout)
	}
	return millis(longest)
}

func millis(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

// supported tells whether all members support a protocol.
func (s *classicMembers) supported(name string) bool { return s.supporters[name] == len(s.inOrder) }

// vote is the protocol that most members prefer among those that all support;
// among equals it is the one that the oldest member names first.
func (s *classicMembers) vote() string {
	votes := map[string]int{}
	var winner string
	for _, c := range s.inOrder {
		for _, p := range c.protocols {
			if s.supported(p.name) {
				votes[p.name]++
				break
			}
		}
	}
	for _, c := range s.inOrder {
		for _, p := range c.protocols {
			if votes[p.name] > votes[winner] {
				winner = p.name
			}
		}
	}
	return winner
}

// subscriptions sets topics to what the members say under a protocol.
func (s *classicMembers) subscriptions(protocolName *string) {
	s.topics = map[string]struct{}{}
	if protocolName == nil {
		return
	}
	for _, c := range s.inOrder {
		s.subscribe(c.metadata(*protocolName))
	}
}

// subscribe adds the topics of a subscription. One that cannot be read may be
// any.
func (s *classicMembers) subscribe(metadata []byte) {
	topics, ok := subscribedTopics(metadata)
	if !ok {
		s.topics = nil
	}
	if s.topics == nil {
		return
	}
	for _, topic := range topics {
		s.topics[topic] = struct{}{}
	}
}

// subscribedTopics reads a ConsumerProtocolSubscription as version 0, with which
// all versions begin. It is a client's: kmsg would allocate by its length field.
func subscribedTopics(metadata []byte) (topics []string, ok bool) {
	b := kbin.Reader{Src: metadata}
	if version := b.Int16(); version < 0 {
		return nil, false
	}
	n := b.Int32()
	if n < 0 {
		return nil, false
	}
	for ; n > 0 && b.Ok(); n-- {
		topics = append(topics, b.String())
	}
	b.NullableBytes()
	return topics, b.Ok()
}

// subscribed implements group.
func (g *classicGroup) subscribed(topic string) bool {
	switch {
	case len(g.inOrder) == 0:
		return false
	case g.protoType != consumerProtocolType || g.topics == nil:
		return true
	}
	_, ok := g.topics[topic]
	return ok
}
