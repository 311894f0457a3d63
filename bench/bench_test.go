package main

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ottla/interop/target"
)

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

// TestFloor: the floor accepts the records of `ottla bench` and returns the
// same number, flushed or not, and lets consumers at the end of the log wait.
func TestFloor(t *testing.T) {
	binary, err := target.Binary()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go serveFloor(l, t.TempDir(), true)
	for _, args := range []string{
		"produce load --raw --partitions 3 --connections 3 --records-per-batch 10 --record-bytes 100 --records 3000 --duration 0 --acks 1",
		"consume load --raw --once --duration 0",
		"e2e ping --raw --rate 10000 --records 3000 --duration 0",
	} {
		out, err := exec.Command(binary, strings.Fields("bench "+args+" -q --format json -b "+l.Addr().String())...).Output()
		if err != nil {
			t.Fatalf("%s: %v", args, err)
		}
		var got loaded
		if err := json.Unmarshal(out, &got); err != nil || got.Records != 3000 {
			t.Errorf("%s: %v records (%v)", args, got.Records, err)
		}
	}
}

// TestRows: ratios are computed per round. They are above 1 when Ottla is
// better, for both directions of a figure. Goals are judged by the medians.
func TestRows(t *testing.T) {
	r := &result{
		testCase: &testCase{name: "x", metrics: []metric{
			metric{name: "cost"}.to("half", share(0.5)), metric{name: "speed", higher: true}.to("3 ×", times(3)), metric{name: "own"}.to("≤ 5", atMost(5)),
		}},
		values: []map[kind][]float64{
			{kafka: {10, 20, 40}, ottla: {5, 5, 20}}, {kafka: {10, 10, 10}, ottla: {20, 40, 10}}, {ottla: {4, 5, 6}},
		},
	}
	got := rows([]*result{r})
	for i, want := range []struct {
		ratio, low, high float64
		met              bool
	}{{2, 2, 4, true}, {2, 1, 4, false}, {0, 0, 0, true}} {
		if x := got[i]; x.Ratio != want.ratio || x.RatioLow != want.low || x.RatioHigh != want.high || *x.Met != want.met {
			t.Errorf("%s: %v (%v–%v), met %v", x.Metric, x.Ratio, x.RatioLow, x.RatioHigh, *x.Met)
		}
	}
	for _, format := range []string{"text", "markdown", "json"} {
		var b strings.Builder
		if err := report(&b, format, []*result{r}); err != nil || !strings.Contains(b.String(), "cost") {
			t.Errorf("%s: %v\n%s", format, err, b.String())
		}
	}
}

// TestPlot: every point lies inside the picture.
func TestPlot(t *testing.T) {
	var results []*result
	for i, n := range []float64{1, 100, 10000} {
		results = append(results, &result{
			testCase: &testCase{family: "partitions", at: n, metrics: []metric{cpuPerGB}},
			values:   []map[kind][]float64{{kafka: {3 * n}, ottla: {0.7 + float64(i)}}},
		})
	}
	svg := plot("partitions", "cost", 0, results)
	if strings.Count(svg, "<circle") != 6 || strings.Count(svg, "<polyline") != 2 || strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
		t.Error(svg)
	}
}

// TestCases: names are unique, and every case has figures.
func TestCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cases(time.Second) {
		if seen[c.name] || len(c.metrics) == 0 || (c.load == nil) == (c.own == nil) {
			t.Errorf("%s: %+v", c.name, c)
		}
		seen[c.name] = true
	}
}
