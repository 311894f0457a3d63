package server

import "sync/atomic"

// waiters limits the memory of requests that wait for other clients: JoinGroup,
// SyncGroup, and a Fetch without records. They may wait for minutes. So they hold
// nothing of the budget for requests; otherwise later requests would wait for
// them. They do not wait for room here: without room they are answered at once.
type waiters struct {
	most int64
	used atomic.Int64
}

const (
	// waitersShare is the part of ottla.memory.max for all of them together. At
	// 256 MiB it is enough for 20,000 consumers of one partition.
	waitersShare = 8
	// leastWaiters is the minimum in bytes, also if ottla.memory.max is unknown.
	leastWaiters = 32 << 20
)

// take takes n bytes and adds them to held. It returns false if there is no
// room.
func (w *waiters) take(held *int64, n int64) bool {
	if w.used.Add(n) > w.most {
		w.used.Add(-n)
		return false
	}
	*held += n
	return true
}

// give returns all held bytes.
func (w *waiters) give(held *int64) {
	if *held > 0 {
		w.used.Add(-*held)
		*held = 0
	}
}
