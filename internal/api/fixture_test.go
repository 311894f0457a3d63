package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/controller"
	"ottla/internal/group"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// fixture is a node without sockets: storage, quorum, controller and replicas
// as broker.Start joins them, on a file system in memory, and a Handler on top.
// Requests go in as bytes and come out as bytes.
type fixture struct {
	testing.TB
	h      *Handler
	mem    *vfs.Mem
	faults *vfs.Fault // between the node and mem

	controller *controller.Controller
	quorum     *raft.Node
	epoch      int64 // of the broker
	config     atomic.Pointer[config.Broker]
	producer   atomic.Int64
	session    *Session
	clientID   string
	listener   string
}

// story runs a test on a node inside a bubble: time stands still until
// everything waits, so that what waits is told from what is slow.
func story(t *testing.T, properties map[string]string, tell func(t *testing.T, x *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tell(t, newFixture(t, properties))
	})
}

// newFixture starts a node. Properties are keys of server.properties.
func newFixture(t testing.TB, properties map[string]string) *fixture {
	t.Helper()
	x := &fixture{TB: t, h: &Handler{}, mem: vfs.NewMem(), clientID: "test", listener: "PLAINTEXT"}
	x.faults = vfs.NewFault(x.mem)
	x.session = &Session{ConnectionID: "1", Peer: netip.MustParseAddrPort("10.0.0.9:1234"), ClientSoftwareName: "unknown", ClientSoftwareVersion: "unknown"}
	set := []string{"log.dirs=/data", "listeners=PLAINTEXT://127.0.0.1:9092", "broker.session.timeout.ms=1000000000", "num.partitions=2"}
	for name, value := range properties {
		set = append(set, name+"="+value)
	}
	cfg, err := config.Load(config.Sources{Set: dedupe(set)})
	if err != nil {
		t.Fatal(err)
	}
	x.config.Store(cfg)
	x.start(cfg)
	return x
}

// dedupe keeps the last of several settings of one key.
func dedupe(set []string) []string {
	last := map[string]string{}
	for _, s := range set {
		name, _, _ := bytes.Cut([]byte(s), []byte("="))
		last[string(name)] = s
	}
	var out []string
	for _, s := range last {
		out = append(out, s)
	}
	return out
}

func (x *fixture) must(err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
}

