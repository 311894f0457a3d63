//go:build !linux

package bench

import "time"

// sleep waits as precisely as Go's timers are on this system.
func sleep(d time.Duration) { time.Sleep(d) }
