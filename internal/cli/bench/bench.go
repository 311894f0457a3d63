// Package bench generates load on a Kafka cluster and measures it. `ottla
// bench` runs it.
//
// There are two kinds of load:
//
//   - Raw loads use connections that send prepared record batches, with several
//     requests in flight. They measure the broker and not the client. See
//     produce_raw.go and consume_raw.go.
//   - Client loads use franz-go, as applications do. See client.go and e2e.go.
//
// Loads with a rate are open loops: each record or request has a due time that
// does not depend on earlier ones, and its latency counts from its due time. A
// stalled broker is therefore charged for everything that was due during the
// stall (this avoids coordinated omission).
//
// Start reading at Result, then Produce.
package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Result is what a load measured after its warm-up.
type Result struct {
	// Records, Bytes and Requests count acknowledged or received data. Bytes is
	// the size of the record batches on the wire. Requests is 0 for client
	// loads.
	Records, Bytes, Requests int64
	// Failed counts the requests that the broker refused.
	Failed int64
	// Elapsed is the time over which Records, Bytes and Requests were counted.
	Elapsed time.Duration
	// Latency has one value per request, or per record in client loads.
	Latency Latency
}

// PerSecond is n divided by the measured time in seconds.
func (r *Result) PerSecond(n int64) float64 { return float64(n) / r.Elapsed.Seconds() }

// Latency is the summary of a histogram of times since the due time.
type Latency struct {
	Count                             int64
	Mean, P50, P90, P99, P999, Lowest time.Duration
	Highest                           time.Duration
}

// Span says when a load ends: when one of its limits is reached or ctx is done.
// At least one limit must be set.
type Span struct {
	// Warmup is the time before the measurement.
	Warmup time.Duration
	// Duration is the measured time; 0: no limit.
	Duration time.Duration
	// Bytes and Records limit the total amount sent; 0: no limit.
	Bytes, Records int64
}

// Progress is reported once a second while a load runs.
type Progress struct {
	Elapsed        time.Duration
	Records, Bytes int64 // so far, including the warm-up
}

// slowest is the upper end of the histograms. They begin at a microsecond and
// have three significant digits.
const slowest = 10 * time.Minute

// meter counts the results of a load. Its histogram has several shards, so that
// connections do not contend for one lock.
type meter struct {
	start                            time.Time
	measured                         atomic.Int64 // nanoseconds from start to the end of the warm-up; 0: not ended yet
	records, bytes, requests, failed atomic.Int64
	warmed, stopped                  tally
	ended                            time.Duration
	shards                           []shard
	firstFailure                     atomic.Pointer[error]
}

// tally is a snapshot of the counters of a meter.
type tally struct{ records, bytes, requests, failed int64 }

func (m *meter) tally() tally {
	return tally{m.records.Load(), m.bytes.Load(), m.requests.Load(), m.failed.Load()}
}

type shard struct {
	mu   sync.Mutex
	hist *hdrhistogram.Histogram
}

const meterShards = 8

func newMeter() *meter {
	m := &meter{start: time.Now(), shards: make([]shard, meterShards)}
	for i := range m.shards {
		m.shards[i].hist = hdrhistogram.New(1, slowest.Microseconds(), 3)
	}
	return m
}

// done records a response on connection number from.
func (m *meter) done(from int, due time.Time, records, bytes int64) {
	m.records.Add(records)
	m.bytes.Add(bytes)
	m.requests.Add(1)
	m.waited(from, due)
}

// waited records the time since due, with or without a response.
func (m *meter) waited(from int, due time.Time) {
	now := time.Now()
	if m.measured.Load() == 0 {
		return
	}
	s := &m.shards[from%meterShards]
	s.mu.Lock()
	_ = s.hist.RecordValue(min(max(now.Sub(due).Microseconds(), 1), slowest.Microseconds())) // never out of range
	s.mu.Unlock()
}

// fail records a refused request.
func (m *meter) fail(err error) {
	m.failed.Add(1)
	m.firstFailure.CompareAndSwap(nil, &err)
}

// warm ends the warm-up.
func (m *meter) warm() {
	m.warmed = m.tally()
	m.measured.Store(max(1, int64(time.Since(m.start))))
}

// stop ends the measurement. Later responses are recorded in the histogram, but
// not in the counters.
func (m *meter) stop() {
	if m.measured.Load() == 0 {
		m.warm()
	}
	m.stopped = m.tally()
	m.ended = time.Since(m.start)
}

func (m *meter) result() (*Result, error) {
	all := hdrhistogram.New(1, slowest.Microseconds(), 3)
	for i := range m.shards {
		all.Merge(m.shards[i].hist)
	}
	r := &Result{
		Records: m.stopped.records - m.warmed.records, Bytes: m.stopped.bytes - m.warmed.bytes, Requests: m.stopped.requests - m.warmed.requests,
		Failed: m.stopped.failed, Elapsed: m.ended - time.Duration(m.measured.Load()), Latency: summary(all),
	}
	if r.Records == 0 {
		if first := m.firstFailure.Load(); first != nil {
			return nil, *first
		}
		return nil, errors.New("nothing was transferred during the measurement")
	}
	return r, nil
}

