package monitoring

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ottla/internal/metrics"
	"ottla/internal/raft"
)

// families are the lines of each family of a text, sorted by name and the lines
// of a family sorted: their order means nothing.
func families(t testing.TB, text string) (all []string) {
	t.Helper()
	if !strings.HasSuffix(text, "\n") {
		t.Fatalf("no text of metrics: %q", text)
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(text, "# HELP "), "\n# HELP ") {
		lines := strings.Split(strings.TrimSuffix(part, "\n"), "\n")
		slices.Sort(lines[2:])
		all = append(all, strings.Join(lines, "\n"))
	}
	return all
}

// sameText compares a text with that of Prometheus' library.
func sameText(t testing.TB, got, want string) {
	t.Helper()
	gotten, wanted := families(t, got), families(t, want)
	for i := range min(len(gotten), len(wanted)) {
		if gotten[i] != wanted[i] {
			t.Fatalf("got\n%s\nwant\n%s", gotten[i], wanted[i])
		}
	}
	if len(gotten) != len(wanted) || len(got) != len(want) {
		t.Fatalf("%d families in %d bytes, want %d in %d", len(gotten), len(got), len(wanted), len(want))
	}
}

// collected is a collector that sends what f makes.
type collected func(output)

func (collected) Describe(chan<- *prometheus.Desc) {}
func (f collected) Collect(ch chan<- prometheus.Metric) {
	f(&registryOutput{out: ch, descs: map[shape]*prometheus.Desc{}})
}

// TestTextOfAnything: values and labels of every shape come out as the library
// writes them.
func TestTextOfAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	values := []float64{0, math.Copysign(0, -1), 1, -1, 999_999, 1e6, -999_999, -1e6, 1234567, 1e20, 1e21, 1e22, 0.1, 1e-4, 1e-5, 1.0 / 3, math.NaN(),
		math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1 << 53, 1 << 62, 1 << 63, -(1 << 63), math.MaxInt64}
	for range 1000 {
		values = append(values, math.Float64frombits(rng.Uint64()), float64(rng.Int64N(1<<rng.IntN(62)+1)), rng.NormFloat64())
	}
	labels := []string{"", "plain", `"`, `\`, "\n", `a"b\c` + "\nd", "日本", "{}", "a,b=c", "\t\r", "\x00", "�"}
	series := func(out output) {
		for i, v := range values {
			out.sample("b_gauge", "Some help.", prometheus.GaugeValue, v, []string{"i", fmt.Sprint(i), "text", labels[i%len(labels)]})
			if i < len(labels) {
				out.sample("a_counter_total", "More help.", prometheus.CounterValue, float64(i), []string{"text", labels[i]})
				var h metrics.Histogram
				for n := range i * i {
					h.Observe(time.Duration(n) * time.Millisecond)
				}
				shot := h.Snapshot()
				out.histogram("c_seconds", "Time.", &shot, time.Unix(1, 0), []string{"label", labels[i]})
			}
		}
		out.sample("d_alone", "No label.", prometheus.GaugeValue, 7, nil)
		out.sample("a_counter_total", "More help.", prometheus.CounterValue, 70, nil)
	}
	registry := prometheus.NewRegistry()
	if err := registry.Register(collected(series)); err != nil {
		t.Fatal(err)
	}
	_, want := get(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), "/", "192.0.2.7:5")
	own := &textOutput{families: map[string]*textFamily{}}
	for range 2 {
		own.reset()
		series(own)
		var text strings.Builder
		if err := own.writeTo(&text, ""); err != nil {
			t.Fatal(err)
		}
		sameText(t, text.String(), want)
	}
}

// TestScrapeFormats: whatever a scraper asks for is answered, with the headers, as
// Prometheus' library would answer it.
func TestScrapeFormats(t *testing.T) {
	node := bigNode(t, 3, 12)
	node.Quorum = func() raft.Figures { return raft.Figures{State: raft.Leader, CommitAvg: math.NaN()} }
	node.DiskIO = func() (int64, int64, bool) { return 1 << 40, 5, true }
	o := Options{Collector: &Collector{Node: func() *Node { return node }}, Log: slog.New(slog.DiscardHandler)}
	build := collectors.NewBuildInfoCollector() // sorts before the node's, and what follows behind
	last := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "process_last", Help: "Between."}, func() float64 { return 3 })
	s, err := newScrapes([]prometheus.Collector{build, last}, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{
		"", "*/*", "text/plain", "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;q=0.2", "image/png", "nonsense/;;",
	} {
		for _, encoding := range []string{"", "gzip", "gzip;q=0", "identity", "br, gzip;q=0.3", "zstd", "*"} {
			for _, query := range []string{"", "?name[]=kafka_brokers&name[]=process_last"} {
				r := httptest.NewRequest(http.MethodGet, "/metrics"+query, nil)
				r.Host = "127.0.0.1"
				r.Header.Set("Accept", accept)
				r.Header.Set("Accept-Encoding", encoding)
				got, want := httptest.NewRecorder(), httptest.NewRecorder()
				s.ServeHTTP(got, r)
				s.all.ServeHTTP(want, r)
				what := fmt.Sprintf("Accept: %s, Accept-Encoding: %s %s", accept, encoding, query)
				if got.Code != want.Code || fmt.Sprint(got.Header()) != fmt.Sprint(want.Header()) {
					t.Fatalf("%s: %d %v, want %d %v", what, got.Code, got.Header(), want.Code, want.Header())
				}
				if strings.HasPrefix(want.Header().Get("Content-Type"), "text/") {
					sameText(t, plain(t, got), plain(t, want))
				} else if plain(t, got) != plain(t, want) {
					t.Fatal(what)
				}
			}
		}
	}
}

// plain is the body of an answer, uncompressed.
func plain(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body io.Reader = w.Body
	if w.Header().Get("Content-Encoding") == "gzip" {
		var err error
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestStrangeGroups: a group whose id is no UTF-8 is told of, and hides nothing.
func TestStrangeGroups(t *testing.T) {
	node := &Node{Metrics: new(metrics.Metrics), Now: time.Now, Groups: func() ([]Group, int) {
		return []Group{{ID: "a", Members: 1}, {ID: "b\xff\xfe日", Members: 2}, {ID: "c\\", Members: 3}}, 0
	}}
	h := testHandler(t, node, nil)
	for _, path := range []string{"/metrics", "/metrics?name[]=kafka_consumergroup_members"} { // both outputs
		_, text := get(h, path, "192.0.2.7:5")
		for _, line := range []string{`{consumergroup="a"} 1`, `{consumergroup="b\\xff\\xfe日"} 2`, `{consumergroup="c\\"} 3`} {
			if !strings.Contains(text, "kafka_consumergroup_members"+line+"\n") {
				t.Errorf("%s: no line %s", path, line)
			}
		}
	}
}
