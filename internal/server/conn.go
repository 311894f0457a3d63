package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ottla/internal/api"
	"ottla/internal/logs"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// conn is one connection.
//
//  1. Its goroutine reads a request into its own buffer (frame.go), finds the
//     endpoint and calls the handler.
//  2. A ready reply is written at once. Replies to requests that arrived
//     together are written together.
//  3. A reply to Produce that is not ready is parked, and the next request is
//     read. Any other request waits until all parked replies are written
//     (replies.go).
//  4. An error ends the loop. Parked requests are still answered, as in Kafka.
//     Then the connection closes. If the client or this program caused the
//     error, one line is logged.
//
// Rejected: two goroutines per connection, a reader and a writer, with a channel
// between them. This costs two goroutine switches per request and twice the
// stack memory.
type conn struct {
	server   *Server
	listener *listener
	nc       net.Conn
	raw      syscall.RawConn // for sendfile and for waiting; nil if nc has none
	peer     netip.AddrPort
	session  api.Session
	frame    frame                  // the current request
	header   protocol.RequestHeader // header of the current or previous request
	request  api.Request            // argument of the handler
	consumed func()                 // Request.Consumed, allocated once
	wait     func(n int) bool       // Request.Wait, allocated once
	waits    int64                  // bytes taken from server.waiters
	ctx      context.Context
	cancel   context.CancelFunc
	share    share // of the budget for requests
	// fingerprint of the current request in server.expected; 0: none.
	fingerprint uint32
	meter       meter.Meter       // meter of the current response
	pay         func(int64) error // takeRoom, allocated once
	metered     int64             // bytes that the meter has paid for

	// clock is the last reading of the clock; zero after a later read from the
	// connection.
	clock time.Time

	in      input
	out     output // used by the connection's goroutine
	replies replies

	// For watch: the rounds of the last activity, of the first byte of the
	// arriving request, and of the write in progress (0: none).
	active, began, writing atomic.Int64
	size                   atomic.Int64 // bytes of the arriving request
	charged                atomic.Int64 // budget taken by the response that is being written
	state                  atomic.Int32

	// dead is closed by kill, which also sets reason.
	dead   chan struct{}
	killed sync.Once
	reason error
}

// state is the current activity of a connection's goroutine.
type state int32

const (
	idle     state = iota // waiting for a request
	arriving              // reading a request
	waiting               // for memory or for its turn, which is not the client's fault
	handling
)

// clients is the kind of listeners whose connections count together for
// max.connections.
const clients = api.OnBroker

// Reasons for closing a connection that are not faults.
var (
	errShutdown = errors.New("the node is shutting down")
	errIdle     = errors.New("connections.max.idle.ms has passed")
	errGone     = errors.New("the client closed the connection while its request was handled")
)

// fault is a reason for closing a connection that is logged.
type fault struct {
	reason string
	// kind groups faults for the limit of log lines. Clients cannot choose it.
	kind  string
	api   string // name and version; empty if no request caused it
	stack []byte // of a panic
}

func (f *fault) Error() string { return f.reason }

// blame returns a fault for the error of a request.
func blame(key, version int16, err error) *fault {
	name := protocol.APIName(key)
	return &fault{reason: err.Error(), kind: name, api: fmt.Sprintf("%s %d", name, version)}
}

// panicked returns a fault for a panic.
func panicked(key, version int16, value any) *fault {
	f := blame(key, version, fmt.Errorf("panic: %v", value))
	f.kind = "panic in " + f.kind
	f.stack = debug.Stack()
	return f
}

// violation returns a fault for a violation of the protocol.
func violation(format string, args ...any) error {
	return &fault{reason: fmt.Sprintf(format, args...), kind: format}
}

func newConn(l *listener, nc net.Conn, peer netip.AddrPort) *conn {
	s := l.server
	c := &conn{server: s, listener: l, nc: nc, peer: peer, dead: make(chan struct{}), share: share{budget: s.budget}}
	c.out = newOutput(c)
	c.in.first = c.readFirst
	c.consumed = func() {
		c.request.Consumed = nil
		c.release()
	}
	c.pay = c.takeRoom
	c.wait = c.takeWaiter
	c.replies.init(c)
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.session = api.Session{
		ConnectionID: fmt.Sprintf("%s-%s-%d", nc.LocalAddr(), nc.RemoteAddr(), s.nextID.Add(1)-1),
		Peer:         peer, Controller: l.kind == api.OnController,
		ClientSoftwareName: "unknown", ClientSoftwareVersion: "unknown",
	}
	if source, ok := nc.(syscall.Conn); ok {
		c.raw, _ = source.SyscallConn() // without it, regions are read and written
	}
	c.tune()
	c.touch()
	return c
}

