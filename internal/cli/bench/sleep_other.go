//go:build !linux

package bench

import "time"

// sleep is as precise as Go's timers on this system.
func sleep(d time.Duration) { time.Sleep(d) }
