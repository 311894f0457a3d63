package broker

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/leaks"
	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestMain fails when a test leaves a goroutine of a node behind. It is also
// the other process of the tests that need one.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		os.Exit(hold(dir))
	}
	os.Exit(leaks.Main(m, "ottla/internal/"))
}

// world is what a node under test touches: a file system, a network, and a log.
type world struct {
	testing.TB
	mem    *vfs.Mem
	faults *vfs.Fault
	net    *network
	log    *journal
}

// seeds gives each start of a node its own: an incarnation is never repeated.
var seeds atomic.Uint64

func newWorld(t testing.TB, mem *vfs.Mem) *world {
	return &world{TB: t, mem: mem, faults: vfs.NewFault(mem), net: newNetwork(), log: &journal{}}
}

// bubble runs a test with whole nodes in memory, where time stands still until
// everything waits.
func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, vfs.NewMem())) })
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// load makes a configuration of settings, each name=value; the last one of a
// name counts.
func load(t testing.TB, set ...string) *config.Broker {
	t.Helper()
	last := map[string]string{}
	for _, s := range append([]string{"log.dirs=/data", "listeners=PLAINTEXT://127.0.0.1:9092", "ottla.http.listener=none"}, set...) {
		name, value, _ := strings.Cut(s, "=")
		last[name] = value
	}
	cfg, err := config.Load(config.Sources{Flags: last})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// env is the node's outside. Each start draws other random ids.
func (w *world) env() Env {
	start := time.Now()
	return Env{
		Now: time.Now, Elapsed: func() time.Duration { return time.Since(start) }, FS: w.faults, Listen: w.net.listen, Seed: seeds.Add(1), Log: slog.New(w.log),
		Resolve:  func(string) ([]netip.Addr, error) { return nil, errors.New("nobody has a name here") },
		Hostname: func() (string, error) { return "machine", nil },
	}
}

// tryStart starts a node; the test closes it.
func (w *world) tryStart(set ...string) (*Node, error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return Start(ctx, load(w, set...), w.env())
}

// start starts a node that is closed with the test.
func (w *world) start(set ...string) *Node {
	w.Helper()
	n, err := w.tryStart(set...)
	if err != nil {
		w.Fatalf("start: %v\n%s", err, w.log)
	}
	w.Cleanup(func() { n.Close() })
	return n
}

func (w *world) close(n *Node) {
	w.Helper()
	if err := n.Close(); err != nil {
		w.Fatalf("close: %v\n%s", err, w.log)
	}
}

// network is a network in memory: pipes by address.
type network struct {
	mu        sync.Mutex
	listeners map[string]*pipes
	next      int // port for 0
}

func newNetwork() *network { return &network{listeners: map[string]*pipes{}, next: 40_000} }

func (n *network) listen(_, addr string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	if number == 0 {
		n.next++
		number = n.next
	}
	key := fmt.Sprint(number)
	if n.listeners[key] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &pipes{
		network: n, key: key, accepted: make(chan net.Conn), closed: make(chan struct{}),
		addr: &net.TCPAddr{IP: net.ParseIP(host), Port: number},
	}
	n.listeners[key] = l
	return l, nil
}

// dial connects to whoever listens on the port of addr.
func (n *network) dial(addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	l := n.listeners[port]
	n.mu.Unlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	near, far := net.Pipe()
	select {
	case l.accepted <- pipe{far, l.addr}:
		return near, nil
	case <-l.closed:
		return nil, syscall.ECONNREFUSED
	}
}

// pipes is a listener.
type pipes struct {
	network  *network
	key      string
	addr     *net.TCPAddr
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.key)
		l.network.mu.Unlock()
		close(l.closed)
	})
	return nil
}

func (l *pipes) Addr() net.Addr { return l.addr }

// pipe is a connection with the addresses of a socket.
type pipe struct {
	net.Conn
	local *net.TCPAddr
}

func (p pipe) LocalAddr() net.Addr  { return p.local }
func (p pipe) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 1234} }

// journal is a log in memory.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Enabled(context.Context, slog.Level) bool { return true }
func (j *journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j *journal) WithGroup(string) slog.Handler            { return j }

func (j *journal) Handle(_ context.Context, r slog.Record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(&j.buf, "%s %s", r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&j.buf, " %s=%v", a.Key, a.Value)
		return true
	})
	j.buf.WriteByte('\n')
	return nil
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

// client is a connection to a node, that sends one request after the other.
type client struct {
	testing.TB
	conn net.Conn
	next int32
}

// connect opens a connection that is closed with the test.
func (w *world) connect(n *Node) *client {
	w.Helper()
	conn, err := w.net.dial(n.Addr())
	w.must(err)
	w.Cleanup(func() { conn.Close() })
	return &client{TB: w, conn: conn}
}

// send writes a request.
func (c *client) send(req kmsg.Request) error {
	c.next++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, c.next)
	_, err := c.conn.Write(frame)
	return err
}

// frame reads a response.
func (c *client) frame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.conn, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(c.conn, frame)
	return frame, err
}

