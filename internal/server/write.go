package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"ottla/internal/api"
	"ottla/internal/protocol"
)

// The sizes of writing, in bytes.
const (
	// staging is the size of the buffer for small regions, and the minimum size of
	// a region for sendfile. Measured: 1 KiB takes 4.9 µs with sendfile and
	// 0.46 µs with pread; with 256 KiB both are equal.
	staging = 256 << 10
	// scarce is the size of the staging buffer when the memory for large ones is
	// used up.
	scarce = 16 << 10
	// together limits the replies that are held back for a common write.
	together = 32 << 10
	// step is the number of bytes per write, so that the progress of a slow
	// client is visible.
	step = 256 << 10
)

// output collects replies for a common write. Only one goroutine may use it.
type output struct {
	conn   *conn
	share  share // of the budget for a large response
	buffer *buffer
	bytes  []byte // in buffer, unless it has outgrown it
}

func newOutput(c *conn) output { return output{conn: c, share: share{budget: c.server.leaving}} }

var (
	errDst   = errors.New("a handler's payload does not begin with the bytes it was given")
	errSlots = errors.New("a handler's regions are not in order")
)

// append encodes a reply after the ones held back. If the reply has file regions
// or is large, append writes all of them. It releases the reply.
func (o *output) append(p *parked) error {
	defer o.done(p)
	if p.reply.None {
		return o.nothing(p)
	}
	payload, start, err := o.encode(p)
	if err == nil && (len(payload.Bytes)-start > freeResponse || o.share.held > 0) {
		payload, start, err = o.settle(p, payload, start)
	}
	if err != nil {
		return err
	}
	p.reply.Encode = nil // so that its source data is not held during the write
	size, err := payloadSize(&payload, start+4)
	if err != nil {
		return blame(p.key, p.version, err)
	}
	o.bytes = payload.Bytes
	binary.BigEndian.PutUint32(o.bytes[start:], uint32(size-int64(start)-4))
	o.conn.server.metrics.BytesOut.Add(size - int64(start))
	if len(payload.Regions) == 0 && len(o.bytes) < together {
		return nil
	}
	err = o.conn.send(o.bytes, payload.Regions)
	o.drop()
	return err
}

// encode encodes a reply after the start bytes that are held back.
func (o *output) encode(p *parked) (payload api.Payload, start int, err error) {
	if o.buffer == nil {
		o.buffer = o.conn.server.buffers.get(int(max(1, o.share.held)))
		o.bytes = o.buffer.b[:0]
	}
	start = len(o.bytes)
	dst := append(o.bytes, 0, 0, 0, 0)
	dst = protocol.AppendResponseHeader(dst, p.key, p.version, p.correlation)
	payload, err = p.reply.Encode(dst)
	if err == nil && len(payload.Bytes) < len(dst) {
		err = errDst
	}
	if err != nil {
		return payload, start, blame(p.key, p.version, err)
	}
	return payload, start, nil
}

// done releases the reply and counts it, with the time since its request.
func (o *output) done(p *parked) {
	p.release()
	s := o.conn.server
	now := s.options.Now()
	s.metrics.API(p.key).Total.Observe(now.Sub(p.received))
	if o == &o.conn.out {
		o.conn.clock = now
	}
}

// nothing handles the reply to Produce with acks=0: nothing is sent, and an error
// closes the connection.
func (o *output) nothing(p *parked) error {
	if p.reply.Encode == nil {
		return nil
	}
	if _, err := p.reply.Encode(nil); err != nil {
		return blame(p.key, p.version, err)
	}
	return nil
}

// payloadSize returns the total length of bytes and regions.
func payloadSize(p *api.Payload, prefix int) (int64, error) {
	if len(p.Bytes) < prefix {
		return 0, errDst
	}
	size, at := int64(len(p.Bytes)), prefix
	for _, r := range p.Regions {
		if r.At < at || r.At > len(p.Bytes) {
			return 0, errSlots
		}
		at = r.At
		size += int64(r.Len())
	}
	if size > math.MaxInt32 {
		return 0, fmt.Errorf("a response of %d bytes", size)
	}
	return size, nil
}

