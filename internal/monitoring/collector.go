package monitoring

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/protocol"
	"ottla/internal/raft"
	"ottla/internal/replica"
	"ottla/internal/storage"
	"ottla/internal/xsync"
)

// Node is what a Collector asks. Its fields do not change once the first
// scrape is answered.
type Node struct {
	ID      int32
	Version string
	Metrics *metrics.Metrics
	// Started is when the node was started, for the histograms.
	Started time.Time
	// Replicas, Storage, Image, Quorum and Connections are nil until the node
	// has them.
	Replicas    *replica.Manager
	Storage     *storage.Manager
	Image       func() *metadata.Image
	Quorum      func() raft.Figures
	Connections func() int
	// DiskIO is what the process read from disks and wrote to them, in bytes;
	// false when nobody knows. Nil: the same.
	DiskIO func() (read, written int64, known bool)
	// Groups lists the groups whose coordinator the node is, and tells how many
	// more there are.
	Groups func() (list []Group, omitted int)
	// FirstRecord finds the first record of a partition with an offset in
	// [from, end), and its timestamp in ms.
	FirstRecord func(topic string, partition int32, from, end int64) (timestamp int64, found bool, err error)
	// Now is the wall clock.
	Now func() time.Time
	// PartitionsMax is ottla.metrics.partitions.max: above so many partitions no
	// series of single partitions are made.
	PartitionsMax int
	// MemoryMax is ottla.memory.max in bytes, 0: not known. What a scrape holds
	// follows from it.
	MemoryMax int64
	// LogDirs is how many log dirs are configured.
	LogDirs int
	// SuppressedLines is how many lines were left out of the log.
	SuppressedLines func() int64
}

// Group is a consumer group, and what it has read.
type Group struct {
	ID      string
	Members int
	// Partitions have the partitions of a topic one after the other. Omitted is how
	// many more there are, of other topics.
	Partitions []GroupLag
	Omitted    int
}

// GroupLag is what a group has read of a partition.
type GroupLag struct {
	Topic     string
	TopicID   metadata.UUID // zero where End is -1
	Partition int32
	// Committed is the committed offset, End where the partition ends for its
	// readers; -1 when it is led elsewhere. Start is its first offset.
	Committed, Start, End int64
	// Epoch is the leader epoch of the partition.
	Epoch int32
	// Compacted tells that compaction may take records away.
	Compacted bool

	since int64 // timestamp of the first record that was not read; see lagTimes
}

// Collector gathers the figures of a node in three sets of names:
//
//   - those of Kafka's JMX metrics as the JMX exporter's usual rules write them
//     (kafka_server_brokertopicmetrics_bytesin_total …), for the dashboards of
//     Kafka's operators;
//   - those of kafka_exporter (kafka_topic_partition_current_offset,
//     kafka_consumergroup_lag …), which no exporter has to be run for, and
//     kafka-lag-exporter's lags in time;
//   - Ottla's own (ottla_…): request times by API and flushes as native
//     histograms.
//
// Quantiles are since the start of the node. There is no figure for what does
// not exist here (idle request handler threads, a JVM).
type Collector struct {
	// Node is asked at each scrape; nil: there is nothing to tell yet.
	Node func() *Node

	mu   xsync.Mutex // held by a scrape while it has the list of groups, and over reads of logs
	lags lagTimes
}

// Describe tells nothing in advance: the same name comes with and without the
// label topic, as the JMX exporter has it.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect gathers everything once.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.collect(&registryOutput{out: ch, descs: map[shape]*prometheus.Desc{}})
}

func (c *Collector) collect(out output) {
	n := c.Node()
	if n == nil {
		return
	}
	s := scrape{Node: n, out: out, bound: newBound(n.MemoryMax)}
	s.gauge("ottla_build_info", "Version of the node.", 1, "version", n.Version)
	s.topics()
	s.requests()
	if n.Connections != nil {
		s.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.", float64(n.Connections()))
	}
	if n.Storage != nil {
		s.dirs()
	}
	if n.Image != nil {
		s.cluster(n.Image())
	}
	if n.Quorum != nil {
		s.quorum(n.Quorum())
	}
	if n.DiskIO != nil {
		s.disk()
	}
	if n.SuppressedLines != nil {
		s.counter("ottla_log_suppressed_lines_total", "Log lines that were left out because there were too many of their kind.", n.SuppressedLines())
	}
	if n.Groups != nil {
		c.groups(&s)
	}
	s.left()
}

// groups gathers the groups, of one scrape after the other: the list of them is
// large.
func (c *Collector) groups(s *scrape) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, more := s.Groups()
	s.omitted.groups = more
	ctx, cancel := context.WithTimeout(context.Background(), lookUpsTimeout)
	defer cancel()
	c.lags.fill(ctx, list, s.FirstRecord)
	s.groups(list, s.Now())
}

