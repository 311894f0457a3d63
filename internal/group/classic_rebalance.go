package group

import (
	"time"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

// initialRebalance is how the first rebalance of an empty group waits.
type initialRebalance struct {
	// running: the group was empty before.
	running bool
	// joined: a member came since the delay began.
	joined bool
	// end is when the members' rebalance timeout is over (Moment.Mono).
	end time.Duration
}

// timer names a deadline of the group, or of one of its members.
func (g *classicGroup) timer(kind timerKind, memberID string) timerKey {
	return timerKey{group: g.groupID, member: memberID, kind: kind}
}

// enter changes the state.
func (g *classicGroup) enter(at coordinator.Moment, s classicState) {
	g.current, g.since = s, at.Wall
}

// rebalance begins a rebalance, or goes on with the one that is under way.
func (g *classicGroup) rebalance(at coordinator.Moment, out *coordinator.Output) {
	if g.current == classicPreparingRebalance {
		g.maybeCompleteJoin(at, out)
		return
	}
	if g.current == classicCompletingRebalance {
		g.cancelSync(at, out)
	}
	g.allSynced()
	if g.empty() {
		delay := g.m.config().Groups.InitialRebalanceDelay
		g.initial = initialRebalance{running: true, end: at.Mono + max(delay, g.rebalanceTimeout())}
		g.enter(at, classicPreparingRebalance)
		g.m.timers.Set(g.timer(initialDelay, ""), at.Mono+delay)
		return
	}
	g.enter(at, classicPreparingRebalance)
	if g.allJoined() {
		g.completeJoin(at, out)
		return
	}
	g.m.timers.Set(g.timer(rebalanceTimeout, ""), at.Mono+g.rebalanceTimeout())
}

// cancelSync sends the members that wait for their assignment to join again.
func (g *classicGroup) cancelSync(at coordinator.Moment, out *coordinator.Output) {
	for _, c := range g.inOrder {
		c.assignment = nil
		if c.sync.waits() {
			out.Replies = append(out.Replies, syncError(c.sync, protocol.RebalanceInProgress))
			c.sync = waiter{}
			g.renew(at, c)
		}
	}
}

// allSynced ends the wait for SyncGroups.
func (g *classicGroup) allSynced() {
	for _, c := range g.inOrder {
		if c.unsynced {
			g.setUnsynced(c, false)
		}
	}
	g.m.timers.Cancel(g.timer(rebalanceTimeout, ""))
}

// allJoined tells whether nobody is missing, those who got a member id included.
func (g *classicGroup) allJoined() bool {
	return g.joining == len(g.inOrder) && len(g.pending) == 0
}

// maybeCompleteJoin ends the phase of joining early when nobody is missing. A
// first rebalance waits for its delay all the same.
func (g *classicGroup) maybeCompleteJoin(at coordinator.Moment, out *coordinator.Output) {
	if g.current == classicPreparingRebalance && !g.initial.running && g.allJoined() {
		g.completeJoin(at, out)
	}
}

// endInitialDelay waits once more when a member came meanwhile and there is time.
func (g *classicGroup) endInitialDelay(at coordinator.Moment, out *coordinator.Output) {
	if !g.initial.joined || at.Mono >= g.initial.end {
		g.completeJoin(at, out)
		return
	}
	g.initial.joined = false
	next := min(at.Mono+g.m.config().Groups.InitialRebalanceDelay, g.initial.end)
	g.m.timers.Set(g.timer(initialDelay, ""), next)
}

// completeJoin ends the phase of joining: whoever is missing is removed, and the
// next generation begins (G2, G3).
func (g *classicGroup) completeJoin(at coordinator.Moment, out *coordinator.Output) {
	g.m.timers.Cancel(g.timer(rebalanceTimeout, ""))
	g.m.timers.Cancel(g.timer(initialDelay, ""))
	g.initial = initialRebalance{}
	g.removeAll(out, func(c *classicMember) bool { return c.instanceID == nil && !c.join.waits() })
	if !g.electLeader() && len(g.inOrder) > 0 {
		// Static members alone are left, and none of them is here. Their sessions
		// go on: wait for them, or for their end.
		g.m.timers.Set(g.timer(rebalanceTimeout, ""), at.Mono+g.rebalanceTimeout())
		return
	}
	g.generation++
	if len(g.inOrder) == 0 {
		g.protocol = nil
		g.subscriptions(nil)
		g.enter(at, classicEmpty)
		out.Records = append(out.Records, g.record(nil))
		return
	}
	chosen := g.vote()
	g.protocol = &chosen
	g.subscriptions(g.protocol)
	g.enter(at, classicCompletingRebalance)
	for _, c := range g.inOrder {
		if c.join.waits() {
			out.Replies = append(out.Replies, g.joined(c, c.join))
			g.setJoin(c, waiter{})
		}
		c.fresh = false
		g.setUnsynced(c, true)
		g.renew(at, c)
	}
	g.m.timers.Set(g.timer(rebalanceTimeout, ""), at.Mono+g.rebalanceTimeout())
}

// electLeader makes a member the leader that has joined; false when none has.
func (g *classicGroup) electLeader() bool {
	if c := g.byID[g.leader]; c != nil && c.join.waits() {
		return true
	}
	for _, c := range g.inOrder {
		if c.join.waits() {
			g.leader = c.id
			return true
		}
	}
	return false
}

// remove takes a member out, if there is one of that id. Whether that begins a
// rebalance is left to the caller.
func (g *classicGroup) remove(out *coordinator.Output, memberID string) {
	if g.byID[memberID] != nil {
		g.removeAll(out, func(c *classicMember) bool { return c.id == memberID })
	}
}

// removeAll takes out the members that pick says. Their requests that wait are
// answered: they may come back as somebody new.
func (g *classicGroup) removeAll(out *coordinator.Output, pick func(c *classicMember) bool) {
	g.drop(func(c *classicMember) bool {
		if !pick(c) {
			return false
		}
		if c.join.waits() {
			out.Replies = append(out.Replies, joinError(c.join, protocol.UnknownMemberID, ""))
		}
		if c.sync.waits() {
			out.Replies = append(out.Replies, syncError(c.sync, protocol.UnknownMemberID))
		}
		g.m.timers.Cancel(g.timer(sessionTimeout, c.id))
		return true
	})
	if g.byID[g.leader] == nil {
		g.leader = ""
		if len(g.inOrder) > 0 {
			g.leader = g.inOrder[0].id
		}
	}
}

// fence answers what a static member's former self waits for.
func (g *classicGroup) fence(out *coordinator.Output, former *classicMember) {
	if former.join.waits() {
		out.Replies = append(out.Replies, joinError(former.join, protocol.FencedInstanceID, former.id))
	}
	if former.sync.waits() {
		out.Replies = append(out.Replies, syncError(former.sync, protocol.FencedInstanceID))
	}
}

// replaceMember puts a static member into the place of its former self.
func (g *classicGroup) replaceMember(former, c *classicMember) {
	g.replace(former, c)
	if g.leader == former.id {
		g.leader = c.id
	}
}

// voteWith is the protocol that would be chosen with c in the place of former.
func (g *classicGroup) voteWith(former, c *classicMember) string {
	g.replace(former, c)
	chosen := g.vote()
	g.replace(c, former)
	return chosen
}

// due does what is due at a deadline of the group.
func (g *classicGroup) due(at coordinator.Moment, key timerKey) (out coordinator.Output) {
	switch key.kind {
	case sessionTimeout:
		g.expireSession(at, &out, key.member)
	case joinTimeout:
		g.forgetPending(key.member)
		g.afterRemoval(at, &out)
	case initialDelay:
		g.endInitialDelay(at, &out)
	case rebalanceTimeout:
		g.endPhase(at, &out)
	case revokeTimeout, expireOffsets: // not of this kind of group
	}
	return out
}

// endPhase ends the time that members had to join, or to sync. Those that did
// not sync are removed; a generation that has no assignment by then, because
// it could not be written, is given up.
func (g *classicGroup) endPhase(at coordinator.Moment, out *coordinator.Output) {
	switch g.current {
	case classicPreparingRebalance:
		g.completeJoin(at, out)
	case classicCompletingRebalance, classicStable:
		lost := g.unsynced > 0
		g.removeAll(out, func(c *classicMember) bool { return c.unsynced })
		if lost || g.current == classicCompletingRebalance {
			g.rebalance(at, out)
		}
	case classicEmpty, classicDead:
	}
}
