package api

import (
	"net/netip"
	"time"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// Request is one request as a connection read it. It is valid until Handle
// returns.
type Request struct {
	Header protocol.RequestHeader
	// Body aliases the connection's buffer: it may be read until Handle
	// returns or calls Consumed, and what Encode needs of it must have been copied by then.
	// Produce may write into it (base offset and leader epoch of a batch).
	Body []byte
	// Listener is the name of the listener that the request came through, such
	// as PLAINTEXT; answers name the brokers' endpoints of the same name.
	Listener string
	// Principal is who sent the request, as known when it was read: clients
	// authenticate again with responses outstanding.
	Principal string
	// Received is when the whole request had arrived.
	Received time.Time
	// Session is what belongs to the connection.
	Session *Session
	// Meter bounds what the answer may take; nil has no limit.
	Meter *meter.Meter
	// Consumed is called by a handler that needs Body no more and holds little
	// beside it: all that the request holds of the memory budget is given back, and
	// Body is gone. Nil when it holds nothing.
	Consumed func()
	// Wait is called by a handler that goes on to wait for what other clients do,
	// as long as they like, and holds about n bytes meanwhile. They are taken from
	// a budget of their own until the handler returns. False: there is no room, and
	// the handler must answer now. Nil has no limit.
	Wait func(n int) bool
}

// park is Wait, then Consumed: a request that waits holds nothing of the budget
// of requests, or a few who wait would stop everybody.
func (r *Request) park(n int) bool {
	if r.Wait != nil && !r.Wait(n) {
		return false
	}
	if r.Consumed != nil {
		r.Consumed()
	}
	return true
}

// Anonymous is the principal of a listener without authentication.
const Anonymous = "User:ANONYMOUS"

// Session is what the server keeps of one connection. Handlers touch it only
// while they handle a request; a connection handles one at a time.
type Session struct {
	// ConnectionID is Kafka's: local address:port-remote address:port-n, n
	// being a number that no other connection of the node has.
	ConnectionID string
	// Peer is the remote address.
	Peer netip.AddrPort
	// Controller tells a connection to a controller listener.
	Controller bool
	// ClientSoftwareName and ClientSoftwareVersion are what the client said of
	// itself in ApiVersions (KIP-511); "unknown" before.
	ClientSoftwareName, ClientSoftwareVersion string
}

// ClientHost is the peer's address as Kafka shows it in answers: a slash and
// the address.
func (s *Session) ClientHost() string { return "/" + s.Peer.Addr().Unmap().String() }
