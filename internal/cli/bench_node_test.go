package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"ottla/ottlatest"
)

// TestBench runs each load against a node: what is counted is what is there,
// and no other number of records.
func TestBench(t *testing.T) {
	node := ottlatest.Start(t)
	bench := func(args string) (r benchReport) {
		t.Helper()
		code, out, errs := run(t, Streams{Env: []string{BootstrapEnv + "=" + node.Addr()}}, strings.Fields("--format json bench "+args)...)
		if code != 0 {
			t.Fatalf("%s: exit %d, %s", args, code, errs)
		}
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%s: %v in %s", args, err, out)
		}
		return r
	}
	for _, c := range []struct {
		args              string
		records, requests int64
	}{
		{"produce t --partitions 3 --raw --connections 2 --records-per-batch 10 --record-bytes 100 --records 1000 --duration 0", 1000, 100},
		{"produce t --raw --acks 1 --batches-per-request 3 --records-per-batch 5 --record-bytes 10 --records 150 -z zstd --duration 0", 150, 10},
		{"produce t --raw --rate 1000 --records-per-batch 1 --records 50 --duration 0", 50, 50},
		{"produce t --records 100 --keys 7 --duration 0", 100, 0},
		{"produce t --records 100 --rate 10000 -z lz4 --linger 5ms --acks 1 --duration 0", 100, 0},
		{"consume t --once --duration 0", 1400, 0},
		{"consume t --raw --once --duration 0 --readers 2", 2800, -1},
		{"e2e u --records 50 --rate 1000 --duration 0", 50, 0},
		{"e2e u --raw --records 50 --rate 1000 --duration 0", 50, 0},
		{"e2e u --raw --acks 1 --record-bytes 2000 --records 50 --rate 10000 --duration 0", 50, 0},
	} {
		r := bench(c.args)
		if r.Records != c.records || c.requests >= 0 && r.Requests != c.requests || r.Failed != 0 || r.Bytes == 0 || r.Seconds <= 0 {
			t.Errorf("%s: %+v", c.args, r)
		}
		if r.LatencyMs.Count == 0 || r.LatencyMs.P50 <= 0 || r.LatencyMs.P50 > r.LatencyMs.Max {
			t.Errorf("%s: latencies %+v", c.args, r.LatencyMs)
		}
	}
}

// TestBenchRefused: what the broker refuses is counted as failed, and the exit
// code says so.
func TestBenchRefused(t *testing.T) {
	node := ottlatest.Start(t)
	s := Streams{Env: []string{BootstrapEnv + "=" + node.Addr()}}
	if code, _, errs := run(t, s, "topic", "create", "small", "-p", "1", "-c", "max.message.bytes=100"); code != 0 {
		t.Fatal(errs)
	}
	for _, c := range []struct {
		args string
		code int
		err  string
	}{
		{"bench produce small --raw --records 100 --duration 0", 1, "MESSAGE_TOO_LARGE"},
		{"bench produce small --records 1 --duration 0 --record-bytes 1000", 1, "MESSAGE_TOO_LARGE"},
		{"bench consume missing --once", 1, "UNKNOWN_TOPIC_OR_PARTITION"},
		{"bench consume small --raw --once", 1, "nothing to read"},
		{"bench produce small --raw --duration 0", 1, "needs an end"},
		{"bench produce small --raw --acks 0", 2, "no"},
		{"bench produce small --connections 0", 2, "--connections"},
		{"bench produce small --in-flight 0", 2, "--in-flight"},
		{"bench produce small --records-per-batch 0", 2, "at least"},
		{"bench produce small --record-bytes -1", 2, "--record-bytes"},
		{"bench produce small --warmup -1s", 2, "negative"},
		{"bench produce small --rate -1", 2, "negative"},
		{"bench produce small -z rar", 2, "none of"},
		{"bench consume small --readers 0", 2, "--readers"},
		{"bench e2e small --rate 0", 2, "--rate"},
		{"bench e2e small --raw --acks 0", 2, "no"},
		{"bench e2e small --raw --record-bytes 1000", 1, "MESSAGE_TOO_LARGE"},
		{"bench", 2, "needs a command"},
	} {
		code, _, errs := run(t, s, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.err) {
			t.Errorf("%s: exit %d, %q; want %d and %q", c.args, code, errs, c.code, c.err)
		}
	}
}