// scrape is one answer under way.
//
// It holds no lock while it sends: what reads the metrics may be slow.
type scrape struct {
	*Node
	bound
	out output
}

// output takes the series of a scrape. Labels are names, sorted, and values in
// turn; the values are UTF-8.
type output interface {
	sample(name, help string, kind prometheus.ValueType, value float64, labels []string)
	histogram(name, help string, shot *metrics.Snapshot, started time.Time, labels []string)
	// size is about how many bytes of memory the series take so far.
	size() int64
}

// gauge and counter send one value.
func (s *scrape) gauge(name, help string, value float64, labels ...string) {
	s.out.sample(name, help, prometheus.GaugeValue, value, labels)
}

func (s *scrape) counter(name, help string, value int64, labels ...string) {
	s.out.sample(name, help, prometheus.CounterValue, float64(value), labels)
}

// registryOutput makes series for Prometheus' library.
type registryOutput struct {
	out   chan<- prometheus.Metric
	descs map[shape]*prometheus.Desc // which cost as much as the metric itself
	made  int64                      // bytes
}

// registrySeries is about what Prometheus' library takes for a series, beside the
// values of its labels.
const registrySeries = 1 << 10

func (o *registryOutput) size() int64 { return o.made }

// shape is a name with so many labels; it has them always in the same order.
type shape struct {
	name   string
	labels int
}

func (o *registryOutput) sample(name, help string, kind prometheus.ValueType, value float64, labels []string) {
	o.out <- prometheus.MustNewConstMetric(o.describe(name, help, labels), kind, value, values(labels)...)
}

func (o *registryOutput) histogram(name, help string, shot *metrics.Snapshot, started time.Time, labels []string) {
	o.out <- prometheus.MustNewConstNativeHistogram(o.describe(name, help, labels), shot.Count, shot.Sum.Seconds(), shot.Buckets, nil, 0,
		metrics.Schema, 0, started, values(labels)...)
}

func (o *registryOutput) describe(name, help string, labels []string) *prometheus.Desc {
	o.made += registrySeries
	for i := 1; i < len(labels); i += 2 {
		o.made += int64(len(labels[i]))
	}
	key := shape{name, len(labels)}
	if d := o.descs[key]; d != nil {
		return d
	}
	var names []string
	for i := 0; i < len(labels); i += 2 {
		names = append(names, labels[i])
	}
	d := prometheus.NewDesc(name, help, names, nil)
	o.descs[key] = d
	return d
}

func values(labels []string) []string {
	list := make([]string, 0, len(labels)/2)
	for i := 1; i < len(labels); i += 2 {
		list = append(list, labels[i])
	}
	return list
}

// topics are Kafka's BrokerTopicMetrics: over all topics without a label, and
// of each with one.
func (s *scrape) topics() {
	s.topic(&s.Metrics.Topics)
	s.Metrics.EachTopic(func(name string, t *metrics.Topic) {
		s.within(&s.bound.topics, &s.omitted.topics, func() { s.topic(t, "topic", name) })
	})
}

func (s *scrape) topic(t *metrics.Topic, labels ...string) {
	for _, c := range []struct {
		name, help string
		of         *metrics.Counter
	}{
		{"bytesin", "Bytes of record batches that were written.", &t.BytesIn},
		{"bytesout", "Bytes of record batches that were read.", &t.BytesOut},
		{"messagesin", "Records that were written.", &t.MessagesIn},
		{"totalproducerequests", "Partitions that were asked to be written to.", &t.ProduceRequests},
		{"totalfetchrequests", "Partitions that were asked to be read from.", &t.FetchRequests},
		{"failedproducerequests", "Those of them that were refused.", &t.FailedProduce},
		{"failedfetchrequests", "Those of them that were refused.", &t.FailedFetch},
	} {
		s.counter("kafka_server_brokertopicmetrics_"+c.name+"_total", c.help, c.of.Load(), labels...)
	}
}

// quantiles are those of the JMX exporter's rules.
var quantiles = []struct {
	label string
	of    float64
}{{"0.50", 0.5}, {"0.75", 0.75}, {"0.95", 0.95}, {"0.98", 0.98}, {"0.99", 0.99}, {"0.999", 0.999}}

