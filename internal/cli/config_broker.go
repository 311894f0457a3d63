package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
)

func (a *App) configBroker() *cobra.Command {
	f := &configFlags{}
	var l *link
	cmd := &cobra.Command{
		Use:   "broker [ID]",
		Short: "Show or alter the configs of a running broker, or of all without an ID",
		Args:  usageArgs(cobra.MaximumNArgs(1)),
		Example: example(`
ottla config broker 1 --all
ottla config broker --set log.retention.ms=86400000`),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "" // the default of all brokers
			if len(args) == 1 {
				id, err := strconv.ParseUint(args[0], 10, 31)
				if err != nil {
					return usagef("%q is not a broker's id", args[0])
				}
				name = strconv.FormatUint(id, 10)
			}
			if _, err := f.request(kmsg.ConfigResourceTypeBroker, nil); err != nil {
				return err
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.runConfigs(ctx, client, kmsg.ConfigResourceTypeBroker, "broker", []string{name}, f)
			})
		},
	}
	l = a.linkFlags(cmd.Flags())
	f.add(cmd, config.ScopeBroker)
	return cmd
}
