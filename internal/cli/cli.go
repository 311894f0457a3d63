// Package cli is Ottla's command line as far as it is a plain Kafka client: it
// works against any Kafka, speaks through franz-go, and imports no room of a
// node. The commands that run a node are added by package cli/node.
//
// Rules that hold for every command:
//
//   - exit code 0 ok, 1 something failed (one failed item among many too), 2 a
//     wrong call or configuration;
//   - --format json and yaml print exactly one object on standard output, also
//     when the result is empty or an error; what is not the result goes to
//     standard error;
//   - kcat's habits where kcat has one (-b -t -o -e -c -f -J -K -D -Z -X),
//     Kafka's words elsewhere.
//
// Start reading at New and Execute; then one file per command, named as the
// command is typed (topic_create.go). What commands share: client.go (how to
// reach a cluster), properties.go (-X), offsets.go (where to read), format.go
// (-f), envelope.go (-J), input.go (what to produce), output.go and table.go.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"ottla/internal/config"
)

// The exit codes of every command.
const (
	ExitOK     = 0
	ExitFailed = 1 // something failed: the whole, or one item of many
	ExitUsage  = 2 // the call or the configuration is wrong; nothing was done
)

// Streams is what a command has of its surroundings. Tests hand in buffers.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// InTTY tells that a person types at In.
	InTTY bool
	// Env is the environment, each "NAME=value".
	Env []string
	// Program is how the program was called, for lines that users paste.
	Program string
	// ReadFile reads a file that the user named.
	ReadFile func(name string) ([]byte, error)
	// WriteFile replaces a file of the user's settings, and makes its folder; nil:
	// settings cannot be written.
	WriteFile func(name string, content []byte) error
}

// lookupEnv returns the value of an environment variable, the last one as the
// C library has it; "" when it is not set.
func (s Streams) lookupEnv(name string) (value string) {
	for _, line := range s.Env {
		if rest, ok := strings.CutPrefix(line, name+"="); ok {
			value = rest
		}
	}
	return value
}

// App is the command line: the tree of commands and where they write.
type App struct {
	Streams
	// Root is the command `ottla`; package node adds its own to it.
	Root *cobra.Command

	format  string
	printed bool // the one JSON object is out
}

// New builds the tree of client commands.
func New(s Streams) *App {
	if s.Program == "" {
		s.Program = "ottla"
	}
	a := &App{Streams: s}
	a.Root = &cobra.Command{
		Use:           "ottla",
		Short:         "Apache Kafka as one program: a broker and the tools for it",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		Example: example(`
# a broker on 127.0.0.1:9092 with its data in ./ottla-data
ottla serve
# in another terminal
echo hello | ottla produce greetings
ottla consume greetings`),
	}
	a.Root.SetIn(s.In)
	a.Root.SetOut(s.Out)
	a.Root.SetErr(s.Err)
	a.Root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	a.Root.PersistentFlags().StringVar(&a.format, "format", "text", "output format: text, json or yaml")
	a.Root.PersistentPreRunE = func(*cobra.Command, []string) error { return a.checkFormat() }
	a.Root.AddCommand(a.topic(), a.group(), a.produce(), a.consume(), a.copy(), a.bench(), a.cluster(), a.config(), a.doctor(), a.profile(), a.version())
	return a
}

func (a *App) checkFormat() error {
	switch a.format {
	case "text", "json", "yaml":
		return nil
	}
	bad := a.format
	a.format = "text"
	return usagef("--format %s: must be text, json or yaml", bad)
}

// structured tells that the result is an object for programs, not text.
func (a *App) structured() bool { return a.format == "json" || a.format == "yaml" }

// Execute runs the command that args name and returns the exit code. It is the
// only place that tells the user of an error.
func (a *App) Execute(ctx context.Context, args []string) int {
	a.Root.SetArgs(args)
	cmd, err := a.Root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if strings.HasPrefix(err.Error(), "unknown command ") {
		err = usage(err)
	}
	a.report(cmd, suggest(cmd, err))
	if isUsage(err) {
		return ExitUsage
	}
	return ExitFailed
}

// report prints err once: on standard error always, and as the JSON object
// when the command has not printed one.
func (a *App) report(cmd *cobra.Command, err error) {
	if errors.Is(err, errItems) {
		return
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	fmt.Fprintf(a.Err, "ottla: %s\n", first)
	var u *usageError
	if errors.As(err, &u) {
		fmt.Fprintf(a.Err, "See '%s --help'.\n", cmd.CommandPath())
	}
	if a.objectWanted(cmd) && !a.printed {
		a.printObject(struct {
			Error *problem `json:"error"`
		}{newProblem(err, "")})
	}
}

// objectWanted also answers when the flags could not be parsed to their end.
func (a *App) objectWanted(cmd *cobra.Command) bool {
	if f := cmd.Flag("format"); f != nil && (f.Value.String() == "json" || f.Value.String() == "yaml") {
		return true
	}
	return a.structured()
}

// usageError is a wrong call of a command.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// isUsage tells whether the user must change the call or the configuration.
func isUsage(err error) bool {
	var u *usageError
	var c *config.Error
	return errors.As(err, &u) || errors.As(err, &c)
}

// usageArgs makes a wrong number of arguments a wrong call.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error { return usage(check(cmd, args)) }
}

// UsageArgs is usageArgs for the commands of other packages.
func UsageArgs(check cobra.PositionalArgs) cobra.PositionalArgs { return usageArgs(check) }

// Usagef is a wrong call of a command, as fmt.Errorf makes it.
func Usagef(format string, args ...any) error { return usagef(format, args...) }

// ErrItems ends a command whose failed items are told already.
var ErrItems = errItems

// errItems ends a command whose failed items are told already.
var errItems = errors.New("some items failed")

// problem is an error inside a JSON object.
type problem struct {
	// Code is Kafka's name of the error; empty when it is not Kafka's.
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// newProblem describes err; message is what the broker said about it, if
// anything.
func newProblem(err error, message string) *problem {
	if err == nil {
		return nil
	}
	p := &problem{Message: message}
	var k *kerr.Error
	if errors.As(err, &k) {
		p.Code = k.Message
		if p.Message == "" {
			p.Message = k.Description
		}
	}
	if p.Message == "" {
		p.Message = err.Error()
	}
	return p
}

func (p *problem) String() string {
	if p.Code == "" {
		return p.Message
	}
	return p.Code + ": " + p.Message
}

// example takes an example as it stands in the source: without the line break
// at the front, two spaces in.
func example(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
