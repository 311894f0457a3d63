package group

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"ottla/internal/coordinator"
)

// Figures are what a group has committed and how many members it has, for
// metrics.
type Figures struct {
	Group   string
	Members int
	// Offsets ascend by topic and partition. Omitted is how many more there are, of
	// other topics.
	Offsets []CommittedOffset
	Omitted int
}

// CommittedOffset is an offset that a group committed.
type CommittedOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// figuresPiece is how many offsets and groups are listed in one step of a shard,
// so that requests do not wait for long; the offsets of one group are one step.
const figuresPiece = 2_000

// Figures lists the groups of the shards that are loaded here, those of a shard by
// id. It lists most offsets at the most, where a group without any counts as one;
// omitted is how many groups are not listed. It waits as a request does: a shard
// that does not answer until ctx is done is left out.
func (c *Coordinator) Figures(ctx context.Context, most int) (all []Figures, omitted int) {
	shards := c.runtime.Led()
	slices.Sort(shards)
	for _, shard := range shards {
		ids, err := c.groupIDs(ctx, shard)
		for err == nil && most > 0 && len(ids) > 0 {
			var piece []Figures
			var done int
			if piece, done, err = c.figuresPiece(ctx, shard, ids, most); err != nil {
				break
			}
			ids = ids[done:]
			for i := range piece {
				most -= max(1, len(piece[i].Offsets))
			}
			all = append(all, piece...)
		}
		omitted += len(ids)
	}
	return all, omitted
}

// groupIDs lists the groups of a shard, sorted. The shard itself does not sort:
// requests wait for it.
func (c *Coordinator) groupIDs(ctx context.Context, shard int32) (ids []string, err error) {
	_, err = c.runtime.Do(ctx, shard, func(m *Machine, _ coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		ids = slices.AppendSeq(make([]string, 0, len(m.groups)), maps.Keys(m.groups))
		return coordinator.Answer(to, nil)
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	return ids, nil
}

// figuresPiece lists the first of some groups of a shard, and tells how many of
// the ids that took.
func (c *Coordinator) figuresPiece(ctx context.Context, shard int32, ids []string, most int) (piece []Figures, done int, err error) {
	_, err = c.runtime.Do(ctx, shard, func(m *Machine, _ coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		piece, done = m.figures(ids, most)
		return coordinator.Answer(to, nil)
	})
	if err != nil {
		return nil, 0, err
	}
	for _, f := range piece {
		slices.SortFunc(f.Offsets, func(x, y CommittedOffset) int {
			return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
		})
	}
	return piece, done, nil
}

// figures lists groups until it has a piece, or most offsets. A group that is
// gone is passed over.
func (m *Machine) figures(ids []string, most int) (piece []Figures, done int) {
	size := 0
	for _, id := range ids {
		if size >= figuresPiece || most <= 0 {
			break
		}
		done++
		g := m.groups[id]
		if g == nil {
			continue
		}
		f := Figures{Group: id, Members: g.size()}
		if o := m.offsets[id]; o != nil {
			f.list(o.committed, most)
		}
		piece = append(piece, f)
		most -= max(1, len(f.Offsets))
		size += 1 + len(f.Offsets)
	}
	return piece, done
}

// list adds the offsets of a group, those of a topic all or none.
func (f *Figures) list(topics map[string]partitions, most int) {
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if len(f.Offsets)+len(topics[topic]) > most {
			f.Omitted += len(topics[topic])
			continue
		}
		for partition, at := range topics[topic] {
			f.Offsets = append(f.Offsets, CommittedOffset{topic, partition, at.offset})
		}
	}
}
