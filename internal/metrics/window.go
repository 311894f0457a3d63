package metrics

import (
	"math"
	"time"
)

// The samples of a Window: Kafka's defaults of metrics.num.samples and
// metrics.sample.window.ms.
const (
	windowSamples = 2
	windowSample  = 30 * time.Second
)

// Window sums up the values of the last 30 to 60 seconds, like Kafka's sampled
// statistics:
//
//  1. Time is divided into samples of 30 s. A value is added to the sample of
//     its time.
//  2. The results cover the current sample and the one before it.
//
// now is a monotonic time (Env.Elapsed). The zero value is ready to use. Only
// one goroutine at a time may use it; on the hot path use a Counter.
//
// Rejected: starting a sample with its first value, like Kafka. A value would
// then count for up to 90 s, depending on other values.
type Window struct {
	samples [windowSamples]sample
}

// sample holds the values of one period of time.
type sample struct {
	number   int64 // of the period, from 0
	count    int64
	sum, max float64
}

// Add counts a value.
func (w *Window) Add(now time.Duration, value float64) {
	number := int64(now / windowSample)
	s := &w.samples[number%windowSamples]
	if s.number != number {
		*s = sample{number: number}
	}
	if s.count == 0 || value > s.max {
		s.max = value
	}
	s.count++
	s.sum += value
}

// Sum returns the sum of the values.
func (w *Window) Sum(now time.Duration) float64 { return w.total(now).sum }

// Rate returns the sum per second. A window that is not old enough yet counts
// as full, like Kafka's.
func (w *Window) Rate(now time.Duration) float64 {
	took := now%windowSample + (windowSamples-1)*windowSample
	return w.total(now).sum / took.Seconds()
}

// Avg returns the mean of the values, NaN if there are none.
func (w *Window) Avg(now time.Duration) float64 {
	all := w.total(now)
	return all.sum / float64(all.count) // 0/0 is NaN
}

// Max returns the largest value, NaN if there are none.
func (w *Window) Max(now time.Duration) float64 {
	if all := w.total(now); all.count > 0 {
		return all.max
	}
	return math.NaN()
}

// total adds up the samples that count.
func (w *Window) total(now time.Duration) (all sample) {
	oldest := int64(now/windowSample) - (windowSamples - 1)
	for _, s := range w.samples {
		if s.count == 0 || s.number < oldest {
			continue
		}
		if all.count == 0 || s.max > all.max {
			all.max = s.max
		}
		all.count += s.count
		all.sum += s.sum
	}
	return all
}
