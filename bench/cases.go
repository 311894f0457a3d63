package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// testCase is one measurement.
type testCase struct {
	name, about string
	// set is server.properties for both brokers; setKafka and setOttla apply to
	// one of them.
	set, setKafka, setOttla []string
	// setFloor are the arguments of the floor.
	setFloor []string
	// floor reports whether the floor supports the case.
	floor bool
	// prepare are loads that run before the measurement, as arguments of `ottla
	// bench`. After them, load runs once as the warm-up.
	prepare [][]string
	// load is the measured load. beside, if set, runs concurrently with it.
	load, beside []string
	// cold drops the data from the page cache before each load.
	cold bool
	// own replaces prepare and load.
	own func(c *ownCase) ([]map[kind]float64, error)
	// metrics are the reported figures.
	metrics []metric
	// family names a plot; at is the position of the case on the plot's x axis.
	family string
	at     float64
}

// metric is one figure of a load.
type metric struct {
	name string
	of   func(sample) float64
	// higher means that higher values are better; otherwise lower values are.
	higher bool
	// goal describes what Ottla's median must reach; met is the check.
	goal string
	met  func(kafka, ottla, floor float64) bool
}

// The figures.
var (
	cpuPerGB = metric{name: "broker CPU s/GB", of: func(s sample) float64 { return s.cpu / (s.Bytes / 1e9) }}
	cpuPerRq = metric{name: "broker CPU µs/request", of: func(s sample) float64 { return s.cpu / s.Requests * 1e6 }}
	cpuPerRc = metric{name: "broker CPU µs/record", of: func(s sample) float64 { return s.cpu / s.Records * 1e6 }}
	mbPerSec = metric{name: "MB/s", of: func(s sample) float64 { return s.Bytes / 1e6 / s.Seconds }, higher: true}
	rqPerSec = metric{name: "requests/s", of: func(s sample) float64 { return s.Requests / s.Seconds }, higher: true}
	p50      = metric{name: "p50 ms", of: func(s sample) float64 { return s.LatencyMs.P50 }}
	p99      = metric{name: "p99 ms", of: func(s sample) float64 { return s.LatencyMs.P99 }}
	peak     = metric{name: "peak resident MB", of: func(s sample) float64 { return s.peakMB }}
)

// to sets the goal of a metric.
func (m metric) to(goal string, met func(kafka, ottla, floor float64) bool) metric {
	m.goal, m.met = goal, met
	return m
}

func atMost(limit float64) func(k, o, f float64) bool {
	return func(_, o, _ float64) bool { return o <= limit }
}

func atLeast(limit float64) func(k, o, f float64) bool {
	return func(_, o, _ float64) bool { return o >= limit }
}

// share is met when Ottla's figure is at most the given fraction of Kafka's.
func share(of float64) func(k, o, f float64) bool {
	return func(k, o, _ float64) bool { return o <= of*k }
}

// times is met when Ottla's figure is at least n times Kafka's.
func times(n float64) func(k, o, f float64) bool {
	return func(k, o, _ float64) bool { return o >= n*k }
}

// pageCache makes Ottla acknowledge from the page cache, as Kafka does. durable
// makes Kafka flush each message, as Ottla does by default.
var (
	pageCache = []string{"ottla.durability=page-cache"}
	durable   = []string{"log.flush.interval.messages=1"}
)

// produceArgs are the arguments of a raw load.
func produceArgs(partitions, connections, inFlight, perBatch, recordBytes int, acks string, more ...string) []string {
	return append([]string{
		"produce", "load", "--raw", "--partitions", strconv.Itoa(partitions), "--connections", strconv.Itoa(connections),
		"--in-flight", strconv.Itoa(inFlight), "--records-per-batch", strconv.Itoa(perBatch), "--record-bytes", strconv.Itoa(recordBytes), "--acks", acks,
	}, more...)
}

