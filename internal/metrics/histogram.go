package metrics

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// Schema is the resolution of a Histogram in the terms of Prometheus' native
// histograms: bucket i holds values of 2^((i-1)/2^Schema) seconds, exclusively,
// to 2^(i/2^Schema) seconds, so that a quantile is wrong by at most 4.5 %.
const Schema = 3

// A Histogram reaches from under a microsecond to over half an hour; what lies
// beyond counts in its last bucket.
const (
	perOctave   = 1 << Schema
	firstBucket = -20 * perOctave // up to 2^-20 s
	lastBucket  = 11 * perOctave  // up to 2^11 s
	buckets     = lastBucket - firstBucket + 1
)

// Histogram counts durations in buckets whose width grows with the duration.
// The zero value is ready to use.
//
// Rejected: the library's own histogram, which takes a lock and three map
// look-ups for an observation and hides its buckets from who wants a quantile.
type Histogram struct {
	sum    atomic.Int64 // nanoseconds
	counts [buckets]atomic.Uint64
}

// bounds are the upper ends of the buckets in nanoseconds.
var bounds = func() (b [buckets]int64) {
	for i := range b {
		b[i] = int64(math.Ceil(math.Exp2(float64(i+firstBucket)/perOctave) * 1e9))
	}
	return b
}()

// octave is the first bucket to look at for durations of so many bits.
var octave = func() (first [65]int) {
	for n := range first {
		least := int64(0)
		if n > 0 && n < 64 {
			least = 1 << (n - 1)
		}
		first[n], _ = slices.BinarySearch(bounds[:buckets-1], least)
	}
	return first
}()

// Observe counts a duration; a negative one, after a clock went back, as none.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := octave[bits.Len64(uint64(d))]
	for i < buckets-1 && bounds[i] < int64(d) {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is what a Histogram holds at one moment.
type Snapshot struct {
	Count uint64
	Sum   time.Duration
	// Buckets maps the numbers of Prometheus' buckets to their counts; empty
	// ones are left out.
	Buckets map[int]int64
}

// Snapshot reads the histogram. Observations that are made meanwhile are in it
// or not; Count is the sum of Buckets.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: time.Duration(h.sum.Load()), Buckets: map[int]int64{}}
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			s.Buckets[i+firstBucket] = int64(n)
			s.Count += n
		}
	}
	return s
}

// Quantile is the upper end of the bucket in which the value of rank q lies, 0 ≤
// q ≤ 1; 0 when nothing was observed.
func (s *Snapshot) Quantile(q float64) time.Duration {
	if s.Count == 0 {
		return 0
	}
	rank := max(1, int64(math.Ceil(q*float64(s.Count))))
	for i := range buckets {
		if rank -= s.Buckets[i+firstBucket]; rank <= 0 {
			return time.Duration(bounds[i])
		}
	}
	return time.Duration(bounds[buckets-1])
}
