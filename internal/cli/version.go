package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// The linker sets these in a release: -ldflags "-X ottla/internal/cli.version=…";
// the Makefile has the values.
var (
	version string // such as 1.2.3
	commit  string // of git
	date    string // of the commit, RFC 3339
)

// build is what the program knows of how it was built.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"`
	Kafka   string `json:"kafka"`
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// newBuild takes what the linker set and fills in what it did not from what the
// Go command knew of the module and its repository; info may be nil.
func newBuild(info *debug.BuildInfo) build {
	b := build{Version: version, Commit: commit, Date: date, Kafka: KafkaVersion, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if b.Version == "" && info != nil && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	// A client may not announce the "+" of a version to a broker (KIP-511).
	b.Version = strings.ReplaceAll(strings.TrimPrefix(b.Version, "v"), "+", "-")
	if b.Version == "" {
		b.Version = "devel"
	}
	if info == nil {
		return b
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value
		case s.Key == "vcs.time" && b.Date == "":
			b.Date = s.Value
		}
	}
	return b
}

// Version is the version of the program, "devel" if it is not known. It is
// what the client commands announce to brokers.
func Version() string {
	info, _ := debug.ReadBuildInfo()
	return newBuild(info).Version
}

// KafkaVersion is the release of Apache Kafka whose protocol is served.
const KafkaVersion = "4.3.1"

func (a *App) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla version --format json"),
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			b := newBuild(info)
			return a.Print(b, b.write)
		},
	}
}

func (b build) write(w io.Writer) {
	fmt.Fprintf(w, "ottla %s (Kafka %s protocol, %s, %s/%s)\n", b.Version, b.Kafka, b.Go, b.OS, b.Arch)
	if b.Commit != "" {
		fmt.Fprintf(w, "  commit  %s\n", b.Commit)
	}
	if b.Date != "" {
		fmt.Fprintf(w, "  date    %s\n", b.Date)
	}
}
