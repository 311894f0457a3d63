package group

import (
	"sync/atomic"

	"ottla/internal/protocol"
)

// ledger counts the memory of what clients made a machine keep: groups, members
// with their subscriptions, committed offsets. It is about right, so that a bound
// on it is one on the process.
//
// The machine counts in its shard's goroutine; anybody may read.
type ledger struct {
	bytes atomic.Int64
	// full tells whether so many more bytes are too many; nil is never.
	full func(more int64) bool
}

func (l *ledger) add(n int) { l.bytes.Add(int64(n)) }

// admit refuses what would keep n more bytes when there is no room:
// COORDINATOR_LOAD_IN_PROGRESS, after which clients wait and ask again.
func (l *ledger) admit(n int) error {
	if l.full != nil && n > 0 && l.full(int64(n)) {
		return protocol.CoordinatorLoadInProgress
	}
	return nil
}

// What is kept takes so many bytes beside names and texts.
const (
	keptGroup  = 512
	keptMember = 512
	keptOffset = 128
	keptTopic  = 128
)

// keptShare of ottla.memory.max is what all groups of a node may take.
const keptShare = 4

// keptUnknown is that memory when ottla.memory.max is not known.
const keptUnknown = 512 << 20

// full tells whether the groups of all shards here would take too much memory
// with so many more bytes.
func (c *Coordinator) full(more int64) bool {
	most := int64(keptUnknown)
	if n := c.options.Config().Ottla.MemoryMax; n > 0 {
		most = n / keptShare
	}
	return c.Kept()+more > most
}

// Kept is about how many bytes the groups take that this node coordinates.
func (c *Coordinator) Kept() (bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, partition := range c.runtime.Led() {
		if l := c.ledgers[partition]; l != nil {
			bytes += l.bytes.Load()
		}
	}
	return bytes
}

// setGroup puts a group into the place of its namesake, and dropGroup takes one
// out.
func (m *Machine) setGroup(id string, g group) {
	if m.groups[id] == nil {
		m.kept.add(keptGroup + len(id))
	}
	m.groups[id] = g
}

func (m *Machine) dropGroup(id string) {
	if m.groups[id] != nil {
		m.kept.add(-keptGroup - len(id))
	}
	delete(m.groups, id)
}

// size is what a member keeps. Assignments do not count: they fit a record of
// the internal topic.
func (c *classicMember) size() int {
	n := keptMember + 2*len(c.id) + len(c.client.ID)
	if c.instanceID != nil {
		n += 2 * len(*c.instanceID)
	}
	return n + protocolsSize(c.protocols)
}

// protocolsSize is what the protocols of a member keep.
func protocolsSize(protocols []classicProtocol) (n int) {
	for _, p := range protocols {
		n += keptTopic + 2*len(p.name) + len(p.metadata)
	}
	return n
}

// size is what a member keeps.
func (m *consumerMember) size() int {
	return keptMember + 2*len(m.id) + len(m.sub.ClientID) + len(m.regex()) + namesSize(m.sub.SubscribedTopicNames)
}

// namesSize is what the names of topics keep.
func namesSize(names []string) (n int) {
	for _, name := range names {
		n += keptTopic + 2*len(name)
	}
	return n
}

// offsetSize is what an offset keeps; fresh when its topic had none.
func offsetSize(topic string, c committed, fresh bool) int {
	n := keptOffset + len(c.metadata)
	if fresh {
		n += keptTopic + len(topic)
	}
	return n
}
