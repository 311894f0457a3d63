package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ottla/internal/config"
)

// NodeFlags are the flags that say how a node is configured, shared by serve
// and by the commands that look at a configuration.
type NodeFlags struct {
	Defaults string
	File     string
	Set      []string
}

// Add adds the flags.
func (n *NodeFlags) Add(f *pflag.FlagSet) {
	f.StringVarP(&n.File, "config", "c", "", "`file` in the format of Kafka's server.properties")
	f.StringVar(&n.Defaults, "defaults", "", "`file` in the same format, with the lowest priority; its listeners apply if no other source sets any")
	f.StringArrayVar(&n.Set, "set", nil, "config `name=value`, with the highest priority (repeatable)")
}

// Sources reads the files and gathers what config.Load takes. The variable that
// belongs to clients is no key of a node.
func (n *NodeFlags) Sources(s Streams) (config.Sources, error) {
	sources := config.Sources{Set: n.Set}
	for _, line := range s.Env {
		if len(line) <= len(BootstrapEnv) || line[:len(BootstrapEnv)+1] != BootstrapEnv+"=" {
			sources.Env = append(sources.Env, line)
		}
	}
	var err error
	if sources.Defaults, err = readNamed(s, n.Defaults); err != nil {
		return sources, err
	}
	sources.DefaultsName = n.Defaults
	sources.File, err = readNamed(s, n.File)
	sources.FileName = n.File
	return sources, err
}

// readNamed reads the file of a flag, which may not be given.
func readNamed(s Streams, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	content, err := s.ReadFile(name)
	return string(content), usage(err)
}

func (a *App) configUnused() *cobra.Command {
	n := &NodeFlags{}
	cmd := &cobra.Command{
		Use:   "unused",
		Short: "Check a node's configuration and list the keys that have no effect",
		Long: `Check a node's configuration, like serve, and list the keys that Ottla accepts but
that have no effect.`,
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla config unused -c server.properties"),
		RunE: func(*cobra.Command, []string) error {
			sources, err := n.Sources(a.Streams)
			if err != nil {
				return err
			}
			broker, err := config.Load(sources)
			if err != nil {
				return err
			}
			result := struct {
				Unused   []string `json:"unused"`
				Warnings []string `json:"warnings"`
			}{list(broker.Unused()), list(broker.Warnings)}
			return a.Print(result, func(w io.Writer) {
				for _, warning := range broker.Warnings {
					a.Notef("%s", warning)
				}
				for _, name := range result.Unused {
					fmt.Fprintln(w, name)
				}
			})
		},
	}
	n.Add(cmd.Flags())
	return cmd
}
