package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"ottla/internal/api"
	"ottla/internal/config"
	"ottla/internal/leaks"
)

// TestMain fails when a test leaves a goroutine behind.
func TestMain(m *testing.M) { os.Exit(leaks.Main(m, "server.(*")) }

// The keys of the endpoints that tests serve, with the versions whose headers
// are the plainest.
const (
	testProduce  = 0  // version 3: the handler of test.produce
	testEcho     = 3  // version 0: Metadata, answers with its body
	testVersions = 18 // version 0
	testLarge    = 19 // version 2: CreateTopics, answers with the length of its body
)

// test is a server in a test, with the handlers' side in its hands.
type test struct {
	*testing.T
	server  *Server
	options *Options
	log     *journal
	pipe    *pipeListener // nil with real sockets

	// produce handles testProduce; nil answers at once with the body.
	produce func(context.Context, *api.Request) (api.Reply, error)
	// echo is called before testEcho and testLarge answer.
	echo func(context.Context, *api.Request) (api.Reply, error)
}

// newTest makes a server whose connections are pipes. It is started by
// start, or by the first connection.
func newTest(t *testing.T) *test {
	t.Helper()
	x := &test{T: t, log: &journal{}}
	x.pipe = newPipeListener()
	x.options = &Options{
		Config: &config.Broker{
			InterBrokerListener: "PLAINTEXT",
			Listeners:           []config.Listener{{Name: "PLAINTEXT", Protocol: plaintext, Host: "127.0.0.1"}},
			Network: config.Network{
				RequestMaxBytes: 100 << 20, QueuedMaxRequestBytes: -1, MaxIdle: 10 * time.Minute,
				MaxConnections: 1 << 30, MaxConnectionsPerIP: 1 << 30,
			},
		},
		Table:  x.table(),
		Listen: func(string, string) (net.Listener, error) { return x.pipe, nil },
		Now:    func() time.Time { return time.Unix(1_700_000_000, 0) },
		Log:    slog.New(x.log),
		poison: true,
	}
	return x
}

func (x *test) table() []api.Endpoint {
	own := func(handle *func(context.Context, *api.Request) (api.Reply, error)) api.Handle {
		return func(_ *api.Handler, ctx context.Context, r *api.Request) (api.Reply, error) {
			if *handle != nil {
				return (*handle)(ctx, r)
			}
			return reply(bytes.Clone(r.Body)), nil
		}
	}
	length := func(_ *api.Handler, _ context.Context, r *api.Request) (api.Reply, error) {
		return reply(binary.BigEndian.AppendUint32(nil, uint32(len(r.Body)))), nil
	}
	both := api.OnBroker | api.OnController
	return []api.Endpoint{
		{Key: testProduce, Name: "Produce", Min: 3, Max: 13, Listeners: api.OnBroker, Service: api.Service{Kind: api.Pipelined, Handle: own(&x.produce)}},
		{Key: testEcho, Name: "Metadata", Min: 0, Max: 13, Listeners: both, MaxFrame: 1 << 20, Service: api.Service{Kind: api.Describes, Handle: own(&x.echo)}},
		{Key: testVersions, Name: "ApiVersions", Min: 0, Max: 4, Listeners: both, MaxFrame: 1 << 20, Service: api.Service{Handle: own(&x.echo)}},
		{Key: testLarge, Name: "CreateTopics", Min: 2, Max: 7, Listeners: both, MaxFrame: 8 << 20, Service: api.Service{Handle: length}},
	}
}

// reply is a reply with these bytes, at once.
func reply(body []byte) api.Reply {
	return api.Reply{Encode: func(dst []byte) (api.Payload, error) {
		return api.Payload{Bytes: append(dst, body...)}, nil
	}}
}

// start serves, and shuts down when the test ends.
func (x *test) start() {
	x.Helper()
	s, err := New(*x.options)
	if err != nil {
		x.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		x.Fatal(err)
	}
	s.Serve()
	x.server = s
	x.Cleanup(x.stop)
}