// start joins the rooms, as broker.Start does.
func (x *fixture) start(cfg *config.Broker) {
	x.Helper()
	log, codecs := slog.New(slog.NewTextHandler(io.Discard, nil)), record.NewCodecs()
	topicConfig := func(overrides map[string]string) (config.Topic, error) { return x.config.Load().Topic(overrides) }
	defaults, err := topicConfig(nil)
	x.must(err)
	const clusterID = "5L6g3nShT-eMCtK--X86sw"
	var replicas *replica.Manager
	store, err := storage.OpenManager(context.Background(), storage.Options{
		FS: x.faults, Dirs: cfg.LogDirs, Now: time.Now, Log: log, Codecs: codecs, Seed: 1, NodeID: cfg.NodeID, ClusterID: clusterID,
		Durability: cfg.Ottla.Durability, Default: defaults, Logs: cfg.Logs, Producers: cfg.Producers,
		OnDirFailure: func(f storage.DirFailure) {
			if replicas != nil {
				replicas.DirFailed(f)
			}
		},
	})
	x.must(err)
	replicas = replica.NewManager(replica.Options{NodeID: cfg.NodeID, Storage: store, Durability: cfg.Ottla.Durability, TopicConfig: topicConfig, Log: log})
	begin := time.Now()
	x.h.Groups = group.NewCoordinator(group.Options{
		NodeID: cfg.NodeID, Replicas: replicas, Config: x.config.Load, Now: time.Now, Elapsed: func() time.Duration { return time.Since(begin) },
		Random: rand.New(rand.NewPCG(5, 6)), Codecs: codecs, Log: log, Code: CoordinatorCode,
	})
	x.controller = controller.New(controller.Options{NodeID: cfg.NodeID, ClusterID: clusterID, Config: cfg, Rand: rand.New(rand.NewPCG(1, 2)), Elapsed: func() time.Duration { return time.Since(begin) }, Log: log})
	dir := store.Dirs()[0]
	x.quorum, err = raft.Open(raft.Options{
		FS: x.faults, Dir: dir.Path, NodeID: cfg.NodeID, DirectoryID: dir.ID, Now: time.Now, Elapsed: func() time.Duration { return time.Since(begin) }, Log: log, Codecs: codecs,
		Endpoints:      []metadata.VoterEndpoint{{Name: "CONTROLLER", Host: "127.0.0.1", Port: 9093}},
		SnapshotSource: x.controller.Records, LeaderChanged: x.controller.LeaderChanged,
	})
	x.must(err)
	x.controller.Attach(x.quorum)
	x.controller.Subscribe(func(img *metadata.Image, delta *metadata.Delta) {
		self := strconv.Itoa(int(cfg.NodeID))
		next, _ := cfg.With(img.Configs(metadata.ResourceBroker, self), img.Configs(metadata.ResourceBroker, ""))
		x.config.Store(next)
		_ = replicas.Apply(img, delta) // requests are answered with what went wrong
		x.h.Groups.Follow(img, delta)
	})
	x.must(x.quorum.Start(x.controller.Apply))
	x.Cleanup(func() {
		x.h.Groups.Close()
		replicas.Close()
		x.quorum.Close()
		x.controller.Close()
		store.Close(x.epoch)
	})
	x.register(cfg, store, clusterID)
	x.h.ClusterID, x.h.Static, x.h.Config = clusterID, cfg, x.config.Load
	x.h.Controller, x.h.Quorum, x.h.Replicas, x.h.Storage = x.controller, x.quorum.Status, replicas, store
	x.h.ProducerID = func(context.Context) (int64, error) { return x.producer.Add(1) - 1, nil }
	x.h.Sessions = NewFetchSessions(time.Now, rand.New(rand.NewPCG(3, 4)), 0, func() int { return int(x.config.Load().Network.FetchSessions) })
	x.h.LogLevel, x.h.Now = new(slog.LevelVar), time.Now
}

// register registers broker 1 and heartbeats until it is unfenced.
func (x *fixture) register(cfg *config.Broker, store *storage.Manager, clusterID string) {
	x.Helper()
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.Version, req.BrokerID, req.ClusterID, req.IncarnationID = 4, cfg.NodeID, clusterID, [16]byte{1}
	req.PreviousBrokerEpoch, req.Rack = -1, cfg.Rack
	listener := kmsg.NewBrokerRegistrationRequestListener()
	listener.Name, listener.Host, listener.Port = "PLAINTEXT", "127.0.0.1", 9092
	req.Listeners = append(req.Listeners, listener)
	for _, f := range metadata.SupportedFeatures() {
		feature := kmsg.NewBrokerRegistrationRequestFeature()
		feature.Name, feature.MinSupportedVersion, feature.MaxSupportedVersion = f.Name, f.Min, f.Max
		req.Features = append(req.Features, feature)
	}
	for _, d := range store.Dirs() {
		req.LogDirs = append(req.LogDirs, d.ID)
	}
	for x.epoch = -1; x.epoch < 0; {
		switch resp := x.controller.RegisterBroker(context.Background(), req); protocol.Code(resp.ErrorCode) {
		case protocol.None:
			x.epoch = resp.BrokerEpoch
		case protocol.NotController, protocol.RequestTimedOut:
			<-time.After(time.Millisecond)
		default:
			x.Fatalf("register: %v", protocol.Code(resp.ErrorCode))
		}
	}
	for fenced := true; fenced; {
		beat := kmsg.NewPtrBrokerHeartbeatRequest()
		beat.Version, beat.BrokerID, beat.BrokerEpoch, beat.CurrentMetadataOffset = 1, cfg.NodeID, x.epoch, x.controller.Image().Offset
		resp := x.controller.BrokerHeartbeat(context.Background(), beat)
		if resp.ErrorCode != 0 {
			x.Fatalf("heartbeat: %v", protocol.Code(resp.ErrorCode))
		}
		fenced = resp.IsFenced
	}
}

