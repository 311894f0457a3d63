package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker: -ldflags "-X ottla/internal/cli.version=1.2.3".
var version string

// Version is the version of the program: what the linker set, else what the
// build knows of the module, else "devel".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
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
			v := struct {
				Version string `json:"version"`
				Kafka   string `json:"kafka"`
				Go      string `json:"go"`
				OS      string `json:"os"`
				Arch    string `json:"arch"`
			}{Version(), KafkaVersion, runtime.Version(), runtime.GOOS, runtime.GOARCH}
			return a.Print(v, func(w io.Writer) {
				fmt.Fprintf(w, "ottla %s (Kafka %s protocol, %s, %s/%s)\n", v.Version, v.Kafka, v.Go, v.OS, v.Arch)
			})
		},
	}
}
