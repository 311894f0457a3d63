package monitoring

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/replica/replicatest"
)

// bigNode has so many topics with so many partitions each, which it leads, and
// of which a group has read half.
func bigNode(t testing.TB, topics int, partitions int32) *Node {
	n := replicatest.Start(t)
	m := new(metrics.Metrics)
	var lags []GroupLag
	for i := range topics {
		name := fmt.Sprintf("topic-%03d", i)
		n.Commit(n.Topic(name, metadata.UUID{1, byte(i >> 8), byte(i)}, partitions)...)
		m.Topic(name).BytesIn.Add(int64(i) * 1_000_003)
		for p := range partitions / 2 {
			lags = append(lags, GroupLag{Topic: name, Partition: p, Committed: int64(p), End: int64(p) + 7})
		}
	}
	for key := range int16(4) {
		m.API(key).Total.Observe(time.Duration(key+1) * time.Millisecond)
	}
	return &Node{
		ID: n.Config.NodeID, Version: "x", Metrics: m, Started: time.Unix(1, 0), Replicas: n.Replicas,
		Image: func() *metadata.Image { return n.Image }, Groups: func() ([]Group, int) { return []Group{{ID: "g", Members: 3, Partitions: lags}}, 0 },
		FirstRecord: func(string, int32, int64, int64) (int64, bool, error) { return 1500, true, nil },
		Now:         func() time.Time { return time.UnixMilli(4000) }, PartitionsMax: topics * int(partitions),
	}
}

// BenchmarkScrape is a scrape of 10,000 partitions.
func BenchmarkScrape(b *testing.B) {
	h := testHandler(b, bigNode(b, 100, 100), nil)
	for _, c := range []struct{ name, accept, encoding string }{
		{"text", "", ""},
		{"text-gzip", "", "gzip"},
		{"protobuf", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
				r.Host = "127.0.0.1"
				r.Header.Set("Accept", c.accept)
				r.Header.Set("Accept-Encoding", c.encoding)
				w := &discarded{header: http.Header{}}
				h.ServeHTTP(w, r)
				if w.code != 0 && w.code != http.StatusOK {
					b.Fatal(w.code)
				}
				size = w.size
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

// discarded counts what is answered.
type discarded struct {
	header     http.Header
	code, size int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(code int)        { d.code = code }
func (d *discarded) Write(p []byte) (int, error) { d.size += len(p); return len(p), nil }
