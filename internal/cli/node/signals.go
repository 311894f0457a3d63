package node

import (
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// takeSignals makes the process behave under signals as Apache Kafka's JVM
// does, until the returned function is called:
//
//   - SIGPIPE is ignored. Go ends a process that writes to a closed standard
//     output or error, and a log shipper that restarts must not end a node.
//   - SIGQUIT writes what every goroutine does to w, and the process goes on.
//     Go would end it.
//
// The signals that end a node are Main's.
func takeSignals(w io.Writer) (stop func()) {
	signal.Ignore(syscall.SIGPIPE)
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	go func() {
		for range quit {
			_ = pprof.Lookup("goroutine").WriteTo(w, 2) // nobody may read it; at most 64 MB
		}
	}()
	return func() {
		signal.Stop(quit)
		close(quit) // a dump that nobody reads is not waited for
		signal.Reset(syscall.SIGPIPE)
	}
}
