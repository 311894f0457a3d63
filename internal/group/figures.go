package group

import (
	"cmp"
	"context"
	"slices"

	"ottla/internal/coordinator"
)

// Figures are what a group has committed and how many members it has, for
// metrics.
type Figures struct {
	Group   string
	Members int
	// Offsets ascend by topic and partition.
	Offsets []CommittedOffset
}

// CommittedOffset is an offset that a group committed.
type CommittedOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// figuresPiece is how many offsets and groups are listed in one step of a shard,
// so that requests do not wait for long; a single group is listed whole.
const figuresPiece = 2_000

// Figures lists the groups of the shards that are loaded here, those of a shard by
// id. It stops after the group with the most-th offset, one without any counting
// as one, so that what it returns is bounded. It waits as a request does: a shard that does not answer until ctx
// is done is left out.
func (c *Coordinator) Figures(ctx context.Context, most int) []Figures {
	var all []Figures
	shards := c.runtime.Led()
	slices.Sort(shards)
	for _, shard := range shards {
		for after := (*string)(nil); most > 0; {
			piece, err := c.figuresPiece(ctx, shard, after)
			if err != nil || len(piece) == 0 {
				break
			}
			for i := 0; i < len(piece) && most > 0; i++ {
				all = append(all, piece[i])
				most -= max(1, len(piece[i].Offsets))
			}
			after = &piece[len(piece)-1].Group
		}
	}
	return all
}

// figuresPiece lists some of a shard's groups that come after an id, or from the
// first when it is nil; none at the end.
func (c *Coordinator) figuresPiece(ctx context.Context, shard int32, after *string) (piece []Figures, err error) {
	_, err = c.runtime.Do(ctx, shard, func(m *Machine, _ coordinator.Moment, to coordinator.Ticket) coordinator.Output {
		piece = m.figures(after)
		return coordinator.Answer(to, nil)
	})
	if err != nil {
		return nil, err
	}
	for _, f := range piece {
		slices.SortFunc(f.Offsets, func(x, y CommittedOffset) int {
			return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
		})
	}
	return piece, nil
}

func (m *Machine) figures(after *string) (piece []Figures) {
	ids := m.sorted()
	if after != nil {
		first, found := slices.BinarySearch(ids, *after)
		if found {
			first++
		}
		ids = ids[first:]
	}
	size := 0
	for _, id := range ids {
		f := Figures{Group: id, Members: m.groups[id].size()}
		if o := m.offsets[id]; o != nil {
			for topic, committed := range o.committed {
				for partition, at := range committed {
					f.Offsets = append(f.Offsets, CommittedOffset{topic, partition, at.offset})
				}
			}
		}
		piece = append(piece, f)
		if size += 1 + len(f.Offsets); size >= figuresPiece {
			break
		}
	}
	return piece
}
