package bench

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep waits in the kernel. Go's own timers are waited for in epoll, whose
// unit is a millisecond: a load that is due each millisecond would be late by
// half of one, and that would be charged to the broker.
func sleep(d time.Duration) {
	rest := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&rest, &rest) == unix.EINTR { // rest is what is left
	}
}
