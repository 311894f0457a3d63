package server

import "sync/atomic"

// waiters bounds the memory of requests that wait for what other clients do:
// JoinGroup, SyncGroup, and a Fetch that finds nothing. They may wait for minutes,
// so they hold nothing of the budget of requests, where those who come after would
// wait for them. Nor do they wait for room here: without room they are answered.
type waiters struct {
	most int64
	used atomic.Int64
}

const (
	// waitersShare of ottla.memory.max is what they take together: at 256 MiB
	// 20,000 consumers of one partition.
	waitersShare = 8
	// leastWaiters is what they take however little memory there is, and when
	// ottla.memory.max is not known.
	leastWaiters = 32 << 20
)

// take takes n bytes and adds them to held; false when there is no room.
func (w *waiters) take(held *int64, n int64) bool {
	if w.used.Add(n) > w.most {
		w.used.Add(-n)
		return false
	}
	*held += n
	return true
}

// give gives back all that is held.
func (w *waiters) give(held *int64) {
	if *held > 0 {
		w.used.Add(-*held)
		*held = 0
	}
}
