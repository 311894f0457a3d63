package server

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"ottla/internal/api"
	"ottla/internal/config"
)

// listener is one of a node's listeners.
type listener struct {
	net.Listener
	server *Server
	config config.Listener
	limits *limits
	kind   api.Listeners
	// authenticated means that a client has a principal without authentication:
	// User:ANONYMOUS on PLAINTEXT.
	authenticated bool
	// protected listeners do not wait because of max.connections: the brokers of
	// the cluster connect to them (KIP-402).
	protected bool
	serving   bool
}

// plaintext is the security protocol without authentication or encryption.
const plaintext = "PLAINTEXT"

// listen opens one listener.
func (s *Server) listen(c config.Listener) (*listener, error) {
	opened, err := s.options.Listen("tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
	if err != nil {
		return nil, err
	}
	l := &listener{
		Listener: opened, server: s, config: c, limits: s.limits[0], kind: api.OnBroker,
		authenticated: c.Protocol == plaintext,
	}
	if c.Controller {
		l.limits, l.kind = s.limits[1], api.OnController
	}
	clients := 0
	for _, other := range s.options.Config.Listeners {
		if !other.Controller {
			clients++
		}
	}
	l.protected = clients > 1 && c.Name == s.options.Config.InterBrokerListener
	return l, nil
}

// The pauses after a failed accept, if the process is out of descriptors.
const (
	acceptPauseMin = 10 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept serves the listener until the server closes.
func (l *listener) accept() {
	pause := acceptPauseMin
	for {
		accepted, err := l.Accept()
		switch {
		case err == nil:
			pause = acceptPauseMin
			l.admit(accepted)
		case l.server.closing.Load() || errors.Is(err, net.ErrClosed):
			return
		default:
			l.server.log.Error("cannot accept connections", "listener", l.config.Name, "error", err, "pause", pause)
			select {
			case <-time.After(pause):
			case <-l.server.ctx.Done():
				return
			}
			pause = min(2*pause, acceptPauseMax)
		}
	}
}

// admit serves an accepted connection, or closes it if its address has too many.
// At max.connections it waits until another connection closes. Meanwhile new
// connections wait in the kernel's queue.
func (l *listener) admit(accepted net.Conn) {
	peer := addrPort(accepted.RemoteAddr())
	if allowed, ok := l.limits.take(peer.Addr(), l.protected, l.server.ctx.Done()); !ok {
		if allowed > 0 || !l.server.closing.Load() {
			l.server.log.Warn("connection refused", "listener", l.config.Name, "peer", peer.String(),
				"reason", "too many connections of this address", "max", allowed)
		}
		_ = accepted.Close() // the error has no receiver
		return
	}
	if l.protected && l.limits.exceeded() {
		l.server.closeLeastActive()
	}
	c := newConn(l, accepted, peer)
	if !l.server.add(c) {
		c.close(errShutdown)
		return
	}
	l.server.running.Go(c.serve)
}

// addrPort converts an address to a comparable form. An address that is not TCP
// (a pipe in a test) becomes the zero address.
func addrPort(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		p := tcp.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	p, _ := netip.ParseAddrPort(a.String()) // the zero address on error
	return p
}
