package bench

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleep waits in the kernel. Go's own timers are waited for in epoll, whose
// unit is a millisecond: a load that is due each millisecond would be late by
// half of one, and that would be charged to the broker. Nor may the kernel
// gather wake-ups, for which it takes 50 µs unless a thread says otherwise.
func sleep(d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // in ns; without it sleeps are coarser
	rest := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&rest, &rest) == unix.EINTR { // rest is what is left
	}
}
