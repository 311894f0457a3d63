package server

import (
	"hash/crc32"
	"sync/atomic"

	"ottla/internal/api"
)

// A response that is bytes, as Metadata of ten thousand partitions is, may be
// large, and is held for as long as its client does not read. So it takes part in
// the budget of what leaves:
//
//  1. How large a response is nobody knows before it is encoded. But the same
//     request was mostly answered before: when that answer was large, as much is
//     taken before the handler runs, so that who waits holds nothing but the
//     request.
//  2. Once encoded, what the response takes is known. Up to freeResponse it is
//     free, so that the small answers that every client lives by wait for nobody.
//     If there is no room for a large one, the bytes are dropped, room is waited
//     for, and the response is encoded again; but for one that is not Repeatable,
//     Fetch, which waits with its bytes.
//  3. Room is given back when the response is written or the connection ends. Who
//     waits for room holds none, so that whoever holds it is writing; watch cuts
//     off who writes and gets nowhere, sooner while others wait (scarceWrite).
//
// Between handler and charge a goroutine waits for nothing but a processor; so
// what is not charged is what a few of them have in hand, however many
// connections there are.
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

// foresee is step 1.
func (c *conn) foresee(e *api.Endpoint, r *api.Request) error {
	c.fingerprint = 0
	if !e.Describes() {
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

// settle is step 2: payload is what p was encoded to, behind the first start bytes
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
	o.give(0)
	if !p.reply.Repeatable {
		return payload, start, o.take(n)
	}
	payload = api.Payload{}
	if err := o.flush(); err != nil { // what is held back does not wait, too
		return payload, 0, err
	}
	if err := o.take(n); err != nil {
		return payload, 0, err
	}
	return o.encode(p)
}
