package controller

import (
	"slices"

	"ottla/internal/metadata"
)

// election says which leaders an election may choose.
type election int

const (
	// electOnline keeps the leader if it can lead, else takes the first replica
	// that is in sync.
	electOnline election = iota
	// electPreferred takes the first replica if it can lead.
	electPreferred
	// electUnclean takes any live replica when none is in sync: records may be lost.
	electUnclean
)

// partitionChange builds the record that changes a partition: what is asked for
// and what follows from it, namely its leader and its eligible leader replicas
// (KIP-966). It is Kafka's PartitionChangeBuilder:
//
//  1. a reassignment whose new replicas are all in sync is completed;
//  2. when the ISR falls below min.insync.replicas, its members become
//     eligible leader replicas (ELR): they hold every committed record, since
//     nothing is committed below that number. At or above it the ELR is empty;
//  3. the leader is elected: from the ISR; from the ELR when the ISR is empty;
//     the last leader when both are; any live replica if the topic allows it;
//  4. what differs from the partition goes into the record.
type partitionChange struct {
	topic metadata.UUID
	old   *metadata.Partition
	// acceptable tells whether a broker may lead.
	acceptable func(broker int32) bool
	election   election
	minISR     int
	elr        bool // KIP-966 is on
	// uncleanShutdown is a broker that lost what was not on disk, NoLeader for none.
	uncleanShutdown int32
	// defaultDir is the log dir of a replica that has none yet.
	defaultDir func(broker int32) metadata.UUID

	isr, replicas, removing, adding []int32
	targetELR                       []int32
	directories                     map[int32]metadata.UUID
}

// change begins a change that changes nothing.
func (v *view) change(t *metadata.Topic, p *metadata.Partition) *partitionChange {
	c := &partitionChange{
		topic: t.ID, old: p, election: electOnline, minISR: v.minISR(t), elr: v.elrEnabled(),
		uncleanShutdown: metadata.NoLeader, defaultDir: v.defaultDir,
		isr: p.ISR, replicas: p.Replicas, removing: p.Removing, adding: p.Adding,
		targetELR: p.ELR, directories: map[int32]metadata.UUID{},
	}
	for _, id := range p.Replicas {
		if dir, ok := p.Directory(id); ok {
			c.directories[id] = dir
		}
	}
	c.acceptable = func(broker int32) bool { return v.active(broker) && v.dirOnline(p, broker) }
	return c
}

// dirOnline tells whether the log dir of a replica is online, as far as known.
func (v *view) dirOnline(p *metadata.Partition, broker int32) bool {
	dir, _ := p.Directory(broker)
	switch dir {
	case metadata.DirUnassigned, metadata.DirMigrating:
		return true
	case metadata.DirLost:
		return false
	}
	b := v.img.Broker(broker)
	return b != nil && (len(b.LogDirs) == 0 || b.HasLogDir(dir))
}

// build returns the record, nil when nothing changes.
func (c *partitionChange) build() *metadata.PartitionChangeRecord {
	m := metadata.NewPartitionChangeRecord()
	m.TopicID, m.PartitionID = c.topic, c.old.ID
	c.completeReassignment()
	c.populateELR()
	c.elect(m)
	// A leader must know that a replica is gone: it begins a new epoch.
	if m.Leader == metadata.NoLeaderChange && missing(c.replicas, c.old.Replicas) {
		m.Leader = c.old.Leader
	}
	c.recordELR(m)
	if m.ISR == nil && (len(c.isr) > 0 || c.elr) && !slices.Equal(c.isr, c.old.ISR) {
		m.ISR = list(c.isr)
	}
	c.recordLastLeader(m)
	c.recordAssignment(m)
	if unchanged(m) {
		return nil
	}
	return m
}

// completeReassignment ends a reassignment once its new replicas are in sync,
// and, when replicas become fewer, all that stay.
func (c *partitionChange) completeReassignment() {
	if len(c.removing)+len(c.adding) == 0 {
		return
	}
	isr, replicas := without(c.isr, c.removing), without(c.replicas, c.removing)
	if len(isr) == 0 || len(replicas) == 0 || missing(isr, c.adding) {
		return
	}
	if len(c.adding) < len(c.removing) && missing(isr, replicas) {
		return
	}
	c.isr, c.replicas, c.removing, c.adding = isr, replicas, nil, nil
}

func (c *partitionChange) populateELR() {
	if !c.elr {
		return
	}
	if len(c.isr) >= c.minISR {
		c.targetELR = nil
		return
	}
	members := union(c.targetELR, c.old.ISR)
	c.targetELR = without(without(members, c.isr), []int32{c.uncleanShutdown})
}

