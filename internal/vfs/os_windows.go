package vfs

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// syncDir only checks that the folder exists: Windows cannot flush a folder,
// and NTFS writes names through its own journal.
func syncDir(name string) error {
	_, err := os.ReadDir(name)
	return err
}

// diskUsage calls GetDiskFreeSpaceEx, which respects the user's quota.
func diskUsage(name string) (Usage, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	err = windows.GetDiskFreeSpaceEx(path, &u.Free, &u.Total, nil)
	return u, err
}

// lockFile locks every byte of the file with LockFileEx. The system releases
// the lock when the handle is closed.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, math.MaxUint32, math.MaxUint32, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

// IsNoSpace tells whether err means that the disk, or the user's quota on it,
// is full. That is a temporary state, unlike a failed disk.
func IsNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