// cases lists all cases: first the rows of the budget, then the cases that show
// where performance degrades. d is the duration of each measured load.
func cases(d time.Duration) []*testCase {
	long := []string{"--duration", d.String()}
	with := func(args ...string) []string { return append(args, long...) }
	fill := produceArgs(6, 2, 5, 100, 1000, "1", "--bytes", "1000000000", "--duration", "0")
	list := []*testCase{
		{
			name: "produce-100KB", about: "100 KB batches, acks=1, page cache, 6 partitions, 2 connections", floor: true, setOttla: pageCache,
			load:    with(produceArgs(6, 2, 5, 100, 1000, "1")...),
			metrics: []metric{cpuPerGB.to("≤ 0.9 s/GB where the floor is 0.55: ≤ 1.7 × the floor", func(_, o, f float64) bool { return o <= 0.9/0.55*f }), mbPerSec, p99, peak},
		},
		{
			name: "produce-100B", about: "one 100 B record a request, acks=1, page cache, 6 partitions, 4 connections, 10 in flight", floor: true, setOttla: pageCache,
			load:    with(produceArgs(6, 4, 10, 1, 100, "1")...),
			metrics: []metric{cpuPerRq.to("≤ 12 µs where the floor is 4.6: ≤ 2.6 × the floor", func(_, o, f float64) bool { return o <= 12/4.6*f }), rqPerSec, p99},
		},
		{
			name: "produce-1000p", about: "10 KB batches over 1,000 partitions, acks=1, page cache, 10 connections", floor: true, setOttla: pageCache,
			load:    with(produceArgs(1000, 10, 5, 10, 1000, "1")...),
			metrics: []metric{cpuPerGB.to("≤ 5 s/GB", atMost(5)), mbPerSec.to("≥ 150 MB/s", atLeast(150)), p99, peak},
		},
		{
			name: "fetch-hot", about: "page-cached data, 1 reader", floor: true, setOttla: pageCache, prepare: [][]string{fill},
			load:    with("consume", "load", "--raw"),
			metrics: []metric{cpuPerGB.to("≤ Kafka's", share(1)), mbPerSec, p99},
		},
		{
			name: "fetch-hot-50", about: "page-cached data, 50 readers", floor: true, setOttla: pageCache, prepare: [][]string{fill},
			load:    with("consume", "load", "--raw", "--readers", "50"),
			metrics: []metric{cpuPerGB.to("≤ Kafka's", share(1)), mbPerSec, p99, peak},
		},
		{
			name: "fetch-cold", about: "data out of the page cache, 1 reader, once", setOttla: pageCache, prepare: [][]string{fill}, cold: true,
			load:    []string{"consume", "load", "--raw", "--once", "--duration", "0"},
			metrics: []metric{cpuPerGB.to("≤ Kafka's", share(1)), mbPerSec},
		},
	}
	list = append(list, flushed(with)...)
	list = append(list, []*testCase{
		{name: "memory-idle", about: "resident after the start, idle", own: idleMemory, metrics: []metric{{name: "resident MB", goal: "≤ 30 MB", met: atMost(30)}}},
		{name: "start", about: "from an empty folder to the first acknowledged record", own: startTime, metrics: []metric{{name: "ms to the first ack", goal: "≤ 100 ms", met: atMost(100)}}},
		{name: "restart-10000p", about: "10,000 partitions with a record each: start after kill -9", own: restartTime, metrics: []metric{{name: "ms to the first ack", goal: "≤ 2,000 ms", met: atMost(2000)}}},
		{name: "memory-10000p", about: "10,000 partitions with a record each: resident after kill -9 and start", own: restartMemory, metrics: []metric{{name: "resident MB", goal: "≤ 250 MB", met: atMost(250)}}},
		{
			name: "mixed", about: "produce and consume at once, 100 KB batches, page cache", setOttla: pageCache, prepare: [][]string{fill},
			load: with(produceArgs(6, 2, 5, 100, 1000, "1")...), beside: with("consume", "load", "--raw"),
			metrics: []metric{cpuPerGB, mbPerSec, p99},
		},
	}...)
	list = append(list, overloads(d)...)
	list = append(list, knees(with)...)
	list = append(list, groups(d)...)
	return append(list, judges()...)
}

