package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
)

// createFlags are the flags of topic create.
type createFlags struct {
	partitions  int32
	factor      int16
	configs     []string
	assignment  string
	ifNotExists bool
	dryRun      bool
}

// createdTopic is what became of one topic.
type createdTopic struct {
	Name       string   `json:"name"`
	ID         string   `json:"id,omitempty"`
	Partitions int32    `json:"partitions,omitempty"`
	Replicas   int16    `json:"replication_factor,omitempty"`
	Created    bool     `json:"created"`
	Error      *problem `json:"error,omitempty"`
}

func (a *App) topicCreate(l *link) *cobra.Command {
	f := &createFlags{}
	cmd := &cobra.Command{
		Use:   "create TOPIC…",
		Short: "Create topics",
		Args:  usageArgs(cobra.MinimumNArgs(1)),
		Example: example(`
ottla topic create orders
ottla topic create orders payments -p 12 -r 3 -c retention.ms=86400000 --if-not-exists`),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := f.request(args, l.timeout)
			if err != nil {
				return err
			}
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.createTopics(ctx, client, req, f)
			})
		},
	}
	flags := cmd.Flags()
	flags.Int32VarP(&f.partitions, "partitions", "p", -1, "partitions of each topic (-1: the broker's num.partitions)")
	flags.Int16VarP(&f.factor, "replication-factor", "r", -1, "replicas of each partition (-1: the broker's default.replication.factor)")
	flags.StringArrayVarP(&f.configs, "config", "c", nil, "topic config `name=value` (repeatable)")
	flags.StringVar(&f.assignment, "replica-assignment", "", "explicit brokers of each partition, such as 1:2,2:3")
	flags.BoolVar(&f.ifNotExists, "if-not-exists", false, "a topic that exists is not an error")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only validate the change on the cluster")
	mustComplete(cmd, "config", completeKeys("=", config.ScopeTopic))
	return cmd
}

// mustComplete registers the completion of a flag that the caller just made.
func mustComplete(cmd *cobra.Command, flag string, c completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, c); err != nil {
		panic(err) // no such flag: a mistake in this package
	}
}

func (f *createFlags) request(topics []string, timeout time.Duration) (*kmsg.CreateTopicsRequest, error) {
	configs, err := assignments("config", f.configs)
	if err != nil {
		return nil, err
	}
	var replicas [][]int32
	if f.assignment != "" {
		if replicas, err = parseReplicas(f.assignment); err != nil {
			return nil, usagef("--replica-assignment: %w", err)
		}
		if f.partitions != -1 || f.factor != -1 {
			return nil, usagef("--replica-assignment excludes --partitions and --replication-factor")
		}
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(timeout.Milliseconds())
	req.ValidateOnly = f.dryRun
	for _, name := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, f.partitions, f.factor
		for i, brokers := range replicas {
			t.ReplicaAssignment = append(t.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{
				Partition: int32(i), Replicas: brokers,
			})
		}
		for _, key := range slices.Sorted(maps.Keys(configs)) {
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name, c.Value = key, kmsg.StringPtr(configs[key])
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	return req, nil
}

func (a *App) createTopics(ctx context.Context, client *kgo.Client, req *kmsg.CreateTopicsRequest, f *createFlags) error {
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	failures := &items{app: a}
	topics := []createdTopic{}
	for _, t := range resp.Topics {
		c := createdTopic{Name: t.Topic}
		err := kerr.ErrorForCode(t.ErrorCode)
		switch {
		case err == nil:
			c.ID, c.Partitions, c.Replicas, c.Created = formatID(t.TopicID), t.NumPartitions, t.ReplicationFactor, !f.dryRun
		case errors.Is(err, kerr.TopicAlreadyExists) && f.ifNotExists:
		default:
			c.Error = newProblem(err, deref(t.ErrorMessage))
			failures.check("topic "+t.Topic, c.Error)
		}
		topics = append(topics, c)
	}
	result := struct {
		Topics []createdTopic `json:"topics"`
		DryRun bool           `json:"dry_run"`
	}{topics, f.dryRun}
	err = a.Print(result, func(w io.Writer) {
		for _, t := range topics {
			if t.Error == nil {
				fmt.Fprintln(w, t.text(f.dryRun))
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

func (t createdTopic) text(dryRun bool) string {
	switch {
	case t.Created:
		return fmt.Sprintf("created %s: partitions %d, replication factor %d, id %s", t.Name, t.Partitions, t.Replicas, t.ID)
	case dryRun && t.Partitions != 0:
		return fmt.Sprintf("would create %s: partitions %d, replication factor %d", t.Name, t.Partitions, t.Replicas)
	}
	return fmt.Sprintf("%s exists", t.Name)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
