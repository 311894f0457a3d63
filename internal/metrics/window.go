package metrics

import (
	"math"
	"time"
)

// The samples of a Window, as Kafka's metrics.num.samples and
// metrics.sample.window.ms are by default.
const (
	windowSamples = 2
	windowSample  = 30 * time.Second
)

// Window sums up the values of the last 30 to 60 seconds, as Kafka's sampled
// statistics do:
//
//  1. Time is divided into samples of 30 s. A value goes into the one of its moment.
//  2. What is told is of the sample under way and the one before it.
//
// now is a time that never goes back (Env.Elapsed). The zero value is ready to
// use, by one goroutine at a time; whoever counts on the hot path takes a Counter.
//
// Rejected: to begin a sample with its first value, as Kafka does. A value then
// counts for up to 90 s, and how long depends on others.
type Window struct {
	samples [windowSamples]sample
}

// sample is what came in one stretch of time.
type sample struct {
	number   int64 // of the stretch, from 0 on
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

// Sum is the sum of the values.
func (w *Window) Sum(now time.Duration) float64 { return w.total(now).sum }

// Rate is the sum for each second. A window that is not old enough yet counts as
// full, as Kafka's do.
func (w *Window) Rate(now time.Duration) float64 {
	took := now%windowSample + (windowSamples-1)*windowSample
	return w.total(now).sum / took.Seconds()
}

// Avg is the mean of the values, NaN when there is none.
func (w *Window) Avg(now time.Duration) float64 {
	all := w.total(now)
	return all.sum / float64(all.count) // 0/0 is NaN
}

// Max is the largest value, NaN when there is none.
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
