package broker

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/config"
	"ottla/internal/monitoring"
)

// scrape reads /metrics of a node: name with labels → value.
func scrape(t *testing.T, n *Node) map[string]string {
	t.Helper()
	resp, err := http.Get("http://" + n.MonitoringAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %s: %s", err, resp.Status, text)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			i := strings.LastIndexByte(line, ' ')
			found[line[:i]] = strings.TrimSpace(line[i:])
		}
	}
	return found
}

func startWatched(t *testing.T, set ...string) (*Node, error) {
	t.Helper()
	flags := map[string]string{"log.dirs": t.TempDir(), "listeners": "PLAINTEXT://127.0.0.1:0"}
	for _, s := range set {
		name, value, _ := strings.Cut(s, "=")
		flags[name] = value
	}
	cfg, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), cfg, OS(slog.New(slog.DiscardHandler)))
	if err == nil {
		t.Cleanup(func() { n.Close() })
	}
	return n, err
}

// TestMonitoring: what a client does shows under the names that dashboards ask
// for.
func TestMonitoring(t *testing.T) {
	n, err := startWatched(t, "ottla.http.listener=127.0.0.1:0", "group.initial.rebalance.delay.ms=0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(n.Addr()), kgo.AllowAutoTopicCreation(), kgo.ConsumeTopics("t"), kgo.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for i := range 3 {
		at := time.Now().Add(time.Duration(i-5) * time.Hour)
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: fmt.Append(nil, i), Timestamp: at}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for got := 0; got < 3 && t.Context().Err() == nil; {
		got += len(client.PollFetches(t.Context()).Records())
	}
	found := scrape(t, n)
	for name, want := range map[string]string{
		"kafka_server_brokertopicmetrics_messagesin_total":                       "3",
		`kafka_server_brokertopicmetrics_messagesin_total{topic="t"}`:            "3",
		`kafka_server_brokertopicmetrics_totalproducerequests_total{topic="t"}`:  "3",
		`kafka_server_brokertopicmetrics_failedproducerequests_total{topic="t"}`: "0",
		`kafka_topic_partition_current_offset{partition="0",topic="t"}`:          "3",
		`kafka_topic_partition_oldest_offset{partition="0",topic="t"}`:           "0",
		`kafka_topic_partition_in_sync_replica{partition="0",topic="t"}`:         "1",
		`kafka_topic_partition_leader{partition="0",topic="t"}`:                  "1",
		`kafka_log_log_logendoffset{partition="0",topic="t"}`:                    "3",
		`kafka_topic_partitions{topic="t"}`:                                      "1",
		`kafka_network_requestmetrics_requests_total{request="Produce"}`:         "3",
		"kafka_server_replicamanager_leadercount":                                "1",
		"kafka_server_replicamanager_partitioncount":                             "1",
		"kafka_server_replicamanager_underreplicatedpartitions":                  "0",
		"kafka_server_replicamanager_underminisrpartitioncount":                  "0",
		"kafka_server_replicamanager_atminisrpartitioncount":                     "1",
		"kafka_controller_kafkacontroller_activecontrollercount":                 "1",
		"kafka_controller_kafkacontroller_offlinepartitionscount":                "0",
		"kafka_controller_controllerstats_uncleanleaderelections_total":          "0",
		"kafka_log_logmanager_offlinelogdirectorycount":                          "0",
		"kafka_brokers": "1",
		"kafka_server_raftmetrics_current_leader":                        "1",
		`kafka_server_raftmetrics_current_state{current_state="leader"}`: "1",
	} {
		if found[name] != want {
			t.Errorf("%s is %q, want %s", name, found[name], want)
		}
	}
	in, out := found[`kafka_server_brokertopicmetrics_bytesin_total{topic="t"}`], found[`kafka_server_brokertopicmetrics_bytesout_total{topic="t"}`]
	if in == "" || in == "0" || in != out {
		t.Errorf("%s bytes were written and %s read", in, out)
	}
	for _, name := range []string{`ottla_request_duration_seconds_count{request="Produce"}`, "ottla_flush_duration_seconds_count", "kafka_server_raftmetrics_high_watermark", `kafka_log_log_size{partition="0",topic="t"}`} {
		if v := found[name]; v == "" || v == "0" {
			t.Errorf("%s is %q of %v", name, v, slices.Sorted(maps.Keys(found)))
		}
	}
	watchGroup(t, n, client)
	few, err := startWatched(t, "ottla.http.listener=127.0.0.1:0", "ottla.metrics.partitions.max=0")
	if err != nil {
		t.Fatal(err)
	}
	for name := range scrape(t, few) {
		if strings.Contains(name, "partition=") {
			t.Errorf("%s above the limit", name)
		}
	}
}

// TestParseIO: what Linux counts of a process, whatever else it counts.
func TestParseIO(t *testing.T) {
	for _, c := range []struct {
		text          string
		read, written int64
		known         bool
	}{
		{"rchar: 9\nwchar: 8\nsyscr: 7\nsyscw: 6\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n", 4096, 8192, true},
		{"rchar: 9\n", 0, 0, false},
		{"read_bytes: many\n", 0, 0, false},
		{"", 0, 0, false},
	} {
		if read, written, known := parseIO(c.text); read != c.read || written != c.written || known != c.known {
			t.Errorf("%q: %d, %d, %v", c.text, read, written, known)
		}
	}
}

