package server

import (
	"sync"
	"time"

	"ottla/internal/api"
)

// maxParked limits the parked replies of one connection. By default librdkafka
// would send a million Produce requests before the first response.
const maxParked = 64

// parked is a reply with the fields of its response header.
type parked struct {
	reply        api.Reply
	key, version int16
	correlation  int32
	received     time.Time // time when the whole request had arrived
	released     bool
}

// ready tells whether the reply can be sent now.
func (p *parked) ready() bool {
	if p.reply.Done == nil {
		return true
	}
	select {
	case <-p.reply.Done:
		return true
	default:
		return false
	}
}

// release releases the resources of the reply once.
func (p *parked) release() {
	if !p.released && p.reply.Release != nil {
		p.reply.Release()
	}
	p.released = true
}

// replies holds the parked replies of a connection, in the order of their
// requests. While there are any, a separate goroutine writes them, and no other
// goroutine writes to the connection. It ends after the last reply.
type replies struct {
	conn *conn

	mu      sync.Mutex
	changed sync.Cond
	queue   []parked // a ring of maxParked, allocated for the first parked reply
	first   int
	length  int
	writing bool // the goroutine is running
}

func (q *replies) init(c *conn) {
	q.conn = c
	q.changed.L = &q.mu
}

// empty tells whether no reply is parked and no goroutine writes. The result
// stays valid only for the connection's own goroutine, because only it parks
// replies.
func (q *replies) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.writing
}

// park appends a reply to the queue, and waits while the queue is full.
func (q *replies) park(p *parked) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.length == maxParked {
		q.changed.Wait()
	}
	select {
	case <-q.conn.dead:
		p.release()
		return q.conn.reason
	default:
	}
	if q.queue == nil {
		q.queue = make([]parked, maxParked)
	}
	q.queue[(q.first+q.length)%maxParked] = *p
	q.length++
	if !q.writing {
		q.writing = true
		q.conn.server.running.Go(q.write)
	}
	return nil
}

// drain waits until no reply is parked and the goroutine has ended.
func (q *replies) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.writing {
		q.changed.Wait()
	}
}

// write is the goroutine that writes parked replies. Replies that are ready
// together are written together. When the connection dies, the rest is released.
func (q *replies) write() {
	out := newOutput(q.conn)
	defer out.drop()
	for {
		p := q.head()
		if p == nil {
			return
		}
		if err := q.send(p, &out); err != nil {
			q.conn.kill(err)
		}
		p.release()
		q.pop()
	}
}

// head returns the first reply, nil if there is none and the goroutine must
// end.
func (q *replies) head() *parked {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.length == 0 {
		q.writing = false
		q.changed.Broadcast()
		return nil
	}
	return &q.queue[q.first]
}

// pop removes the first reply.
func (q *replies) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue[q.first] = parked{}
	q.first = (q.first + 1) % maxParked
	q.length--
	q.changed.Broadcast()
}

// next returns the second reply, nil if there is none.
func (q *replies) next() *parked {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.length < 2 {
		return nil
	}
	return &q.queue[(q.first+1)%maxParked]
}

// send waits for a reply and writes it. If the next one is also ready, the
// write is held back for it.
func (q *replies) send(p *parked, out *output) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(p.key, p.version, v)
		}
	}()
	if !p.ready() {
		select {
		case <-p.reply.Done:
		case <-q.conn.dead:
			return q.conn.reason
		}
	}
	select {
	case <-q.conn.dead:
		return q.conn.reason
	default:
	}
	if err := out.append(p); err != nil {
		_ = out.flush() // answer the earlier requests; err remains the reason
		return err
	}
	if next := q.next(); next != nil && next.ready() {
		return nil
	}
	return out.flush()
}
