package replica

import "sync"

// maxWatches limits the fetches that wait for one partition; a connection has
// one at a time.
const maxWatches = 1 << 16

// Waiter is a fetch that waits for more records. It watches its partitions. A
// change of a partition adds its index to Changed and puts a token into C. C
// has room for one token, so a slow fetch never blocks a writer, and a hundred
// changes wake the fetch once.
//
//	w := replica.NewWaiter()
//	defer w.Close()
//	for i, p := range partitions { w.Watch(p, i, isolation, seen[i]) }
//	for { select { case <-w.C: … w.Changed() … case <-timer.C: … } }
//
// A watch stays until Close: after a wake-up with too few records the fetch
// simply waits again. Only one goroutine may call the methods.
type Waiter struct {
	// C gets a token when Changed is not empty.
	C chan struct{}

	watches []*watch

	mu      sync.Mutex
	changed []*watch
}

// watch is one partition of a waiter.
type watch struct {
	waiter    *Waiter
	partition *Partition
	index     int
	isolation Isolation
	at        int // index in Partition.watches, -1 for none
	// reported is true while index is in waiter.changed. It is guarded by
	// waiter.mu.
	reported bool
}

// NewWaiter returns a waiter that watches nothing.
func NewWaiter() *Waiter { return &Waiter{C: make(chan struct{}, 1)} }

// Watch reports index whenever p has more records for a reader of that
// isolation, changes its leader or its log start, or is closed. seen is the
// Progress of the previous read. A change since that read is reported at once,
// so that nothing is lost between reading and watching.
func (w *Waiter) Watch(p *Partition, index int, isolation Isolation, seen Progress) {
	one := &watch{waiter: w, partition: p, index: index, isolation: isolation, at: -1}
	w.watches = append(w.watches, one)
	if p.watch(one) || p.changedSince(isolation, seen) {
		one.report()
	}
}

// Changed returns the indexes that were reported since the last call, each
// once, and clears them.
func (w *Waiter) Changed() []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	var indexes []int
	for _, one := range w.changed {
		one.reported = false
		indexes = append(indexes, one.index)
	}
	w.changed = w.changed[:0]
	return indexes
}

// Close stops watching.
func (w *Waiter) Close() {
	for _, one := range w.watches {
		one.partition.unwatch(one)
	}
	w.watches = nil
}

func (one *watch) report() {
	w := one.waiter
	w.mu.Lock()
	defer w.mu.Unlock()
	if one.reported {
		return
	}
	one.reported = true
	w.changed = append(w.changed, one)
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// watch registers a watch. It returns true if the fetch should not wait: the
// partition is closed, or too many fetches wait already.
func (p *Partition) watch(one *watch) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil || len(p.watches) >= maxWatches {
		return true
	}
	one.at = len(p.watches)
	p.watches = append(p.watches, one)
	return false
}

func (p *Partition) unwatch(one *watch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one.at < 0 {
		return
	}
	last := len(p.watches) - 1
	p.watches[one.at] = p.watches[last]
	p.watches[one.at].at = one.at
	p.watches[last] = nil
	p.watches = p.watches[:last]
	one.at = -1
}

// wake reports a change to the watches that it affects: only those with LogEnd
// for an append that is not visible to consumers yet, otherwise all.
func (p *Partition) wake(reach Isolation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.watches {
		if reach != LogEnd || one.isolation == LogEnd || p.closed != nil {
			one.report()
		}
	}
}

// changedSince compares the partition with the Progress that a reader saw.
func (p *Partition) changedSince(i Isolation, seen Progress) bool {
	now := p.progress(p.LeaderEpoch())
	return now.Limit(i) != seen.Limit(i) || now.LogStart != seen.LogStart || now.LeaderEpoch != seen.LeaderEpoch
}