// requests are Kafka's RequestMetrics.
func (s *scrape) requests() {
	s.counter("ottla_received_bytes_total", "Bytes of requests.", s.Metrics.BytesIn.Load())
	s.counter("ottla_sent_bytes_total", "Bytes of responses.", s.Metrics.BytesOut.Load())
	s.Metrics.EachAPI(func(key int16, a *metrics.API) {
		name := protocol.APIName(key)
		shot := a.Total.Snapshot()
		s.counter("kafka_network_requestmetrics_requests_total", "Requests that were answered.", int64(shot.Count), "request", name)
		s.counter("kafka_network_requestmetrics_errors_total", "Requests that closed their connection.", a.Refused.Load(), "request", name)
		for _, q := range quantiles {
			s.gauge("kafka_network_requestmetrics_totaltimems", "Milliseconds from a request to its response, since the start of the node.",
				float64(shot.Quantile(q.of))/float64(time.Millisecond), "quantile", q.label, "request", name)
		}
		s.histogram("ottla_request_duration_seconds", "Time from a request to its response.", &shot, "request", name)
	})
	shot := s.Metrics.Flush.Snapshot()
	s.histogram("ottla_flush_duration_seconds", "Time of a round of the flusher, which makes durable what is dirty in a log dir.", &shot)
}

// histogram sends a native histogram.
func (s *scrape) histogram(name, help string, shot *metrics.Snapshot, labels ...string) {
	s.out.histogram(name, help, shot, s.Started, labels)
}

// dirs are the log dirs.
func (s *scrape) dirs() {
	dirs := s.Storage.Dirs()
	for _, d := range dirs {
		if usage, err := s.Storage.Usage(d); err == nil {
			path := label(d.Path)
			s.gauge("ottla_log_dir_total_bytes", "Size of the file system of a log dir.", float64(usage.Total), "dir", path)
			s.gauge("ottla_log_dir_free_bytes", "Free space of the file system of a log dir.", float64(usage.Free), "dir", path)
		}
	}
	partitions, parts := s.Storage.Damaged()
	s.gauge("ottla_log_damaged_partitions", "Partitions of which records are known to be damaged or missing on disk, or that cannot be opened.", float64(partitions))
	s.gauge("ottla_log_damaged_ranges", "Ranges of offsets that are known to be damaged or missing on disk.", float64(parts))
	s.gauge("kafka_log_logmanager_offlinelogdirectorycount", "Log dirs that failed.", float64(s.LogDirs-len(dirs)))
}

// disk is what the process did to disks.
func (s *scrape) disk() {
	if read, written, known := s.DiskIO(); known {
		s.gauge("kafka_server_kafkaserver_linux_disk_read_bytes", "Bytes that the process read from disks.", float64(read))
		s.gauge("kafka_server_kafkaserver_linux_disk_write_bytes", "Bytes that the process wrote to disks.", float64(written))
	}
}

// quorum is the metadata quorum (Kafka's raft-metrics).
func (s *scrape) quorum(q raft.Figures) {
	s.gauge("kafka_server_raftmetrics_current_state", "State of the node in the quorum.", 1, "current_state", string(q.State))
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"current_leader", "Leader of the quorum, -1: unknown.", float64(q.LeaderID)},
		{"current_vote", "Voter that the node voted for in the epoch, -1: none.", float64(q.Vote)},
		{"current_epoch", "Epoch of the quorum.", float64(q.LeaderEpoch)},
		{"high_watermark", "Offset after the last committed record of the metadata log.", float64(q.HighWatermark)},
		{"log_end_offset", "Offset after the last record of the metadata log.", float64(q.LogEndOffset)},
		{"log_end_epoch", "Epoch of the last record of the metadata log.", float64(q.LogEndEpoch)},
		{"number_unknown_voter_connections", "Voters without an endpoint on record.", float64(q.UnknownVoters)},
		{"number_of_voters", "Voters of the quorum.", float64(len(q.Voters))},
		{"append_records_rate", "Records per second that were written as the leader.", q.Appended},
		{"fetch_records_rate", "Records per second that came from the leader.", q.Fetched},
		{"commit_latency_avg", "Milliseconds until a batch of the leader is committed.", q.CommitAvg},
		{"commit_latency_max", "Milliseconds until a batch of the leader is committed.", q.CommitMax},
		{"election_latency_avg", "Milliseconds until an election of the node ends.", q.ElectionAvg},
		{"election_latency_max", "Milliseconds until an election of the node ends.", q.ElectionMax},
		{"poll_idle_ratio_avg", "Part of its time that the quorum's goroutine waits.", q.Idle},
	} {
		s.gauge("kafka_server_raftmetrics_"+g.name, g.help, g.value)
	}
	if q.State == raft.Leader {
		s.gauge("kafka_server_raftmetrics_uncommitted_voter_change", "1 while a change of voters is not committed.", truth(q.VoterChange))
	}
	s.gauge("kafka_controller_kafkacontroller_activecontrollercount", "1 on the active controller.", truth(q.LeaderID == s.ID))
	s.counter("kafka_controller_controllerstats_uncleanleaderelections_total", "Partitions that got a leader which was not in sync.", s.Metrics.UncleanElections.Load())
}
