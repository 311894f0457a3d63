package server

import "sync"

// budget bounds the memory that requests of all connections take together. Who
// asks for more than is left waits, so that reading stops and the senders feel
// it; nothing fails.
//
//  1. Memory is taken as bytes arrive: a request that is announced but does not
//     come holds next to nothing, and half of the capacity at most if there is
//     plenty. So a connection asks again and again while a large request grows,
//     and waits while it holds a part.
//  2. Waiters are served in the order in which they came.
//  3. When all that is taken is held by connections that wait, nobody could
//     ever give back. Then one of them is favoured: it gets what it asks for
//     beyond the capacity, until it gives everything back. Only one is
//     favoured at a time, so the excess is bounded by one request, and a
//     request larger than the capacity is served too, alone.
//  4. A favoured sender that does not send is cut off by watch.
//
// Rejected: to take the whole length before the body is read (as Kafka's memory
// pool does), by which a few senders that announce 100 MiB and send nothing
// stop everybody; and to refuse requests, which clients take for a lost broker.
type budget struct {
	capacity int64

	mu      sync.Mutex
	used    int64
	blocked int64 // of used, what waiters hold
	waiters []*share
	favored *share
}

// share is what one connection has of the budget. It belongs to the goroutine
// of that connection.
type share struct {
	budget *budget
	held   int64
	// While waiting: what is asked for, and who tells that it was granted.
	want    int64
	granted chan struct{}
}

func newBudget(capacity int64) *budget { return &budget{capacity: capacity} }

// take waits for n bytes; false when giveUp was closed first.
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

// tryTake takes n bytes if they are there.
func (s *share) tryTake(n int64) bool { return s.takeWithin(s.budget.capacity, n) }

// takeAhead takes n bytes if that leaves half of the capacity: so much may be
// taken before the bytes are there. It looks and takes in one step: of many that
// announce at once, all would find the half that only a few can have.
func (s *share) takeAhead(n int64) bool { return s.takeWithin(s.budget.capacity/2, n) }

// takeWithin takes n bytes if nobody waits and no more than most are taken then.
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

// give gives n bytes back.
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

// waiting tells whether somebody waits.
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
				return // somebody who does not wait will give back
			}
			if b.favored == nil {
				b.favored = next
			}
			next = b.favored // it waits, too: it holds something
		}
		b.forget(next)
		b.used += next.want
		next.held += next.want
		close(next.granted)
		next.granted = nil
	}
}

// forget takes a waiter out of the queue, if it is there.
func (b *budget) forget(s *share) {
	for i, w := range b.waiters {
		if w == s {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			b.blocked -= s.held
			return
		}
	}
}