// receive reads the response to a request.
func (c *client) receive(req kmsg.Request) (kmsg.Response, error) {
	frame, err := c.frame()
	if err != nil {
		return nil, err
	}
	body := frame[4:]
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != 18 {
		body = body[1:] // no tagged fields
	}
	return resp, resp.ReadFrom(body)
}

// try sends a request and returns the answer.
func (c *client) try(req kmsg.Request) (kmsg.Response, error) {
	if err := c.send(req); err != nil {
		return nil, err
	}
	return c.receive(req)
}

// ask is try, and ends the test when there is no answer.
func ask[R kmsg.Response](c *client, version int16, req kmsg.Request) R {
	c.Helper()
	req.SetVersion(version)
	resp, err := c.try(req)
	if err != nil {
		c.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

// wantCode compares an error code.
func wantCode(t testing.TB, what string, got int16, want protocol.Code) {
	t.Helper()
	if protocol.Code(got) != want {
		t.Errorf("%s: %v, want %v", what, protocol.Code(got), want)
	}
}

// create creates a topic and returns the error.
func (c *client) create(name string, partitions int32, configs ...string) protocol.Code {
	c.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, -1
	for i := 0; i+1 < len(configs); i += 2 {
		one := kmsg.NewCreateTopicsRequestTopicConfig()
		one.Name, one.Value = configs[i], &configs[i+1]
		t.Configs = append(t.Configs, one)
	}
	req.Topics = append(req.Topics, t)
	return protocol.Code(ask[*kmsg.CreateTopicsResponse](c, 7, req).Topics[0].ErrorCode)
}

// mustCreate creates a topic.
func (c *client) mustCreate(name string, partitions int32, configs ...string) {
	c.Helper()
	if code := c.create(name, partitions, configs...); code != protocol.None {
		c.Fatalf("create %s: %v", name, code)
	}
}

func (c *client) delete(name string) {
	c.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis, req.TopicNames = 30_000, []string{name}
	wantCode(c, "delete "+name, ask[*kmsg.DeleteTopicsResponse](c, 5, req).Topics[0].ErrorCode, protocol.None)
}

// produceOf is a request that writes values to one partition.
func produceOf(topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// produce writes values by acks=all and returns the offset of the first.
func (c *client) produce(topic string, partition int32, values ...string) (int64, protocol.Code) {
	c.Helper()
	resp := ask[*kmsg.ProduceResponse](c, 9, produceOf(topic, partition, -1, batch(nil, values...)))
	p := resp.Topics[0].Partitions[0]
	return p.BaseOffset, protocol.Code(p.ErrorCode)
}

// mustProduce writes values by acks=all.
func (c *client) mustProduce(topic string, partition int32, values ...string) {
	c.Helper()
	if _, code := c.produce(topic, partition, values...); code != protocol.None {
		c.Fatalf("produce to %s-%d: %v", topic, partition, code)
	}
}

// batch makes a batch of values, of an idempotent producer if one is given.
func batch(producer *record.ProducerInfo, values ...string) []byte {
	b := record.NewBuilder(record.BuilderOptions{Producer: producer})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), []byte("k"), []byte(v))
	}
	built, err := b.Build()
	if err != nil {
		panic(err)
	}
	return bytes.Clone(built)
}

// fetch reads all values of a partition from its beginning, those of control
// records apart.
func (c *client) fetch(topic string, partition int32) ([]string, protocol.Code) {
	c.Helper()
	req := kmsg.NewPtrFetchRequest()
	req.ReplicaID, req.MaxBytes, req.MinBytes, req.SessionEpoch = -1, 50<<20, 1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.PartitionMaxBytes = partition, 50<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got := ask[*kmsg.FetchResponse](c, 12, req).Topics[0].Partitions[0]
	var values []string
	for rest := got.RecordBatches; len(rest) > 0; {
		b, next, err := record.Next(rest)
		if err != nil {
			c.Fatalf("%s-%d: %v", topic, partition, err)
		}
		if err := b.CheckCRC(); err != nil {
			c.Fatalf("%s-%d: %v", topic, partition, err)
		}
		for r, err := range b.Records(nil) {
			if err != nil {
				c.Fatal(err)
			}
			if b.IsControl() {
				continue
			}
			values = append(values, string(r.Value))
		}
		rest = next
	}
	return values, protocol.Code(got.ErrorCode)
}

// files lists every file of the world with its content.
func (w *world) files() map[string]string {
	w.Helper()
	all := map[string]string{}
	w.must(vfs.Walk(w.mem, "/", func(name string, info os.FileInfo) error {
		if info.IsDir() {
			all[name] = "dir"
			return nil
		}
		content, err := vfs.ReadFile(w.mem, name)
		all[name] = string(content)
		return err
	}))
	return all
}

// onDisk is the configuration of a node on the machine's own files.
func onDisk(dir string) *config.Broker {
	cfg, err := config.Load(config.Sources{Flags: map[string]string{"log.dirs": dir, "listeners": "PLAINTEXT://127.0.0.1:0", "ottla.http.listener": "none"}})
	if err != nil {
		panic(err)
	}
	return cfg
}
