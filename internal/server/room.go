package server

import (
	"hash/crc32"
	"sync/atomic"

	"ottla/internal/api"
)

// A response in memory, such as Metadata of ten thousand partitions, may be
// large, and it is held until the client has read it. So it is charged to the
// budget for responses:
//
//  1. A handler charges each part of the response to the request's meter before
//     it builds the part (package meter). Above meter.Free bytes the meter takes
//     room from the budget. The handler waits if there is none.
//  2. A handler that waits in the middle holds the parts that it has built. So a
//     request whose response was large before waits for the same amount of room
//     before its handler runs. Meanwhile it holds only the request.
//  3. After the encoding the size is known. A response of up to freeResponse
//     bytes is free. Excess room is returned. If more room is needed and there is
//     none, the bytes are dropped, and the response is encoded again when there
//     is room. A response that is not Repeatable (Fetch) keeps its bytes and
//     waits.
//  4. Room is returned when the response is written or the connection ends. watch
//     disconnects a client that does not read its response, sooner while others
//     wait for room (scarceWrite).
//
// Rejected: taking the size of the largest possible response before each request.
// Then a few clients that do not read would block small responses of all others.

const (
	// freeResponse is the size in bytes up to which an encoded response is not
	// charged.
	freeResponse = 64 << 10
	// expectedSlots is the number of remembered requests with large responses.
	expectedSlots = 256
)

// expected maps requests to the room that their responses took: by a checksum of
// key, version and body. A collision causes an unnecessary wait or encoding.
type expected struct {
	slots [expectedSlots]atomic.Uint64
}

// fingerprint returns the checksum, which is never 0.
func (e *expected) fingerprint(r *api.Request) uint32 {
	sum := crc32.Update(uint32(r.Header.Key)<<16|uint32(uint16(r.Header.Version)), castagnoli, r.Body)
	return max(sum, 1)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// charge returns the expected room of a request; 0: little, or unknown.
func (e *expected) charge(fingerprint uint32) int64 {
	if v := e.slots[fingerprint%expectedSlots].Load(); uint32(v>>32) == fingerprint {
		return int64(uint32(v))
	}
	return 0
}

// note records the room that a request took.
func (e *expected) note(fingerprint uint32, charge int64) {
	slot := &e.slots[fingerprint%expectedSlots]
	switch {
	case charge > freeResponse:
		slot.Store(uint64(fingerprint)<<32 | uint64(charge))
	case e.charge(fingerprint) > 0:
		slot.Store(0)
	}
}

// foresee does step 2.
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

// takeRoom does step 1: the meter pays for n more bytes. Room taken by foresee
// counts.
func (c *conn) takeRoom(n int64) error {
	c.metered += n
	if want := c.metered - c.out.share.held; want > 0 {
		c.enter(waiting)
		defer c.enter(handling)
		return c.out.take(want)
	}
	return nil
}

// takeWaiter is Request.Wait: it charges n bytes to the budget for waiting
// requests until the response is written, and returns the meter's room.
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

// give returns all room except left bytes.
func (o *output) give(left int64) {
	o.share.give(o.share.held - left)
	o.conn.charged.Store(o.share.held)
}

// settle does step 3. payload is the encoded reply of p, which begins at o.bytes
// position start. It returns the payload to send.
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
	if err := o.flush(); err != nil { // the held-back replies must not wait, too
		return payload, 0, err
	}
	if err := o.take(n - o.share.held); err != nil {
		return payload, 0, err
	}
	return o.encode(p)
}
