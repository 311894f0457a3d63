package cli

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
)

func (a *App) topicConfig(l *link) *cobra.Command {
	f := &configFlags{}
	cmd := &cobra.Command{
		Use:   "config TOPIC…",
		Short: "Show or alter the configs of topics",
		Long: "Show every config of topics with its value and source, those set on the topic itself first; or alter\n" +
			"configs.",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return l }, 0),
		Example: example(`
ottla topic config orders
ottla topic config orders --overrides --format yaml
ottla topic config orders --set retention.ms=3600000 --delete segment.bytes`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := f.request(kmsg.ConfigResourceTypeTopic, nil); err != nil {
				return err // before the cluster is asked
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.runConfigs(ctx, client, kmsg.ConfigResourceTypeTopic, "topic", args, f)
			})
		},
	}
	f.add(cmd, config.ScopeTopic)
	return cmd
}