// flushed are the cases for the cost of a flush: end-to-end latency with and
// without it, and throughput with it.
func flushed(with func(...string) []string) []*testCase {
	return []*testCase{
		{
			name: "e2e", about: "1,000 records/s through a client, acks=all, page cache", setOttla: pageCache,
			load:    with("e2e", "ping", "--rate", "1000"),
			metrics: []metric{p50.to("half of Kafka's", share(0.5)), p99.to("a third of Kafka's", share(1.0/3)), cpuPerRc},
		},
		{
			name: "e2e-durable", about: "1,000 records/s through a client, acks=all, flushed", setKafka: durable,
			load:    with("e2e", "ping", "--rate", "1000"),
			metrics: []metric{p50.to("≤ Kafka's", share(1)), p99.to("≤ a tenth of Kafka's", share(0.1)), cpuPerRc},
		},
		{
			name: "e2e-raw", about: "1,000 records/s without a client, acks=all, page cache", floor: true, setOttla: pageCache,
			load:    with("e2e", "ping", "--raw", "--rate", "1000"),
			metrics: []metric{p50.to("half of Kafka's", share(0.5)), p99.to("a third of Kafka's", share(1.0/3)), cpuPerRc},
		},
		{
			name: "e2e-raw-durable", about: "1,000 records/s without a client, acks=all, flushed", floor: true, setKafka: durable, setFloor: []string{floorFlush},
			load:    with("e2e", "ping", "--raw", "--rate", "1000"),
			metrics: []metric{p50.to("≤ the floor + 0.1 ms", func(_, o, f float64) bool { return o <= f+0.1 }), p99.to("≤ a tenth of Kafka's", share(0.1)), cpuPerRc},
		},
		{
			name: "durable-100KB", about: "100 KB batches, acks=all, flushed, 6 partitions, 6 connections", floor: true, setKafka: durable, setFloor: []string{floorFlush},
			load:    with(produceArgs(6, 6, 5, 100, 1000, "all")...),
			metrics: []metric{mbPerSec.to("≥ 2 × Kafka's", times(2)), cpuPerGB, p99},
		},
		{
			name: "durable-1000p", about: "10 KB batches over 1,000 partitions, acks=all, flushed, 10 connections, 10 in flight", floor: true, setKafka: durable, setFloor: []string{floorFlush},
			load:    with(produceArgs(1000, 10, 10, 10, 1000, "all")...),
			metrics: []metric{mbPerSec.to("≥ 40 × Kafka's", times(40)), cpuPerGB, p99, peak.to("≤ 120 MB", atMost(120))},
		},
	}
}

// knees are the families of cases in which the number of partitions, the number
// of connections or the request size grows.
func knees(with func(...string) []string) (list []*testCase) {
	for _, n := range []int{1, 6, 100, 1000, 10000} {
		list = append(list, &testCase{
			name: fmt.Sprintf("partitions-%d", n), about: fmt.Sprintf("10 KB batches, acks=1, page cache, %d partitions, 4 connections", n), setOttla: pageCache,
			load: with(produceArgs(n, 4, 5, 10, 1000, "1")...), metrics: []metric{cpuPerGB, mbPerSec, p99, peak}, family: "partitions", at: float64(n),
		})
	}
	for _, n := range []int{1, 10, 100, 1000} {
		list = append(list, &testCase{
			name: fmt.Sprintf("connections-%d", n), about: fmt.Sprintf("1 KB batches, acks=1, page cache, 12 partitions, %d connections", n), setOttla: pageCache,
			load: with(produceArgs(12, n, 5, 1, 1000, "1")...), metrics: []metric{cpuPerRq, rqPerSec, p99, peak}, family: "connections", at: float64(n),
		})
	}
	for _, shape := range [][2]int{{1, 100}, {10, 100}, {100, 1024}, {900, 1024}} {
		for _, codec := range []string{"none", "zstd"} {
			size := shape[0] * shape[1]
			list = append(list, &testCase{
				name: fmt.Sprintf("size-%dx%d-%s", shape[0], shape[1], codec), about: fmt.Sprintf("%d records of %d B a request, %s, acks=1, page cache", shape[0], shape[1], codec), setOttla: pageCache,
				load: with(produceArgs(6, 4, 5, shape[0], shape[1], "1", "-z", codec)...), metrics: []metric{cpuPerRq, rqPerSec, mbPerSec, p99}, family: "size-" + codec, at: float64(size),
			})
		}
	}
	return list
}

// groups is the family of cases with a growing number of groups.
func groups(d time.Duration) (list []*testCase) {
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		list = append(list, &testCase{
			name: fmt.Sprintf("groups-%d", n), about: fmt.Sprintf("%d groups commit an offset in turn, 16 connections, page cache", n), own: groupCommits(n, d),
			metrics: []metric{{name: "broker CPU µs/commit"}, {name: "commits/s", higher: true}, {name: "resident MB"}}, family: "groups", at: float64(n),
		})
	}
	return list
}

// describe is the load as a shell command line.
func (c *testCase) describe() string {
	if c.load == nil {
		return c.about
	}
	return "ottla bench " + strings.Join(c.load, " ")
}
