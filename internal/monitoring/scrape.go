package monitoring

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapes serves /metrics:
//
//  1. Prometheus' library says, by an answer without series, in what format and
//     encoding a request is answered.
//  2. Text is written by textOutput, beside what the library makes of the process.
//     It is compressed as fast as can be: what Prometheus asks for is mostly
//     repetition.
//  3. Anything else (protobuf, a choice of names) is made by the library alone.
type scrapes struct {
	format, process, all http.Handler
	collector            *Collector
	outputs, zips        sync.Pool // of *textOutput and *gzip.Writer
}

// newScrapes has the series of process collectors and of the node.
func newScrapes(process []prometheus.Collector, o Options) (*scrapes, error) {
	handler := func(compress bool, collectors ...prometheus.Collector) (http.Handler, error) {
		registry := prometheus.NewRegistry()
		for _, c := range collectors {
			if err := registry.Register(c); err != nil {
				return nil, fmt.Errorf("metrics: %w", err)
			}
		}
		return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
			ErrorHandling: promhttp.ContinueOnError, ErrorLog: errorLog{o.Log}, DisableCompression: !compress,
		}), nil
	}
	s := &scrapes{collector: o.Collector}
	s.outputs.New = func() any { return &textOutput{families: make(map[string]*textFamily)} }
	s.zips.New = func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // there is that level
		return z
	}
	var err error
	if s.format, err = handler(true); err != nil {
		return nil, err
	}
	if s.process, err = handler(false, process...); err != nil {
		return nil, err
	}
	s.all, err = handler(true, append(process, o.Collector)...)
	return s, err
}

func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	format := answer{header: w.Header()}
	s.format.ServeHTTP(&format, r)
	zip := w.Header().Get("Content-Encoding") == "gzip"
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") || !zip && w.Header().Get("Content-Encoding") != "" || r.URL.Query().Has("name[]") {
		clear(w.Header())
		s.all.ServeHTTP(w, r)
		return
	}
	process := answer{header: http.Header{}}
	s.process.ServeHTTP(&process, r)
	if process.code != 0 {
		process.body.Reset() // it is an error, and was logged
	}
	out := s.outputs.Get().(*textOutput)
	defer s.outputs.Put(out)
	out.reset()
	s.collector.collect(out)
	if !zip {
		_ = out.writeTo(w, process.body.String()) // it is who asked that went away
		return
	}
	z := s.zips.Get().(*gzip.Writer)
	defer s.zips.Put(z)
	z.Reset(w)
	if out.writeTo(z, process.body.String()) == nil {
		_ = z.Close() // the same
	}
}

// answer keeps what a handler answers.
type answer struct {
	header http.Header
	code   int // 0: it is 200
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }
