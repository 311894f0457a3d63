package assignor

import (
	"cmp"
	"slices"
)

// Range cuts each topic into as many ranges as it has subscribers. Members of
// equal subscriptions get the same partition numbers of topics that have
// equally many, so that they can join them:
//
//  1. Members are in the order of their instance id; those without one follow,
//     in the order of their member id. A static member that returns has its
//     place again.
//  2. Of each topic with P partitions and M subscribers, member i of them gets
//     the next P/M, and one more while i < P%M.
//
// It is not sticky otherwise: a member that comes or goes moves the ranges of
// those after it. That is the price of step 2, and Kafka's.
func Range(g *Group) [][]TopicPartitions {
	order := make([]int, len(g.Members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int { return compareStatic(&g.Members[x], &g.Members[y]) })
	place := make([]int, len(order))
	for i, m := range order {
		place[m] = i
	}
	b := newBoard(g)
	for t, members := range g.subscribers() {
		slices.SortFunc(members, func(x, y int) int { return cmp.Compare(place[x], place[y]) })
		next, partitions := int32(0), g.Topics[t].Partitions
		for i, m := range members {
			n := partitions / int32(len(members))
			if int32(i) < partitions%int32(len(members)) {
				n++
			}
			for range n {
				b.give(t, next, m)
				next++
			}
		}
	}
	return b.result()
}

// compareStatic puts static members first.
func compareStatic(x, y *Member) int {
	switch {
	case x.InstanceID != nil && y.InstanceID != nil:
		return cmp.Or(cmp.Compare(*x.InstanceID, *y.InstanceID), cmp.Compare(x.ID, y.ID))
	case x.InstanceID != nil:
		return -1
	case y.InstanceID != nil:
		return 1
	}
	return cmp.Compare(x.ID, y.ID)
}
