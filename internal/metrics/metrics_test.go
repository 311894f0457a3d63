package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestBuckets checks that a duration is in the bucket that Prometheus defines
// for it.
func TestBuckets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		d := time.Duration(math.Exp2(rng.Float64() * 41))
		var h Histogram
		h.Observe(d)
		s := h.Snapshot()
		if s.Count != 1 || s.Sum != d || len(s.Buckets) != 1 {
			t.Fatalf("%v: %+v", d, s)
		}
		for i := range s.Buckets {
			low, high := math.Exp2(float64(i-1)/perOctave)*1e9, math.Exp2(float64(i)/perOctave)*1e9
			if (float64(d) <= low-1 && i > firstBucket) || (float64(d) > high+1 && i < lastBucket) {
				t.Fatalf("%v is in bucket %d, from %v to %v ns", d, i, low, high)
			}
		}
	}
}

// TestQuantile compares the quantiles with those of a sorted list, within a
// bucket.
func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	var h Histogram
	var all []float64
	for range 10_000 {
		d := time.Duration(rng.ExpFloat64() * 1e7)
		all = append(all, float64(d))
		h.Observe(d)
	}
	slices.Sort(all)
	s := h.Snapshot()
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		want := max(all[min(len(all)-1, int(q*float64(len(all))))], 950)
		if got := float64(s.Quantile(q)); got < want*0.99 || got > want*1.1 {
			t.Errorf("quantile %v is %v, not %v", q, time.Duration(got), time.Duration(want))
		}
	}
	var empty Histogram
	if s := empty.Snapshot(); s.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	h.Observe(-time.Second)
	h.Observe(math.MaxInt64)
	if got := h.Snapshot(); got.Count != 10_002 || got.Buckets[lastBucket] != 1 {
		t.Errorf("beyond the ends: %d, %d", got.Count, got.Buckets[lastBucket])
	}
}

// TestTogether checks that concurrent callers get the same counters, and that
// no count is lost.
func TestTogether(t *testing.T) {
	var m Metrics
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				m.API(3).Total.Observe(time.Millisecond)
				m.Topic("t").BytesIn.Add(2)
			}
		})
	}
	wg.Wait()
	s := m.API(3).Total.Snapshot()
	if n := m.Topic("t").BytesIn.Load(); s.Count != 8000 || n != 16_000 {
		t.Errorf("%d requests, %d bytes", s.Count, n)
	}
	m.API(-1).Refused.Add(1)
	m.API(999).Refused.Add(1)
	keys, topics := 0, 0
	m.EachAPI(func(int16, *API) { keys++ })
	m.ForgetTopic("t")
	m.EachTopic(func(string, *Topic) { topics++ })
	if keys != 2 || topics != 0 {
		t.Errorf("%d APIs, %d topics", keys, topics)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var m Metrics
	m.API(0)
	if n := testing.AllocsPerRun(100, func() {
		m.API(0).Total.Observe(time.Millisecond)
		m.Topics.BytesIn.Add(1)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var m Metrics
	for i := range b.N {
		m.API(0).Total.Observe(time.Duration(i))
	}
}

// BenchmarkRequest measures all the counting of one Produce request with one
// batch, without reading the clock.
func BenchmarkRequest(b *testing.B) {
	var m Metrics
	topic := m.Topic("t")
	for i := range b.N {
		m.BytesIn.Add(200)
		for _, t := range [...]*Topic{topic, &m.Topics} {
			t.ProduceRequests.Add(1)
			t.BytesIn.Add(170)
			t.MessagesIn.Add(1)
		}
		m.BytesOut.Add(60)
		m.API(0).Total.Observe(time.Duration(i))
	}
}
