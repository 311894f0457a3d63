package storage

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// producerLimit bounds the producer ids that the logs of a Manager remember
// (ottla.producer.ids.max). Anybody may write with an invented id, and
// producer.id.expiration.ms is a day.
//
// Beyond the limit the log that knows most forgets those that have written
// nothing for longest, by offset, since timestamps are the producer's. One with
// an open transaction stays. So who invents ids in one partition takes nothing
// from the producers of others. A sixteenth is forgotten at once, so that the
// work for each new id is small. The snapshots of producers are bounded with it.
type producerLimit struct {
	max   int64
	known atomic.Int64
	// above is how many must be known for a log to forget some.
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

// countProducers follows what changed in the state of the producers. The caller
// holds mu or owns the log.
func (l *Log) countProducers() {
	if n := len(l.producers.byID); n != l.counted {
		l.env.limit.known.Add(int64(n - l.counted))
		l.counted = n
	}
}

// trimProducers lets the log with most producer ids forget some if there are too
// many. The caller holds no lock of a log.
func (m *Manager) trimProducers() {
	limit := &m.env.limit
	if !limit.trimming.TryLock() {
		return // another append sees to it
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
	// Those with open transactions stay: it is not tried again for each append.
	limit.above.Store(max(limit.max, limit.known.Load()+step-1))
	if limit.known.Load() <= limit.max {
		limit.above.Store(limit.max)
	}
}

// forgetOldest forgets up to n producers that have no transaction open, and
// returns how many.
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
