package replica

import (
	"ottla/internal/config"
	"ottla/internal/metadata"
)

// apply applies the partition's state in the metadata. Only Manager.Apply calls
// it, one call at a time. A state older than the current one is ignored (R2).
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
		late = p.acks.takeAll() // added while resign waited
	case p.closed == nil:
		p.lead()
	}
	p.mu.Unlock()
	complete(late, ErrNotLeader)
	p.advance()
	p.wake(ReadUncommitted)
}

// lead admits appends. It reads the counting offset from the log again, because
// a flush reported before a truncation does not apply to the current log.
// Called with mu held.
func (p *Partition) lead() {
	p.leading = true
	p.remotes = nil
	p.counting = p.log.EndOffset()
	if p.durable {
		p.counting = p.log.FlushedOffset()
	}
}

// resign stops new appends. It is called with mu held and returns with mu
// unlocked, after the appends in flight have ended. Requests that wait for acks
// get reason, unless this node stays the leader.
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

// fail ends the service: every waiting request and every later call gets
// reason. It does not wait for appends in flight, because one of them may be
// the caller.
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

// close is like fail, but waits for the appends in flight. The log may be
// deleted afterwards.
func (p *Partition) close(reason error) {
	p.fail(reason)
	p.mu.Lock()
	p.resign(reason, false)
}

// configure sets a new config. A smaller min.insync.replicas may allow the high
// watermark to advance.
func (p *Partition) configure(c config.Topic) {
	p.log.UpdateConfig(c)
	p.mu.Lock()
	next := *p.state
	next.config = c
	p.state = &next
	p.mu.Unlock()
	p.advance()
}