const (
	// kafkaBufferBytes is the default of socket.send.buffer.bytes and
	// socket.receive.buffer.bytes. It counts as "not set": the kernel's tuning,
	// which depends on the round-trip time, is faster than any fixed size.
	kafkaBufferBytes = 100 << 10
	// localSendBytes is the send buffer for clients on this machine, unless a size
	// is set. There is no round-trip time to fill, and the data of a larger buffer
	// has left the processor's cache when it is read. Measured with 10 and 50
	// readers: 1.4 and 1.5 times the MB/s of the kernel's tuning; equal with one.
	localSendBytes = 200 << 10
)

// tune sets the sizes of the socket's buffers if they are configured.
func (c *conn) tune() {
	tcp, ok := c.nc.(*net.TCPConn)
	if !ok {
		return
	}
	if n := sendBuffer(c.server.config.SendBufferBytes, c.session.Peer.Addr(), addrPort(tcp.LocalAddr()).Addr()); n > 0 {
		_ = tcp.SetWriteBuffer(n) // a hint
	}
	if n := c.server.config.ReceiveBufferBytes; n > 0 && n != kafkaBufferBytes {
		_ = tcp.SetReadBuffer(int(n)) // a hint
	}
}

// sendBuffer returns the size of the send buffer, which depends on
// socket.send.buffer.bytes and both addresses. 0 leaves it to the kernel.
func sendBuffer(chosen int32, peer, local netip.Addr) int {
	switch {
	case chosen != kafkaBufferBytes:
		return int(max(chosen, 0))
	case peer.IsLoopback() || peer == local:
		return localSendBytes
	}
	return 0
}

// touch records activity of the client.
func (c *conn) touch() { c.active.Store(c.server.tick.Load()) }

// enter sets the activity of the goroutine.
func (c *conn) enter(s state) { c.state.Store(int32(s)) }

// serve is the connection's goroutine.
func (c *conn) serve() {
	reason := c.requests()
	c.enter(handling)
	if err := c.out.flush(); err == nil {
		c.replies.drain()
	}
	c.kill(reason)
	c.replies.drain()
	c.close(reason)
}

// requests handles requests one after the other until an error.
func (c *conn) requests() (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(c.header.Key, c.header.Version, v)
		}
	}()
	for {
		if err := c.readFrame(); err != nil {
			return err
		}
		err := c.handle()
		c.release()
		if err != nil {
			return err
		}
		c.cutClientID()
		if !c.more() {
			if err := c.out.flush(); err != nil {
				return err
			}
		}
		c.touch()
	}
}

// keptClientID is the number of bytes of a client id that an idle connection
// keeps. Client libraries send fewer.
const keptClientID = 256

// cutClientID cuts the client id of the last request, which the header keeps in
// case that the next request has the same. Otherwise each idle connection could
// hold 32 KiB.
func (c *conn) cutClientID() {
	if len(c.header.ClientID) > keptClientID {
		c.header.ClientID = strings.Clone(c.header.ClientID[:keptClientID])
		c.request.Header.ClientID = c.header.ClientID
	}
}

// handle answers the current request, or parks the reply.
func (c *conn) handle() error {
	c.enter(handling)
	e := c.frame.endpoint
	body, err := c.header.Parse(c.frame.bytes)
	if err != nil {
		return blame(c.header.Key, c.header.Version, err)
	}
	if e.Kind != api.Pipelined {
		if err := c.turn(); err != nil {
			return err
		}
	}
	r := &c.request
	*r = api.Request{
		Header: c.header, Body: body, Listener: c.listener.config.Name, Principal: api.Anonymous,
		Received: c.received(), Session: &c.session, Meter: &c.meter,
	}
	if e.Kind != api.Pipelined {
		c.metered = 0
		c.meter.Reset(c.ctx, c.server.answerMost, c.pay)
	}
	if err := c.charge(r); err != nil {
		return err
	}
	if c.frame.charged > 0 {
		r.Consumed = c.consumed
	}
	r.Wait = c.wait
	c.server.metrics.BytesIn.Add(int64(len(c.frame.bytes)) + 4)
	if err := c.foresee(e, r); err != nil {
		return err
	}
	reply, err := e.Handle(c.server.options.Handler, c.ctx, r)
	c.release()
	if err != nil {
		c.server.waiters.give(&c.waits)
		return c.refused(err)
	}
	p := parked{reply: reply, key: c.header.Key, version: c.header.Version, correlation: c.header.CorrelationID, received: r.Received}
	err = c.answer(e, &p)
	c.server.waiters.give(&c.waits)
	return err
}

