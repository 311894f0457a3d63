package monitoring

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strconv"
	"sync"
)

// What a profile of waiting takes down, and for how long.
const (
	// mutexFraction: one of so many waits for a mutex.
	mutexFraction = 10
	// blockRate: each wait of so many ns, and of shorter ones as many as their
	// length makes up of it.
	blockRate = 10_000
	// contentionMost bounds a profile, in seconds.
	contentionMost = 60
)

// contention is a kind of profile that costs the whole process time while it is
// taken, and is therefore off: it is switched on for the time of a request, and
// the answer is what came to pass in that time.
//
//	GET /debug/pprof/mutex?seconds=N   waits for mutexes, 1 ≤ N ≤ contentionMost
//	GET /debug/pprof/block?seconds=N   waits of any kind: channels, selects, mutexes
//
// Requests at the same time share it; the last one to end switches it off. The
// switches are the process's, and so are the two contentions.
type contention struct {
	name    string // Go's, of the profile
	turnOn  func() (turnOff func())
	mu      sync.Mutex
	users   int
	turnOff func()
}

var (
	mutexContention = contention{name: "mutex", turnOn: func() func() {
		before := runtime.SetMutexProfileFraction(-1)
		if before > 0 {
			return func() {} // it is on for somebody else in the process
		}
		runtime.SetMutexProfileFraction(mutexFraction)
		return func() { runtime.SetMutexProfileFraction(0) }
	}}
	blockContention = contention{name: "block", turnOn: func() func() {
		runtime.SetBlockProfileRate(blockRate)
		return func() { runtime.SetBlockProfileRate(0) }
	}}
)

func (c *contention) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users++; c.users == 1 {
		c.turnOff = c.turnOn()
	}
}

func (c *contention) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.users--; c.users == 0 {
		c.turnOff()
	}
}

func (c *contention) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if n, err := strconv.Atoi(r.URL.Query().Get("seconds")); err != nil || n < 1 || n > contentionMost {
		http.Error(w, fmt.Sprintf("the %s profile is off but for the time of a request: ask for /debug/pprof/%s?seconds=N with N from 1 to %d", c.name, c.name, contentionMost), http.StatusBadRequest)
		return
	}
	c.begin()
	defer c.end()
	pprof.Handler(c.name).ServeHTTP(w, r)
}
