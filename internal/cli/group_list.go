package cli

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// listedGroup is a line of group list.
type listedGroup struct {
	Name         string `json:"name"`
	Type         string `json:"type"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"` // node id
}

func (a *App) groupList(l *link) *cobra.Command {
	var states, types []string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List groups",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla group list --state Stable,Empty --type consumer"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				return a.listGroups(ctx, client, states, types)
			})
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these `states`, such as Stable, Empty, PreparingRebalance")
	cmd.Flags().StringSliceVar(&types, "type", nil, "only groups of these `types`: classic, consumer, share, streams")
	mustComplete(cmd, "state", completeWords("Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Dead"))
	mustComplete(cmd, "type", completeWords(classicType, consumerType, "share", "streams"))
	return cmd
}

func (a *App) listGroups(ctx context.Context, client *kgo.Client, states, types []string) error {
	groups, err := askGroupList(ctx, client, states, types)
	if err != nil {
		return err
	}
	result := struct {
		Groups []listedGroup `json:"groups"`
	}{groups}
	return a.Print(result, func(w io.Writer) {
		table := newTable("NAME", "TYPE", "STATE", "PROTOCOL", "#COORDINATOR")
		for _, g := range groups {
			table.row(g.Name, g.Type, g.State, g.ProtocolType, g.Coordinator)
		}
		table.write(w)
	})
}

// askGroupList asks every broker for the groups that it coordinates.
func askGroupList(ctx context.Context, client *kgo.Client, states, types []string) ([]listedGroup, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	groups := []listedGroup{}
	for _, shard := range client.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return nil, shard.Err
		}
		resp := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return nil, err
		}
		for _, g := range resp.Groups {
			groups = append(groups, listedGroup{g.Group, strings.ToLower(g.GroupType), g.GroupState, g.ProtocolType, shard.Meta.NodeID})
		}
	}
	slices.SortFunc(groups, func(x, y listedGroup) int { return strings.Compare(x.Name, y.Name) })
	return groups, nil
}
