package server

import (
	"time"
)

// timing is the set of timeouts. They are counted in rounds of watch, so that the
// path of a request reads no clock.
type timing struct {
	// round is the time between two checks of all connections.
	round time.Duration
	// frame is the maximum pause in the arrival of a request.
	frame time.Duration
	// write is the maximum time for which a client may read nothing of a response
	// while other requests wait for memory.
	write time.Duration
	// idle is connections.max.idle.ms, also for a client that reads nothing of a
	// response; ≤ 0: no limit.
	idle time.Duration
}

// slowFrame is the minimum rate of a request's arrival, in bytes per second,
// while others wait for memory.
const slowFrame = 256 << 10

// scarceWrite is the divisor of timing.write for large responses, while others
// wait for the memory of responses.
const scarceWrite = 6

// goneRounds is the number of rounds in a handler after which each round checks
// whether the peer has closed the connection.
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

// rounds returns the number of rounds for a duration, at least two, because the
// first round may begin at once.
func (t *timing) rounds(d time.Duration) int64 { return int64(d/t.round) + 2 }

// watch checks all connections once per round. It closes those that are idle, that
// stop in the middle of a request, or that do not read. It ends with the server.
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

// overdue returns the reason for closing a connection, nil for none. pressed is
// true if a request waits for the budget for requests, scarce if one waits for the
// budget for responses.
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
		// While a handler waits, for example in a long poll, the connection is not
		// read. So a disconnect is detected here.
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

// closeLeastActive closes the connection of an unprotected listener with the
// oldest activity, to make room for one of a protected listener (KIP-402).
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
