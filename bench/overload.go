package main

import (
	"context"
	"time"

	"ottla/interop/overload"
)

// overloads are the cases with badly behaved clients. They measure the latency
// of a well-behaved client at the same time, and the memory that remains after
// a load.
func overloads(d time.Duration) []*testCase {
	return []*testCase{
		{
			name: "overload-slow-reader", about: "a client that writes 500 records/s, acks=all, page cache; then beside 300 that fetch all there is and never read",
			own: func(c *ownCase) ([]map[kind]float64, error) {
				return c.beside(d, func(x *side) (*overload.Crowd, error) {
					if _, err := x.load(c.ctx, produceArgs(100, 2, 5, 50, 1000, "1", "--bytes", "50000000", "--duration", "0")); err != nil {
						return nil, err
					}
					return overload.SlowReaders(c.ctx, x.addr, "load", 300)
				})
			},
			metrics: besideMetrics,
		},
		{
			name: "overload-idle-connections", about: "the same client beside 10,000 idle connections",
			own: func(c *ownCase) ([]map[kind]float64, error) {
				return c.beside(d, func(x *side) (*overload.Crowd, error) { return overload.Idle(c.ctx, x.addr, 10_000) })
			},
			metrics: besideMetrics,
		},
		{
			name: "memory-after-load", about: "resident 5 s after 1 GB was written to 1,000 partitions and read by 50", own: memoryAfter,
			metrics: []metric{{name: "resident MB"}, {name: "peak resident MB"}},
		},
	}
}

var besideMetrics = []metric{
	{name: "p99 ms alone"}, {name: "p99 ms beside them"},
	{name: "p99 beside / alone", goal: "≤ 1.1", met: atMost(1.1)}, {name: "resident MB beside them"},
}

// besideLeast is the minimum duration of these loads: at 500 records/s, 50
// records are above the p99. With fewer the result would be random.
const besideLeast = 10 * time.Second

// beside measures a well-behaved client alone, and then together with a crowd
// of connections that has settled.
func (c *ownCase) beside(d time.Duration, gather func(x *side) (*overload.Crowd, error)) ([]map[kind]float64, error) {
	d = max(d, besideLeast)
	args := []string{"produce", "good", "--raw", "--partitions", "1", "--records-per-batch", "1", "--record-bytes", "100", "--acks", "all", "--rate", "500", "--duration", d.String()}
	return c.each(pageCache, len(besideMetrics), func(x *side) ([]float64, error) {
		if _, err := x.load(c.ctx, args); err != nil { // the warm-up
			return nil, err
		}
		alone, err := x.load(c.ctx, args)
		if err != nil {
			return nil, err
		}
		crowd, err := gather(x)
		if err != nil {
			return nil, err
		}
		defer crowd.Close()
		if err := rest(c.ctx, 3*time.Second); err != nil {
			return nil, err
		}
		with, err := x.load(c.ctx, args)
		if err != nil {
			return nil, err
		}
		resident, err := residentMB(x.pid, "VmRSS")
		return []float64{alone.LatencyMs.P99, with.LatencyMs.P99, with.LatencyMs.P99 / alone.LatencyMs.P99, resident}, err
	})
}

// memoryAfter is the memory of a broker after a load, and its peak.
func memoryAfter(c *ownCase) ([]map[kind]float64, error) {
	return c.each(pageCache, 2, func(x *side) ([]float64, error) {
		for _, args := range [][]string{
			produceArgs(1000, 10, 5, 10, 1000, "1", "--bytes", "1000000000", "--duration", "0"),
			{"consume", "load", "--raw", "--readers", "50", "--duration", "3s"},
		} {
			if _, err := x.load(c.ctx, args); err != nil {
				return nil, err
			}
		}
		if err := rest(c.ctx, 5*time.Second); err != nil {
			return nil, err
		}
		after, err := residentMB(x.pid, "VmRSS")
		if err != nil {
			return nil, err
		}
		peak, err := residentMB(x.pid, "VmHWM")
		return []float64{after, peak}, err
	})
}

// rest waits for d so that a broker becomes idle.
func rest(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
