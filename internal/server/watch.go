package server

import (
	"time"
)

// timing is the set of time limits. They are counted in rounds of watch, so
// that nothing on the way of a request asks a clock.
type timing struct {
	// round is the time between two looks at all connections.
	round time.Duration
	// frame is how long a request may stand still before it has all arrived.
	frame time.Duration
	// write is how long a client may refuse to take a part of a response while
	// others wait for memory.
	write time.Duration
	// idle is connections.max.idle.ms, also for a client that takes nothing of a
	// response; ≤ 0: no limit.
	idle time.Duration
}

// slowFrame is the least rate, in bytes per second, of a request's arrival
// while others wait for memory.
const slowFrame = 256 << 10

// scarceWrite divides the time for which a client may refuse to take a part of a
// large response, while others wait for the memory that it holds.
const scarceWrite = 6

// goneRounds is after how many rounds of a handler the peer is looked at, and then
// in each round.
const goneRounds = 2

func (t timing) orDefaults(idle time.Duration) timing {
	if t.idle == 0 {
		t.idle = idle
	}
	if t.frame == 0 {
		t.frame = 30 * time.Second
	}
	if t.write == 0 {
		t.write = time.Minute
	}
	if t.round == 0 {
		t.round = time.Second
		if t.idle > 0 {
			t.round = max(10*time.Millisecond, min(t.round, t.idle/4))
		}
	}
	return t
}

// rounds is how many looks make up a duration; never fewer than two, since the
// first may come at once.
func (t *timing) rounds(d time.Duration) int64 { return int64(d/t.round) + 2 }

// watch looks at all connections once in a round and cuts off those that are
// idle, that stop in the middle of a request, or that do not read. It ends with
// the server.
func (s *Server) watch() {
	ticker := time.NewTicker(s.timing.round)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		now := s.tick.Add(1)
		pressed, scarce := s.budget.waiting(), s.leaving.waiting()
		s.mu.Lock()
		for c := range s.conns {
			if reason := s.overdue(c, now, pressed, scarce); reason != nil {
				c.kill(reason)
			}
		}
		s.mu.Unlock()
	}
}

// overdue tells why a connection must go, nil when it may stay.
// pressed tells that somebody waits for the memory of requests, scarce that
// somebody waits for that of responses.
func (s *Server) overdue(c *conn, now int64, pressed, scarce bool) error {
	t := &s.timing
	since := c.writing.Load()
	if since != 0 {
		switch stuck := now - since; {
		case t.idle > 0 && stuck > t.rounds(t.idle):
			return violation("the client does not read its responses")
		case (pressed || scarce) && stuck > t.rounds(t.write):
			return violation("the client does not read its responses while memory is short")
		case scarce && c.charged.Load() > 0 && stuck > t.rounds(t.write/scarceWrite):
			return violation("the client does not read a large response while memory is short")
		}
	}
	active := c.active.Load()
	switch state(c.state.Load()) {
	case waiting:
		return nil
	case arriving:
		if now-active > t.rounds(t.frame) {
			return violation("the request stopped arriving")
		}
		allowed := t.frame + time.Duration(c.size.Load())*time.Second/slowFrame
		if pressed && now-c.began.Load() > t.rounds(allowed) {
			return violation("the request arrives too slowly while memory is short")
		}
	case handling:
		// A handler that waits, in a long poll say, does not read: that the client
		// has gone is noticed here.
		if now-active > goneRounds && c.peerGone() {
			return errGone
		}
		fallthrough
	case idle:
		if t.idle > 0 && now-max(active, since) > t.rounds(t.idle) {
			return errIdle
		}
	}
	return nil
}

// closeLeastActive closes the connection of unprotected listeners that has been
// quiet for longest, to make room for one of a protected listener (KIP-402).
func (s *Server) closeLeastActive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var least *conn
	for c := range s.conns {
		if !c.listener.protected && c.listener.kind == clients && (least == nil || c.active.Load() < least.active.Load()) {
			least = c
		}
	}
	if least != nil {
		least.kill(violation("max.connections is exceeded by brokers"))
	}
}
