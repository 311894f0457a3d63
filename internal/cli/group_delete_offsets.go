package cli

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// deletedOffset is what became of one committed offset.
type deletedOffset struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Deleted   bool     `json:"deleted"`
	Error     *problem `json:"error,omitempty"`
}

func (a *App) groupDeleteOffsets(l *link) *cobra.Command {
	var topics []string
	cmd := &cobra.Command{
		Use:               "delete-offsets GROUP --topic TOPIC",
		Short:             "Delete the committed offsets of a group for topics that no member reads",
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeGroups(l, 1),
		Example:           example("ottla group delete-offsets billing --topic orders --topic payments:0,3"),
		RunE: func(cmd *cobra.Command, args []string) error {
			some, err := parseTopics(topics)
			if err != nil {
				return usagef("--topic %w", err)
			}
			if len(some) == 0 {
				return usagef("--topic is missing")
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.deleteOffsets(ctx, kadm.NewClient(client), args[0], some)
			})
		},
	}
	cmd.Flags().StringArrayVarP(&topics, "topic", "t", nil, "a topic, or `TOPIC:0,3` for some partitions (repeatable)")
	mustComplete(cmd, "topic", a.completeTopics(func() *link { return l }, 0))
	return cmd
}

func (a *App) deleteOffsets(ctx context.Context, admin *kadm.Client, group string, topics map[string][]int32) error {
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	set := kadm.TopicsSet{}
	for topic, numbers := range topics {
		if numbers == nil {
			for number := range committed[topic] {
				numbers = append(numbers, number)
			}
		}
		if len(numbers) == 0 {
			return fmt.Errorf("group %s has committed nothing for topic %s", group, topic)
		}
		set.Add(topic, numbers...)
	}
	answer, err := admin.DeleteOffsets(ctx, group, set)
	if err != nil {
		return fmt.Errorf("group %s: %s", group, newProblem(err, ""))
	}
	return a.printDeletedOffsets(answer, set)
}

func (a *App) printDeletedOffsets(answer kadm.DeleteOffsetsResponses, asked kadm.TopicsSet) error {
	failures := &items{app: a}
	offsets := []deletedOffset{}
	for _, t := range sortedPartitions(asked) {
		for _, number := range t.Partitions {
			err, ok := answer.Lookup(t.Topic, number)
			if !ok {
				err = kerr.UnknownServerError
			}
			d := deletedOffset{Topic: t.Topic, Partition: number, Deleted: err == nil, Error: newProblem(err, "")}
			failures.check(fmt.Sprintf("%s [%d]", t.Topic, number), d.Error)
			offsets = append(offsets, d)
		}
	}
	result := struct {
		Offsets []deletedOffset `json:"offsets"`
	}{offsets}
	err := a.Print(result, func(w io.Writer) {
		for _, d := range slices.DeleteFunc(slices.Clone(offsets), func(d deletedOffset) bool { return !d.Deleted }) {
			fmt.Fprintf(w, "deleted the offset of %s [%d]\n", d.Topic, d.Partition)
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
