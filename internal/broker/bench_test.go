//go:build unix

package broker

import (
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/vfs"
)

// benchPartitions is how many partitions the topic of a benchmark has: as many
// as one request may ask for, whose topic is a record too.
const benchPartitions = 9999

// bench is a node on the machine's own disk whose I/Os are counted, in this
// process, and a connection to it.
type bench struct {
	*testing.B
	client *client
	faults *vfs.Fault
	used   cost
}

// cost is what something took of time, processor and operations of the file
// system, as seen by this process: a client that does little is in it.
type cost struct {
	time, cpu time.Duration
	ios       int
}

func newBench(b *testing.B, durability config.Durability) *bench {
	b.Helper()
	env := OS(slog.New(slog.DiscardHandler))
	faults := vfs.NewFault(env.FS)
	env.FS = faults
	cfg := onDisk(b.TempDir())
	cfg.Ottla.Durability = durability
	n, err := Start(b.Context(), cfg, env)
	if err != nil {
		b.Fatal(err)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(b.Context(), "tcp", n.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		conn.Close()
		n.Close()
	})
	return &bench{B: b, client: &client{TB: b, conn: conn}, faults: faults}
}

// measure adds the cost of do.
func (b *bench) measure(do func()) {
	b.Helper()
	start, cpu, ios := time.Now(), b.cpu(), b.faults.Count(vfs.OpAny)
	do()
	b.used.time += time.Since(start)
	b.used.cpu += b.cpu() - cpu
	b.used.ios += b.faults.Count(vfs.OpAny) - ios
}

// report reports the cost for each of some units.
func (b *bench) report(units int, unit string) {
	micros := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(units) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(micros(b.used.time), "µs/"+unit)
	b.ReportMetric(micros(b.used.cpu), "cpu-µs/"+unit)
	b.ReportMetric(float64(b.used.ios)/float64(units), "IO/"+unit)
}

func (b *bench) cpu() time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeEach writes one record to each partition of topic t, a hundred at a time.
func (b *bench) writeEach() {
	b.Helper()
	for from := int32(0); from < benchPartitions; from += 100 {
		req := produceOf("t", from, -1, batch(nil, "value"))
		for p := from + 1; p < min(from+100, benchPartitions); p++ {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, produceOf("t", p, -1, batch(nil, "value")).Topics[0].Partitions...)
		}
		for _, p := range ask[*kmsg.ProduceResponse](b.client, 9, req).Topics[0].Partitions {
			wantCode(b.B, "produce", p.ErrorCode, 0)
		}
	}
}

// pass sends a request and lets its answer be.
func (b *bench) pass(version int16, req kmsg.Request) {
	b.Helper()
	req.SetVersion(version)
	err := b.client.send(req)
	if err == nil {
		_, err = b.client.frame()
	}
	if err != nil {
		b.Fatal(err)
	}
}

// eachDurability runs a benchmark flushed and in the page cache.
func eachDurability(b *testing.B, run func(b *bench)) {
	b.Run("fsync", func(b *testing.B) { run(newBench(b, config.Fsync)) })
	b.Run("pagecache", func(b *testing.B) { run(newBench(b, config.PageCache)) })
}

// BenchmarkCreateTopic makes a topic of 9,999 partitions on a whole node.
func BenchmarkCreateTopic(b *testing.B) {
	eachDurability(b, func(b *bench) {
		for b.Loop() {
			b.measure(func() { b.client.mustCreate("t", benchPartitions) })
			b.client.delete("t")
		}
		b.report(b.N*benchPartitions, "partition")
	})
}

// BenchmarkFirstRecords writes the first record to each partition of such a
// topic, with acks=all: their folders are made then.
func BenchmarkFirstRecords(b *testing.B) {
	eachDurability(b, func(b *bench) {
		for b.Loop() {
			b.client.mustCreate("t", benchPartitions)
			b.measure(b.writeEach)
			b.client.delete("t")
		}
		b.report(b.N*benchPartitions, "partition")
	})
}

// BenchmarkDeleteTopic deletes such a topic when each partition has a record;
// the files go a minute later.
func BenchmarkDeleteTopic(b *testing.B) {
	eachDurability(b, func(b *bench) {
		for b.Loop() {
			b.client.mustCreate("t", benchPartitions)
			b.writeEach()
			b.measure(func() { b.client.delete("t") })
		}
		b.report(b.N*benchPartitions, "partition")
	})
}

// BenchmarkIdlePartitions is what a second costs in which nothing happens, with
// such a topic.
func BenchmarkIdlePartitions(b *testing.B) {
	eachDurability(b, func(b *bench) {
		b.client.mustCreate("t", benchPartitions)
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for b.Loop() {
			b.measure(func() { <-second.C })
		}
		b.report(b.N, "s")
	})
}

// BenchmarkMetadata asks for all of such a topic; its response is not decoded.
func BenchmarkMetadata(b *testing.B) {
	b.ReportAllocs()
	bench := newBench(b, config.PageCache)
	bench.client.mustCreate("t", benchPartitions)
	for b.Loop() {
		bench.measure(func() { bench.pass(12, kmsg.NewPtrMetadataRequest()) })
	}
	bench.report(b.N, "request")
}

// BenchmarkDescribe asks for the first page of it by DescribeTopicPartitions:
// max.request.partition.size.limit is 2,000 partitions.
func BenchmarkDescribe(b *testing.B) {
	b.ReportAllocs()
	bench := newBench(b, config.PageCache)
	bench.client.mustCreate("t", benchPartitions)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = benchPartitions
	for b.Loop() {
		bench.measure(func() { bench.pass(0, req) })
	}
	bench.report(b.N, "request")
}
