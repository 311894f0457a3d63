package cli

import "github.com/spf13/cobra"

// cluster is the parent of the commands about the cluster as a whole.
func (a *App) cluster() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "cluster",
		Short:   "Describe the cluster",
		Args:    usageArgs(cobra.NoArgs),
		RunE:    needCommand,
		Example: example("ottla cluster info"),
	}
	l := a.linkFlags(cmd.PersistentFlags())
	cmd.AddCommand(a.clusterInfo(l))
	return cmd
}
