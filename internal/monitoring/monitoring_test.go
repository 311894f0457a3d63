package monitoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ottla/internal/metrics"
	"ottla/internal/raft"
)

func testHandler(t testing.TB, node *Node, checks []Check, names ...string) http.Handler {
	t.Helper()
	o := Options{Ready: func() []Check { return checks }, Collector: &Collector{Node: func() *Node { return node }}, Hosts: names, Log: slog.New(slog.DiscardHandler)}
	scrapes, err := newScrapes(nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return handler(scrapes, o)
}

// get asks a handler as a caller at addr.
func get(h http.Handler, path, addr string) (int, string) {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr, r.Host = addr, "127.0.0.1:9644"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// TestPaths has a row for each path, of a node that is ready, and of one that is
// not.
func TestPaths(t *testing.T) {
	ready := testHandler(t, nil, []Check{{"logs", nil}})
	starting := testHandler(t, nil, []Check{{"logs", errors.New("recovering")}, {"dirs", nil}})
	const here, elsewhere = "127.0.0.1:5", "192.0.2.7:5"
	for _, c := range []struct {
		handler    http.Handler
		path, from string
		code       int
		body       string
	}{
		{ready, "/livez", elsewhere, 200, "ok\n"},
		{ready, "/healthz", elsewhere, 200, "ok\n"},
		{ready, "/readyz", elsewhere, 200, "ok\n"},
		{ready, "/readyz?verbose", elsewhere, 200, "logs: ok\nok\n"},
		{ready, "/v1/status/ready", elsewhere, 200, "{\"status\":\"ready\"}\n"},
		{ready, "/metrics", elsewhere, 200, ""},
		{starting, "/livez", elsewhere, 200, "ok\n"},
		{starting, "/readyz", elsewhere, 503, "not ready: recovering\n"},
		{starting, "/readyz?verbose", elsewhere, 503, "logs: not ready: recovering\ndirs: ok\nnot ready: recovering\n"},
		{starting, "/v1/status/ready", elsewhere, 503, "{\"status\":\"booting\",\"reason\":\"recovering\"}\n"},
		{ready, "/", here, 404, "404 page not found\n"},
		{ready, "/debug/pprof/cmdline", here, 404, "404 page not found\n"},
		{ready, "/debug/pprof/symbol", here, 200, "num_symbols: 1\n"},
		{ready, "/debug/pprof/symbol", "[::1]:5", 200, "num_symbols: 1\n"},
		{ready, "/debug/pprof/", elsewhere, 403, "profiles are shown to callers on the node itself only\n"},
		{ready, "/debug/pprof/heap", elsewhere, 403, "profiles are shown to callers on the node itself only\n"},
		{ready, "/debug/pprof/heap", "nonsense", 403, "profiles are shown to callers on the node itself only\n"},
	} {
		if code, body := get(c.handler, c.path, c.from); code != c.code || body != c.body {
			t.Errorf("%s from %s: %d %q, want %d %q", c.path, c.from, code, body, c.code, c.body)
		}
	}
}

// TestTooMany: more than maxRequests at once, and of them more than maxScrapes
// for /metrics, are told to come again.
func TestTooMany(t *testing.T) {
	for _, c := range []struct {
		name, path string
		most, code int
		// handler makes a handler that calls work for each request it lets in.
		handler func(work func()) http.Handler
	}{
		{"requests", "/", maxRequests, http.StatusTooManyRequests, func(work func()) http.Handler {
			return limited(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { work() }), maxRequests, http.StatusTooManyRequests, "")
		}},
		{"scrapes", "/metrics", maxScrapes, http.StatusServiceUnavailable, func(work func()) http.Handler {
			return testHandler(t, &Node{Metrics: new(metrics.Metrics), Connections: func() int { work(); return 0 }}, nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			hold, held := make(chan struct{}), make(chan struct{}, c.most+1)
			h := c.handler(func() {
				held <- struct{}{}
				<-hold
			})
			ask := func(n int) <-chan int {
				codes := make(chan int, n)
				for range n {
					go func() {
						code, _ := get(h, c.path, "127.0.0.1:5")
						codes <- code
					}()
				}
				return codes
			}
			first := ask(c.most)
			for range c.most {
				<-held
			}
			select {
			case code := <-ask(1):
				if code != c.code {
					t.Errorf("one more: %d, want %d", code, c.code)
				}
			case <-held:
				t.Error("one more is let in")
			}
			close(hold)
			for range c.most {
				if code := <-first; code != http.StatusOK {
					t.Errorf("one of the first: %d", code)
				}
			}
			if code := <-ask(1); code != http.StatusOK {
				t.Errorf("afterwards: %d", code)
			}
		})
	}
}

// TestFigures: counters come out with Kafka's names, over all topics and of
// each, quantiles and native histograms of each API, and the lag of groups.
func TestFigures(t *testing.T) {
	m := new(metrics.Metrics)
	m.Topics.BytesIn.Add(30)
	m.Topic("a").BytesIn.Add(10)
	m.Topic("b").MessagesIn.Add(3)
	for range 100 {
		m.API(0).Total.Observe(2 * time.Millisecond)
	}
	m.API(1).Refused.Add(1)
	node := &Node{
		ID: 1, Version: "x", Metrics: m, Started: time.Unix(1, 0), Connections: func() int { return 7 },
		Groups: func() ([]Group, int) {
			return []Group{{ID: "g", Members: 2, Partitions: []GroupLag{
				{Topic: "a", Committed: 5, End: 8}, {Topic: "a", Partition: 1, Committed: 4, End: 4}, {Topic: "b", Committed: 1, End: -1},
			}}, {ID: "idle", Members: 1}, {ID: "partly", Partitions: []GroupLag{
				{Topic: "c", Committed: 2, End: 9}, {Topic: "c", Partition: 1, Committed: 4, End: 9},
			}}}, 0
		},
		FirstRecord: func(topic string, partition int32, _, _ int64) (int64, bool, error) {
			if topic == "c" && partition == 0 {
				return 0, false, errors.New("the disk is gone")
			}
			return 1500, true, nil
		},
		DiskIO: func() (int64, int64, bool) { return 4096, 8192, true },
		Now:    func() time.Time { return time.UnixMilli(4000) }, PartitionsMax: 5,
	}
	code, text := get(testHandler(t, node, nil), "/metrics", "192.0.2.7:5")
	if code != 200 {
		t.Fatal(code, text)
	}
	for _, line := range []string{
		"kafka_server_brokertopicmetrics_bytesin_total 30",
		`kafka_server_brokertopicmetrics_bytesin_total{topic="a"} 10`,
		`kafka_server_brokertopicmetrics_messagesin_total{topic="b"} 3`,
		`kafka_network_requestmetrics_requests_total{request="Produce"} 100`,
		`kafka_network_requestmetrics_errors_total{request="Fetch"} 1`,
		`ottla_request_duration_seconds_count{request="Produce"} 100`,
		"kafka_server_socket_server_metrics_connection_count 7",
		`kafka_server_kafkaserver_linux_disk_read_bytes 4096`,
		`kafka_server_kafkaserver_linux_disk_write_bytes 8192`,
		`kafka_consumergroup_lag{consumergroup="g",partition="0",topic="a"} 3`,
		`kafka_consumergroup_group_lag_seconds{group="g",partition="0",topic="a"} 2.5`,
		`kafka_consumergroup_group_lag_seconds{group="g",partition="1",topic="a"} 0`,
		`kafka_consumergroup_group_max_lag{group="g"} 3`,
		`kafka_consumergroup_group_max_lag_seconds{group="g"} 2.5`,
		`kafka_consumergroup_group_max_lag{group="partly"} 7`,
		`kafka_consumergroup_group_lag_seconds{group="partly",partition="1",topic="c"} 2.5`,
		`kafka_consumergroup_lag_sum{consumergroup="g",topic="a"} 3`,
		`kafka_consumergroup_lag_sum{consumergroup="g",topic="b"} 0`,
		`kafka_consumergroup_current_offset_sum{consumergroup="g",topic="a"} 9`,
		`kafka_consumergroup_members{consumergroup="g"} 2`,
		`kafka_consumergroup_members{consumergroup="idle"} 1`,
		`ottla_build_info{version="x"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, `lag{consumergroup="g",partition="0",topic="b"}`) || strings.Contains(text, `lag_seconds{group="g",partition="0",topic="b"}`) {
		t.Error("a lag is told of a partition whose end is not known")
	}
	for _, name := range []string{`kafka_consumergroup_group_lag_seconds{group="partly",partition="0"`, `kafka_consumergroup_group_max_lag_seconds{group="partly"`} {
		if strings.Contains(text, name) {
			t.Errorf("%s is told, although a log could not be read", name)
		}
	}
	node.PartitionsMax = 4
	_, few := get(testHandler(t, node, nil), "/metrics", "192.0.2.7:5")
	if strings.Contains(few, `kafka_consumergroup_lag{`) || strings.Contains(few, `kafka_consumergroup_group_lag_seconds{`) || strings.Contains(few, `kafka_consumergroup_current_offset{`) ||
		!strings.Contains(few, `kafka_consumergroup_lag_sum{consumergroup="g",topic="a"} 3`+"\n") ||
		!strings.Contains(few, `kafka_consumergroup_group_max_lag_seconds{group="g"} 2.5`+"\n") {
		t.Errorf("above the limit:\n%s", few)
	}
	var p50 float64
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, `kafka_network_requestmetrics_totaltimems{quantile="0.50",request="Produce"} `); ok {
			if _, err := fmt.Sscan(rest, &p50); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p50 < 2 || p50 > 2.2 {
		t.Errorf("the median of 2 ms is %v ms", p50)
	}
}

// TestQuorum: Kafka's raft-metrics, of a leader and of a follower.
func TestQuorum(t *testing.T) {
	nan := math.NaN()
	figures := raft.Figures{
		Status: raft.Status{LeaderID: 1, LeaderEpoch: 4, HighWatermark: 90, Voters: make([]raft.VoterStatus, 3)},
		State:  raft.Leader, Vote: 1, LogEndOffset: 92, LogEndEpoch: 3, UnknownVoters: 2, VoterChange: true,
		Appended: 1.5, CommitAvg: 2.5, CommitMax: 7, ElectionAvg: nan, ElectionMax: nan, Idle: 0.75,
	}
	node := &Node{ID: 1, Metrics: new(metrics.Metrics), Quorum: func() raft.Figures { return figures }}
	check := func(lines string) {
		t.Helper()
		_, text := get(testHandler(t, node, nil), "/metrics", "192.0.2.7:5")
		var got []string
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "kafka_server_raftmetrics_"); ok {
				got = append(got, strings.TrimSuffix(rest, "\n"))
			}
		}
		if want := strings.Split(lines, ", "); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check("append_records_rate 1.5, commit_latency_avg 2.5, commit_latency_max 7, current_epoch 4, current_leader 1, " +
		`current_state{current_state="leader"} 1, current_vote 1, election_latency_avg NaN, election_latency_max NaN, ` +
		"fetch_records_rate 0, high_watermark 90, log_end_epoch 3, log_end_offset 92, number_of_voters 3, " +
		"number_unknown_voter_connections 2, poll_idle_ratio_avg 0.75, uncommitted_voter_change 1")
	node.ID, figures.State, figures.Vote, figures.Fetched = 2, raft.Follower, -1, 3
	check("append_records_rate 1.5, commit_latency_avg 2.5, commit_latency_max 7, current_epoch 4, current_leader 1, " +
		`current_state{current_state="follower"} 1, current_vote -1, election_latency_avg NaN, election_latency_max NaN, ` +
		"fetch_records_rate 3, high_watermark 90, log_end_epoch 3, log_end_offset 92, number_of_voters 3, " +
		"number_unknown_voter_connections 2, poll_idle_ratio_avg 0.75")
}

// serve starts a server whose node has not started.
func serve(t *testing.T) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Serve(l, Options{Ready: func() []Check { return nil }, Collector: &Collector{Node: func() *Node { return nil }}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestServe: a server answers on its listener until it is closed.
func TestServe(t *testing.T) {
	s := serve(t)
	url := "http://" + s.Addr().String()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(text), "go_goroutines ") || !strings.Contains(string(text), "process_resident_memory_bytes ") {
		t.Errorf("%v: %s", err, text)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if resp, err := http.Get(url + "/livez"); err == nil {
		_ = resp.Body.Close()
		t.Error("a closed server answers")
	}
}
