// Package node adds the commands that run a node to the command line of package
// cli. The main function of the program calls it. Start reading at Main, then
// serve.go.
package node

import (
	"context"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"ottla/internal/cli"
)

// Main runs the program with the arguments, streams and environment of the
// process and returns the exit code. Interrupt, SIGTERM and SIGHUP stop a
// command cleanly; a second signal ends the process at once. SIGHUP stays
// ignored under nohup.
func Main() int {
	end := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		end = append(end, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), end...)
	defer stop()
	context.AfterFunc(ctx, stop)
	return New(cli.Streams{
		In:       os.Stdin,
		Out:      os.Stdout,
		Err:      os.Stderr,
		InTTY:    isTerminal(os.Stdin),
		Env:      os.Environ(),
		Program:  program(os.Args[0]),
		ReadFile: os.ReadFile,
		WriteFile: func(name string, content []byte) error {
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				return err
			}
			return os.WriteFile(name, content, 0o600)
		},
	}).Execute(ctx, os.Args[1:])
}

// New returns the complete command line.
func New(s cli.Streams) *cli.App {
	app := cli.New(s)
	app.Root.AddCommand(serve(app), storageCommand(app))
	return app
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

// program is the command with which a user can call the program again: arg0, or
// `go run` if that built the binary temporarily.
func program(arg0 string) string {
	if strings.Contains(filepath.ToSlash(arg0), "/go-build") {
		return "go run ./cmd/ottla"
	}
	return arg0
}
