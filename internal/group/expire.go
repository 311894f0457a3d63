package group

import (
	"maps"
	"slices"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
)

// sorted lists the groups by id, so that the same state decides the same
// records.
func (m *Machine) sorted() []string { return slices.Sorted(maps.Keys(m.groups)) }

// expireLater sets the next look for what is to expire.
func (m *Machine) expireLater(at coordinator.Moment) {
	m.timers.Set(timerKey{kind: expireOffsets}, at.Mono+m.config().Groups.RetentionCheckInterval)
}

// expire forgets the offsets whose time has come, and the empty groups that
// have none left (KIP-211):
//
//  1. A group in which members come and go keeps all (group.expires), and every
//     group those of the topics that its members read.
//  2. An offset that came with a retention of its own goes when that is over. Any
//     other goes offsets.retention.minutes after the group became empty, or, in a
//     group that has members or never had any, after it was committed.
//  3. An offset that an open transaction may change stays.
//
// The offsets of topics that are gone are looked for, too: there may have been no
// room to forget them when they went.
func (m *Machine) expire(at coordinator.Moment, _ timerKey) coordinator.Output {
	m.expireLater(at)
	out := m.forgetTopics(at, nil)
	for _, id := range m.sorted() {
		g := m.groups[id]
		records, left := m.expireGroup(at, g)
		out.Records = append(out.Records, records...)
		if !left && g.empty() {
			out.Records = append(out.Records, g.tombstones()...)
		}
	}
	return out
}

// expireGroup is expire for the offsets of one group; left tells that some
// stay.
func (m *Machine) expireGroup(at coordinator.Moment, g group) (records []coordinator.Record, left bool) {
	offsets := m.offsets[g.id()]
	switch {
	case offsets == nil:
		return nil, false
	case !g.expires():
		return nil, true
	}
	since, empty := g.emptySince()
	retention := m.config().Groups.OffsetsRetention.Milliseconds()
	left = len(offsets.pending) > 0
	for _, topic := range slices.Sorted(maps.Keys(offsets.committed)) {
		if g.subscribed(topic) {
			left = true
			continue
		}
		for _, id := range slices.Sorted(maps.Keys(offsets.committed[topic])) {
			c := offsets.committed[topic][id]
			from := c.timestamp
			if empty {
				from = since
			}
			over := at.Wall-from >= retention
			if c.expires >= 0 {
				over = at.Wall >= c.expires
			}
			if !over || offsets.unstable(topic, id) {
				left = true
				continue
			}
			records = append(records, offsetTombstone(g.id(), topic, id))
		}
	}
	return records, left
}

// forgetTopics forgets the offsets of topics that were deleted; with nil those
// of all topics that are not there. A topic that was created again under the
// name is another: an offset that names its id stays.
func (m *Machine) forgetTopics(at coordinator.Moment, topics []metadata.TopicDelta) coordinator.Output {
	out := coordinator.Output{Split: true}
	if topics == nil {
		m.forgetWhere(&out, at, nil)
		return out
	}
	gone := map[string]bool{}
	for _, d := range topics {
		if d.New == nil && d.Old != nil {
			gone[d.Old.Name] = true
		}
	}
	if len(gone) > 0 {
		m.forgetWhere(&out, at, gone)
	}
	return out
}

// forgetWhere forgets offsets of topics that are gone; named, if not nil, are
// the only ones that may be.
func (m *Machine) forgetWhere(out *coordinator.Output, at coordinator.Moment, named map[string]bool) {
	gone := func(topic string, id metadata.UUID) bool {
		return (named == nil || named[topic]) && goneTopic(at.Image.TopicByName(topic), id, named[topic])
	}
	for _, id := range slices.Sorted(maps.Keys(m.offsets)) {
		for _, o := range m.offsets[id].places(gone) {
			out.Records = append(out.Records, offsetTombstone(id, o.topic, o.partition))
		}
	}
}

// goneTopic tells whether the topic that an offset was committed for is gone; now
// is the one of its name. An offset without an id, of an older Kafka, is judged by
// the name alone: one of that name went.
func goneTopic(now *metadata.Topic, id metadata.UUID, went bool) bool {
	switch {
	case now == nil:
		return true
	case id == metadata.UUID{}:
		return went
	}
	return now.ID != id
}
