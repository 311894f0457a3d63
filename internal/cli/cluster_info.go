package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterInfo is what cluster info prints.
type clusterInfo struct {
	ClusterID  string          `json:"cluster_id"`
	Controller int32           `json:"controller"` // -1: none known
	Brokers    []clusterBroker `json:"brokers"`
	Topics     int             `json:"topics"`
	Partitions int             `json:"partitions"`
	// Quorum is missing when the cluster does not tell.
	Quorum   *clusterQuorum   `json:"quorum,omitempty"`
	Features map[string]int16 `json:"features"`
}

type clusterBroker struct {
	ID   int32   `json:"id"`
	Host string  `json:"host"`
	Port int32   `json:"port"`
	Rack *string `json:"rack"`
}

type clusterQuorum struct {
	Leader        int32   `json:"leader"`
	LeaderEpoch   int32   `json:"leader_epoch"`
	HighWatermark int64   `json:"high_watermark"`
	Voters        []int32 `json:"voters"`
	Observers     []int32 `json:"observers"`
}

func (a *App) clusterInfo(l *link) *cobra.Command {
	return &cobra.Command{
		Use:     "info",
		Short:   "Show brokers, controller, quorum and features",
		Args:    usageArgs(cobra.NoArgs),
		Example: example("ottla cluster info -b localhost:9092"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.do(cmd, func(ctx context.Context, client *kgo.Client) error {
				info, err := askCluster(ctx, client)
				if err != nil {
					return err
				}
				return a.Print(info, info.write)
			})
		},
	}
}

func askCluster(ctx context.Context, client *kgo.Client) (*clusterInfo, error) {
	meta, err := kadm.NewClient(client).Metadata(ctx)
	if err != nil {
		return nil, err
	}
	info := &clusterInfo{
		ClusterID: meta.Cluster, Controller: meta.Controller,
		Brokers: []clusterBroker{}, Topics: len(meta.Topics), Features: map[string]int16{},
	}
	for _, b := range meta.Brokers {
		info.Brokers = append(info.Brokers, clusterBroker{b.NodeID, b.Host, b.Port, b.Rack})
	}
	for _, t := range meta.Topics {
		info.Partitions += len(t.Partitions)
	}
	if info.Quorum, err = askQuorum(ctx, client); err != nil {
		return nil, err
	}
	versions, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	for _, f := range versions.FinalizedFeatures {
		info.Features[f.Name] = f.MaxVersionLevel
	}
	return info, nil
}

// askQuorum returns nil for a cluster that cannot tell or does not want to.
func askQuorum(ctx context.Context, client *kgo.Client) (*clusterQuorum, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Topics = []kmsg.DescribeQuorumRequestTopic{{
		Topic:      "__cluster_metadata",
		Partitions: []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}},
	}}
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return nil, ctx.Err() // a broker without the API, or one that hides it
	}
	if resp.ErrorCode != 0 || len(resp.Topics) == 0 || len(resp.Topics[0].Partitions) == 0 {
		return nil, nil
	}
	p := resp.Topics[0].Partitions[0]
	q := &clusterQuorum{Leader: p.LeaderID, LeaderEpoch: p.LeaderEpoch, HighWatermark: p.HighWatermark, Voters: []int32{}, Observers: []int32{}}
	for _, v := range p.CurrentVoters {
		q.Voters = append(q.Voters, v.ReplicaID)
	}
	for _, o := range p.Observers {
		q.Observers = append(q.Observers, o.ReplicaID)
	}
	slices.Sort(q.Voters)
	slices.Sort(q.Observers)
	return q, nil
}

func (c *clusterInfo) write(w io.Writer) {
	fmt.Fprintf(w, "cluster     %s\n", c.ClusterID)
	fmt.Fprintf(w, "controller  %d\n", c.Controller)
	if q := c.Quorum; q != nil {
		fmt.Fprintf(w, "quorum      leader %d, epoch %d, voters %s, high watermark %d\n", q.Leader, q.LeaderEpoch, joinIDs(q.Voters), q.HighWatermark)
	}
	fmt.Fprintf(w, "topics      %d with %d partitions\n", c.Topics, c.Partitions)
	levels := map[string]string{}
	for name, level := range c.Features {
		levels[name] = strconv.Itoa(int(level))
	}
	for i, line := range configLines(levels) {
		if i == 0 {
			fmt.Fprintf(w, "features    %s\n", line)
		} else {
			fmt.Fprintf(w, "            %s\n", line)
		}
	}
	fmt.Fprintln(w)
	table := newTable("#BROKER", "ADDRESS", "RACK")
	for _, b := range c.Brokers {
		table.row(b.ID, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), deref(b.Rack))
	}
	table.write(w)
}
