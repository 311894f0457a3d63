//go:build unix

package vfs

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncDir fsyncs the folder itself.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		_ = d.Close() // the folder was only read
		return err
	}
	return d.Close()
}

// diskUsage asks statfs. Free is what is left to users other than root.
func diskUsage(name string) (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(name, &s); err != nil {
		return Usage{}, err
	}
	size := uint64(s.Bsize)
	return Usage{Total: uint64(s.Blocks) * size, Free: uint64(s.Bavail) * size}, nil //nolint:unconvert // int64 on FreeBSD
}

// IsNoSpace tells whether err says that the disk, or the quota of the user on
// it, is full: a state that passes, unlike a failed disk.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
