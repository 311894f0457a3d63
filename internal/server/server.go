// Package server is the socket server: listeners, connections, framing, the
// memory budget, and replies in the order of their requests.
//
// A connection has one goroutine, which reads a request, handles it and writes
// the reply. There is no queue between socket and handler. Only replies to
// Produce may be parked until their records are committed. While there are any, a
// second goroutine writes them.
//
// Start reading at conn.go (a connection), then frame.go (reading a request),
// replies.go (the order of replies), write.go (writing), budget.go and limits.go
// (limits of memory and connections), watch.go (timeouts).
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

// Options are the dependencies of a Server.
type Options struct {
	// Config has the listeners and the limits.
	Config *config.Broker
	// Handler is passed to the endpoints.
	Handler *api.Handler
	// Table lists the served APIs.
	Table []api.Endpoint
	// Listen opens a listener.
	Listen func(network, addr string) (net.Listener, error)
	// Resolve returns the addresses of a host in
	// max.connections.per.ip.overrides. Nil: only addresses and localhost are
	// allowed there.
	Resolve func(host string) ([]netip.Addr, error)
	// Now is the wall clock, for Request.Received.
	Now func() time.Time
	// Metrics counts requests; nil: no counting.
	Metrics *metrics.Metrics
	// Log gets one line for each connection that is closed because of a fault.
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
	budget    *budget  // for requests
	leaving   *budget  // for staging buffers, which never wait, and large responses
	expected  expected // expected sizes of responses
	waiters   waiters  // requests that wait for other clients
	// answerMost is the maximum memory of one response, in bytes.
	answerMost int64
	limits     [2]*limits // for client listeners, and for controller listeners
	timing     timing
	// tick counts the rounds of watch. All timeouts are measured with it.
	tick   atomic.Int64
	nextID atomic.Int64

	// ctx is the context of the handlers. It ends when shutdown begins.
	ctx     context.Context
	cancel  context.CancelFunc
	closing atomic.Bool
	stopped chan struct{} // closed when the last connection has ended

	mu        sync.Mutex
	watched   bool
	listeners []*listener
	conns     map[*conn]struct{}
	running   sync.WaitGroup // accept loops and connections
}

// New makes a server. It opens nothing; Listen does.
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
	// mostBudget is enough for batches of 100 KB from a thousand producers at
	// once. A larger budget would only be filled by producers that send faster
	// than the disk writes.
	mostBudget = 128 << 20
	// leavingShare is the divisor of the budget for large staging buffers and
	// large responses. This budget is separate. Otherwise clients that do not read
	// their responses would block the requests of others.
	leavingShare = 4
	// leastAnswer is the minimum of answerMost: the metadata of 500,000
	// partitions. Above 512 MiB of ottla.memory.max, answerMost is an eighth of
	// it.
	leastAnswer = 64 << 20
)

// Listen opens all listeners, so that their ports are known. Serve starts to
// serve them. If one cannot be opened, all are closed.
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

// Addr returns the address that a listener is bound to; nil for an unknown name,
// and before Listen.
func (s *Server) Addr(name string) net.Addr {
	for _, l := range s.listeners {
		if l.config.Name == name {
			return l.Addr()
		}
	}
	return nil
}

// Serve starts to accept connections on the named listeners. Without names it
// starts all listeners that are not served yet. It returns at once.
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

// Shutdown closes the listeners, answers the requests that have arrived, and
// closes all connections. The context of waiting handlers is cancelled. If ctx
// ends first, Shutdown cuts the connections and returns the error of ctx. When it
// returns, all goroutines have ended.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	first := !s.closing.Swap(true)
	for _, l := range s.listeners {
		if first {
			_ = l.Close() // it is not used again in any case
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

// Connections returns the number of open connections.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// add registers a connection. It returns false if the server is closing.
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

// endpoint returns the API with a key, nil if it is not served.
func (s *Server) endpoint(key int16) *api.Endpoint {
	if key < 0 || int(key) >= len(s.endpoints) {
		return nil
	}
	return s.endpoints[key]
}
