package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleep waits in the kernel. Go waits for its own timers with epoll, whose
// resolution is a millisecond. A load that is due every millisecond would be
// late by half a millisecond on average, and the broker would be charged for
// it. sleep also reduces the kernel's timer slack, which is 50 µs by default.
func sleep(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // in ns; without it sleeps are less precise
	rest := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&rest, &rest) == unix.EINTR { // rest is the remaining time
	}
}