// stop shuts the server down.
func (x *test) stop() {
	x.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := x.server.Shutdown(ctx); err != nil {
		x.Errorf("shutdown: %v", err)
	}
	if n := x.server.Connections(); n != 0 {
		x.Errorf("%d connections are left", n)
	}
	for _, b := range []*budget{x.server.budget, x.server.leaving} {
		if b.used != 0 || b.blocked != 0 || len(b.waiters) != 0 || b.favored != nil {
			x.Errorf("a budget is not given back: %+v", b)
		}
	}
}

// connect opens a connection.
func (x *test) connect() *client {
	x.Helper()
	return x.connectFrom("10.0.0.1:1234")
}

// connectFrom opens a connection that seems to come from an address.
func (x *test) connectFrom(peer string) *client {
	x.Helper()
	if x.server == nil {
		x.start()
	}
	near, far := net.Pipe()
	x.pipe.accepted <- addressed{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(peer))}
	x.Cleanup(func() { near.Close() })
	return &client{x, near}
}

// pipeListener accepts what a test puts into its channel.
type pipeListener struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{accepted: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }

// addressed is a pipe with the addresses of a socket.
type addressed struct {
	net.Conn
	peer net.Addr
}

func (c addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }
func (c addressed) RemoteAddr() net.Addr { return c.peer }

// client is the other end of a connection.
type client struct {
	x  *test
	nc net.Conn
}

// request is a frame with its length.
func request(key, version int16, correlation int32, body []byte) []byte {
	b := make([]byte, 4, 64+len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	b = append(b, 0, 4)
	b = append(b, "test"...)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) write(b []byte) {
	c.x.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.x.Errorf("write: %v", err) // maybe not in the test's goroutine
	}
}

func (c *client) produce(correlation int32, body string) {
	c.x.Helper()
	c.write(request(testProduce, 3, correlation, []byte(body)))
}

func (c *client) echo(correlation int32, body string) {
	c.x.Helper()
	c.write(request(testEcho, 0, correlation, []byte(body)))
}

// read reads one response.
func (c *client) read() (correlation int32, body []byte) {
	c.x.Helper()
	correlation, body, err := c.tryRead()
	if err != nil {
		c.x.Errorf("read: %v", err)
	}
	return correlation, body
}

func (c *client) tryRead() (correlation int32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, binary.BigEndian.Uint32(head[:])-4)
	_, err = io.ReadFull(c.nc, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

// expect reads one response and compares it.
func (c *client) expect(correlation int32, body string) {
	c.x.Helper()
	if got, gotBody := c.read(); got != correlation || string(gotBody) != body {
		c.x.Errorf("got response %d %q, want %d %q", got, gotBody, correlation, body)
	}
}

// expectClosed reads until the connection is closed; nothing else may come.
func (c *client) expectClosed() {
	c.x.Helper()
	if correlation, body, err := c.tryRead(); err == nil {
		c.x.Errorf("got response %d %q, want the end", correlation, body)
	} else if !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "reset") {
		c.x.Errorf("the connection does not end: %v", err)
	}
}

// journal is a log in memory.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b.WriteString(" " + a.Key + "=" + a.Value.Resolve().String())
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, b.String())
	return nil
}

func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }
func (j *journal) WithGroup(string) slog.Handler      { return j }

// take returns the lines so far and forgets them.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// expectOne wants exactly one line, with these words.
func (x *test) expectOne(words ...string) {
	x.Helper()
	lines := x.log.take()
	if len(lines) != 1 {
		x.Fatalf("%d lines in the log, want one with %q:\n%s", len(lines), words, strings.Join(lines, "\n"))
	}
	for _, word := range words {
		if !strings.Contains(lines[0], word) {
			x.Fatalf("no %q in the log: %s", word, lines[0])
		}
	}
}
