package cli

import (
	"github.com/spf13/cobra"
)

// config is the parent of the commands about configuration keys.
func (a *App) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain configuration keys, check a configuration, change broker configs",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  needCommand,
		Example: example(`
ottla config describe retention.ms
ottla config unused -c server.properties`),
	}
	cmd.AddCommand(a.configList(), a.configDescribe(), a.configUnused(), a.configDocs(), a.configBroker())
	return cmd
}
