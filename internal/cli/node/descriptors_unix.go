//go:build unix

package node

import "syscall"

// descriptorLimit is the maximum number of descriptors of the process; 0:
// unknown. The Go runtime has raised it to what the system allows.
func descriptorLimit() int64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int64(min(limit.Cur, 1<<62))
}
