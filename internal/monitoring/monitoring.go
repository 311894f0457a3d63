// Package monitoring shows a node to those who watch it, over HTTP: /metrics for
// Prometheus, under the names that Kafka's JMX exporter and kafka_exporter give
// and dashboards ask for; /livez and /readyz for who restarts and routes; pprof
// for who wants to know where time and memory go.
//
// Nothing here is on the way of a request: figures are gathered when they are
// asked for.
//
// Start reading at Server, then scrape.go and collector.go; lag.go (lags in time) and
// contention.go (profiles of waiting) stand alone.
package monitoring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Server serves the HTTP listener of a node.
//
//	/metrics          Prometheus' text format, or protobuf with native histograms
//	/livez            200 while the process can answer at all
//	/readyz           200 while the node serves clients, else 503; ?verbose says why
//	/healthz          the same as /livez
//	/v1/status/ready  the same as /readyz, as JSON
//	/debug/pprof/     Go's profiles, to callers on the node itself only
//
// Every other path is 404. Requests that take long cost a goroutine each, at
// most maxRequests at once, maxScrapes of them for /metrics.
type Server struct {
	http *http.Server
	addr net.Addr
	done chan struct{}
}

// Options are what a Server needs.
type Options struct {
	// Ready tells what a node must have to serve clients, and what of it is
	// missing. It is asked while the node starts, too.
	Ready func() []Check
	// Collector adds the figures of the node; nil while it starts.
	Collector *Collector
	Log       *slog.Logger
}

// Check is one thing that a node must have to serve clients.
type Check struct {
	Name string
	// Err is why it has not; nil when it has.
	Err error
}

// The limits of the listener.
const (
	maxConnections = 64 // more are closed at once: they would take descriptors from the logs
	maxRequests    = 16
	maxScrapes     = 4 // each of them has all series in memory
	readTimeout    = 10 * time.Second
	writeTimeout   = 2 * time.Minute // a profile takes its time
	maxHeaderSize  = 16 << 10
)

// Serve serves l until Close.
func Serve(l net.Listener, o Options) (*Server, error) {
	scrapes, err := newScrapes([]prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})}, o)
	if err != nil {
		return nil, err
	}
	s := &Server{addr: l.Addr(), done: make(chan struct{})}
	s.http = &http.Server{
		Handler:           limited(handler(scrapes, o), maxRequests, http.StatusTooManyRequests, "too many requests at once"),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderSize,
		ConnState: few(), ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("the HTTP listener ended", "error", err)
		}
	}()
	return s, nil
}

// few closes connections beyond maxConnections.
func few() func(net.Conn, http.ConnState) {
	var count atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if count.Add(1) > maxConnections {
				_ = c.Close() // the server notices, and counts it out
			}
		case http.StateClosed, http.StateHijacked:
			count.Add(-1)
		}
	}
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.addr }

// Close ends the server; requests in flight have until ctx is done.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

func handler(scrapes http.Handler, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", limited(scrapes, maxScrapes, http.StatusServiceUnavailable, "too many scrapes at once"))
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, o.Ready(), r.URL.Query().Has("verbose")) })
	mux.HandleFunc("GET /v1/status/ready", func(w http.ResponseWriter, _ *http.Request) { readyJSON(w, o.Ready()) })
	mux.Handle("/debug/pprof/", local(http.HandlerFunc(pprof.Index)))
	mux.Handle("/debug/pprof/cmdline", http.NotFoundHandler()) // X5: no secret by the command line
	mux.Handle("/debug/pprof/mutex", local(&mutexContention))
	mux.Handle("/debug/pprof/block", local(&blockContention))
	mux.Handle("/debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	mux.Handle("/debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	mux.Handle("/debug/pprof/trace", local(http.HandlerFunc(pprof.Trace)))
	return mux
}

// errorLog takes what goes wrong while metrics are gathered.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) {
	l.log.Warn("metrics are incomplete", "error", fmt.Sprint(v...))
}

// limited lets most requests in at once and tells the others to come again.
func limited(next http.Handler, most, code int, why string) http.Handler {
	places := make(chan struct{}, most)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, why, code)
		}
	})
}

// local lets callers in whose address is the machine's own: a profile shows
// what is in memory.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !peer.Addr().Unmap().IsLoopback() {
			http.Error(w, "profiles are shown to callers on the node itself only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func live(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

func ready(w http.ResponseWriter, checks []Check, verbose bool) {
	failed := failures(checks)
	if failed > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if verbose {
		for _, c := range checks {
			state := "ok"
			if c.Err != nil {
				state = "not ready: " + c.Err.Error()
			}
			fmt.Fprintf(w, "%s: %s\n", c.Name, state)
		}
	}
	if failed > 0 {
		fmt.Fprintln(w, "not ready")
		return
	}
	fmt.Fprintln(w, "ok")
}

func readyJSON(w http.ResponseWriter, checks []Check) {
	w.Header().Set("Content-Type", "application/json")
	status := "ready"
	if failures(checks) > 0 {
		status = "booting"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintf(w, "{\"status\":%q}\n", status)
}

func failures(checks []Check) (n int) {
	for _, c := range checks {
		if c.Err != nil {
			n++
		}
	}
	return n
}
