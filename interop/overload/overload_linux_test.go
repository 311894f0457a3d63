package overload

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/clients"
	"ottla/interop/target"
	"ottla/interop/wire"
)

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

const (
	// bound is the ottla.memory.max of the tests.
	bound = 128 << 20
	// slack is the resident memory that Go's limit does not count (mainly the
	// program itself), plus an allowance for a late garbage collector.
	slack = 48 << 20
)

// overloaded is a broker with the memory limit bound, a topic and a
// well-behaved client.
type overloaded struct {
	*testing.T
	broker *target.Broker
	good   *wire.Conn
	next   int64 // offset of the good client's next record
}

func start(t *testing.T, partitions int, set ...string) *overloaded {
	t.Helper()
	return startWith(t, partitions, target.Options{Set: set})
}

func startWith(t *testing.T, partitions int, opts target.Options) *overloaded {
	t.Helper()
	if target.Default() == target.Kafka {
		t.Skip("ottla.memory.max is Ottla's")
	}
	x := &overloaded{T: t}
	opts.Set = append([]string{fmt.Sprint("ottla.memory.max=", bound)}, opts.Set...)
	x.broker = target.Start(t, opts)
	for topic, n := range map[string]int{"good": 1, "load": partitions} {
		if err := clients.NewFranz(x.broker.Addr).Create(x.patient(), topic, n, nil); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if x.good, err = wire.Dial(x.broker.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.good.Close)
	return x
}

func (x *overloaded) patient() context.Context {
	ctx, cancel := context.WithTimeout(x.Context(), 2*time.Minute)
	x.Cleanup(cancel)
	return ctx
}

// round is one round of the well-behaved client: a record is written and read.
func (x *overloaded) round() {
	x.Helper()
	batch := wire.OneRecord("a good client's")
	answer, err := x.good.Request(produce("good", 0, 1, batch))
	if err != nil {
		x.Fatalf("the good client's produce: %v", err)
	}
	wrote := answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if wrote.ErrorCode != 0 || wrote.BaseOffset != x.next {
		x.Fatalf("the good client's record got offset %d, not %d: %v", wrote.BaseOffset, x.next, kerr.ErrorForCode(wrote.ErrorCode))
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MinBytes, req.MaxWaitMillis = 4, 1<<20, 1, 10_000
	topic := kmsg.NewFetchRequestTopic()
	p := kmsg.NewFetchRequestTopicPartition()
	p.FetchOffset, p.PartitionMaxBytes = x.next, 1<<20
	topic.Topic, topic.Partitions = "good", append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	if answer, err = x.good.Request(req); err != nil {
		x.Fatalf("the good client's fetch: %v", err)
	}
	read := answer.Response.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if read.ErrorCode != 0 || len(read.RecordBatches) != len(batch) {
		x.Fatalf("the good client reads %d bytes, not %d: %v", len(read.RecordBatches), len(batch), kerr.ErrorForCode(read.ErrorCode))
	}
	x.next++
}

// rounds makes enough rounds to overlap with the actions of the crowd.
func (x *overloaded) rounds(n int) {
	x.Helper()
	for range n {
		x.round()
	}
}

// bounded fails if the broker ever used more memory than allowed.
func (x *overloaded) bounded() {
	x.Helper()
	most := x.memory("VmHWM")
	x.Logf("at most %d MiB resident, %d were allowed", most>>20, bound>>20)
	if most > bound+slack {
		x.Errorf("%d MiB resident, allowed are %d and %d", most>>20, bound>>20, slack>>20)
	}
}

// memory is a figure of the broker in bytes: VmRSS (current) or VmHWM (peak).
func (x *overloaded) memory(figure string) int {
	x.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", x.broker.PID()))
	if err != nil {
		x.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, figure+":"); ok {
			kib, err := strconv.Atoi(strings.Fields(value)[0])
			if err != nil {
				x.Fatal(err)
			}
			return kib << 10
		}
	}
	x.Fatalf("no %s", figure)
	return 0
}

// fill writes 64 KB to each partition of load, several times.
func (x *overloaded) fill(partitions, times int) {
	x.Helper()
	batch := wire.OneRecord(strings.Repeat("x", 64_000))
	for range times {
		answer, err := x.good.Request(produce("load", 0, partitions, batch))
		if err != nil {
			x.Fatal(err)
		}
		for _, p := range answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions {
			if p.ErrorCode != 0 {
				x.Fatal(kerr.ErrorForCode(p.ErrorCode))
			}
		}
	}
}

// produce is a request with the same batch for all partitions from first on.
func produce(name string, first, n int, batch []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 30_000
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = name
	for i := range n {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(first+i), batch
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	return req
}

// gathered closes a crowd at the end of the test.
func (x *overloaded) gathered(c *Crowd, err error) {
	x.Helper()
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(c.Close)
}

// TestSlowReaders: clients request gigabytes and read nothing.
func TestSlowReaders(t *testing.T) {
	const partitions = 100
	x := start(t, partitions)
	x.fill(partitions, 4)
	x.gathered(SlowReaders(x.patient(), x.broker.Addr, "load", 300))
	x.rounds(200)
	x.bounded()
}

// TestAskers: clients request large responses that are not records, and read
// nothing. Meanwhile the broker serves a well-behaved client, which also
// requests the metadata of its topic.
func TestAskers(t *testing.T) {
	// The kernel would buffer many responses of each. A busy machine must not
	// make sessions expire.
	x := start(t, 2000, "ottla.durability=page-cache", "socket.send.buffer.bytes=32768", "broker.session.timeout.ms=60000")
	x.gathered(Askers(x.patient(), x.broker.Addr, 1000))
	for range 50 {
		x.round()
		x.metadata("good")
	}
	for x.unreadRequests() > 0 {
		x.round()
	}
	x.bounded()
}

// unreadRequests counts the connections with received data that the broker has
// not read.
func (x *overloaded) unreadRequests() (n int) {
	x.Helper()
	_, port, err := net.SplitHostPort(x.broker.Addr)
	if err != nil {
		x.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		x.Fatal(err)
	}
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", x.broker.PID()))
	if err != nil {
		x.Fatal(err)
	}
	local, established := fmt.Sprintf(":%04X", number), "01"
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if _, waiting, _ := strings.Cut(f[4], ":"); strings.HasSuffix(f[1], local) && f[3] == established && waiting != "00000000" {
			n++
		}
	}
	return n
}

// metadata requests the metadata of a topic.
func (x *overloaded) metadata(name string) {
	x.Helper()
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = &name
	req.Topics = append(req.Topics, topic)
	answer, err := x.good.Request(req)
	if err != nil {
		x.Fatalf("the good client's metadata: %v", err)
	}
	if topics := answer.Response.(*kmsg.MetadataResponse).Topics; len(topics) != 1 || topics[0].ErrorCode != 0 || len(topics[0].Partitions) != 1 {
		x.Fatalf("the good client's metadata: %+v", topics)
	}
}

// TestAnnouncers: requests of 90 MiB of which nothing or only the beginning
// arrives.
func TestAnnouncers(t *testing.T) {
	x := start(t, 1)
	x.gathered(Announcers(x.patient(), x.broker.Addr, 500, 90<<20, 0))
	x.gathered(Announcers(x.patient(), x.broker.Addr, 100, 90<<20, 150_000))
	x.rounds(100)
	x.bounded()
}

// TestDescriptors: more connections, and more partitions that are written,
// rolled and emptied at once, than the process may have files open. Connections
// wait, appends wait, nothing fails.
func TestDescriptors(t *testing.T) {
	const partitions, descriptors = 150, 300
	for _, durability := range []string{"fsync", "page-cache"} {
		t.Run(durability, func(t *testing.T) {
			x := startWith(t, partitions, target.Options{Descriptors: descriptors, Set: []string{
				"ottla.durability=" + durability, "log.roll.ms=20", "log.retention.ms=200", "log.retention.check.interval.ms=50",
				"log.flush.offset.checkpoint.interval.ms=50", "replica.high.watermark.checkpoint.interval.ms=50", "log.initial.task.delay.ms=50",
			}})
			x.gathered(Silent(x.patient(), x.broker.Addr, 2*descriptors))
			x.fill(partitions, 20)
			x.rounds(100)
			if log := x.broker.Log(); strings.Contains(log, "too many open files") {
				t.Error("the process reached its limit")
			}
		})
	}
}

// perIdle is the maximum resident memory of an idle connection; 8 to 11 KiB
// were measured.
const perIdle = 12 << 10

// TestIdleConnections: 10,000 idle connections, or as many as a process may
// have open.
func TestIdleConnections(t *testing.T) {
	x := start(t, 1)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(10_000, int(min(limit.Max, 1<<30))/2-100) // the broker's limit: see boundDescriptors
	if n < 100 {
		t.Skipf("only %d files may be open", limit.Max)
	}
	x.rounds(10)
	before := x.memory("VmRSS")
	x.gathered(Idle(x.patient(), x.broker.Addr, n))
	x.rounds(200)
	each := (x.memory("VmRSS") - before) / n
	t.Logf("%d connections, %.1f KiB each", n, float64(each)/1024)
	if each > perIdle {
		t.Errorf("an idle connection takes %d bytes, at most %d are allowed", each, perIdle)
	}
	x.bounded()
}

// TestHerd: 1,000 connections produce 100 KB each at once, and then again.
func TestHerd(t *testing.T) {
	x := start(t, 1, "ottla.durability=page-cache")
	req := produce("load", 0, 1, wire.OneRecord(strings.Repeat("x", 100_000)))
	done := make(chan error, 1)
	go func() { done <- Herd(x.patient(), x.broker.Addr, 1000, 2, req) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			x.rounds(10)
			x.bounded()
			return
		default:
			x.round()
		}
	}
}

// TestManyPartitions: a topic with 10,000 partitions, which several clients
// write, read and describe at once.
func TestManyPartitions(t *testing.T) {
	if !target.Long() {
		t.Skip("only in the long form")
	}
	const partitions = 10_000
	x := start(t, partitions/2)
	more := kmsg.NewPtrCreatePartitionsRequest() // one request may not create them all, as with Kafka
	more.Version, more.TimeoutMillis = 3, 30_000
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = "load", partitions
	more.Topics = append(more.Topics, topic)
	answer, err := x.good.Request(more)
	if err != nil {
		t.Fatal(err)
	}
	if code := answer.Response.(*kmsg.CreatePartitionsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	batch := wire.OneRecord("x")
	for range 3 {
		for first := 0; first < partitions; first += 1000 {
			answer, err := x.good.Request(produce("load", first, 1000, batch))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range answer.Response.(*kmsg.ProduceResponse).Topics[0].Partitions {
				if p.ErrorCode != 0 {
					t.Fatalf("partition %d: %v", p.Partition, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		}
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 8
	if err := Herd(x.patient(), x.broker.Addr, 20, 5, metadata); err != nil {
		t.Fatal(err)
	}
	x.rounds(10)
	x.bounded()
}
