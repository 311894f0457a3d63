package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// trimmed is what became of the records of one partition.
type trimmed struct {
	Topic     string   `json:"topic"`
	Partition int32    `json:"partition"`
	Start     int64    `json:"start_offset"` // before
	Before    int64    `json:"before_offset"`
	Records   int64    `json:"offsets"` // that go; compaction may have left fewer records
	Trimmed   bool     `json:"trimmed"`
	Error     *problem `json:"error,omitempty"`
}

func (a *App) topicTrim(l *link) *cobra.Command {
	var before string
	var partitions []int32
	var execute bool
	cmd := &cobra.Command{
		Use:   "trim TOPIC…",
		Short: "Delete the oldest records of topics",
		Long: "Delete all records of topics before an offset or a time. Without --execute the command only shows what\n" +
			"would be deleted.\n\n" +
			"--before takes an offset N, -N (keep the last N), +N (delete the first N), end (delete all), or @TIME as\n" +
			"in `consume -o`.",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return l }, 0),
		Example: example(`
ottla topic trim orders --before @-7d
ottla topic trim orders --before end --execute
ottla topic trim orders -p 0 --before 4711 --execute`),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := parsePosition(before, time.Now())
			if err != nil || at.at == stored {
				return usagef("--before %q is neither an offset, end, nor @TIME", before)
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				plan, err := trimPlan(ctx, kadm.NewClient(client), args, partitions, span{from: at})
				if err != nil {
					return err
				}
				return a.trim(ctx, kadm.NewClient(client), plan, execute)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&before, "before", "", "the first `offset` to keep (see above)")
	flags.Int32SliceVarP(&partitions, "partition", "p", nil, "only these partitions")
	flags.BoolVar(&execute, "execute", false, "delete the records; without it, only show what would be deleted")
	if err := cmd.MarkFlagRequired("before"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// trimPlan finds the offset before which the records of each partition go.
func trimPlan(ctx context.Context, admin *kadm.Client, names []string, only []int32, what span) ([]trimmed, error) {
	f := &consumeFlags{}
	topics, err := f.topics(ctx, admin, names)
	if err != nil {
		return nil, err
	}
	all, err := listBounds(ctx, admin, topics.Names(), what, false)
	if err != nil {
		return nil, err
	}
	plan := []trimmed{}
	for p, b := range all {
		if len(only) > 0 && !slices.Contains(only, p.number) {
			continue
		}
		from, _ := what.resolve(*b)
		plan = append(plan, trimmed{Topic: p.topic, Partition: p.number, Start: b.start, Before: from, Records: from - b.start})
	}
	slices.SortFunc(plan, func(x, y trimmed) int {
		return comparePartitions(partition{x.Topic, x.Partition}, partition{y.Topic, y.Partition})
	})
	return plan, nil
}

func (a *App) trim(ctx context.Context, admin *kadm.Client, plan []trimmed, execute bool) error {
	failures := &items{app: a}
	offsets := kadm.Offsets{}
	for _, t := range plan {
		if t.Records > 0 {
			offsets.AddOffset(t.Topic, t.Partition, t.Before, -1)
		}
	}
	if execute && len(offsets) > 0 {
		answers, err := admin.DeleteRecords(ctx, offsets)
		if err != nil && len(answers) == 0 {
			return err
		}
		for i := range plan {
			t := &plan[i]
			answer, asked := answers.Lookup(t.Topic, t.Partition)
			t.Error = newProblem(answer.Err, "")
			t.Trimmed = asked && t.Error == nil
			failures.check(fmt.Sprintf("%s [%d]", t.Topic, t.Partition), t.Error)
		}
	}
	result := struct {
		Partitions []trimmed `json:"partitions"`
		DryRun     bool      `json:"dry_run"`
	}{plan, !execute}
	err := a.Print(result, func(w io.Writer) {
		table := newTable("TOPIC", "#PARTITION", "#START", "#BEFORE", "#OFFSETS")
		for _, t := range plan {
			table.row(t.Topic, t.Partition, t.Start, t.Before, t.Records)
		}
		table.write(w)
		if !execute {
			fmt.Fprintln(w, "Nothing was deleted: --execute does it.")
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
