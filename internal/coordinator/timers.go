package coordinator

import (
	"cmp"
	"container/heap"
	"time"
)

// Timers are the deadlines of a machine, each with a key: a heap, so that
// ten thousand sessions cost their logarithm. They are part of the soft state
// and know no clock: Due is asked with a Moment's Mono.
type Timers[K comparable] struct {
	entries timerHeap[K]
	byKey   map[K]*timer[K]
	set     uint64
}

type timer[K comparable] struct {
	key      K
	deadline time.Duration
	order    uint64 // among equal deadlines the one that was set first is due first
	at       int
}

// Set begins the timer of a key, or moves it.
func (t *Timers[K]) Set(key K, deadline time.Duration) {
	if t.byKey == nil {
		t.byKey = map[K]*timer[K]{}
	}
	t.set++
	if e := t.byKey[key]; e != nil {
		e.deadline, e.order = deadline, t.set
		heap.Fix(&t.entries, e.at)
		return
	}
	e := &timer[K]{key: key, deadline: deadline, order: t.set}
	t.byKey[key] = e
	heap.Push(&t.entries, e)
}

// Cancel ends a timer, if there is one.
func (t *Timers[K]) Cancel(key K) {
	if e := t.byKey[key]; e != nil {
		delete(t.byKey, key)
		heap.Remove(&t.entries, e.at)
	}
}

// Deadline is when a timer is due; false when there is none.
func (t *Timers[K]) Deadline(key K) (time.Duration, bool) {
	e := t.byKey[key]
	if e == nil {
		return 0, false
	}
	return e.deadline, true
}

// Next is the earliest deadline; false when there is none.
func (t *Timers[K]) Next() (time.Duration, bool) {
	if len(t.entries) == 0 {
		return 0, false
	}
	return t.entries[0].deadline, true
}

// Due removes and returns the timer that has been due longest; false when none
// is due at now.
func (t *Timers[K]) Due(now time.Duration) (key K, ok bool) {
	if len(t.entries) == 0 || t.entries[0].deadline > now {
		return key, false
	}
	key = t.entries[0].key
	t.Cancel(key)
	return key, true
}

// timerHeap orders timers by deadline, for container/heap.
type timerHeap[K comparable] []*timer[K]

func (h timerHeap[K]) Len() int { return len(h) }

func (h timerHeap[K]) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(h[i].deadline, h[j].deadline), cmp.Compare(h[i].order, h[j].order)) < 0
}

func (h timerHeap[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *timerHeap[K]) Push(x any) {
	e := x.(*timer[K]) //nolint:forcetypeassert // heap.Push is called above alone
	e.at = len(*h)
	*h = append(*h, e)
}

func (h *timerHeap[K]) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return e
}
