package group

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
)

// Machine is the state of all groups of one partition of __consumer_offsets.
// It is a coordinator.Machine; besides, it has a method for each request:
//
//	func (m *Machine) JoinGroup(at coordinator.Moment, to coordinator.Ticket, c Client, req *kmsg.JoinGroupRequest) coordinator.Output
//
// A request is decided on the newest state, committed or not; the runtime holds
// its reply back until that state is committed.
//
// What belongs to a kind of group hangs on three tables: folds (records.go) by
// the type of a record, duties (below) by the kind of a deadline, and the
// interface group.
type Machine struct {
	config func() *config.Broker
	// random draws member ids.
	random *rand.Rand

	// kept counts what is below.
	kept   *ledger
	groups map[string]group
	timers coordinator.Timers[timerKey]
	hashes topicHashes

	// offsets are what the groups committed; a group that has an offset is in
	// groups, too, or was deleted in this very batch.
	offsets map[string]*groupOffsets
	// transactions are the groups in which an open transaction of a producer
	// has offsets.
	transactions map[int64]map[string]bool
}

var _ coordinator.Machine = (*Machine)(nil)

// timerKey names a deadline of a group.
type timerKey struct {
	group, member string
	kind          timerKind
}

// timerKind is what happens at a deadline.
type timerKind int8

// The deadlines. Sessions, joins and rebalances belong to a member or to a
// group; expireOffsets to the machine.
const (
	sessionTimeout   timerKind = iota // a member was not heard of
	joinTimeout                       // a member id was given out and not used (KIP-394)
	rebalanceTimeout                  // the members of a classic group had their time to join, or to sync
	initialDelay                      // group.initial.rebalance.delay.ms is over
	revokeTimeout                     // a member of a consumer group did not revoke in time
	expireOffsets                     // offsets.retention.check.interval.ms is over
)

// duties has what a deadline of each kind leads to; the deadline is over by
// then.
var duties = map[timerKind]func(m *Machine, at coordinator.Moment, k timerKey) coordinator.Output{
	sessionTimeout:   (*Machine).groupDue,
	joinTimeout:      (*Machine).groupDue,
	rebalanceTimeout: (*Machine).groupDue,
	initialDelay:     (*Machine).groupDue,
	revokeTimeout:    (*Machine).groupDue,
	expireOffsets:    (*Machine).expire,
}

// dutiful is a group that sets deadlines.
type dutiful interface {
	due(at coordinator.Moment, k timerKey) coordinator.Output
}

// groupDue has a group do what is due; one that is no more has nothing to do.
func (m *Machine) groupDue(at coordinator.Moment, k timerKey) coordinator.Output {
	if g, ok := m.groups[k.group].(dutiful); ok {
		return g.due(at, k)
	}
	return coordinator.Output{}
}

// NewMachine returns a machine without groups. config is the broker's
// configuration in force, random the source of member ids.
func NewMachine(config func() *config.Broker, random *rand.Rand) *Machine {
	return &Machine{
		config: config, random: random, kept: &ledger{}, groups: map[string]group{},
		offsets: map[string]*groupOffsets{}, transactions: map[int64]map[string]bool{},
	}
}

// Loaded begins the sessions of all groups, and forgets the offsets of topics
// that went while nobody looked.
func (m *Machine) Loaded(at coordinator.Moment) coordinator.Output {
	m.expireLater(at)
	out := m.forgetTopics(at, nil)
	for _, id := range m.sorted() {
		out.Add(m.groups[id].loaded(at))
	}
	return out
}

// TopicsChanged forgets the offsets of topics that went, and tells the groups.
func (m *Machine) TopicsChanged(at coordinator.Moment, topics []metadata.TopicDelta) coordinator.Output {
	out := m.forgetTopics(at, topics)
	for _, id := range m.sorted() {
		out.Add(m.groups[id].topicsChanged(at, topics))
	}
	return out
}

// Tick does the duty of the deadline that was over first.
func (m *Machine) Tick(at coordinator.Moment) coordinator.Output {
	key, due := m.timers.Due(at.Mono)
	if !due || duties[key.kind] == nil {
		return coordinator.Output{}
	}
	return duties[key.kind](m, at, key)
}

// Next is when the next deadline is.
func (m *Machine) Next() (time.Duration, bool) { return m.timers.Next() }

// newID draws a member id.
func (m *Machine) newID() string {
	var id metadata.UUID
	binary.BigEndian.PutUint64(id[:8], m.random.Uint64())
	binary.BigEndian.PutUint64(id[8:], m.random.Uint64())
	return metadata.FormatUUID(id)
}
