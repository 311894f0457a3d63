package server

import (
	"encoding/binary"
	"time"

	"ottla/internal/api"
	"ottla/internal/protocol"
)

// frame is one request in its wire format, without the length field.
type frame struct {
	bytes    []byte
	endpoint *api.Endpoint
	// buffer holds the bytes if they do not fit into the connection's own buffer.
	buffer *buffer
	// charged is the number of bytes taken from the budget.
	charged int64
}

// input holds the bytes that a connection has read and not yet handled. Small
// requests are handled in place; one read may bring several.
//
// A socket without data has no buffer: it would be a third of the memory of an
// idle connection. So the first read of a request takes a buffer, and returns it
// if it must wait.
//
// Rejected: waiting for a byte before reading. It costs one more system call per
// request.
type input struct {
	buffer *buffer
	r, w   int // unread bytes are buffer.b[r:w]
	// first is conn.readFirst, allocated once; n and err are its results.
	first func(fd uintptr) (done bool)
	n     int
	err   error
	// grown is the size of the largest request of this connection. The next
	// request gets a buffer of this size at once if there is enough memory.
	// Otherwise, and above this size, a buffer grows as bytes arrive.
	grown int
}

// The limits of frames, in bytes.
const (
	// inputSize is the size of a connection's own buffer.
	inputSize = 4096
	// minFrame is the shortest header: key, version and correlation id.
	minFrame = 8
	// anonymousFrame is the maximum size of a request before authentication.
	anonymousFrame = 16 << 10
	// firstBuffer is the initial buffer size of a large request, scarceBuffer if
	// half of the memory is in use.
	firstBuffer  = 64 << 10
	scarceBuffer = 2 * inputSize
	// freeDecoding is the memory for decoding a request that is not charged.
	freeDecoding = 64 << 10
)

// readFrame reads the next request into c.frame.
func (c *conn) readFrame() error {
	c.enter(idle)
	if err := c.fill(1); err != nil {
		return c.ended(err, false)
	}
	c.began.Store(c.server.tick.Load())
	c.size.Store(0)
	c.enter(arriving)
	if err := c.fill(4); err != nil {
		return c.ended(err, true)
	}
	size := int32(binary.BigEndian.Uint32(c.unread()))
	switch limit := c.server.config.RequestMaxBytes; {
	case size < 0:
		return violation("a request of %d bytes", size)
	case size < minFrame:
		return violation("a request of %d bytes, too short for a header", size)
	case size > limit:
		return violation("a request of %d bytes%s, socket.request.max.bytes is %d", size, guess(c.unread()), limit)
	}
	if err := c.fill(minFrame); err != nil {
		return c.ended(err, true)
	}
	endpoint, err := c.inspect(int(size))
	if err != nil {
		return err
	}
	c.frame = frame{endpoint: endpoint}
	if 4+int(size) <= inputSize {
		return c.readSmall(int(size))
	}
	return c.readLarge(int(size))
}

// guess names the protocol of a request that is not Kafka's, by its first bytes.
func guess(begin []byte) string {
	switch {
	case begin[0] == 0x16 && begin[1] == 3:
		return " (a TLS handshake?)"
	case begin[0] >= 'A' && begin[0] <= 'Z' && begin[1] >= 'A' && begin[1] <= 'Z':
		return " (an HTTP request?)"
	}
	return ""
}

// inspect finds the endpoint of the request, whose header begins after the
// length, and checks the size against the limit. The body is not read yet.
func (c *conn) inspect(size int) (*api.Endpoint, error) {
	key, version, _ := protocol.PeekRequestHeader(c.unread()[4:])
	e := c.server.endpoint(key)
	switch {
	case e == nil || e.Listeners&c.listener.kind == 0:
		return nil, violation("api key %d version %d is not served here", key, version)
	case !e.Serves(version) && key != apiVersions:
		return nil, violation("api key %d (%s) version %d is not served", key, e.Name, version)
	}
	limit := int(e.MaxFrame)
	if limit == 0 {
		limit = size
	}
	if !c.listener.authenticated {
		if key != apiVersions && key != saslHandshake && key != saslAuthenticate {
			return nil, violation("api key %d (%s) before authentication", key, e.Name)
		}
		limit = min(limit, anonymousFrame)
	}
	if size > limit {
		return nil, violation("a %s request of %d bytes, at most %d are taken", e.Name, size, limit)
	}
	return e, nil
}

// The APIs that a client may call before authentication (X1). ApiVersions answers
// every version (KIP-511).
const (
	saslHandshake    = 17
	apiVersions      = 18
	saslAuthenticate = 36
)

// readSmall reads a request that fits into the connection's own buffer.
func (c *conn) readSmall(size int) error {
	if err := c.fill(4 + size); err != nil {
		return c.ended(err, true)
	}
	from := c.in.r + 4
	c.frame.bytes = c.in.buffer.b[from : from+size : from+size]
	c.in.r = from + size
	return nil
}

