package monitoring

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// dial opens a connection and sends what a caller would.
func dial(t *testing.T, s *Server, sent string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_, _ = io.WriteString(c, sent) // it may be closed by now
	return c
}

// healthy asks for health on a new connection.
func healthy(t *testing.T, s *Server) {
	t.Helper()
	for _, path := range []string{"/livez", "/readyz"} {
		c := dial(t, s, "GET "+path+" HTTP/1.1\r\nHost: evil.example\r\n\r\n")
		if status, err := bufio.NewReader(c).ReadString('\n'); !strings.HasPrefix(status, "HTTP/1.1 200") {
			t.Fatalf("%s: %q, %v", path, status, err)
		}
	}
}

// TestHealthHasItsPlace: health answers beside callers who keep more connections
// than there are places, whatever they send; those who wait longest are closed.
func TestHealthHasItsPlace(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing":            "",
		"half a request":     "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"a finished request": "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
		"answers not read":   strings.Repeat("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 2000),
		"scrapes not read":   strings.Repeat("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 2000),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			defer func() { // some connections are busy writing to nobody
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = s.Close(ctx)
			}()
			var held []net.Conn
			for range 2 * maxConnections {
				held = append(held, dial(t, s, sent))
			}
			healthy(t, s)
			if sent != "" {
				return
			}
			_ = held[0].SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := held[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the oldest is not closed: %v", err)
			}
		})
	}
}

// TestWorkIsKept: a connection whose request is under way is not closed for new
// ones.
func TestWorkIsKept(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	conns := &connections{all: make(map[net.Conn]*connection)}
	s := httptest.NewUnstartedServer(working(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		_, _ = io.WriteString(w, "done")
	})))
	s.Config.ConnContext, s.Config.ConnState = conns.opened, conns.changed
	s.Start()
	defer s.Close()
	answers := make(chan string, 1)
	go func() {
		resp, err := http.Get(s.URL)
		if err != nil {
			answers <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answers <- string(body)
	}()
	<-entered
	for range 2 * maxConnections {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for places := 0; places < maxConnections; { // the server has to accept them
		conns.mu.Lock()
		places = len(conns.all)
		conns.mu.Unlock()
	}
	close(leave)
	if got := <-answers; got != "done" {
		t.Errorf("%q", got)
	}
	conns.mu.Lock()
	defer conns.mu.Unlock()
	if len(conns.all) > maxConnections {
		t.Errorf("%d connections", len(conns.all))
	}
}

// TestHosts: health answers to every name, the rest to the node's own.
func TestHosts(t *testing.T) {
	h := testHandler(t, nil, nil, "Node1.example", "")
	anybody := testHandler(t, nil, nil, "*")
	ask := func(h http.Handler, path, host string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:5", host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for host, ok := range map[string]bool{
		"": true, "localhost": true, "localhost:9644": true, "LOCALHOST.": true, "127.0.0.1:9644": true, "[::1]:9644": true, "[::1]": true,
		"10.1.2.3": true, "node1.example:9644": true, "evil.example": false, "evil.example:9644": false, "127.0.0.1.evil.example": false,
		"localhost.evil.example": false, "*": false, "[evil.example]": false, ":::": false,
	} {
		for _, path := range []string{"/metrics", "/debug/pprof/symbol"} {
			want := http.StatusOK
			if !ok {
				want = http.StatusForbidden
			}
			if got := ask(h, path, host); got != want {
				t.Errorf("%s of %q: %d, want %d", path, host, got, want)
			}
			if got := ask(anybody, path, host); got != http.StatusOK {
				t.Errorf("%s of %q where any name is let in: %d", path, host, got)
			}
		}
		for _, path := range []string{"/livez", "/readyz", "/healthz", "/v1/status/ready"} {
			if got := ask(h, path, host); got != http.StatusOK {
				t.Errorf("%s of %q: %d", path, host, got)
			}
		}
	}
}
