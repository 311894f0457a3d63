package vfs

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// iovMax is the kernel's limit for the number of buffers in one call
// (UIO_MAXIOV).
const iovMax = 1024

// Writev calls pwritev. The kernel may write less than it was given (at most 2
// GiB - 4 KiB in one call, less when the disk fills up), so Writev repeats the
// call until everything is written or an error occurs.
func (f *osFile) Writev(bufs [][]byte, off int64) (int, error) {
	defer runtime.KeepAlive(f)
	if off < 0 {
		return 0, f.pathError("pwritev", fs.ErrInvalid)
	}
	total := 0
	for bufs = skip(bufs, 0); len(bufs) > 0; {
		n, err := unix.Pwritev(int(f.fd), bufs[:min(len(bufs), iovMax)], off+int64(total))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = unix.ENOSPC
		}
		if err != nil {
			return total, f.pathError("pwritev", err)
		}
		total += n
		bufs = skip(bufs, n)
	}
	return total, nil
}

// skip returns the rest of bufs after n bytes, without leading empty buffers.
// It copies the list only when n ends inside a buffer.
func skip(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 && len(bufs) > 0 {
		bufs = append([][]byte{bufs[0][n:]}, bufs[1:]...)
	}
	return bufs
}

// Allocate calls fallocate if the file system supports it.
func (f *osFile) Allocate(size int64) error {
	defer runtime.KeepAlive(f)
	err := retryInterrupted(func() error { return unix.Fallocate(int(f.fd), 0, 0, size) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return fill(f, size)
	}
	return f.pathError("fallocate", err)
}

// Sync calls fdatasync, which syncs content and length, but not the
// modification time, which would cost a second write of the journal.
func (f *osFile) Sync() error {
	defer runtime.KeepAlive(f)
	return f.pathError("fdatasync", retryInterrupted(func() error { return unix.Fdatasync(int(f.fd)) }))
}

// openSyncer opens dir for syncfs. Before Linux 5.8 syncfs returned no error
// after a failed write-back, so it is not used there.
func openSyncer(dir string) (Syncer, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	if !atLeast(unix.ByteSliceToString(name.Release[:]), 5, 8) {
		return nil, errors.ErrUnsupported
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &osSyncer{dir: d, fd: int(d.Fd())}, nil
}

// atLeast compares a kernel release such as "6.1.0-13-amd64" with a version.
func atLeast(release string, major, minor int) bool {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return false
	}
	haveMajor, err1 := strconv.Atoi(parts[0])
	haveMinor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return false
	}
	return haveMajor > major || haveMajor == major && haveMinor >= minor
}

// osSyncer holds the descriptor through which syncfs reports errors. Each
// descriptor reports, once, an error that happened after it was opened.
type osSyncer struct {
	dir *os.File
	fd  int
}

// Sync calls syncfs.
func (s *osSyncer) Sync() error {
	defer runtime.KeepAlive(s)
	if err := retryInterrupted(func() error { return unix.Syncfs(s.fd) }); err != nil {
		return &fs.PathError{Op: "syncfs", Path: s.dir.Name(), Err: err}
	}
	return nil
}

// Close closes the descriptor.
func (s *osSyncer) Close() error { return s.dir.Close() }

// lockFile takes an open file description lock over the whole file. Unlike
// flock it conflicts with the fcntl lock that a Java broker takes on the same
// file. Unlike that lock it belongs to this open file, so a second one in the
// same process also fails.
func lockFile(f *os.File) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

// retryInterrupted repeats a call that a signal interrupted before it did
// anything.
func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
