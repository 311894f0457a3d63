package node

import (
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// takeSignals makes the process handle signals as Apache Kafka's JVM does,
// until the returned function is called:
//
//   - SIGPIPE is ignored. By default Go ends a process that writes to a closed
//     standard output or error. A restart of a log shipper must not end a node.
//   - SIGQUIT writes the stacks of all goroutines to w; the process continues.
//     By default Go would end it.
//
// Main handles the signals that end a node.
func takeSignals(w io.Writer) (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		for range quit {
			_ = pprof.Lookup("goroutine").WriteTo(w, 2) // the write may fail or block; at most 64 MB
		}
	}()
	return func() {
		signal.Stop(quit)
		close(quit) // does not wait for a dump that is blocked
		signal.Reset(syscall.SIGPIPE)
	}
}
