package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// deletedTopic is what became of one topic.
type deletedTopic struct {
	Name    string   `json:"name"`
	Deleted bool     `json:"deleted"`
	Error   *problem `json:"error,omitempty"`
}

func (a *App) topicDelete(l *link) *cobra.Command {
	var ifExists, dryRun bool
	cmd := &cobra.Command{
		Use:               "delete TOPIC…",
		Aliases:           []string{"rm"},
		Short:             "Delete topics and all their records",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return l }, 0),
		Example:           example("ottla topic delete orders --if-exists"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				errs, err := deleteTopics(ctx, kadm.NewClient(client), args, dryRun)
				if err != nil {
					return err
				}
				return a.printDeleted(topicNames(ctx, client), args, errs, ifExists, dryRun)
			})
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "a topic that does not exist is not an error")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show which of the topics exist")
	return cmd
}

// deleteTopics returns the error of each topic, nil for what is gone.
func deleteTopics(ctx context.Context, admin *kadm.Client, names []string, dryRun bool) (map[string]*problem, error) {
	errs := map[string]*problem{}
	if dryRun {
		topics, err := admin.ListTopicsWithInternal(ctx, names...)
		if err != nil {
			return nil, err
		}
		for _, t := range topics {
			errs[t.Topic] = newProblem(t.Err, "")
		}
		return errs, nil
	}
	deleted, err := admin.DeleteTopics(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, d := range deleted {
		errs[d.Topic] = newProblem(d.Err, d.ErrMessage)
	}
	return errs, nil
}

func (a *App) printDeleted(there func() []string, names []string, errs map[string]*problem, ifExists, dryRun bool) error {
	failures := &items{app: a, names: there}
	topics := []deletedTopic{}
	for _, name := range names {
		d := deletedTopic{Name: name, Error: errs[name], Deleted: errs[name] == nil && !dryRun}
		if ifExists && d.Error != nil && d.Error.Code == kerr.UnknownTopicOrPartition.Message {
			d.Error = nil
			d.Deleted = false
		}
		failures.check("topic "+name, d.Error)
		topics = append(topics, d)
	}
	result := struct {
		Topics []deletedTopic `json:"topics"`
		DryRun bool           `json:"dry_run"`
	}{topics, dryRun}
	err := a.Print(result, func(w io.Writer) {
		for _, t := range topics {
			switch {
			case t.Deleted:
				fmt.Fprintf(w, "deleted %s\n", t.Name)
			case t.Error == nil && errs[t.Name] != nil:
				fmt.Fprintf(w, "%s does not exist\n", t.Name)
			case t.Error == nil:
				fmt.Fprintf(w, "would delete %s\n", t.Name)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
