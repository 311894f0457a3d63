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

// diskUsage calls statfs. Free is the space that users other than root may use.
func diskUsage(name string) (Usage, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(name, &s); err != nil {
		return Usage{}, err
	}
	size := uint64(s.Bsize)
	return Usage{Total: uint64(s.Blocks) * size, Free: uint64(s.Bavail) * size}, nil //nolint:unconvert // int64 on FreeBSD
}

// IsNoSpace tells whether err means that the disk, or the user's quota on it,
// is full. That is a temporary state, unlike a failed disk.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
