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
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
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
// Every other path is 404. Health is answered whatever else is going on: it takes
// none of the places of other requests (at most maxRequests at once, maxScrapes of
// them for /metrics), and a connection that only waits is closed when a new one
// needs its place. All but health is refused when the Host header is a name that
// the node does not go by, see hosts.
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
	// Hosts are names by which callers may ask, beside localhost and any IP
	// address; "*" is every name.
	Hosts []string
	Log   *slog.Logger
}

// Check is one thing that a node must have to serve clients.
type Check struct {
	Name string
	// Err is why it has not; nil when it has.
	Err error
}

// The limits of the listener.
const (
	maxConnections = 64 // more would take descriptors from the logs
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
	conns := connections{all: make(map[net.Conn]*connection)}
	s.http = &http.Server{
		Handler:           handler(scrapes, o),
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, MaxHeaderBytes: maxHeaderSize,
		ConnContext: conns.opened, ConnState: conns.changed, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("the HTTP listener ended", "error", err)
		}
	}()
	return s, nil
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

// handler answers all paths: health at once, the others as work.
func handler(scrapes http.Handler, o Options) http.Handler {
	work := http.NewServeMux()
	work.Handle("GET /metrics", limited(scrapes, maxScrapes, http.StatusServiceUnavailable, "too many scrapes at once"))
	work.Handle("/debug/pprof/", local(http.HandlerFunc(pprof.Index)))
	work.Handle("/debug/pprof/cmdline", http.NotFoundHandler()) // X5: no secret by the command line
	work.Handle("/debug/pprof/mutex", local(&mutexContention))
	work.Handle("/debug/pprof/block", local(&blockContention))
	work.Handle("/debug/pprof/profile", local(http.HandlerFunc(pprof.Profile)))
	work.Handle("/debug/pprof/symbol", local(http.HandlerFunc(pprof.Symbol)))
	work.Handle("/debug/pprof/trace", local(http.HandlerFunc(pprof.Trace)))

	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", live)
	mux.HandleFunc("GET /healthz", live)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, o.Ready(), r.URL.Query().Has("verbose")) })
	mux.HandleFunc("GET /v1/status/ready", func(w http.ResponseWriter, _ *http.Request) { readyJSON(w, o.Ready()) })
	mux.Handle("/", hosts(o.Hosts, limited(working(work), maxRequests, http.StatusTooManyRequests, "too many requests at once")))
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
	why := reasons(checks)
	if why != "" {
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
	if why != "" {
		fmt.Fprintln(w, "not ready: "+why)
		return
	}
	fmt.Fprintln(w, "ok")
}

func readyJSON(w http.ResponseWriter, checks []Check) {
	w.Header().Set("Content-Type", "application/json")
	answer := struct {
		Status string `json:"status"`
		Reason string `json:"reason,omitempty"`
	}{"ready", reasons(checks)}
	if answer.Reason != "" {
		answer.Status = "booting"
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer) // it is who asked that went away
}

// reasons says what is missing; empty when nothing is.
func reasons(checks []Check) string {
	var why []string
	for _, c := range checks {
		if c.Err != nil {
			why = append(why, c.Err.Error())
		}
	}
	return strings.Join(why, "; ")
}
