package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// grownTopic is what became of the number of partitions of a topic.
type grownTopic struct {
	Name   string   `json:"name"`
	Before int      `json:"before"`
	After  int      `json:"after"`
	DryRun bool     `json:"dry_run"`
	Error  *problem `json:"error,omitempty"`
}

func (a *App) topicAddPartitions(l *link) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "add-partitions TOPIC N|+N",
		Short: "Add partitions to a topic",
		Long: "Increase the number of partitions of a topic to N, or by N with +N. It cannot be decreased. Existing\n" +
			"records are not moved, but new records of a key may go to another partition. The order of the records\n" +
			"of such a key is then not guaranteed.",
		Args:              usageArgs(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeTopics(func() *link { return l }, 1),
		Example: example(`
ottla topic add-partitions orders 12
ottla topic add-partitions orders +3 --dry-run`),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := strconv.ParseInt(strings.TrimPrefix(args[1], "+"), 10, 31)
			if err != nil || n < 1 {
				return usagef("%q is not a number of partitions such as 12 or +3", args[1])
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.addPartitions(ctx, client, args[0], int(n), strings.HasPrefix(args[1], "+"), dryRun)
			})
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only validate the change on the cluster")
	return cmd
}

func (a *App) addPartitions(ctx context.Context, client *kgo.Client, topic string, n int, more, dryRun bool) error {
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return err
	}
	t := grownTopic{Name: topic, Before: len(topics[topic].Partitions), DryRun: dryRun}
	t.After = t.Before
	failures := &items{app: a, names: topicNames(ctx, client)}
	if t.Error = newProblem(topics[topic].Err, ""); t.Error == nil {
		all := n
		if more {
			all += t.Before
		}
		grow := admin.UpdatePartitions
		if dryRun {
			grow = admin.ValidateUpdatePartitions
		}
		answers, err := grow(ctx, all, topic)
		if err != nil {
			return err
		}
		if t.Error = newProblem(answers[topic].Err, answers[topic].ErrMessage); t.Error == nil {
			t.After = all
		}
	}
	failures.check("topic "+topic, t.Error)
	err = a.Print(t, func(w io.Writer) {
		switch {
		case t.Error != nil:
		case dryRun:
			fmt.Fprintf(w, "would give %s %d partitions, it has %d\n", topic, t.After, t.Before)
		default:
			fmt.Fprintf(w, "%s has %d partitions, it had %d\n", topic, t.After, t.Before)
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
