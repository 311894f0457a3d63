// Package assignor has the assignors of consumer groups (KIP-848): who of a
// group's members reads which partition. They are functions of what they are
// given: the same group gives the same assignment on every node.
//
// As Kafka 4.3.1's, they do not look at racks.
//
// Start reading at Group; uniform.go and range.go are the two assignors.
package assignor

import "ottla/internal/schema"

// Group is what an assignor decides on.
type Group struct {
	// Topics are those that exist and have a subscriber, ascending by id.
	Topics []Topic
	// Members are ascending by id.
	Members []Member
}

// Topic is a topic that somebody subscribes to.
type Topic struct {
	ID schema.UUID
	// Partitions is their number, 1 and more.
	Partitions int32
}

// Member is a member of a group.
type Member struct {
	ID string
	// InstanceID is nil for a dynamic member.
	InstanceID *string
	// Topics are the topics that it subscribes to: indexes of Group.Topics,
	// ascending.
	Topics []int
	// Owned is what the assignment before gave it, maybe of topics and partitions
	// that are gone.
	Owned []TopicPartitions
}

// TopicPartitions are partitions of a topic.
type TopicPartitions struct {
	TopicID schema.UUID
	// Partitions are ascending.
	Partitions []int32
}

// Assign is an assignor: it gives every partition of the group's topics to one
// of the topic's subscribers (G1). The result has an element for each member, in
// their order, each ascending by topic id and without empty lists.
type Assign func(g *Group) [][]TopicPartitions

// The names of the assignors, as clients and group.consumer.assignors know them.
const (
	UniformName = "uniform"
	RangeName   = "range"
)

// ByName returns an assignor; nil for a name that is unknown.
func ByName(name string) Assign {
	switch name {
	case UniformName:
		return Uniform
	case RangeName:
		return Range
	}
	return nil
}

// nobody owns a partition that is not given away yet.
const nobody = -1

// board is an assignment in the making.
type board struct {
	group *Group
	// owners has for each topic and partition the member's index, or nobody.
	owners [][]int32
	// load is the number of partitions of each member.
	load []int
}

func newBoard(g *Group) *board {
	b := &board{group: g, owners: make([][]int32, len(g.Topics)), load: make([]int, len(g.Members))}
	total := 0
	for _, t := range g.Topics {
		total += int(t.Partitions)
	}
	all := make([]int32, total)
	for i := range all {
		all[i] = nobody
	}
	for i, t := range g.Topics {
		b.owners[i], all = all[:t.Partitions:t.Partitions], all[t.Partitions:]
	}
	return b
}

// keepOwned gives every member what it owned and may still have.
func (b *board) keepOwned() {
	index := make(map[schema.UUID]int, len(b.group.Topics))
	for i, t := range b.group.Topics {
		index[t.ID] = i
	}
	subscribed := make([]int, len(b.group.Topics)) // member number + 1 that subscribes last
	for m := range b.group.Members {
		member := &b.group.Members[m]
		for _, t := range member.Topics {
			subscribed[t] = m + 1
		}
		for _, tp := range member.Owned {
			t, ok := index[tp.TopicID]
			if !ok || subscribed[t] != m+1 {
				continue
			}
			for _, p := range tp.Partitions {
				if p >= 0 && p < b.group.Topics[t].Partitions && b.owners[t][p] == nobody {
					b.give(t, p, m)
				}
			}
		}
	}
}

func (b *board) give(topic int, partition int32, member int) {
	b.owners[topic][partition] = int32(member)
	b.load[member]++
}

func (b *board) take(topic int, partition int32) {
	b.load[b.owners[topic][partition]]--
	b.owners[topic][partition] = nobody
}

// result reads the board: topics and partitions ascend, so what members get
// does.
func (b *board) result() [][]TopicPartitions {
	out := make([][]TopicPartitions, len(b.group.Members))
	for t, owners := range b.owners {
		id := b.group.Topics[t].ID
		for p, m := range owners {
			if m == nobody {
				continue
			}
			got := out[m]
			if n := len(got); n == 0 || got[n-1].TopicID != id {
				got = append(got, TopicPartitions{TopicID: id})
				out[m] = got
			}
			last := &got[len(got)-1]
			last.Partitions = append(last.Partitions, int32(p))
		}
	}
	return out
}

// subscribers are the members of each topic, as indexes, ascending.
func (g *Group) subscribers() [][]int {
	out := make([][]int, len(g.Topics))
	for m := range g.Members {
		for _, t := range g.Members[m].Topics {
			out[t] = append(out[t], m)
		}
	}
	return out
}
