package monitoring

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"ottla/internal/metrics"
)

// protobuf is the Accept of what takes native histograms.
const protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"

// scraped is an answer, and how many bytes were allocated for it.
func scraped(t *testing.T, h http.Handler, accept string) (body string, allocated int64) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Host = "localhost:9644"
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	w.Body.Grow(64 << 20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	if w.Code != http.StatusOK {
		t.Fatal(w.Code)
	}
	return w.Body.String(), int64(after.TotalAlloc - before.TotalAlloc)
}

// hostile is a node with many topics, and groups with long ids and many
// partitions; known of them have members.
func hostile(topics, groups, partitions, known int, id string) *Node {
	m := new(metrics.Metrics)
	for i := range topics {
		m.Topic(fmt.Sprintf("%s-%05d", strings.Repeat("t", 240), i)).BytesIn.Add(1)
	}
	list := make([]Group, groups)
	for i := range list {
		list[i].ID = fmt.Sprintf("%d%s%d", i%7, id, i)
		if i >= groups-known {
			list[i] = Group{ID: fmt.Sprint("known-", i), Members: 1}
		}
		for p := range partitions {
			list[i].Partitions = append(list[i].Partitions, GroupLag{Topic: strings.Repeat("t", 249), Partition: int32(p), Committed: 1, End: -1})
		}
	}
	return &Node{
		Metrics: m, Now: time.Now, MemoryMax: 256 << 20, PartitionsMax: 1 << 30, Groups: func() ([]Group, int) { return list, 3 },
		FirstRecord: func(string, int32, int64, int64) (int64, bool, error) { return 0, false, nil },
	}
}

// omittedOf reads ottla_metrics_omitted of a kind.
func omittedOf(t *testing.T, text, kind string) (n int) {
	t.Helper()
	_, rest, found := strings.Cut(text, fmt.Sprintf(`ottla_metrics_omitted{kind=%q} `, kind))
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		t.Fatal("no figure of omitted", kind)
	}
	return n
}

// TestScrapeIsBounded: whatever there is of topics and groups, an answer has a
// bound, everything has its series or is counted as omitted, and groups neither
// take the place of topics, nor those without members that of those with.
func TestScrapeIsBounded(t *testing.T) {
	const most = 256 << 20 / scrapeShare
	for _, c := range []struct {
		name                              string
		topics, groups, partitions, known int
		id                                string
		omitsTopics, omitsGroups          bool
	}{
		{"little", 10, 10, 10, 5, "g", false, false},
		{"many topics", 10_000, 10, 1, 5, "g", true, false},
		{"many groups", 10, 30_000, 1, 100, strings.Repeat("g", 230), false, true},
		{"long ids", 10, 2000, 1, 100, strings.Repeat(`"`, 28_000), false, false},
		{"ids that are no UTF-8", 10, 20_000, 0, 100, strings.Repeat("\xff", 500), false, true},
		{"large groups", 10, 6, 30_000, 1, "g", false, false},
		{"all of it", 10_000, 20_000, 3, 100, strings.Repeat(`\`, 200), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := testHandler(t, hostile(c.topics, c.groups, c.partitions, c.known, c.id), nil)
			text, allocated := scraped(t, h, "")
			if len(text) > most+most/8 || allocated > 8*most {
				t.Errorf("%d bytes, %d allocated, of %d", len(text), allocated, most)
			}
			topics := strings.Count(text, "\nkafka_server_brokertopicmetrics_bytesin_total{")
			if left := omittedOf(t, text, "topics"); topics+left != c.topics || left > 0 != c.omitsTopics {
				t.Errorf("%d topics and %d omitted", topics, left)
			}
			groups := strings.Count(text, "\nkafka_consumergroup_members{")
			if left := omittedOf(t, text, "groups") - 3; groups+left != c.groups || left > 0 != c.omitsGroups {
				t.Errorf("%d groups and %d omitted", groups, left)
			}
			sums := strings.Count(text, "\nkafka_consumergroup_lag_sum{")
			if left := omittedOf(t, text, "group_topics"); sums+left != groups*min(c.partitions, 1) {
				t.Errorf("%d topics of groups and %d omitted", sums, left)
			}
			partitions := strings.Count(text, "\nkafka_consumergroup_current_offset{")
			if left := omittedOf(t, text, "group_partitions"); partitions+left != groups*c.partitions {
				t.Errorf("%d partitions of groups and %d omitted", partitions, left)
			}
			if known := strings.Count(text, `kafka_consumergroup_members{consumergroup="known-`); known != c.known {
				t.Errorf("%d of the groups with members", known)
			}
			for line := range strings.Lines(text) {
				if len(line) > 1500 {
					t.Fatalf("a line of %d bytes", len(line))
				}
			}
			if other, allocated := scraped(t, h, protobuf); len(other) > most+most/8 || allocated > 8*most {
				t.Errorf("protobuf: %d bytes, %d allocated, of %d", len(other), allocated, most)
			}
		})
	}
}

// TestLabels: a label is the text itself, or what stands for it alone.
func TestLabels(t *testing.T) {
	long := strings.Repeat("x", mostLabel)
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"a b", "a b"}, {"日本", "日本"}, {"a\n", "a\n"}, {long, long}, {"b\xff\xfe日", `b\xff\xfe日`},
		{long + "y", long[:238] + "~"}, {long[:237] + "日" + long, long[:237] + "~"}, {strings.Repeat("\xff", 100), strings.Repeat(`\xff`, 59) + "~"},
	} {
		got := label(c.text)
		if prefix, _, cut := strings.Cut(c.want, "~"); cut {
			if !strings.HasPrefix(got, prefix+"~") || len(got) != len(prefix)+17 {
				t.Errorf("%q becomes %q, want %q", c.text, got, c.want)
			}
		} else if got != c.want {
			t.Errorf("%q becomes %q, want %q", c.text, got, c.want)
		}
	}
	if label(long+"y") == label(long+"z") {
		t.Error("two long texts become one")
	}
}

// TestGroupsOfOneLabel: two groups whose ids become the same label are told of
// once, since Prometheus takes a series once, and the other is counted.
func TestGroupsOfOneLabel(t *testing.T) {
	node := &Node{Metrics: new(metrics.Metrics), Now: time.Now, Groups: func() ([]Group, int) {
		return []Group{{ID: "a\xff", Members: 1}, {ID: `a\xff`, Members: 1}, {ID: "b", Members: 1}}, 0
	}}
	_, text := get(testHandler(t, node, nil), "/metrics", "192.0.2.7:5")
	if n := strings.Count(text, "\nkafka_consumergroup_members{"); n != 2 || omittedOf(t, text, "groups") != 1 {
		t.Errorf("%d groups in\n%s", n, text)
	}
}

// TestOmitted: what is not complete has no maximum, and partitions above
// ottla.metrics.partitions.max count as omitted.
func TestOmitted(t *testing.T) {
	node := hostile(0, 1, 4, 0, "g")
	list, _ := node.Groups()
	list[0].Omitted, node.PartitionsMax = 5, 3
	list[0].Partitions[0].End = 9
	node.SuppressedLines = func() int64 { return 7 }
	_, text := get(testHandler(t, node, nil), "/metrics", "192.0.2.7:5")
	if n := omittedOf(t, text, "group_partitions"); n != 9 {
		t.Errorf("%d partitions omitted", n)
	}
	if strings.Contains(text, "group_max_lag{") || !strings.Contains(text, "\nottla_log_suppressed_lines_total 7\n") {
		t.Error(text)
	}
}
