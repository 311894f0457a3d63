package broker

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// clock counts the time that the process ran. It stands still while nothing of
// the process runs: after SIGSTOP, while the virtual machine is frozen, or when
// the processor is given to others. Sessions count by it. A member whose
// heartbeats arrived meanwhile, and lie in a socket, has as much of its session
// left as it had before.
//
// A pause is noticed by comparing with the last look of run. Whoever reads the
// clock first after a pause corrects it, so that no deadline passes before.
type clock struct {
	elapsed func() time.Duration // Env.Elapsed
	log     *slog.Logger
	// paused is the sum of all pauses, looked is Env.Elapsed when run looked last.
	// Both are written with mu held.
	mu             sync.Mutex
	paused, looked atomic.Int64
	stop           func()
}

// The clock is looked at each lookInterval. Of a longer gap than pauseLeast what
// is above that was a pause.
const (
	lookInterval = 500 * time.Millisecond
	pauseLeast   = time.Second
)

func newClock(elapsed func() time.Duration, log *slog.Logger) *clock {
	c := &clock{elapsed: elapsed, log: log}
	c.looked.Store(int64(elapsed()))
	return c
}

// Elapsed is the time that the process ran since some moment before the node
// started. It never goes back, and is behind Env.Elapsed by the pauses.
func (c *clock) Elapsed() time.Duration {
	for {
		paused := c.paused.Load()
		now := c.elapsed()
		if now-time.Duration(c.looked.Load()) > pauseLeast {
			c.look()
			continue
		}
		// If a pause held this reader up between the first two lines, and another
		// reader noticed it, then the pause is missing in paused.
		if c.paused.Load() == paused {
			return now - time.Duration(paused)
		}
	}
}

// look notes that the process runs now, and whether it did not since the last
// look.
func (c *clock) look() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.elapsed()
	pause := now - time.Duration(c.looked.Load()) - pauseLeast
	if pause > 0 {
		c.paused.Add(int64(pause))
	}
	c.looked.Store(int64(now))
	if pause >= pauseLeast {
		c.log.Warn("the process stood still; sessions are prolonged", "for", pause.Round(time.Millisecond))
	}
}

// start begins to look; stop ends that, and returns when it has ended.
func (c *clock) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { c.run(ctx) })
	c.stop = func() {
		cancel()
		running.Wait()
	}
}

func (c *clock) run(ctx context.Context) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			c.look()
		}
	}
}
