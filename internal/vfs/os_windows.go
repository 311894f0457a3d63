package vfs

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/windows"
)

// syncDir only checks that the folder is there: Windows cannot flush a folder,
// NTFS writes names through its own journal.
func syncDir(name string) error {
	_, err := os.ReadDir(name)
	return err
}

// diskUsage asks GetDiskFreeSpaceEx, which knows the user's quota.
func diskUsage(name string) (Usage, error) {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return Usage{}, err
	}
	var u Usage
	err = windows.GetDiskFreeSpaceEx(path, &u.Free, &u.Total, nil)
	return u, err
}

// lockFile locks every byte of the file by LockFileEx, which the system takes
// back when the handle is closed.
func lockFile(f *os.File) error {
	const flags = windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, math.MaxUint32, math.MaxUint32, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return err
}

// IsNoSpace tells whether err says that the disk, or the quota of the user on
// it, is full: a state that passes, unlike a failed disk.
func IsNoSpace(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL) ||
		errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
