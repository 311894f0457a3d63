package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// listedTopic is a line of topic list.
type listedTopic struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Internal   bool   `json:"internal"`
	Partitions int    `json:"partitions"`
	Replicas   int    `json:"replicas"`
}

func (a *App) topicList(l *link) *cobra.Command {
	var internal bool
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List topics",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla topic list --internal --format json"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.listTopics(ctx, kadm.NewClient(client), internal)
			})
		},
	}
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "also show internal topics")
	return cmd
}

func (a *App) listTopics(ctx context.Context, admin *kadm.Client, internal bool) error {
	all, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	topics := []listedTopic{}
	for _, t := range all.Sorted() {
		if t.IsInternal && !internal {
			continue
		}
		topics = append(topics, listedTopic{
			Name: t.Topic, ID: formatID(t.ID), Internal: t.IsInternal,
			Partitions: len(t.Partitions), Replicas: t.Partitions.NumReplicas(),
		})
	}
	result := struct {
		Topics []listedTopic `json:"topics"`
	}{topics}
	return a.Print(result, func(w io.Writer) {
		table := newTable("NAME", "#PARTITIONS", "#REPLICAS")
		for _, t := range topics {
			table.row(t.Name, t.Partitions, t.Replicas)
		}
		table.write(w)
	})
}
