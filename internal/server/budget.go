package server

import "sync"

// budget limits the memory of the requests of all connections. A connection that
// needs more than is left waits. Reading then stops, and TCP slows the senders
// down; no request fails.
//
//  1. Memory is taken as bytes arrive. A request whose bytes do not arrive holds
//     almost nothing, or at most half of the capacity if enough is free. So a
//     connection asks repeatedly while a large request grows, and may wait while
//     it holds a part.
//  2. Waiters are served in the order of their arrival.
//  3. If all taken memory is held by waiting connections, none could ever be
//     returned. Then one of them is favored: it gets memory beyond the capacity
//     until it returns everything. Only one is favored at a time, so the excess
//     is at most one request. This also serves a request larger than the
//     capacity.
//  4. watch disconnects a favored client that does not send.
//
// Rejected: taking the whole length before the body is read, as Kafka's memory
// pool does. A few clients that announce 100 MiB and send nothing would then
// block all others. Also rejected: refusing requests. Clients interpret that as
// the loss of the broker.
type budget struct {
	capacity int64

	mu      sync.Mutex
	used    int64
	blocked int64 // the part of used that waiters hold
	waiters []*share
	favored *share
}

// share is the part of the budget that one connection has. Only the goroutine of
// that connection may use it.
type share struct {
	budget *budget
	held   int64
	// While waiting: the requested bytes, and the channel that reports the grant.
	want    int64
	granted chan struct{}
}

func newBudget(capacity int64) *budget { return &budget{capacity: capacity} }

// take waits for n bytes. It returns false if giveUp is closed first.
func (s *share) take(n int64, giveUp <-chan struct{}) bool {
	b := s.budget
	b.mu.Lock()
	if len(b.waiters) == 0 && b.used+n <= b.capacity {
		b.used += n
		s.held += n
		b.mu.Unlock()
		return true
	}
	granted := make(chan struct{})
	s.want, s.granted = n, granted
	b.waiters = append(b.waiters, s)
	b.blocked += s.held
	b.grant()
	b.mu.Unlock()
	select {
	case <-granted:
		return true
	case <-giveUp:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.forget(s)
	b.grant()
	return false
}

// tryTake takes n bytes if they are free.
func (s *share) tryTake(n int64) bool { return s.takeWithin(s.budget.capacity, n) }

// takeAhead takes n bytes, before they have arrived, if half of the capacity stays
// free. The check and the taking are one step. Otherwise many connections could
// pass the check at once.
func (s *share) takeAhead(n int64) bool { return s.takeWithin(s.budget.capacity/2, n) }

// takeWithin takes n bytes if no connection waits and at most most bytes are taken
// then.
func (s *share) takeWithin(most, n int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiters) > 0 || b.used+n > most {
		return false
	}
	b.used += n
	s.held += n
	return true
}

// give returns n bytes.
func (s *share) give(n int64) {
	if n == 0 {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	s.held -= n
	if s.held == 0 && b.favored == s {
		b.favored = nil
	}
	b.grant()
}

// waiting tells whether a connection waits.
func (b *budget) waiting() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiters) > 0
}

// grant serves the waiters that can be served now.
func (b *budget) grant() {
	for len(b.waiters) > 0 {
		next := b.waiters[0]
		if b.used+next.want > b.capacity {
			if b.used > b.blocked {
				return // a connection that does not wait will return memory
			}
			if b.favored == nil {
				b.favored = next
			}
			next = b.favored // it also waits and holds memory
		}
		b.forget(next)
		b.used += next.want
		next.held += next.want
		close(next.granted)
		next.granted = nil
	}
}

// forget removes a waiter from the queue, if it is in it.
func (b *budget) forget(s *share) {
	for i, w := range b.waiters {
		if w == s {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			b.blocked -= s.held
			return
		}
	}
}