// flight is a request whose handler has returned.
type flight struct {
	x     *fixture
	req   kmsg.Request
	reply Reply
}

// request is what a connection would hand to the handler. Its body is spoilt
// after the handler has returned, as a connection's next request would do.
func (x *fixture) request(req kmsg.Request) *Request {
	return &Request{
		Header: protocol.RequestHeader{Key: req.Key(), Version: req.GetVersion(), CorrelationID: 7, ClientID: x.clientID},
		Body:   req.AppendTo(nil), Listener: x.listener, Principal: Anonymous, Received: time.Now(), Session: x.session,
	}
}

// begin hands a request to its handler and returns when the handler does.
func (x *fixture) begin(ctx context.Context, req kmsg.Request) (*flight, error) {
	x.Helper()
	r := x.request(req)
	e := find(req.Key())
	if e == nil || !e.Serves(req.GetVersion()) && e.Key != apiVersionsKey {
		x.Fatalf("%s %d is not served", kmsg.NameForKey(req.Key()), req.GetVersion())
	}
	spoil := func() {
		for i := range r.Body {
			r.Body[i] = 0xdb
		}
	}
	r.Consumed = spoil
	reply, err := e.Handle(x.h, ctx, r)
	spoil()
	return &flight{x, req, reply}, err
}

// end waits for the reply and returns the body of the response.
func (f *flight) end() ([]byte, error) {
	f.x.Helper()
	if f.reply.Done != nil {
		<-f.reply.Done
	}
	defer f.drop()
	if f.reply.Encode == nil {
		return nil, nil
	}
	const before = "header"
	payload, err := f.reply.Encode([]byte(before))
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(payload.Bytes, []byte(before)) {
		f.x.Fatalf("Encode lost what stood before the response: %q", payload.Bytes)
	}
	return f.x.join(payload)[len(before):], nil
}

// drop lets the reply go, as a connection does at its end.
func (f *flight) drop() {
	if f.reply.Release != nil {
		f.reply.Release()
	}
}

// join puts the regions of files between the bytes of a payload.
func (x *fixture) join(p Payload) []byte {
	x.Helper()
	var out []byte
	at := 0
	for _, r := range p.Regions {
		out = append(out, p.Bytes[at:r.At]...)
		at = r.At
		region := make([]byte, r.Len())
		if n, err := r.ReadAt(region, 0); n != len(region) || err != nil && !errors.Is(err, io.EOF) {
			x.Fatalf("a region of %d bytes gave %d, %v", len(region), n, err)
		}
		out = append(out, region...)
	}
	return append(out, p.Bytes[at:]...)
}

// do sends a request and decodes the answer. An error is one that closes the
// connection.
func (x *fixture) do(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	x.Helper()
	f, err := x.begin(ctx, req)
	if err != nil {
		return nil, err
	}
	none := f.reply.None
	body, err := f.end()
	if err != nil || none {
		return nil, err
	}
	return x.decode(req, body), nil
}

// decode reads a response, of which not a byte may be left over.
func (x *fixture) decode(req kmsg.Request, body []byte) kmsg.Response {
	x.Helper()
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil {
		x.Fatalf("%s %d: the answer does not parse: %v\n%x", kmsg.NameForKey(req.Key()), req.GetVersion(), err, body)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		x.Fatalf("%s %d: the answer is not what kmsg would write:\n%x\n%x", kmsg.NameForKey(req.Key()), req.GetVersion(), body, again)
	}
	return resp
}

