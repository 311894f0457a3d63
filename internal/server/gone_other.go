//go:build !linux

package server

// peerGone is not known on this platform: the connection ends when its handler is
// done.
func (c *conn) peerGone() bool { return false }
