// Package leaks finds the goroutines that a room's tests leave behind: what is
// stopped is gone, and not only on its way.
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

// patience is how long goroutines that were told to end may take.
const patience = 5 * time.Second

// Main runs a room's tests and returns the exit code for its TestMain: a
// failure, too, when a goroutine that runs code is left. code is a part of the
// names of functions, such as "ottla/internal/".
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

// Count is the number of goroutines, beside the caller's, that run code.
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
