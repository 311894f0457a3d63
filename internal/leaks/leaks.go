// Package leaks finds the goroutines that a package's tests leave behind. It
// checks that stopped components have really ended their goroutines.
//
// Start reading at Main.
package leaks

import (
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// patience is the time that stopped goroutines may take to end.
const patience = 5 * time.Second

// Main runs a package's tests and returns the exit code for TestMain. It is
// also a failure if a goroutine that runs code is left. code is a part of
// function names, such as "ottla/internal/".
func Main(m *testing.M, code string) int {
	exit := m.Run()
	deadline := time.After(patience)
	for exit == 0 && Count(code) > 0 {
		select {
		case <-deadline:
			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
			exit = 1
		default:
			runtime.Gosched()
		}
	}
	return exit
}

// Count returns the number of goroutines that run code, not counting the
// caller's.
func Count(code string) int {
	buf := make([]byte, 4<<20)
	others := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:]
	n := 0
	for _, stack := range others {
		if strings.Contains(stack, code) {
			n++
		}
	}
	return n
}
