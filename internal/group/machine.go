package group

import (
	"math/rand/v2"
	"time"

	"ottla/internal/config"
	"ottla/internal/coordinator"
)

// Machine is the state of all groups of one partition of __consumer_offsets.
// It is a coordinator.Machine; besides, it has a method for each request:
//
//	func (m *Machine) JoinGroup(at Moment, to Ticket, c Client, version int16, req *kmsg.JoinGroupRequest) Output
//
// A request is decided on the newest state, committed or not; the runtime holds
// its reply back until that state is committed.
type Machine struct {
	config func() *config.Broker
	// random draws member ids.
	random *rand.Rand

	groups map[string]group
	timers coordinator.Timers[timerKey]
}

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
	regexRefresh                      // a subscription by regular expression is resolved anew
	expireOffsets                     // offsets.retention.check.interval.ms is over
)

// NewMachine returns a machine without groups. config is the broker's
// configuration in force, random the source of member ids.
func NewMachine(config func() *config.Broker, random *rand.Rand) *Machine {
	return &Machine{config: config, random: random, groups: map[string]group{}}
}

// Next is when the next deadline is.
func (m *Machine) Next() (time.Duration, bool) { return m.timers.Next() }