// watchGroup reads two of the three records of t as a group; then what is left
// shows, with the member and without it.
func watchGroup(t *testing.T, n *Node, producer *kgo.Client) {
	t.Helper()
	member, err := kgo.NewClient(kgo.SeedBrokers(n.Addr()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"), kgo.DisableAutoCommit(), kgo.FetchMaxWait(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer member.Close()
	var read []*kgo.Record
	for len(read) < 3 && t.Context().Err() == nil {
		read = append(read, member.PollFetches(t.Context()).Records()...)
	}
	if err := member.CommitRecords(t.Context(), read[:2]...); err != nil {
		t.Fatal(err)
	}
	want := func(values map[string]string) {
		t.Helper()
		found := scrape(t, n)
		for name, value := range values {
			if found[name] != value {
				t.Errorf("%s is %q, want %s", name, found[name], value)
			}
		}
	}
	watchSeconds(t, n, read[2].Timestamp)
	want(map[string]string{
		`kafka_consumergroup_members{consumergroup="g"}`:                                "1",
		`kafka_consumergroup_current_offset{consumergroup="g",partition="0",topic="t"}`: "2",
		`kafka_consumergroup_lag{consumergroup="g",partition="0",topic="t"}`:            "1",
		`kafka_consumergroup_lag_sum{consumergroup="g",topic="t"}`:                      "1",
		`kafka_consumergroup_current_offset_sum{consumergroup="g",topic="t"}`:           "2",
	})
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("more")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := member.LeaveGroupContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(map[string]string{
		`kafka_consumergroup_members{consumergroup="g"}`:                     "0",
		`kafka_consumergroup_lag{consumergroup="g",partition="0",topic="t"}`: "2",
	})
}

// watchSeconds: the lag in time of g in t-0 is the age of the record that has that
// timestamp.
func watchSeconds(t *testing.T, n *Node, oldest time.Time) {
	t.Helper()
	least := time.Since(oldest)
	found := scrape(t, n)
	most := time.Since(oldest)
	for _, name := range []string{`kafka_consumergroup_group_lag_seconds{group="g",partition="0",topic="t"}`, `kafka_consumergroup_group_max_lag_seconds{group="g"}`} {
		seconds, err := strconv.ParseFloat(found[name], 64)
		if age := time.Duration(seconds * float64(time.Second)); err != nil || age < least-time.Millisecond || age > most+time.Millisecond {
			t.Errorf("%s is %q, want %s to %s", name, found[name], least, most)
		}
	}
}

// TestLagOfANewTopic: a topic that was made again has nothing of the one before
// it: a record waits in it since it was written there.
func TestLagOfANewTopic(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		registry := prometheus.NewRegistry()
		w.must(registry.Register(&monitoring.Collector{Node: n.monitored.Load}))
		c := w.connect(n)
		c.findCoordinator("g")
		for round, age := range []time.Duration{time.Hour, time.Minute} {
			c.mustCreate("t", 1)
			c.mustProduce("t", 0, "v")
			c.commit("g", "t", 0)
			<-time.After(age)
			c = w.connect(n)
			families, err := registry.Gather()
			w.must(err)
			told := -1.0
			for _, f := range families {
				if f.GetName() == "kafka_consumergroup_group_lag_seconds" {
					told = f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			if over := told - age.Seconds(); over < 0 || over > 1 { // what the requests took, on the bubble's clock
				t.Errorf("round %d: the record has waited for %v s, want %v", round, told, age)
			}
			c.delete("t")
		}
	})
}

// TestScrapeHoldsNoLock: wherever a scrape stands still, records are written and
// offsets committed.
func TestScrapeHoldsNoLock(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start(fewGroups)
		defer w.close(n)
		c := w.connect(n)
		c.mustCreate("t", 2)
		c.findCoordinator("g")
		c.mustProduce("t", 0, "a record that waits")
		c.commit("g", "t", 0)
		collector := &monitoring.Collector{Node: n.monitored.Load}
		for stop, more := 0, true; more; stop += 7 {
			out := make(chan prometheus.Metric)
			go func() {
				collector.Collect(out)
				close(out)
			}()
			for range stop {
				if _, more = <-out; !more {
					break
				}
			}
			c.mustProduce("t", 1, "meanwhile")
			c.commit("g", "t", 0)
			for range out {
			}
		}
	})
}

// TestMonitoringAddress: a chosen address that is taken ends the start, and
// none opens none.
func TestMonitoringAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, address := range []string{taken.Addr().String(), "nonsense"} {
		if _, err := startWatched(t, "ottla.http.listener="+address); err == nil || !strings.Contains(err.Error(), "ottla.http.listener") {
			t.Errorf("%s: %v", address, err)
		}
	}
	n, err := startWatched(t, "ottla.http.listener=none")
	if err != nil || n.MonitoringAddr() != nil {
		t.Errorf("none: %v, %v", n.MonitoringAddr(), err)
	}
}

// TestMonitoringDefault: the default address is given up when it is taken, with
// one warning.
func TestMonitoringDefault(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.listenAt("127.0.0.1:9644")
		n := w.start("ottla.http.listener=")
		if n.MonitoringAddr() != nil || strings.Count(w.log.String(), "no metrics and health are served") != 1 {
			t.Errorf("%v\n%s", n.MonitoringAddr(), w.log)
		}
		w.close(n)
	})
}