// ask sends a request in a version and returns the answer.
func ask[R kmsg.Response](x *fixture, version int16, req kmsg.Request) R {
	x.Helper()
	req.SetVersion(version)
	resp, err := x.do(context.Background(), req)
	if err != nil {
		x.Fatalf("%s %d closes the connection: %v", kmsg.NameForKey(req.Key()), version, err)
	}
	typed, ok := resp.(R)
	if !ok {
		x.Fatalf("%s %d: the answer is a %T", kmsg.NameForKey(req.Key()), version, resp)
	}
	return typed
}

// eachVersion runs a test for every version of an API that is served, in one
// node.
func (x *fixture) eachVersion(key int16, test func(version int16)) {
	x.Helper()
	e := find(key)
	if e == nil {
		x.Fatalf("api %d is not in the table", key)
	}
	for v := e.Min; v <= e.Max; v++ {
		test(v)
	}
}

// topic creates a topic and returns its id.
func (x *fixture) topic(name string, partitions int32, configs ...string) [16]byte {
	x.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i+1 < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, c)
	}
	req.Topics = append(req.Topics, topic)
	resp := ask[*kmsg.CreateTopicsResponse](x, 7, req)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		x.Fatalf("creating %s: %v %s", name, protocol.Code(code), deref(resp.Topics[0].ErrorMessage))
	}
	return resp.Topics[0].TopicID
}

// log is the log of a partition.
func (x *fixture) log(topic string, partition int32) *storage.Log {
	x.Helper()
	l := x.h.Storage.Log(topic, partition)
	if l == nil {
		x.Fatalf("%s-%d has no log", topic, partition)
	}
	return l
}

// someTime is when the records of tests were made, unless they say otherwise.
const someTime = int64(946_684_800_000) // the begin of a bubble's time

// batch makes an uncompressed batch of values.
func batch(values ...string) []byte { return build(record.BuilderOptions{}, values...) }

// build makes a batch of values, each with the key k.
func build(o record.BuilderOptions, values ...string) []byte {
	if o.Compression != record.None {
		o.Codecs = record.NewCodecs()
	}
	b := record.NewBuilder(o)
	for i, v := range values {
		b.Append(someTime+int64(i), []byte("k"), []byte(v))
	}
	built, err := b.Build()
	if err != nil {
		panic(err)
	}
	return bytes.Clone(built)
}

// sized makes a batch of one record that is size bytes long.
func sized(size int) []byte {
	for n := range size {
		if b := batch(strings.Repeat("x", n)); len(b) == size {
			return b
		}
	}
	panic(fmt.Sprint("no batch of one record has the size ", size))
}

// idempotent makes a batch of a producer.
func idempotent(id int64, epoch int16, sequence int32, values ...string) []byte {
	return build(record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, Epoch: epoch, BaseSequence: sequence}}, values...)
}

// values lists the values of all records in a region of batches; a batch cut
// off at the end, as Kafka may send it, is left out.
func values(x testing.TB, records []byte) []string {
	x.Helper()
	var out []string
	for len(records) > 0 {
		b, rest, err := record.Next(records)
		if errors.Is(err, record.ErrTruncated) {
			return out
		}
		if err != nil {
			x.Fatalf("the records do not parse: %v", err)
		}
		for r, err := range b.Records(record.NewCodecs()) {
			if err != nil {
				x.Fatal(err)
			}
			out = append(out, string(r.Value))
		}
		records = rest
	}
	return out
}

// wantCode compares an error code.
func wantCode(x testing.TB, what string, got int16, want protocol.Code) {
	x.Helper()
	if protocol.Code(got) != want {
		x.Errorf("%s: %s, want %s", what, codeName(got), codeName(int16(want)))
	}
}

func codeName(c int16) string {
	if c == 0 {
		return "no error"
	}
	return fmt.Sprintf("%s (%d)", protocol.Code(c).Name(), c)
}

// ptr makes an optional field.
func ptr[T any](v T) *T { return &v }

// exists tells whether a file or folder is there.
func (x *fixture) exists(name string) bool {
	_, err := x.mem.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.Fatal(err)
	}
	return err == nil
}
