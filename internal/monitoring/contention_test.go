package monitoring

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestContentionAsks: without a time, or with one out of bounds, a profile that
// is off says what to ask for, and stays off.
func TestContentionAsks(t *testing.T) {
	h := testHandler(t, nil, nil)
	for _, name := range []string{"mutex", "block"} {
		for _, query := range []string{"", "?debug=1", "?seconds=", "?seconds=0", "?seconds=-1", "?seconds=61", "?seconds=1e3", "?seconds=99999999999999999999"} {
			code, body := get(h, "/debug/pprof/"+name+query, "127.0.0.1:5")
			if code != http.StatusBadRequest || !strings.Contains(body, "/debug/pprof/"+name+"?seconds=N with N from 1 to 60") {
				t.Errorf("%s%s: %d %s", name, query, code, body)
			}
		}
		if code, _ := get(h, "/debug/pprof/"+name+"?seconds=1", "192.0.2.7:5"); code != http.StatusForbidden {
			t.Errorf("%s from elsewhere: %d", name, code)
		}
	}
	if n := runtime.SetMutexProfileFraction(-1); n != 0 {
		t.Errorf("mutexes are sampled: 1 of %d", n)
	}
}

// TestContentionShared: the first request switches sampling on, the last one
// off, in whatever order they end.
func TestContentionShared(t *testing.T) {
	on, turns := false, 0
	c := contention{turnOn: func() func() {
		on = true
		turns++
		return func() { on = false }
	}}
	for range 2 {
		c.begin()
		c.begin()
		c.end()
		if !on {
			t.Error("the end of one switched the other's off")
		}
		c.end()
		if on {
			t.Error("it is left on")
		}
	}
	if turns != 2 {
		t.Errorf("switched on %d times, want 2", turns)
	}
}

// TestContention: what waits while a request lasts is in its answer, and what
// waited before is not; then sampling is off again.
func TestContention(t *testing.T) {
	h := testHandler(t, nil, nil)
	for _, c := range []struct {
		name string
		now  func(stop <-chan struct{})
		past func(stop <-chan struct{})
	}{
		{"mutex", contendForMutex, contendForMutexBefore},
		{"block", waitForChannel, waitForChannelBefore},
	} {
		profile := func(meanwhile func(stop <-chan struct{})) string {
			stop := make(chan struct{})
			var group sync.WaitGroup
			group.Go(func() { meanwhile(stop) })
			defer group.Wait()
			defer close(stop)
			return functions(t, h, "/debug/pprof/"+c.name+"?seconds=1")
		}
		// A sample of a second may miss what a busy machine hardly lets run.
		until := func(meanwhile func(stop <-chan struct{}), name string) (list string) {
			for range 30 {
				if list = profile(meanwhile); strings.Contains(list, name) {
					return list
				}
			}
			t.Errorf("%s: %s is not there", c.name, name)
			return list
		}
		name := map[string]string{"mutex": "contendForMutex", "block": "waitForChannel"}[c.name]
		until(c.past, name+"Before")
		if strings.Contains(until(c.now, name), "Before") {
			t.Errorf("%s: what waited before is there", c.name)
		}
	}
	if n := runtime.SetMutexProfileFraction(-1); n != 0 {
		t.Errorf("mutexes are still sampled: 1 of %d", n)
	}
}

// functions are the names in a profile: they stand in its table of strings as
// they are.
func functions(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "127.0.0.1"
	r.RemoteAddr = "127.0.0.1:5"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	z, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func contendForMutex(stop <-chan struct{}) { contend(stop, func(m *sync.Mutex) { m.Unlock() }) }

func contendForMutexBefore(stop <-chan struct{}) {
	contend(stop, func(m *sync.Mutex) { m.Unlock() })
}

// contend has goroutines wait for a mutex until stop is closed.
func contend(stop <-chan struct{}, unlock func(*sync.Mutex)) {
	var m sync.Mutex
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				m.Lock()
				runtime.Gosched()
				unlock(&m)
			}
		})
	}
	group.Wait()
}

func waitForChannel(stop <-chan struct{}) { exchange(stop, func(c <-chan int) { <-c }) }

func waitForChannelBefore(stop <-chan struct{}) { exchange(stop, func(c <-chan int) { <-c }) }

// exchange has a goroutine wait for another one until stop is closed.
func exchange(stop <-chan struct{}, receive func(<-chan int)) {
	c := make(chan int)
	go func() {
		defer close(c)
		for {
			select {
			case <-stop:
				return
			case c <- 1:
				runtime.Gosched()
			}
		}
	}()
	for {
		select {
		case <-stop:
			for range c {
			}
			return
		default:
			receive(c)
		}
	}
}
