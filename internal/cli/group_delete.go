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

// deletedGroup is what became of one group.
type deletedGroup struct {
	Name    string   `json:"name"`
	Deleted bool     `json:"deleted"`
	Error   *problem `json:"error,omitempty"`
}

func (a *App) groupDelete(l *link) *cobra.Command {
	var ifExists, dryRun bool
	cmd := &cobra.Command{
		Use:               "delete GROUP…",
		Aliases:           []string{"rm"},
		Short:             "Delete groups without members and the offsets they committed",
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeGroups(l, 0),
		Example:           example("ottla group delete billing --if-exists"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				errs, err := deleteGroups(ctx, kadm.NewClient(client), args, dryRun)
				if err != nil {
					return err
				}
				return a.printDeletedGroups(args, errs, ifExists, dryRun)
			})
		},
	}
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "a group that does not exist is not an error")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only show which of the groups could be deleted")
	return cmd
}

// deleteGroups returns the error of each group, nil for what is gone.
func deleteGroups(ctx context.Context, admin *kadm.Client, names []string, dryRun bool) (map[string]*problem, error) {
	errs := map[string]*problem{}
	if dryRun {
		groups, err := askGroups(ctx, admin, names)
		for _, g := range groups {
			errs[g.Name] = g.Error
			if g.Error == nil && len(g.Members) > 0 {
				errs[g.Name] = newProblem(kerr.NonEmptyGroup, "")
			}
		}
		return errs, err
	}
	deleted, err := admin.DeleteGroups(ctx, names...)
	if err != nil && !answered(err) {
		return nil, err
	}
	for _, name := range names {
		d, ok := deleted[name]
		if !ok {
			return nil, err // its coordinator did not answer
		}
		errs[name] = newProblem(d.Err, "")
	}
	return errs, nil
}

func (a *App) printDeletedGroups(names []string, errs map[string]*problem, ifExists, dryRun bool) error {
	failures := &items{app: a}
	groups := []deletedGroup{}
	var absent []string
	for _, name := range names {
		d := deletedGroup{Name: name, Error: errs[name], Deleted: errs[name] == nil && !dryRun}
		if ifExists && d.Error != nil && d.Error.Code == kerr.GroupIDNotFound.Message {
			d.Error = nil
			absent = append(absent, name)
		}
		failures.check("group "+name, d.Error)
		groups = append(groups, d)
	}
	result := struct {
		Groups []deletedGroup `json:"groups"`
		DryRun bool           `json:"dry_run"`
	}{groups, dryRun}
	err := a.Print(result, func(w io.Writer) {
		for _, g := range groups {
			switch {
			case g.Deleted:
				fmt.Fprintf(w, "deleted %s\n", g.Name)
			case slices.Contains(absent, g.Name):
				fmt.Fprintf(w, "%s does not exist\n", g.Name)
			case g.Error == nil:
				fmt.Fprintf(w, "would delete %s\n", g.Name)
			}
		}
	})
	if err != nil {
		return err
	}
	return failures.result()
}