// readLarge reads a request into a pooled buffer that grows as bytes arrive.
func (c *conn) readLarge(size int) error {
	c.size.Store(int64(size))
	first := min(size, max(firstBuffer, c.in.grown))
	if n := int64(classOf(first)); c.share.takeAhead(n) {
		c.frame.charged = n
	} else {
		first = min(size, scarceBuffer)
	}
	if err := c.grow(0, first); err != nil {
		return err
	}
	f := &c.frame
	n := copy(f.buffer.b[:min(size, len(f.buffer.b))], c.unread()[4:])
	c.in.r += 4 + n
	for n < size {
		if n == len(f.buffer.b) {
			if err := c.grow(n, min(size, 2*n)); err != nil {
				return err
			}
		}
		m, err := c.nc.Read(f.buffer.b[n:min(size, len(f.buffer.b))])
		c.clock = time.Time{}
		if m > 0 {
			c.touch()
		}
		if n += m; err != nil && n < size {
			return c.ended(err, true)
		}
	}
	c.in.grown = max(c.in.grown, min(size, 1<<maxClass))
	f.bytes = f.buffer.b[:size:size]
	return nil
}

// grow gives the frame a buffer of at least size bytes, copies the first n bytes
// of the old one, and charges the additional bytes.
func (c *conn) grow(n, size int) error {
	f := &c.frame
	if more := int64(classOf(size)) - f.charged; more > 0 {
		if err := c.take(more); err != nil {
			return err
		}
	}
	larger := c.server.buffers.get(size)
	if f.buffer != nil {
		copy(larger.b, f.buffer.b[:n])
		c.server.buffers.put(f.buffer)
	}
	f.buffer = larger
	return nil
}

// take waits for n bytes of the budget. This time does not count for the timeout
// of the request's arrival.
func (c *conn) take(n int64) error {
	before, since := state(c.state.Load()), c.server.tick.Load()
	c.enter(waiting)
	if !c.share.take(n, c.dead) {
		return c.reason
	}
	c.began.Add(c.server.tick.Load() - since)
	c.touch()
	c.enter(before)
	c.frame.charged += n
	return nil
}

// charge takes the memory for decoding the request from the budget.
func (c *conn) charge(r *api.Request) error {
	n := int64(protocol.Amplification(r.Header.Key)) * int64(len(r.Body))
	if n <= freeDecoding {
		return nil
	}
	return c.take(n)
}

// release returns the buffer and the budget of the current request. Its bytes
// must not be used afterwards.
func (c *conn) release() {
	f := &c.frame
	if c.server.buffers.poison {
		poison(f.bytes) // also in the connection's own buffer
	}
	if f.buffer != nil {
		c.server.buffers.put(f.buffer)
		f.buffer = nil
	}
	f.bytes = nil
	c.share.give(f.charged)
	f.charged = 0
}

// unread returns the bytes that were read and not handled.
func (c *conn) unread() []byte {
	if c.in.buffer == nil {
		return nil
	}
	return c.in.buffer.b[c.in.r:c.in.w]
}

// fill reads until there are n contiguous unread bytes.
func (c *conn) fill(n int) error {
	in := &c.in
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	for in.w-in.r < n {
		if in.buffer != nil && in.r+n > len(in.buffer.b) {
			in.w = copy(in.buffer.b, c.unread())
			in.r = 0
		}
		m, err := c.read()
		c.clock = time.Time{}
		if m > 0 {
			in.w += m
			c.touch()
		}
		if err != nil && in.w-in.r < n {
			return err
		}
	}
	return nil
}

// read appends the bytes that have arrived to the unread bytes.
func (c *conn) read() (int, error) {
	in := &c.in
	if in.w == 0 && c.raw != nil && canRead {
		if err := c.raw.Read(in.first); err != nil {
			return 0, err
		}
		return in.n, in.err
	}
	if in.buffer == nil {
		in.buffer = c.server.buffers.get(inputSize)
	}
	return c.nc.Read(in.buffer.b[in.w:])
}

// readFirst reads from the socket into an empty input. It returns false if it
// must wait; the buffer is then returned.
func (c *conn) readFirst(fd uintptr) (done bool) {
	in := &c.in
	if in.buffer == nil {
		in.buffer = c.server.buffers.get(inputSize)
	}
	n, again, err := readSocket(fd, in.buffer.b)
	if again {
		c.dropInput()
		return false
	}
	in.n, in.err = n, err
	return true
}

// dropInput returns the connection's own buffer.
func (c *conn) dropInput() {
	c.server.buffers.put(c.in.buffer)
	c.in.buffer, c.in.r, c.in.w = nil, 0, 0
}

// more tells whether the next request has already arrived, so that its reply can
// be written together with those held back. It is false for APIs that are not
// pipelined, because their handlers may wait.
func (c *conn) more() bool {
	unread := c.unread()
	if len(unread) < 4+minFrame {
		return false
	}
	size := int32(binary.BigEndian.Uint32(unread))
	key, _, _ := protocol.PeekRequestHeader(unread[4:])
	e := c.server.endpoint(key)
	return e != nil && e.Kind == api.Pipelined && size >= minFrame && int(size) <= len(unread)-4
}
