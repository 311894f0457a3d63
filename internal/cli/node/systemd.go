package node

import (
	"errors"
	"net"
	"slices"
	"strings"
)

// notifySocket is the environment variable for the status of a systemd service
// of Type=notify. Its value is the path of a datagram socket, or an abstract
// socket if it begins with @ (sd_notify(3)).
const notifySocket = "NOTIFY_SOCKET="

// systemd is the socket for status messages; empty if none was requested.
type systemd string

func newSystemd(env []string) systemd {
	i := slices.IndexFunc(env, func(line string) bool { return strings.HasPrefix(line, notifySocket) })
	if i < 0 {
		return ""
	}
	return systemd(strings.TrimPrefix(env[i], notifySocket))
}

// tell sends one state, such as READY=1.
func (s systemd) tell(state string) error {
	if s == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: string(s), Net: "unixgram"})
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return errors.Join(err, c.Close())
}
