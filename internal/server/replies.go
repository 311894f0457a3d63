package server

import (
	"sync"
	"time"

	"ottla/internal/api"
)

// maxParked bounds the replies of one connection that wait. librdkafka would
// send a million Produce requests ahead by default.
const maxParked = 64

// parked is a reply and where it goes.
type parked struct {
	reply        api.Reply
	key, version int16
	correlation  int32
	received     time.Time // when the whole request had arrived
	released     bool
}

// ready tells whether the reply may leave now.
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

// release lets go what the reply holds, once.
func (p *parked) release() {
	if !p.released && p.reply.Release != nil {
		p.reply.Release()
	}
	p.released = true
}

// replies are the replies of a connection that wait, in the order of their
// requests. While there are any, a goroutine of their own writes them and
// nobody else writes to the connection; it ends when the last one is out.
type replies struct {
	conn *conn

	mu      sync.Mutex
	changed sync.Cond
	queue   []parked // a ring of maxParked, made when the first reply waits
	first   int
	length  int
	writing bool // the goroutine runs
}

func (q *replies) init(c *conn) {
	q.conn = c
	q.changed.L = &q.mu
}

// empty tells whether nothing waits and nobody writes. Only the connection's
// own goroutine may rely on it: nobody else parks.
func (q *replies) empty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.writing
}

// park puts a reply at the end of the queue, and waits while it is full.
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

// drain waits until nothing is parked and the goroutine is gone.
func (q *replies) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.writing {
		q.changed.Wait()
	}
}

// write is the goroutine that writes parked replies. Those that are ready
// together are written together. When the connection dies, the rest is let go.
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

// head returns the first reply, nil when the goroutine has nothing left to do
// and must end.
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

// pop takes the first reply away.
func (q *replies) pop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue[q.first] = parked{}
	q.first = (q.first + 1) % maxParked
	q.length--
	q.changed.Broadcast()
}

// next returns the reply behind the first one, nil when there is none.
func (q *replies) next() *parked {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.length < 2 {
		return nil
	}
	return &q.queue[(q.first+1)%maxParked]
}

// send waits for a reply and writes it, unless the next one is ready too.
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
		_ = out.flush() // what came before is answered; err is the reason
		return err
	}
	if next := q.next(); next != nil && next.ready() {
		return nil
	}
	return out.flush()
}
