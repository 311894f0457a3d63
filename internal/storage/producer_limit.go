package storage

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// producerLimit limits the producer ids in the logs of a Manager
// (ottla.producer.ids.max). Any client can write with an invented id, and
// producer.id.expiration.ms is a day.
//
// Above the limit the log with the most ids removes those that wrote least recently, by
// offset, because timestamps are set by the producer. Ids with an open transaction are
// kept. So a client that invents ids in one partition does not affect the producers of
// others. A sixteenth is removed at once, so that the cost per new id is small. This also
// limits the size of producer snapshots.
type producerLimit struct {
	max   int64
	known atomic.Int64
	// above is the number of ids above which a log removes some.
	above    atomic.Int64
	trimming sync.Mutex
}

func (p *producerLimit) set(most int64) {
	if most <= 0 {
		most = math.MaxInt64 / 2
	}
	p.max = most
	p.above.Store(most)
}

func (p *producerLimit) exceeded() bool { return p.known.Load() > p.above.Load() }

// countProducers updates the count after a change of the producers' state. The caller holds
// mu or owns the log.
func (l *Log) countProducers() {
	if n := len(l.producers.byID); n != l.counted {
		l.env.limit.known.Add(int64(n - l.counted))
		l.counted = n
	}
}

// trimProducers removes producer ids from the log with the most if there are too many. The
// caller holds no lock of a log.
func (m *Manager) trimProducers() {
	limit := &m.env.limit
	if !limit.trimming.TryLock() {
		return // another append does it
	}
	defer limit.trimming.Unlock()
	if !limit.exceeded() {
		return
	}
	var largest *Log
	most := 0
	for _, l := range m.list(nil) {
		l.mu.Lock()
		if l.counted > most {
			largest, most = l, l.counted
		}
		l.mu.Unlock()
	}
	step := max(1, limit.max/16)
	if largest != nil {
		if n := largest.forgetOldest(int(max(step, limit.known.Load()-limit.max))); n > 0 {
			m.env.log.Warn("too many producer ids, forgetting the oldest ones of a partition", "partition", largest.name(), "forgotten", n, "ottla.producer.ids.max", limit.max)
		}
	}
	// Ids with open transactions remain. Do not retry with each append.
	limit.above.Store(max(limit.max, limit.known.Load()+step-1))
	if limit.known.Load() <= limit.max {
		limit.above.Store(limit.max)
	}
}

// forgetOldest removes up to n producers without an open transaction, and returns their
// number.
func (l *Log) forgetOldest(n int) int {
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	type idle struct{ seen, id int64 }
	list := make([]idle, 0, len(l.producers.byID))
	for id, p := range l.producers.byID {
		if p.txnFirst == noOffset {
			list = append(list, idle{p.seen, id})
		}
	}
	slices.SortFunc(list, func(a, b idle) int { return cmp.Or(cmp.Compare(a.seen, b.seen), cmp.Compare(a.id, b.id)) })
	list = list[:min(n, len(list))]
	for _, p := range list {
		delete(l.producers.byID, p.id)
	}
	l.touched = l.touched || len(list) > 0
	l.countProducers()
	return len(list)
}
