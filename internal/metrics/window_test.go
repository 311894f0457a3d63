package metrics

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestWindow has a row per time: the added values and the expected results.
func TestWindow(t *testing.T) {
	var w Window
	nan := math.NaN()
	for _, c := range []struct {
		seconds             int
		add                 []float64
		sum, rate, avg, max float64
	}{
		{0, nil, 0, 0, nan, nan},
		{0, []float64{6}, 6, 6. / 30, 6, 6}, // counts as a full sample from the start
		{15, []float64{-9}, -3, -3. / 45, -1.5, 6},
		{29, nil, -3, -3. / 59, -1.5, 6},
		{30, []float64{-3}, -6, -6. / 30, -2, 6},
		{59, nil, -6, -6. / 59, -2, 6},
		{60, nil, -3, -3. / 30, -3, -3}, // the first sample is over
		{60, []float64{1, 2}, 0, 0, 0, 2},
		{90, nil, 3, 3. / 30, 1.5, 2},
		{119, nil, 3, 3. / 59, 1.5, 2},
		{120, nil, 0, 0, nan, nan},
		{1000, []float64{5}, 5, 5. / 40, 5, 5},
		{1020, []float64{7}, 12, 12. / 30, 6, 7},
	} {
		now := time.Duration(c.seconds) * time.Second
		for _, v := range c.add {
			w.Add(now, v)
		}
		for name, pair := range map[string][2]float64{
			"sum": {w.Sum(now), c.sum}, "rate": {w.Rate(now), c.rate}, "avg": {w.Avg(now), c.avg}, "max": {w.Max(now), c.max},
		} {
			if got, want := pair[0], pair[1]; math.Abs(got-want) > 1e-9 || math.IsNaN(got) != math.IsNaN(want) {
				t.Errorf("after %d s the %s is %v, want %v", c.seconds, name, got, want)
			}
		}
	}
}

// TestWindowModel checks that at any time a window includes the values of the
// last 30 s and none that is 60 s old.
func TestWindowModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var w Window
	var times []time.Duration
	now := time.Duration(0)
	for range 5000 {
		now += time.Duration(rng.ExpFloat64() * float64(5*time.Second))
		w.Add(now, 1)
		times = append(times, now)
		now += time.Duration(rng.ExpFloat64() * float64(5*time.Second))
		least, most := 0, 0
		for _, at := range times {
			if now-at <= windowSample {
				least++
			}
			if now-at < windowSamples*windowSample {
				most++
			}
		}
		if n := int(w.Sum(now)); n < least || n > most {
			t.Fatalf("at %v %d values count, want %d to %d", now, n, least, most)
		}
		if times[0] < now-time.Minute {
			times = times[1:]
		}
	}
	if n := testing.AllocsPerRun(100, func() { w.Add(now, 1) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
