//go:build unix

package server

import (
	"errors"
	"io"
	"syscall"
)

// canRead means that readSocket is implemented.
const canRead = true

// readSocket reads from a non-blocking socket. again is true if there are no bytes
// yet.
func readSocket(fd uintptr, b []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		case err != nil:
			return 0, false, err
		case n == 0:
			return 0, false, io.EOF
		default:
			return n, false, nil
		}
	}
}
