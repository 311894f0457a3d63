package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func (a *App) groupDescribe(l *link) *cobra.Command {
	return &cobra.Command{
		Use:               "describe GROUP…",
		Short:             "Show the state, the members and their partitions of groups",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeGroups(l, 0),
		Example:           example("ottla group describe billing"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.describeGroups(ctx, kadm.NewClient(client), args)
			})
		},
	}
}

func (a *App) describeGroups(ctx context.Context, admin *kadm.Client, names []string) error {
	groups, err := askGroups(ctx, admin, names)
	if err != nil {
		return err
	}
	failures := &items{app: a, names: groupNames(ctx, admin)}
	for _, g := range groups {
		failures.check("group "+g.Name, g.Error)
	}
	result := struct {
		Groups []describedGroup `json:"groups"`
	}{groups}
	err = a.Print(result, func(w io.Writer) {
		for _, g := range groups {
			if g.Error == nil {
				g.write(w)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}

func (g describedGroup) write(w io.Writer) {
	g.writeHead(w)
	if len(g.Members) == 0 {
		fmt.Fprintln(w, "  no members")
		return
	}
	if g.Type != consumerType {
		table := newTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS")
		for _, m := range g.Members {
			table.row(m.ID, deref(m.InstanceID), m.ClientID, m.Host, partitionText(m.Assignment))
		}
		table.write(w)
		return
	}
	table := newTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "#EPOCH", "PARTITIONS", "TARGET")
	for _, m := range g.Members {
		target := "" // told only while it differs
		if partitionText(m.Target) != partitionText(m.Assignment) {
			target = partitionText(m.Target)
		}
		table.row(m.ID, deref(m.InstanceID), m.ClientID, m.Host, *m.Epoch, partitionText(m.Assignment), target)
	}
	table.write(w)
}

// writeHead prints the line that begins a group.
func (g describedGroup) writeHead(w io.Writer) {
	fmt.Fprintf(w, "%s  %s  %s", g.Name, g.Type, g.State)
	if g.Assignor != "" {
		fmt.Fprintf(w, "  assignor %s", g.Assignor)
	}
	fmt.Fprintf(w, "  coordinator %d", g.Coordinator)
	if g.Epoch != nil {
		fmt.Fprintf(w, "  epoch %d", *g.Epoch)
	}
	fmt.Fprintln(w)
}
