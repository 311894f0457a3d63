package monitoring

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// connections bounds the connections of the listener to maxConnections. A new
// one always gets a place: the one that has waited longest loses it. So
// connections that send nothing, or half of a request, keep nobody out.
//
// A connection waits unless its request is work, of which there is less at a
// time (maxRequests) than there are places. One that is asked for health waits,
// too: the answer leaves at once, unless the caller does not read it.
type connections struct {
	mu   sync.Mutex
	all  map[net.Conn]*connection
	last uint64 // the newest turn
}

// connection is one place.
type connection struct {
	of      *connections
	turn    uint64 // when it began to wait; a lower one waits longer
	working bool
}

// ownConnection is the context key of a request's *connection.
type ownConnection struct{}

// opened is http.Server's ConnContext.
func (cs *connections) opened(ctx context.Context, c net.Conn) context.Context {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.last++
	own := &connection{of: cs, turn: cs.last}
	cs.all[c] = own
	if len(cs.all) > maxConnections {
		cs.closeOldest()
	}
	return context.WithValue(ctx, ownConnection{}, own)
}

// closeOldest closes the connection that has waited longest. The caller holds mu.
func (cs *connections) closeOldest() {
	var oldest net.Conn
	for c, own := range cs.all {
		if !own.working && (oldest == nil || own.turn < cs.all[oldest].turn) {
			oldest = c
		}
	}
	if oldest != nil {
		delete(cs.all, oldest)
		_ = oldest.Close() // the server notices
	}
}

// changed is http.Server's ConnState.
func (cs *connections) changed(c net.Conn, state http.ConnState) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	own := cs.all[c]
	switch {
	case own == nil: // it lost its place
	case state == http.StateIdle:
		cs.last++
		own.turn = cs.last
	case state == http.StateClosed:
		delete(cs.all, c)
	}
}

// working keeps the connection of a request while next answers it.
func working(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own, ok := r.Context().Value(ownConnection{}).(*connection)
		if ok { // else the handler has no server around it
			own.set(true)
			defer own.set(false)
		}
		next.ServeHTTP(w, r)
	})
}

func (c *connection) set(working bool) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.working = working
}

// hosts lets requests in whose Host header is one of names, localhost or an IP
// address. A page of evil.example whose name resolves to the node's address (DNS
// rebinding) can make a browser on the node's machine ask, but only with
// Host: evil.example. No browser leaves the header out.
func hosts(names []string, next http.Handler) http.Handler {
	known := map[string]bool{"": true, "localhost": true}
	for _, name := range names {
		known[hostKey(name)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = hostKey(host)
		if _, err := netip.ParseAddr(host); err != nil && !known[host] && !known["*"] {
			http.Error(w, "this is not a name of the node: ask by its address, or add the name to ottla.http.hosts", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostKey is a host as names are compared.
func hostKey(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}
