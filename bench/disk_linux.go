package main

import (
	"os"
	"syscall"
)

// dropCache asks the kernel to drop the cached pages of a file.
func dropCache(f *os.File) error {
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	if _, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// dataSync makes the data of a file durable, and the metadata that is needed to
// read it.
func dataSync(f *os.File) error {
	return os.NewSyscallError("fdatasync", syscall.Fdatasync(int(f.Fd())))
}