// flush writes the replies held back.
func (o *output) flush() error {
	if o.buffer == nil {
		return nil
	}
	err := o.conn.write(o.bytes)
	o.drop()
	return err
}

// drop discards the replies held back.
func (o *output) drop() {
	if o.share.held > 0 {
		o.give(0)
	}
	o.conn.server.buffers.put(o.buffer)
	o.buffer, o.bytes = nil, nil
}

// send writes bytes with regions between them.
//
//  1. Bytes and small regions are collected in the staging buffer. If everything
//     fits, it takes one write.
//  2. A region of at least the size of the buffer is sent with sendfile, at an
//     explicit offset, if the region has a file and the connection is a socket.
//     Otherwise it is copied through the buffer.
//
// A region that is shorter than announced is an error, because the length of the
// response is already written.
func (c *conn) send(bytes []byte, regions []api.Region) error {
	total := len(bytes)
	for _, r := range regions {
		total += r.Len()
	}
	if len(regions) == 0 {
		return c.write(bytes)
	}
	g := gather{conn: c, share: share{budget: c.server.leaving}}
	g.open(min(total, staging))
	defer g.close()
	done := 0
	for _, r := range regions {
		if err := g.bytes(bytes[done:r.At]); err != nil {
			return err
		}
		done = r.At
		if err := g.region(r); err != nil {
			return err
		}
	}
	if err := g.bytes(bytes[done:]); err != nil {
		return err
	}
	return g.flush()
}

// gather is a staging buffer.
type gather struct {
	conn   *conn
	share  share
	buffer *buffer
	b      []byte // room
	n      int    // bytes in it
}

// open takes the buffer. If the memory for large buffers is used up it takes a
// small one instead of waiting, because a buffer is held for as long as its
// client does not read.
func (g *gather) open(size int) {
	size = classOf(size)
	if size > scarce && !g.share.tryTake(int64(size)) {
		size = scarce
	}
	g.buffer = g.conn.server.buffers.get(size)
	g.b = g.buffer.b
}

func (g *gather) close() {
	g.conn.server.buffers.put(g.buffer)
	g.share.give(g.share.held)
}

func (g *gather) flush() error {
	n := g.n
	g.n = 0
	return g.conn.write(g.b[:n])
}

// room returns free space of at least one byte.
func (g *gather) room() ([]byte, error) {
	if g.n == len(g.b) {
		if err := g.flush(); err != nil {
			return nil, err
		}
	}
	return g.b[g.n:], nil
}

func (g *gather) bytes(b []byte) error {
	for len(b) > 0 {
		room, err := g.room()
		if err != nil {
			return err
		}
		n := copy(room, b)
		g.n += n
		b = b[n:]
	}
	return nil
}

func (g *gather) region(r api.Region) error {
	if r.Len() >= staging && g.conn.raw != nil {
		if file, pos := r.File(); file != nil {
			if fd, ok := file.Fd(); ok && canSendfile {
				if err := g.flush(); err != nil {
					return err
				}
				return g.conn.sendfile(fd, pos, r.Len())
			}
		}
	}
	for off := 0; off < r.Len(); {
		room, err := g.room()
		if err != nil {
			return err
		}
		room = room[:min(len(room), r.Len()-off)]
		n, err := r.ReadAt(room, int64(off))
		if n < len(room) {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return violation("reading records: %v", err)
		}
		g.n += n
		off += n
	}
	return nil
}

// write writes all of b.
func (c *conn) write(b []byte) error {
	for len(b) > 0 {
		now := b[:min(len(b), step)]
		c.writing.Store(c.server.tick.Load() + 1)
		_, err := c.nc.Write(now)
		c.writing.Store(0)
		if err != nil {
			return c.unwritten(err)
		}
		c.touch()
		b = b[len(now):]
	}
	return nil
}

// unwritten returns the reason for closing the connection after a failed write.
func (c *conn) unwritten(err error) error {
	select {
	case <-c.dead:
		return c.reason
	default:
		return err
	}
}
