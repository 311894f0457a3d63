package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describedTopic is a topic with all that is known of its partitions.
type describedTopic struct {
	Name       string               `json:"name"`
	ID         string               `json:"id,omitempty"`
	Internal   bool                 `json:"internal"`
	Partitions []describedPartition `json:"partitions"`
	// Configs are those that were set for the topic itself.
	Configs map[string]string `json:"configs"`
	Error   *problem          `json:"error,omitempty"`
}

type describedPartition struct {
	Partition   int32    `json:"partition"`
	Leader      int32    `json:"leader"`
	LeaderEpoch int32    `json:"leader_epoch"`
	Replicas    []int32  `json:"replicas"`
	ISR         []int32  `json:"isr"`
	Offline     []int32  `json:"offline_replicas"`
	StartOffset int64    `json:"start_offset"` // -1: not known
	EndOffset   int64    `json:"end_offset"`   // -1: not known
	Error       *problem `json:"error,omitempty"`
}

func (a *App) topicDescribe(l *link) *cobra.Command {
	return &cobra.Command{
		Use:               "describe TOPIC…",
		Short:             "Show partitions, leaders, offsets and configs of topics",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return l }, 0),
		Example:           example("ottla topic describe orders"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.describeTopics(ctx, kadm.NewClient(client), args)
			})
		},
	}
}

func (a *App) describeTopics(ctx context.Context, admin *kadm.Client, names []string) error {
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return err
	}
	there := slices.DeleteFunc(topics.Names(), func(name string) bool { return topics[name].Err != nil })
	starts, ends, configs, err := describeMore(ctx, admin, there)
	if err != nil {
		return err
	}
	failures := &items{app: a, names: func() []string { return allTopics(ctx, admin) }}
	all := []describedTopic{}
	for _, t := range topics.Sorted() {
		d := describeTopic(t, starts, ends, configs[t.Topic])
		failures.check("topic "+t.Topic, d.Error)
		all = append(all, d)
	}
	result := struct {
		Topics []describedTopic `json:"topics"`
	}{all}
	err = a.Print(result, func(w io.Writer) {
		for _, t := range all {
			if t.Error == nil {
				t.write(w)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

// describeMore asks for offsets and configs; a partition without a leader has
// no offsets, which is no failure here.
func describeMore(ctx context.Context, admin *kadm.Client, names []string) (starts, ends kadm.ListedOffsets, set map[string]map[string]string, err error) {
	if len(names) == 0 {
		return nil, nil, nil, nil
	}
	if starts, err = admin.ListStartOffsets(ctx, names...); err != nil {
		return nil, nil, nil, err
	}
	if ends, err = admin.ListEndOffsets(ctx, names...); err != nil {
		return nil, nil, nil, err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, nil, nil, err
	}
	set = map[string]map[string]string{}
	for _, c := range configs {
		set[c.Name] = map[string]string{}
		for _, entry := range c.Configs {
			if entry.Source == kmsg.ConfigSourceDynamicTopicConfig {
				set[c.Name][entry.Key] = deref(entry.Value)
			}
		}
	}
	return starts, ends, set, nil
}

func describeTopic(t kadm.TopicDetail, starts, ends kadm.ListedOffsets, configs map[string]string) describedTopic {
	d := describedTopic{Name: t.Topic, Internal: t.IsInternal, Partitions: []describedPartition{}, Configs: configs, Error: newProblem(t.Err, "")}
	if configs == nil {
		d.Configs = map[string]string{}
	}
	if t.Err == nil {
		d.ID = formatID(t.ID)
	}
	for _, p := range t.Partitions.Sorted() {
		d.Partitions = append(d.Partitions, describedPartition{
			Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch,
			Replicas: list(p.Replicas), ISR: list(p.ISR), Offline: list(p.OfflineReplicas),
			StartOffset: listed(starts, p), EndOffset: listed(ends, p), Error: newProblem(p.Err, ""),
		})
	}
	return d
}

func listed(offsets kadm.ListedOffsets, p kadm.PartitionDetail) int64 {
	if o, ok := offsets.Lookup(p.Topic, p.Partition); ok && o.Err == nil {
		return o.Offset
	}
	return -1
}

func (t describedTopic) write(w io.Writer) {
	fmt.Fprintf(w, "%s  id %s\n", t.Name, t.ID)
	for _, line := range configLines(t.Configs) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	table := newTable("#PARTITION", "#LEADER", "#EPOCH", "REPLICAS", "ISR", "OFFLINE", "#START", "#END", "ERROR")
	for _, p := range t.Partitions {
		var failure string
		if p.Error != nil {
			failure = p.Error.Code
		}
		table.row(p.Partition, p.Leader, p.LeaderEpoch, joinIDs(p.Replicas), joinIDs(p.ISR), joinIDs(p.Offline),
			unlessNegative(p.StartOffset), unlessNegative(p.EndOffset), failure)
	}
	table.write(w)
}

func unlessNegative(n int64) string {
	if n < 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
