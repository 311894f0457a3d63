package replica

import (
	"ottla/internal/config"
	"ottla/internal/metadata"
)

// apply takes what metadata says of the partition. Manager.Apply alone calls
// it, one call at a time. A state older than the one known is ignored (R2).
func (p *Partition) apply(m *metadata.Partition, c config.Topic) {
	p.mu.Lock()
	old := p.state
	if m.PartitionEpoch < old.partitionEpoch || m.LeaderEpoch < old.leaderEpoch || p.closed != nil {
		p.mu.Unlock()
		return
	}
	next := &state{
		leader: m.Leader, leaderEpoch: m.LeaderEpoch, partitionEpoch: m.PartitionEpoch,
		ledSince: old.ledSince, epochStart: old.epochStart, replicas: m.Replicas, isr: m.ISR, config: c,
	}
	lead := m.Leader == p.node
	if old.leader != p.node {
		next.ledSince = next.leaderEpoch
	}
	if lead && p.leading && next.leaderEpoch == old.leaderEpoch {
		p.state = next
		p.mu.Unlock()
		p.advance()
		return
	}
	// resign unlocks.
	p.resign(ErrNotLeader, lead)
	if lead {
		next.epochStart = p.log.EndOffset()
		p.log.AssignEpoch(next.leaderEpoch, next.epochStart)
	}
	p.mu.Lock()
	p.state = next
	var late []*ackWait
	switch {
	case !lead:
		late = p.acks.takeAll() // came while resign waited
	case p.closed == nil:
		p.lead()
	}
	p.mu.Unlock()
	complete(late, ErrNotLeader)
	p.advance()
	p.wake(ReadUncommitted)
}

// lead opens the door to appends. What counts is read anew: a flush that was
// reported before a truncation says nothing about the log of today. Called
// with mu held.
func (p *Partition) lead() {
	p.leading = true
	p.remotes = nil
	p.counting = p.log.EndOffset()
	if p.durable {
		p.counting = p.log.FlushedOffset()
	}
}

// resign closes the door to appends, with mu held, and returns without it
// once those in flight are through. Whoever waits for acks is told reason,
// unless this node stays the leader.
func (p *Partition) resign(reason error, stays bool) {
	p.leading = false
	var failed []*ackWait
	if !stays {
		failed = p.acks.takeAll()
	}
	var idle chan struct{}
	if p.appending > 0 {
		if p.idle == nil {
			p.idle = make(chan struct{})
		}
		idle = p.idle
	}
	p.mu.Unlock()
	complete(failed, reason)
	if idle != nil {
		<-idle
	}
}

// fail ends the service: every waiter and every later call gets reason. It
// does not wait for appends in flight, since one of them may be the caller.
func (p *Partition) fail(reason error) {
	p.mu.Lock()
	if p.closed == nil {
		p.closed = reason
	}
	p.leading = false
	failed := p.acks.takeAll()
	p.mu.Unlock()
	complete(failed, reason)
	p.wake(LogEnd)
}

// close is fail, and waits for the appends in flight: the log may be deleted
// after it.
func (p *Partition) close(reason error) {
	p.fail(reason)
	p.mu.Lock()
	p.resign(reason, false)
}

// configure takes a new config; a smaller min.insync.replicas may free the
// high watermark.
func (p *Partition) configure(c config.Topic) {
	p.log.UpdateConfig(c)
	p.mu.Lock()
	next := *p.state
	next.config = c
	p.state = &next
	p.mu.Unlock()
	p.advance()
}
