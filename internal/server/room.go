package server

import (
	"hash/crc32"
	"sync/atomic"

	"ottla/internal/api"
)

// A response that is bytes, as Metadata of ten thousand partitions is, may be
// large, and is held for as long as its client does not read. So it takes part in
// the budget for responses:
//
//  1. A handler charges what it builds to the request's meter before it builds it
//     (package meter). Beyond meter.Free bytes the meter takes room from the
//     budget, and the handler waits while there is none.
//  2. Whoever waits in the middle holds what it has built. So a request whose
//     answer was large before waits for as much room before its handler runs, and
//     holds nothing but the request meanwhile.
//  3. Once encoded, the size of the response is known. Up to freeResponse it is
//     free. Of what was taken the rest is given back. If more is needed and there
//     is none, the bytes are dropped, room is waited for, and the response is
//     encoded again; but for one that is not Repeatable, Fetch, which waits with
//     its bytes.
//  4. Room is given back when the response is written or the connection ends. A
//     client that does not read its response is disconnected by watch, sooner
//     while others wait for room (scarceWrite).
//
// Rejected: to take the largest response that an API can give before each
// request, by which a few clients that do not read would keep everybody from
// the metadata of one topic.

const (
	// freeResponse is what an encoded response may take without being charged.
	freeResponse = 64 << 10
	// expectedSlots is how many requests with large answers are remembered.
	expectedSlots = 256
)

// expected remembers which requests had large answers: for a checksum of key,
// version and body, what the answer was charged. Two that fall together cost a
// wait that was not necessary, or an encoding that was in vain.
type expected struct {
	slots [expectedSlots]atomic.Uint64
}

// fingerprint is the checksum, never 0.
func (e *expected) fingerprint(r *api.Request) uint32 {
	sum := crc32.Update(uint32(r.Header.Key)<<16|uint32(uint16(r.Header.Version)), castagnoli, r.Body)
	return max(sum, 1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// charge is what the request will take; 0: little, or it is not known.
func (e *expected) charge(fingerprint uint32) int64 {
	if v := e.slots[fingerprint%expectedSlots].Load(); uint32(v>>32) == fingerprint {
		return int64(uint32(v))
	}
	return 0
}

// note remembers what the request took.
func (e *expected) note(fingerprint uint32, charge int64) {
	slot := &e.slots[fingerprint%expectedSlots]
	switch {
	case charge > freeResponse:
		slot.Store(uint64(fingerprint)<<32 | uint64(charge))
	case e.charge(fingerprint) > 0:
		slot.Store(0)
	}
}

// foresee is step 2.
func (c *conn) foresee(e *api.Endpoint, r *api.Request) error {
	c.fingerprint = 0
	if e.Kind != api.Describes {
		return nil
	}
	known := &c.server.expected
	c.fingerprint = known.fingerprint(r)
	n := known.charge(c.fingerprint)
	if n == 0 {
		return nil
	}
	c.enter(waiting)
	defer c.enter(handling)
	return c.out.take(n)
}

// takeRoom is step 1: the meter has n more bytes to pay for than it had before.
// What foresee took counts.
func (c *conn) takeRoom(n int64) error {
	c.metered += n
	if want := c.metered - c.out.share.held; want > 0 {
		c.enter(waiting)
		defer c.enter(handling)
		return c.out.take(want)
	}
	return nil
}

// takeWaiter is Request.Wait: n bytes are charged to those who wait, until the
// answer is written, and what the meter took is given back meanwhile.
func (c *conn) takeWaiter(n int) bool {
	if !c.server.waiters.take(&c.waits, int64(n)) {
		return false
	}
	c.metered = 0
	c.out.give(0)
	return true
}

// take waits for room.
func (o *output) take(n int64) error {
	if !o.share.take(n, o.conn.dead) {
		return o.conn.reason
	}
	o.conn.charged.Store(o.share.held)
	return nil
}

// give gives room back, all but left.
func (o *output) give(left int64) {
	o.share.give(o.share.held - left)
	o.conn.charged.Store(o.share.held)
}

// settle is step 3: payload is what p was encoded to, behind the first start bytes
// of o.bytes. It returns what is to be sent.
func (o *output) settle(p *parked, payload api.Payload, start int) (api.Payload, int, error) {
	n := int64(0)
	if size := len(payload.Bytes) - start; size > freeResponse {
		n = int64(classOf(size))
	}
	if c := o.conn; o == &c.out && c.fingerprint != 0 {
		c.server.expected.note(c.fingerprint, n)
	}
	if n <= o.share.held {
		o.give(n)
		return payload, start, nil
	}
	if o.share.tryTake(n - o.share.held) {
		o.conn.charged.Store(o.share.held)
		return payload, start, nil
	}
	if !p.reply.Repeatable {
		return payload, start, o.take(n - o.share.held)
	}
	payload = api.Payload{}
	if err := o.flush(); err != nil { // what is held back does not wait, too
		return payload, 0, err
	}
	if err := o.take(n - o.share.held); err != nil {
		return payload, 0, err
	}
	return o.encode(p)
}