// received returns the arrival time of the current request. For requests that
// arrived together the clock is read only once, so the time in which an earlier
// one is handled counts for the later ones.
func (c *conn) received() time.Time {
	if c.clock.IsZero() {
		c.clock = c.server.options.Now()
	}
	return c.clock
}

// turn waits until all earlier requests are answered.
func (c *conn) turn() error {
	if err := c.out.flush(); err != nil {
		return err
	}
	c.enter(waiting)
	c.replies.drain()
	c.enter(handling)
	return nil
}

// refused returns the reason for closing the connection after a handler
// returned err.
func (c *conn) refused(err error) error {
	if c.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return errShutdown
	}
	c.server.metrics.API(c.header.Key).Refused.Add(1)
	return blame(c.header.Key, c.header.Version, err)
}

// answer writes the reply if it is ready, and parks it or waits for it
// otherwise.
func (c *conn) answer(e *api.Endpoint, p *parked) error {
	switch {
	case c.replies.empty() && p.ready():
		return c.out.append(p)
	case e.Kind == api.Pipelined:
		if err := c.out.flush(); err != nil {
			p.release()
			return err
		}
		c.enter(waiting)
		return c.replies.park(p)
	}
	select {
	case <-p.reply.Done:
		return c.out.append(p)
	case <-c.dead:
		p.release()
		return c.reason
	}
}

// nudge ends a wait for the next request because the server is closing.
func (c *conn) nudge() { _ = c.nc.SetReadDeadline(longAgo) } // a failure means it is closed

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

// kill closes the connection. Any goroutine may call it; the connection's own
// goroutine then ends.
func (c *conn) kill(reason error) {
	c.killed.Do(func() {
		c.reason = reason
		close(c.dead)
		c.cancel()
		_ = c.nc.Close() // nobody is told
	})
}

// close ends the connection's goroutine. No reply may be parked.
func (c *conn) close(reason error) {
	c.kill(reason)
	c.dropInput()
	c.out.drop()
	c.share.give(c.share.held)
	c.server.waiters.give(&c.waits)
	c.server.remove(c)
	c.listener.limits.give(c.peer.Addr())
	c.report(c.reason)
}

// report logs one line for a connection that closed because of a fault.
func (c *conn) report(reason error) {
	level := slog.LevelDebug
	var f *fault
	if errors.As(reason, &f) {
		level = slog.LevelWarn
		if f.stack != nil {
			level = slog.LevelError
		}
	}
	log := c.server.log
	if !log.Enabled(c.server.ctx, level) {
		return
	}
	why := logs.Reason{Text: reason.Error()}
	if f != nil {
		why.Kind = f.kind
	}
	attrs := []any{
		"listener", c.listener.config.Name, "peer", c.peer.String(), "reason", why,
		"connection", c.session.ConnectionID, "client", c.header.ClientID, "software", c.session.ClientSoftwareName,
	}
	if f != nil && f.api != "" {
		attrs = append(attrs, "api", f.api)
	}
	if f != nil && f.stack != nil {
		attrs = append(attrs, "stack", logs.Trace(f.stack))
	}
	log.Log(context.WithoutCancel(c.server.ctx), level, "connection closed", attrs...)
}

// ended converts a read error to the reason for closing the connection.
func (c *conn) ended(err error, inside bool) error {
	select {
	case <-c.dead:
		return c.reason
	default:
	}
	switch {
	case c.server.closing.Load() && errors.Is(err, os.ErrDeadlineExceeded):
		return errShutdown
	case !inside:
		return err
	case errors.Is(err, io.EOF):
		return violation("the connection ended in the middle of a request")
	}
	return violation("the connection broke in the middle of a request: %v", err)
}
