// Package server is the socket server: listeners, connections, framing, the
// memory budget, and replies in the order of their requests.
//
// A connection has one goroutine, which reads a request, handles it and writes
// the reply; there is no queue between socket and handler. Only replies to
// Produce may be parked until their records are committed; a second goroutine
// then writes them, for as long as there are any.
//
// Start reading at conn.go (the life of a connection), then frame.go (how a
// request is read), replies.go (the order), write.go (how bytes leave),
// budget.go and limits.go (what may be used), watch.go (who is cut off).
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ottla/internal/api"
	"ottla/internal/config"
	"ottla/internal/metrics"
)

// Options is what a Server needs.
type Options struct {
	// Config has the listeners and the limits.
	Config *config.Broker
	// Handler is handed to the endpoints.
	Handler *api.Handler
	// Table lists what is served.
	Table []api.Endpoint
	// Listen opens a listener.
	Listen func(network, addr string) (net.Listener, error)
	// Resolve finds the addresses of a host that is named in
	// max.connections.per.ip.overrides. Nil: only addresses, and localhost,
	// are understood.
	Resolve func(host string) ([]netip.Addr, error)
	// Now is the wall clock, for Request.Received.
	Now func() time.Time
	// Metrics counts requests; nil: nobody wants to know.
	Metrics *metrics.Metrics
	// Log takes one line for each connection that is closed for a fault.
	Log *slog.Logger

	// timing and poison are for tests.
	timing timing
	poison bool
}

// Server serves the listeners of a node.
type Server struct {
	options   Options
	config    *config.Network
	log       *slog.Logger
	metrics   *metrics.Metrics
	endpoints [128]*api.Endpoint // by key
	buffers   *buffers
	budget    *budget  // of requests
	leaving   *budget  // of staging buffers, which wait for nothing, and large responses
	expected  expected // how large they will be
	waiters   waiters  // requests that wait for what other clients do
	// answerMost is what one answer may take, in bytes.
	answerMost int64
	limits     [2]*limits // of clients' listeners, and of controllers'
	timing     timing
	// tick counts the rounds of watch; it is the clock of all time limits.
	tick   atomic.Int64
	nextID atomic.Int64

	// ctx is the handlers' context: it ends when shutdown begins.
	ctx     context.Context
	cancel  context.CancelFunc
	closing atomic.Bool
	stopped chan struct{} // closed when the last connection is gone

	mu        sync.Mutex
	watched   bool
	listeners []*listener
	conns     map[*conn]struct{}
	running   sync.WaitGroup // accept loops and connections
}

// New makes a server. Nothing is opened before Listen.
func New(o Options) (*Server, error) {
	s := &Server{
		options: o, config: &o.Config.Network, log: o.Log,
		timing:  o.timing.orDefaults(o.Config.Network.MaxIdle),
		stopped: make(chan struct{}), conns: map[*conn]struct{}{},
		buffers:    &buffers{poison: o.poison || poisonOnRelease},
		budget:     newBudget(budgetBytes(o.Config)),
		leaving:    newBudget(budgetBytes(o.Config) / leavingShare),
		answerMost: max(leastAnswer, o.Config.Ottla.MemoryMax/8),
		metrics:    o.Metrics,
	}
	s.waiters.most = max(leastWaiters, o.Config.Ottla.MemoryMax/waitersShare)
	if s.metrics == nil {
		s.metrics = new(metrics.Metrics)
	}
	for i := range o.Table {
		s.endpoints[o.Table[i].Key] = &o.Table[i]
	}
	for i := range s.limits {
		l, err := newLimits(s.config, o.Resolve)
		if err != nil {
			return nil, err
		}
		s.limits[i] = l
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// budgetBytes is the memory for requests: queued.max.request.bytes, or a
// quarter of ottla.memory.max, at most mostBudget.
func budgetBytes(c *config.Broker) int64 {
	switch {
	case c.Network.QueuedMaxRequestBytes > 0:
		return c.Network.QueuedMaxRequestBytes
	case c.Ottla.MemoryMax > 0:
		return min(c.Ottla.MemoryMax/4, mostBudget)
	}
	return mostBudget
}

const (
	// mostBudget is enough for a thousand producers with batches of 100 KB at
	// once; more would only be filled by those who send faster than the disk
	// writes.
	mostBudget = 128 << 20
	// leavingShare of the budget is what large staging buffers and large
	// responses may take beside it. It is their own: a client that does not read
	// its responses would otherwise keep the requests of others out.
	leavingShare = 4
	// leastAnswer is what one answer may take however little memory there is: the
	// metadata of 500,000 partitions. Above 512 MiB of ottla.memory.max it is an
	// eighth of it.
	leastAnswer = 64 << 20
)

// Listen opens all listeners, so that their ports are known; none is served
// before Serve. When one cannot be opened, none is.
func (s *Server) Listen() error {
	for _, l := range s.options.Config.Listeners {
		opened, err := s.listen(l)
		if err != nil {
			for _, l := range s.listeners {
				err = errors.Join(err, l.Close())
			}
			return fmt.Errorf("listener %s: %w", l.Name, err)
		}
		s.listeners = append(s.listeners, opened)
	}
	return nil
}

// Addr is the address that a listener is bound to; nil for an unknown name, and
// before Listen.
func (s *Server) Addr(name string) net.Addr {
	for _, l := range s.listeners {
		if l.config.Name == name {
			return l.Addr()
		}
	}
	return nil
}

// Serve begins to accept connections on the named listeners, or on all that are
// not served yet when none is named. It returns at once.
func (s *Server) Serve(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return
	}
	if !s.watched {
		s.watched = true
		s.running.Go(s.watch)
	}
	for _, l := range s.listeners {
		if l.serving || len(names) > 0 && !slices.Contains(names, l.config.Name) {
			continue
		}
		l.serving = true
		s.running.Go(l.accept)
	}
}

// Shutdown closes the listeners, lets the requests that have arrived be
// answered, and closes all connections. Handlers that wait are told by their
// context to come to an end. When ctx is done first, connections are cut and
// its error is returned. No goroutine is left behind.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closing.Swap(true)
	for _, l := range s.listeners {
		if first {
			_ = l.Close() // it is not used again, whatever happens
		}
	}
	for c := range s.conns {
		c.nudge()
	}
	s.mu.Unlock()
	s.cancel()
	if first {
		go func() {
			s.running.Wait()
			close(s.stopped)
		}()
	}
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.kill(errShutdown)
	}
	s.mu.Unlock()
	<-s.stopped
	return ctx.Err()
}

// Connections is the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// add takes a connection into the books; false when the server is closing.
func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// endpoint finds the API of a key, nil when it is not served.
func (s *Server) endpoint(key int16) *api.Endpoint {
	if key < 0 || int(key) >= len(s.endpoints) {
		return nil
	}
	return s.endpoints[key]
}
