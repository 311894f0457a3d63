// Package bench loads a Kafka cluster and measures it: what `ottla bench` runs.
//
// There are two ways to load a cluster. Raw: connections that send record
// batches made beforehand, several requests ahead, so that the broker is what
// is measured and not the client; produce_raw.go and consume_raw.go. And as
// applications do it, through franz-go: client.go and e2e.go.
//
// Loads with a rate are open loops: a record or request has a time at which it
// is due, whatever became of the ones before, and its latency counts from
// there. So a broker that stalls is charged for all that was due meanwhile
// (coordinated omission).
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
	// Records, Bytes and Requests count what the broker acknowledged, or gave;
	// Bytes those of record batches as they stand on the wire. Requests is 0 for
	// loads through a client.
	Records, Bytes, Requests int64
	// Failed counts what the broker refused.
	Failed int64
	// Elapsed is the time over which they were counted.
	Elapsed time.Duration
	// Latency holds one value for each request, or for each record of a client.
	Latency Latency
}

// PerSecond is n over the time that was measured.
func (r *Result) PerSecond(n int64) float64 { return float64(n) / r.Elapsed.Seconds() }

// Latency is a summary of a histogram, as time from when something was due.
type Latency struct {
	Count                             int64
	Mean, P50, P90, P99, P999, Lowest time.Duration
	Highest                           time.Duration
}

// Span says when a load ends: when any of its limits is reached, or ctx is
// done. At least one must be set.
type Span struct {
	// Warmup comes before everything else and is not counted.
	Warmup time.Duration
	// Duration is the time that is measured; 0: no limit.
	Duration time.Duration
	// Bytes and Records are what is sent in all; 0: no limit.
	Bytes, Records int64
}

// Progress is told once a second while a load runs.
type Progress struct {
	Elapsed        time.Duration
	Records, Bytes int64 // so far, with those of the warm-up
}

// Histograms reach from a microsecond to this, with three digits.
const slowest = 10 * time.Minute

// meter counts what a load achieved. It is made of shards, so that connections
// do not wait for each other.
type meter struct {
	start                            time.Time
	measured                         atomic.Int64 // nanoseconds from start to the end of the warm-up; 0: not yet
	records, bytes, requests, failed atomic.Int64
	warmed, stopped                  tally
	ended                            time.Duration
	shards                           []shard
	firstFailure                     atomic.Pointer[error]
}

// tally is what the counters of a meter say at one moment.
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

// done notes an answer to connection number from.
func (m *meter) done(from int, due time.Time, records, bytes int64) {
	m.records.Add(records)
	m.bytes.Add(bytes)
	m.requests.Add(1)
	m.waited(from, due)
}

// waited notes how long something took that was due, with or without an answer.
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

// fail notes a refusal.
func (m *meter) fail(err error) {
	m.failed.Add(1)
	m.firstFailure.CompareAndSwap(nil, &err)
}

// warm ends the warm-up.
func (m *meter) warm() {
	m.warmed = m.tally()
	m.measured.Store(max(1, int64(time.Since(m.start))))
}

// stop ends the time that is measured. What is answered later has a latency,
// but does not count.
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

// run runs a load of several workers over its span and returns what was
// measured. work is called once for each worker and ends when it has nothing left
// to do or ctx is done, but for answers to what was sent: those it waits for,
// up to the time called drain. An error of one ends all.
func run(ctx context.Context, s Span, workers int, report func(Progress), work func(ctx context.Context, m *meter, number int) error) (*Result, error) {
	if s.Duration <= 0 && s.Bytes <= 0 && s.Records <= 0 {
		return nil, errors.New("a load needs an end: a duration, bytes or records")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newMeter()
	if s.Warmup <= 0 {
		m.warm() // before anything can count
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

// drain is how long a load waits at its end for what was due before: a broker
// that stalls just then is charged for it.
const drain = 10 * time.Second

// patience is how long answers are waited for once the context of a load is done:
// not at all when it failed, or was stopped.
func patience(ctx context.Context) time.Duration {
	if errors.Is(context.Cause(ctx), errEnded) {
		return drain
	}
	return 0
}

// lingering is a context that is done when patience has passed after ctx.
func lingering(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(patience(ctx), cancel) })
	return late, func() {
		stop()
		cancel()
	}
}

// errEnded is why workers are stopped when their time is over.
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

// wait is false when the load ended before its time.
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

// allowance hands out what a load may send in all.
type allowance struct {
	span           *Span
	records, bytes atomic.Int64
}

// take is false when the limits do not allow so much more.
func (a *allowance) take(records, bytes int64) bool {
	if a.span.Records > 0 && a.records.Add(records) > a.span.Records {
		return false
	}
	return a.span.Bytes <= 0 || a.bytes.Add(bytes) <= a.span.Bytes
}

// refused is the error for what a broker answered.
func refused(what string, code int16) error {
	return fmt.Errorf("%s: %w", what, kerr.ErrorForCode(code))
}

// pace says when things are due at a rate of so many a second, each worker at
// moments of its own; without a rate everything is due at once.
type pace struct {
	start    time.Time
	interval time.Duration
	next     time.Duration
}

// newPace shares perSecond among workers.
func newPace(perSecond float64, worker, workers int) *pace {
	p := &pace{start: time.Now()}
	if perSecond > 0 {
		p.interval = time.Duration(float64(workers) / perSecond * float64(time.Second))
		p.next = p.interval * time.Duration(worker) / time.Duration(workers)
	}
	return p
}

// due waits for the moment of the next thing, calling idle before it sleeps,
// and returns the moment; false when ctx is done first.
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

// doze sleeps for d, in its last part exactly; it ends early with an error
// when ctx is done.
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

// exact is more than a timer can be late by on an idle machine.
const exact = 2 * time.Millisecond
