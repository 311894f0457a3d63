package server

import "golang.org/x/sys/unix"

// peerGone tells whether the peer has closed the connection, or its sending side,
// as far as the kernel knows. Unread requests do not hide it.
func (c *conn) peerGone() (gone bool) {
	if c.raw == nil {
		return false
	}
	err := c.raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(poll, 0)
		gone = err == nil && n > 0 && poll[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	})
	return err == nil && gone
}
