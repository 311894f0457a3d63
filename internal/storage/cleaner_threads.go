package storage

import (
	"runtime/debug"
	"sync"
	"time"

	"ottla/internal/config"
)

// cleanerSettings are the settings log.cleaner.* for a pass.
type cleanerSettings struct {
	// keyBytes and readBytes are the memory of each pass; load is the load factor of
	// the map.
	keyBytes  int64
	readBytes int
	load      float64
	backoff   time.Duration
}

// Kafka's defaults, for options that are not set.
const (
	defaultDedupeBytes   = 128 << 20
	defaultCleanerBytes  = 512 << 10
	defaultCleanerLoad   = 0.9
	minCleanerBufferSize = 4 << 10
)

// minBackoff prevents a busy loop with log.cleaner.backoff.ms=0.
const minBackoff = 10 * time.Millisecond

func newCleanerSettings(o *config.Logs) cleanerSettings {
	threads := int64(max(1, o.CleanerThreads))
	s := cleanerSettings{keyBytes: defaultDedupeBytes / threads, readBytes: int(defaultCleanerBytes / threads / 2), load: defaultCleanerLoad, backoff: max(o.CleanerBackoff, minBackoff)}
	if o.CleanerDedupeBufferSize > 0 {
		s.keyBytes = o.CleanerDedupeBufferSize / threads
	}
	if o.CleanerIOBufferSize > 0 {
		s.readBytes = int(int64(o.CleanerIOBufferSize) / threads / 2)
	}
	s.readBytes = max(s.readBytes, minCleanerBufferSize)
	if o.CleanerIOBufferLoadFactor > 0 {
		s.load = o.CleanerIOBufferLoadFactor
	}
	return s
}

func newCleaner(m *Manager) *Cleaner {
	o := &m.options.Logs
	return &Cleaner{
		manager: m, settings: newCleanerSettings(o), changed: make(chan struct{}),
		throttle: newThrottle(o.CleanerIOMaxBytesPerSecond, m.env.now, m.pause),
	}
}

// reconfigure applies new settings log.cleaner.*. A running pass keeps its buffers, so
// until its end more memory than configured may be used; Kafka aborts the pass and starts
// again. The rate changes at once.
func (c *Cleaner) reconfigure(o *config.Logs) {
	c.mu.Lock()
	c.settings = newCleanerSettings(o)
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	c.throttle.setRate(o.CleanerIOMaxBytesPerSecond)
}

// inForce returns the current settings and a channel that is closed when they change.
func (c *Cleaner) inForce() (cleanerSettings, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.settings, c.changed
}

// resize sets the number of threads. Surplus threads end after their current pass.
func (c *Cleaner) resize(threads int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.threads) > threads {
		last := len(c.threads) - 1
		close(c.threads[last])
		c.threads = c.threads[:last]
	}
	for len(c.threads) < threads {
		quit := make(chan struct{})
		c.threads = append(c.threads, quit)
		c.manager.tasks.Go(func() { c.run(quit) })
	}
}

// run is one cleaner thread. When there is nothing left to do, it returns the memory of
// its last pass to the system at once, so that an idle node uses little memory.
func (c *Cleaner) run(quit <-chan struct{}) {
	for {
		n, err := c.all(quit)
		if err != nil {
			c.manager.env.log.Warn("logs could not be compacted", "err", err)
		}
		if n > 0 {
			debug.FreeOSMemory()
		}
		if !c.rest(quit) {
			return
		}
	}
}

// rest waits for log.cleaner.backoff.ms, or until the settings change. It returns false
// if the thread must end.
func (c *Cleaner) rest(quit <-chan struct{}) bool {
	now, changed := c.inForce()
	t := time.NewTimer(now.backoff)
	defer t.Stop()
	select {
	case <-t.C:
	case <-changed:
	case <-quit:
	case <-c.manager.stop:
	}
	return !isDone(quit) && !isDone(c.manager.stop)
}

// isDone tells whether a channel is closed; a nil one never is.
func isDone(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// throttle limits the I/O rate of all cleaner threads together.
type throttle struct {
	now func() time.Time
	// pause waits for a time, or until changed is closed. It returns false if the
	// node stops.
	pause func(d time.Duration, changed <-chan struct{}) bool

	mu      sync.Mutex
	rate    float64   // bytes per second; 0 or less: no limit
	free    time.Time // time at which the bytes so far are within the rate
	changed chan struct{}
}

// throttleStep is the shortest pause. Shorter ones are accumulated.
const throttleStep = 100 * time.Millisecond

func newThrottle(rate float64, now func() time.Time, pause func(time.Duration, <-chan struct{}) bool) *throttle {
	return &throttle{rate: rate, now: now, pause: pause, changed: make(chan struct{})}
}

// setRate changes the rate. Current pauses end, and earlier bytes no longer count.
func (t *throttle) setRate(rate float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == rate {
		return
	}
	t.rate, t.free = rate, time.Time{}
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait counts bytes and pauses if the rate is exceeded. It returns false if the node
// stops.
func (t *throttle) wait(bytes int64) bool {
	long, changed := t.count(bytes)
	if long < throttleStep {
		long = 0
	}
	return t.pause(long, changed)
}

// count returns the time by which the bytes are ahead of the rate. If the clock jumps
// back, the pause is not longer than the time for the bytes.
func (t *throttle) count(bytes int64) (time.Duration, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate <= 0 {
		return 0, t.changed
	}
	cost := time.Duration(min(float64(bytes)/t.rate*float64(time.Second), float64(time.Hour)))
	now := t.now()
	if ahead := t.free.Sub(now); ahead < 0 || ahead > cost+throttleStep+time.Minute {
		t.free = now
	}
	t.free = t.free.Add(cost)
	return t.free.Sub(now), t.changed
}

// pause waits for d, or until changed is closed. It returns false if the node stops.
func (m *Manager) pause(d time.Duration, changed <-chan struct{}) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-changed:
		case <-m.stop:
		}
	}
	return !isDone(m.stop)
}
