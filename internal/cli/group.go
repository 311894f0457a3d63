package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// group is the parent of the commands about consumer groups.
func (a *App) group() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "group",
		Short: "List, describe and delete consumer groups, show their lag, reset their offsets",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  needCommand,
		Example: example(`
ottla group list
ottla group lag billing
ottla group reset-offsets billing --topic orders --to-datetime 2026-01-31T12:00:00Z`),
	}
	l := a.linkFlags(cmd.PersistentFlags())
	cmd.AddCommand(a.groupList(l), a.groupDescribe(l), a.groupLag(l), a.groupResetOffsets(l), a.groupDelete(l), a.groupDeleteOffsets(l))
	return cmd
}

// The types of groups as ListGroups names them, in lower case.
const (
	classicType  = "classic"
	consumerType = "consumer"
)

// describedGroup is a group of either protocol. What only a consumer group
// (KIP-848) has is left out for a classic one.
type describedGroup struct {
	Name            string        `json:"name"`
	Type            string        `json:"type"`
	State           string        `json:"state"`
	ProtocolType    string        `json:"protocol_type"`
	Assignor        string        `json:"assignor"`
	Coordinator     int32         `json:"coordinator"` // node id
	Epoch           *int32        `json:"epoch,omitempty"`
	AssignmentEpoch *int32        `json:"assignment_epoch,omitempty"`
	Members         []groupMember `json:"members"`
	Error           *problem      `json:"error,omitempty"`
}

// groupMember is a member of a group with what it owns; Target is what the
// coordinator of a consumer group wants it to own.
type groupMember struct {
	ID         string            `json:"id"`
	InstanceID *string           `json:"instance_id"`
	ClientID   string            `json:"client_id"`
	Host       string            `json:"host"`
	Epoch      *int32            `json:"epoch,omitempty"`
	Assignment []topicPartitions `json:"assignment"`
	Target     []topicPartitions `json:"target,omitempty"`
}

// topicPartitions are partitions of one topic, in order.
type topicPartitions struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// askGroups describes groups of either protocol, in the order of names. It asks
// as Kafka's Admin client does: for a consumer group first, and for a classic
// one where there is none, or where the broker knows only classic ones.
func askGroups(ctx context.Context, admin *kadm.Client, names []string) ([]describedGroup, error) {
	consumers, err := admin.DescribeConsumerGroups(ctx, names...)
	if err != nil && !answered(err) {
		consumers = nil
	}
	var rest []string
	for _, name := range names {
		if c, ok := consumers[name]; !ok || c.Err != nil {
			rest = append(rest, name)
		}
	}
	classics := kadm.DescribedGroups{}
	if len(rest) > 0 {
		if classics, err = admin.DescribeGroups(ctx, rest...); err != nil {
			return nil, plain(err)
		}
	}
	groups := make([]describedGroup, 0, len(names))
	for _, name := range names {
		if slices.Contains(rest, name) {
			groups = append(groups, describeClassic(name, classics[name]))
		} else {
			groups = append(groups, describeConsumer(consumers[name]))
		}
	}
	return groups, nil
}

// answered tells whether some brokers answered and others did not.
func answered(err error) bool {
	var shards *kadm.ShardErrors
	return errors.As(err, &shards) && !shards.AllFailed
}

// plain is the first of several errors of one question, as Kafka names it.
func plain(err error) error {
	var shards *kadm.ShardErrors
	if errors.As(err, &shards) && len(shards.Errs) > 0 {
		err = shards.Errs[0].Err
	}
	return errors.New(newProblem(err, "").String())
}

func describeConsumer(g kadm.DescribedConsumerGroup) describedGroup {
	d := describedGroup{
		Name: g.Group, Type: consumerType, State: g.State, ProtocolType: consumerType, Assignor: g.AssignorName,
		Coordinator: g.Coordinator.NodeID, Epoch: &g.Epoch, AssignmentEpoch: &g.AssignmentEpoch, Members: []groupMember{},
	}
	for _, m := range g.Members {
		d.Members = append(d.Members, groupMember{
			ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Epoch: &m.MemberEpoch,
			Assignment: sortedPartitions(m.Assignment), Target: sortedPartitions(m.TargetAssignment),
		})
	}
	return d
}

// stateDead is the state in which an older DescribeGroups shows a group that
// does not exist.
const stateDead = "Dead"

func describeClassic(name string, g kadm.DescribedGroup) describedGroup {
	d := describedGroup{
		Name: name, Type: classicType, State: g.State, ProtocolType: g.ProtocolType, Assignor: g.Protocol,
		Coordinator: g.Coordinator.NodeID, Members: []groupMember{}, Error: newProblem(g.Err, g.ErrMessage),
	}
	if g.Err == nil && (g.State == stateDead || g.State == "") {
		d.Error = newProblem(kerr.GroupIDNotFound, "")
	}
	for _, m := range g.Members {
		member := groupMember{ID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Assignment: []topicPartitions{}}
		if c, ok := m.Assigned.AsConsumer(); ok {
			set := kadm.TopicsSet{}
			for _, t := range c.Topics {
				set.Add(t.Topic, t.Partitions...)
			}
			member.Assignment = sortedPartitions(set)
		}
		d.Members = append(d.Members, member)
	}
	return d
}

func sortedPartitions(set kadm.TopicsSet) []topicPartitions {
	all := []topicPartitions{}
	for _, topic := range slices.Sorted(maps.Keys(set)) {
		all = append(all, topicPartitions{topic, slices.Sorted(maps.Keys(set[topic]))})
	}
	return all
}

// text is such as "orders:0-3,7 payments:1".
func partitionText(all []topicPartitions) string {
	var parts []string
	for _, t := range all {
		parts = append(parts, t.Topic+":"+ranges(t.Partitions))
	}
	return strings.Join(parts, " ")
}

// ranges prints sorted numbers as "0-3,7".
func ranges(sorted []int32) string {
	var parts []string
	for i := 0; i < len(sorted); {
		last := i
		for last+1 < len(sorted) && sorted[last+1] == sorted[last]+1 {
			last++
		}
		text := strconv.Itoa(int(sorted[i]))
		if last > i {
			text += "-" + strconv.Itoa(int(sorted[last]))
		}
		parts = append(parts, text)
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// parseTopics reads the values of --topic: "T" for all partitions of a topic,
// "T:0,3" for some. A nil list is all of them.
func parseTopics(values []string) (map[string][]int32, error) {
	topics := map[string][]int32{}
	for _, value := range values {
		topic, numbers, some := strings.Cut(value, ":")
		before, twice := topics[topic]
		if topic == "" || twice && (before == nil || !some) {
			return nil, fmt.Errorf("%q: a topic is missing or given twice", value)
		}
		if !some {
			topics[topic] = nil
			continue
		}
		for _, text := range strings.Split(numbers, ",") {
			n, err := strconv.ParseInt(text, 10, 32)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%q: %q is not a partition", value, text)
			}
			topics[topic] = append(topics[topic], int32(n))
		}
	}
	return topics, nil
}

// comparePartitions orders partitions by topic and number.
func comparePartitions(x, y partition) int {
	if c := strings.Compare(x.topic, y.topic); c != 0 {
		return c
	}
	return int(x.number) - int(y.number)
}