// elect chooses the leader and writes a change of it.
func (c *partitionChange) elect(m *metadata.PartitionChangeRecord) {
	leader, unclean := c.chooseLeader()
	if leader == c.old.Leader {
		return
	}
	m.Leader = leader
	if slices.Contains(c.targetELR, leader) {
		c.isr = []int32{leader}
		c.targetELR = without(c.targetELR, c.isr)
	}
	if unclean {
		m.ISR = []int32{leader}
		if !c.old.Recovering {
			m.LeaderRecoveryState = 1
		}
	}
}

func (c *partitionChange) chooseLeader() (leader int32, unclean bool) {
	if c.election == electPreferred && c.canLead(c.replicas[0]) {
		return c.replicas[0], false
	}
	if c.canLead(c.old.Leader) {
		return c.old.Leader, false
	}
	if i := slices.IndexFunc(c.replicas, c.canLead); i >= 0 {
		return c.replicas[i], false
	}
	if c.lastLeaderCanLead() {
		return c.old.LastKnownELR[0], true
	}
	if i := slices.IndexFunc(c.replicas, c.acceptable); i >= 0 && c.election == electUnclean {
		return c.replicas[i], true
	}
	return metadata.NoLeader, false
}

// canLead tells whether a replica can lead without losing committed records.
func (c *partitionChange) canLead(replica int32) bool {
	inSync := slices.Contains(c.isr, replica) || len(c.isr) == 0 && slices.Contains(c.targetELR, replica)
	return inSync && c.acceptable(replica)
}

// lastLeaderCanLead tells whether the last leader is back when nobody else can
// be trusted: it has more than any other replica.
func (c *partitionChange) lastLeaderCanLead() bool {
	return c.elr && len(c.isr)+len(c.targetELR) == 0 && len(c.old.LastKnownELR) == 1 && c.acceptable(c.old.LastKnownELR[0])
}

func (c *partitionChange) recordELR(m *metadata.PartitionChangeRecord) {
	if m.ISR != nil || !c.elr { // an unclean election, or KIP-966 is off
		c.targetELR = nil
	}
	if !slices.Equal(c.targetELR, c.old.ELR) {
		m.EligibleLeaderReplicas = list(c.targetELR)
	}
}

// recordLastLeader keeps the last leader of a partition that is without one.
func (c *partitionChange) recordLastLeader(m *metadata.PartitionChangeRecord) {
	switch {
	case !c.elr:
	case m.Leader == metadata.NoLeader && len(c.old.LastKnownELR) == 0:
		m.LastKnownELR = []int32{c.old.Leader}
	case m.Leader >= 0 && len(c.old.LastKnownELR) > 0:
		m.LastKnownELR = []int32{}
	}
}

func (c *partitionChange) recordAssignment(m *metadata.PartitionChangeRecord) {
	if len(c.replicas) > 0 {
		directories := make([]metadata.UUID, len(c.replicas))
		for i, id := range c.replicas {
			dir, ok := c.directories[id]
			if !ok {
				dir = c.defaultDir(id)
			}
			directories[i] = dir
		}
		if !slices.Equal(directories, c.old.Directories) {
			m.Directories = directories
		}
		if !slices.Equal(c.replicas, c.old.Replicas) {
			m.Replicas = c.replicas
		}
	}
	if !slices.Equal(c.removing, c.old.Removing) {
		m.RemovingReplicas = list(c.removing)
	}
	if !slices.Equal(c.adding, c.old.Adding) {
		m.AddingReplicas = list(c.adding)
	}
}

func unchanged(m *metadata.PartitionChangeRecord) bool {
	return m.ISR == nil && m.Leader == metadata.NoLeaderChange && m.Replicas == nil && m.RemovingReplicas == nil &&
		m.AddingReplicas == nil && m.LeaderRecoveryState == -1 && m.Directories == nil &&
		m.EligibleLeaderReplicas == nil && m.LastKnownELR == nil
}

// list makes nil an empty list, which in a change record means "now empty".
func list(ids []int32) []int32 { return append([]int32{}, ids...) }

// without is the list without some elements, in its order.
func without(ids, drop []int32) []int32 {
	var out []int32
	for _, id := range ids {
		if !slices.Contains(drop, id) {
			out = append(out, id)
		}
	}
	return out
}

func union(a, b []int32) []int32 { return append(slices.Clone(a), without(b, a)...) }

// missing tells whether some of want are not in ids.
func missing(ids, want []int32) bool { return len(without(want, ids)) > 0 }
