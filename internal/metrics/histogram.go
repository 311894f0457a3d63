package metrics

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"
	"time"
)

// Schema is the resolution of a Histogram, as defined for Prometheus' native
// histograms: bucket i holds values from 2^((i-1)/2^Schema) seconds, exclusive,
// to 2^(i/2^Schema) seconds. The error of a quantile is at most 4.5 %.
const Schema = 3

// A Histogram covers less than a microsecond to more than half an hour. Values
// outside count in the first or last bucket.
const (
	perOctave   = 1 << Schema
	firstBucket = -20 * perOctave // up to 2^-20 s
	lastBucket  = 11 * perOctave  // up to 2^11 s
	buckets     = lastBucket - firstBucket + 1
)

// Histogram counts durations in buckets whose width grows with the duration.
// The zero value is ready to use.
//
// Rejected: the library's own histogram. It takes a lock and three map lookups
// per observation, and does not expose its buckets, so no quantile can be
// computed.
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

// octave maps the number of bits of a duration to the first bucket to check.
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

// Observe counts a duration. A negative one, after a clock went back, counts as
// zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i := octave[bits.Len64(uint64(d))]
	for i < buckets-1 && bounds[i] < int64(d) {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// Snapshot is the content of a Histogram at one moment.
type Snapshot struct {
	Count uint64
	Sum   time.Duration
	// Buckets maps the numbers of Prometheus' buckets to their counts. Empty
	// buckets are omitted.
	Buckets map[int]int64
}

// Snapshot reads the histogram. Concurrent observations may or may not be
// included. Count is always the sum of Buckets.
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

// Quantile returns the upper end of the bucket with the value of rank q, 0 ≤ q
// ≤ 1. It is 0 if nothing was observed.
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
