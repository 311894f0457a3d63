package server

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

const canSendfile = true

// sendfileStep is the maximum number of bytes per call, so that progress is
// visible.
const sendfileStep = 4 << 20

// sendfile sends n bytes of a file, beginning at pos, from the page cache to the
// socket. It does not use or change the file's offset, so many connections can
// send from one file at once. With io.Copy they would share the offset.
func (c *conn) sendfile(fd uintptr, pos int64, n int) error {
	defer c.writing.Store(0)
	for n > 0 {
		c.writing.Store(c.server.tick.Load() + 1)
		sent, failed := 0, error(nil)
		err := c.raw.Write(func(socket uintptr) bool {
			for {
				sent, failed = unix.Sendfile(int(socket), int(fd), &pos, min(n, sendfileStep))
				if !errors.Is(failed, unix.EINTR) {
					return !errors.Is(failed, unix.EAGAIN)
				}
			}
		})
		switch {
		case err != nil:
			return c.unwritten(err)
		case failed != nil:
			return c.unwritten(fmt.Errorf("sendfile: %w", failed))
		case sent == 0:
			return violation("records end %d bytes early", n)
		}
		c.touch()
		n -= sent
	}
	return nil
}
