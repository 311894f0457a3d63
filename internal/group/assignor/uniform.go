package assignor

import (
	"cmp"
	"slices"
)

// Uniform gives every member as many partitions as the others, counted over all
// topics, and moves as few as that allows.
func Uniform(g *Group) [][]TopicPartitions {
	if len(g.Members) == 0 {
		return nil
	}
	for i := range g.Members {
		if !slices.Equal(g.Members[i].Topics, g.Members[0].Topics) {
			return balance(g)
		}
	}
	return divide(g)
}

// divide is Uniform for members that all subscribe to the same topics:
//
//  1. Of P partitions each of M members shall have P/M, and P%M of them one
//     more. Those who have more than P/M already are first to get one more: so
//     the fewest move.
//  2. Members keep what they own up to that; the last of their partitions go.
//  3. What nobody owns goes around among those who lack something, so that the
//     partitions of a topic are spread.
func divide(g *Group) [][]TopicPartitions {
	b := newBoard(g)
	b.keepOwned()
	quota := quotas(b)
	for t := len(b.owners) - 1; t >= 0; t-- {
		for p := len(b.owners[t]) - 1; p >= 0; p-- {
			if m := b.owners[t][p]; m != nobody && b.load[m] > quota[m] {
				b.take(t, int32(p))
			}
		}
	}
	var lacking []int
	for m := range g.Members {
		if b.load[m] < quota[m] {
			lacking = append(lacking, m)
		}
	}
	next := 0
	for _, t := range g.Members[0].Topics {
		for p, owner := range b.owners[t] {
			if owner != nobody {
				continue
			}
			next %= len(lacking)
			m := lacking[next]
			b.give(t, int32(p), m)
			if b.load[m] == quota[m] {
				lacking = slices.Delete(lacking, next, next+1)
			} else {
				next++
			}
		}
	}
	return b.result()
}

// quotas is step 1 of divide.
func quotas(b *board) []int {
	total := 0
	for _, t := range b.group.Members[0].Topics {
		total += int(b.group.Topics[t].Partitions)
	}
	least, more := total/len(b.load), total%len(b.load)
	quota := make([]int, len(b.load))
	for _, rich := range []bool{true, false} {
		for m, load := range b.load {
			if (load > least) != rich {
				continue
			}
			quota[m] = least
			if more > 0 {
				quota[m]++
				more--
			}
		}
	}
	return quota
}

// balance is Uniform for members of different subscriptions:
//
//  1. Members keep what they own.
//  2. What nobody owns goes to the subscriber with the fewest partitions, topics
//     with few subscribers first: they have the least choice.
//  3. While a member has at least two partitions more than another subscriber of
//     one of its topics, a partition of that topic moves to it, one that is new
//     to its owner if there is one. Each move lessens the sum of the squares of
//     the loads, so this ends, and then no single move makes two members more
//     equal.
//
// Rejected: moving along chains of members (A to B so that B can give to C),
// which finds the best of all balances. It moves partitions of members that are
// not concerned, and Kafka's does not.
func balance(g *Group) [][]TopicPartitions {
	b := newBoard(g)
	b.keepOwned()
	before := make([][]int32, len(b.owners))
	for t, owners := range b.owners {
		before[t] = slices.Clone(owners)
	}
	subscribers := g.subscribers()
	topics := make([]int, len(g.Topics))
	for t := range topics {
		topics[t] = t
	}
	slices.SortStableFunc(topics, func(x, y int) int { return cmp.Compare(len(subscribers[x]), len(subscribers[y])) })
	for _, t := range topics {
		b.fill(t, subscribers[t])
	}
	for moved := true; moved; {
		moved = false
		for _, t := range topics {
			moved = b.level(t, subscribers[t], before[t]) || moved
		}
	}
	return b.result()
}

// fill is step 2 of balance for a topic.
func (b *board) fill(topic int, subscribers []int) {
	if len(subscribers) == 0 || !slices.Contains(b.owners[topic], nobody) {
		return
	}
	least := slices.Clone(subscribers)
	for i := len(least)/2 - 1; i >= 0; i-- {
		b.sink(least, i)
	}
	for p, owner := range b.owners[topic] {
		if owner == nobody {
			b.give(topic, int32(p), least[0])
			b.sink(least, 0)
		}
	}
}

// level is step 3 of balance for a topic; it tells whether something moved.
func (b *board) level(topic int, subscribers []int, before []int32) bool {
	moved := false
	for len(subscribers) > 1 {
		least := subscribers[0]
		for _, m := range subscribers {
			if b.load[m] < b.load[least] {
				least = m
			}
		}
		most, choice := 0, int32(nobody)
		for p, m := range b.owners[topic] {
			isNew := before[p] != m
			if load := b.load[m]; load > most || load == most && isNew {
				most, choice = load, int32(p)
			}
		}
		if choice == nobody || most < b.load[least]+2 {
			break
		}
		b.take(topic, choice)
		b.give(topic, choice, least)
		moved = true
	}
	return moved
}

// sink restores the heap order of members, those with the fewest partitions
// first, after the load of the first one grew.
func (b *board) sink(members []int, at int) {
	for {
		child := 2*at + 1
		if child >= len(members) {
			return
		}
		if child+1 < len(members) && b.lighter(members[child+1], members[child]) {
			child++
		}
		if !b.lighter(members[child], members[at]) {
			return
		}
		members[at], members[child] = members[child], members[at]
		at = child
	}
}

// lighter tells whether x gets a partition before y.
func (b *board) lighter(x, y int) bool {
	return cmp.Or(cmp.Compare(b.load[x], b.load[y]), cmp.Compare(x, y)) < 0
}