func summary(h *hdrhistogram.Histogram) Latency {
	at := func(percent float64) time.Duration {
		return time.Duration(h.ValueAtQuantile(percent)) * time.Microsecond
	}
	return Latency{
		Count: h.TotalCount(), Mean: time.Duration(h.Mean() * float64(time.Microsecond)),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9),
		Lowest: time.Duration(h.Min()) * time.Microsecond, Highest: time.Duration(h.Max()) * time.Microsecond,
	}
}

// run runs the workers of a load over its span and returns the result. work is
// called once per worker. It ends when it has nothing left to do or ctx is
// done; then it still waits for outstanding responses, for at most drain. An
// error of one worker ends the load.
func run(ctx context.Context, s Span, workers int, report func(Progress), work func(ctx context.Context, m *meter, number int) error) (*Result, error) {
	if s.Duration <= 0 && s.Bytes <= 0 && s.Records <= 0 {
		return nil, errors.New("a load needs an end: a duration, bytes or records")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newMeter()
	if s.Warmup <= 0 {
		m.warm() // before anything is counted
	}
	var running sync.WaitGroup
	for i := range workers {
		running.Go(func() {
			if err := work(ctx, m, i); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		running.Wait()
		close(finished)
	}()
	s.watch(ctx, m, finished, report)
	m.stop()
	failure := context.Cause(ctx)
	cancel(errEnded)
	<-finished
	if failure != nil && !errors.Is(failure, context.Canceled) {
		return nil, failure
	}
	return m.result()
}

// drain is how long a load waits at its end for outstanding responses, so that
// a broker that stalls at the end is charged for it.
const drain = 10 * time.Second

// patience is how long to wait for responses after the context of a load is
// done. It is 0 when the load failed or was canceled.
func patience(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), errEnded) {
		return drain
	}
	return 0
}

// lingering returns a context that is canceled when patience has passed after
// ctx is done.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(patience(ctx), cancel) })
	return late, func() {
		stop()
		cancel()
	}
}

// errEnded is the cancellation cause for workers at the end of a load.
var errEnded = errors.New("the load has ended")

// watch waits for the end of the warm-up and of the load.
func (s *Span) watch(ctx context.Context, m *meter, finished <-chan struct{}, report func(Progress)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	if s.Warmup > 0 {
		if !wait(ctx, s.Warmup, finished, tick.C, m, report) {
			return
		}
		m.warm()
	}
	length := s.Duration
	if length <= 0 {
		length = 1<<63 - 1
	}
	wait(ctx, length, finished, tick.C, m, report)
}

// wait returns false if the load ends before length has passed.
func wait(ctx context.Context, length time.Duration, finished <-chan struct{}, tick <-chan time.Time, m *meter, report func(Progress)) bool {
	timer := time.NewTimer(length)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case <-finished:
			return false
		case <-ctx.Done():
			return false
		case <-tick:
			if report != nil {
				report(Progress{time.Since(m.start), m.records.Load(), m.bytes.Load()})
			}
		}
	}
}

// allowance tracks how much a load may still send.
type allowance struct {
	span           *Span
	records, bytes atomic.Int64
}

// take returns false when the limits do not allow this amount.
func (a *allowance) take(records, bytes int64) bool {
	if a.span.Records > 0 && a.records.Add(records) > a.span.Records {
		return false
	}
	return a.span.Bytes <= 0 || a.bytes.Add(bytes) <= a.span.Bytes
}

// refused is the error for an error code of the broker.
func refused(what string, code int16) error {
	return fmt.Errorf("%s: %w", what, kerr.ErrorForCode(code))
}

// pace computes due times for a rate. Each worker has its own, interleaved due
// times. Without a rate everything is due immediately.
type pace struct {
	start    time.Time
	interval time.Duration
	next     time.Duration
}

// newPace returns the pace of one worker; perSecond is the rate of all workers
// together.
func newPace(perSecond float64, worker, workers int) *pace {
	p := &pace{start: time.Now()}
	if perSecond > 0 {
		p.interval = time.Duration(float64(workers) / perSecond * float64(time.Second))
		p.next = p.interval * time.Duration(worker) / time.Duration(workers)
	}
	return p
}

// due waits until the next due time and returns it. It calls idle before it
// sleeps. It returns an error when ctx is done first.
func (p *pace) due(ctx context.Context, idle func() error) (time.Time, error) {
	if p.interval == 0 {
		return time.Now(), ctx.Err()
	}
	at := p.start.Add(p.next)
	p.next += p.interval
	ahead := time.Until(at)
	if ahead <= 0 {
		return at, ctx.Err()
	}
	if err := idle(); err != nil {
		return at, err
	}
	return at, doze(ctx, ahead)
}

// doze sleeps for d; the last part of the sleep is precise. It returns early
// with an error when ctx is done.
func doze(ctx context.Context, d time.Duration) error {
	until := time.Now().Add(d)
	if d > exact {
		timer := time.NewTimer(d - exact)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if left := time.Until(until); left > 0 {
		sleep(left)
	}
	return ctx.Err()
}

// exact is longer than the delay of a timer on an idle machine.
const exact = 2 * time.Millisecond
