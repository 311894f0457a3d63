package interop

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// nodeView is everything that clients can see of a node.
type nodeView struct {
	topics map[string]View // of partition 0; internal topics without their records
	// facts are ids, configs, groups and features, one per line.
	facts []string
}

// lookAll reads everything of a node.
func lookAll(t testing.TB, addr string) *nodeView {
	t.Helper()
	v := &nodeView{topics: map[string]View{}}
	withAdmin(t, addr, func(ctx context.Context, admin *kadm.Client) error {
		topics, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		for _, topic := range topics.Sorted() {
			v.fact("topic %s %s, %d partitions, internal %t", topic.Topic, topic.ID, len(topic.Partitions), topic.IsInternal)
			if topic.IsInternal {
				continue
			}
			v.topics[topic.Topic] = Look(t, addr, topic.Topic, 0)
		}
		return errors.Join(v.configs(ctx, admin, topics.Names()), v.groups(ctx, admin), v.features(ctx, admin))
	})
	return v
}

func (v *nodeView) fact(format string, args ...any) {
	v.facts = append(v.facts, fmt.Sprintf(format, args...))
}

// configs returns the configs that were set at run time.
func (v *nodeView) configs(ctx context.Context, admin *kadm.Client, topics []string) error {
	of := func(described kadm.ResourceConfigs, err error) error {
		for _, r := range described {
			err = errors.Join(err, r.Err)
			for _, c := range r.Configs {
				switch c.Source {
				case kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigSourceDynamicBrokerConfig, kmsg.ConfigSourceDynamicDefaultBrokerConfig:
					v.fact("config of %q: %s=%s (%s)", r.Name, c.Key, c.MaybeValue(), c.Source)
				}
			}
		}
		return err
	}
	return errors.Join(of(admin.DescribeTopicConfigs(ctx, topics...)), of(admin.DescribeBrokerConfigs(ctx, 1)), of(admin.DescribeBrokerConfigs(ctx)))
}

func (v *nodeView) groups(ctx context.Context, admin *kadm.Client) error {
	groups, err := admin.ListGroups(ctx)
	if err != nil {
		return err
	}
	for _, group := range groups.Groups() {
		if groups[group].ProtocolType == "share" {
			continue // see guards
		}
		offsets, err := admin.FetchOffsets(ctx, group)
		if err != nil {
			return err
		}
		for _, o := range offsets.Sorted() {
			v.fact("group %s %s-%d: %d %q, epoch %d", group, o.Topic, o.Partition, o.At, o.Metadata, o.LeaderEpoch)
		}
	}
	return nil
}

func (v *nodeView) features(ctx context.Context, admin *kadm.Client) error {
	versions, err := admin.ApiVersions(ctx)
	for _, b := range versions {
		err = errors.Join(err, b.Err)
		for _, f := range b.Raw().FinalizedFeatures {
			v.fact("feature %s=%d", f.Name, f.MaxVersionLevel)
		}
	}
	return err
}

// compare compares the view of another broker with v.
func (v *nodeView) compare(t testing.TB, who string, got *nodeView) {
	t.Helper()
	slices.Sort(v.facts)
	slices.Sort(got.facts)
	for _, fact := range v.facts {
		if !slices.Contains(got.facts, fact) {
			t.Errorf("%s does not have: %s", who, fact)
		}
	}
	for _, fact := range got.facts {
		if !slices.Contains(v.facts, fact) {
			t.Errorf("%s has in addition: %s", who, fact)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(v.topics)) {
		want := v.topics[topic]
		if topic == "f-compacted" {
			want.Times = maps.Clone(want.Times)
			delete(want.Times, 0) // see compareMoved
		}
		if diff := want.Diff(got.topics[topic]); diff != "" {
			t.Errorf("%s serves %s differently than before:\n%s", who, topic, diff)
		}
	}
}

// withAdmin calls do with an admin client.
func withAdmin(t testing.TB, addr string, do func(ctx context.Context, admin *kadm.Client) error) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), viewLimit)
	defer cancel()
	if err := do(ctx, kadm.NewClient(cl)); err != nil {
		t.Fatal(err)
	}
}

// guards returns the ACLs, SCRAM credentials, quotas and share groups of a
// Kafka with an authorizer, one per line.
func guards(t testing.TB, addr string) (all []string) {
	t.Helper()
	withAdmin(t, addr, func(ctx context.Context, admin *kadm.Client) error {
		acls, err1 := admin.DescribeACLs(ctx, kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).Operations(kadm.OpAny).Allow().AllowHosts().Deny().DenyHosts())
		for _, r := range acls {
			err1 = errors.Join(err1, r.Err)
			for _, a := range r.Described {
				all = append(all, fmt.Sprintf("%+v", a))
			}
		}
		users, err2 := admin.DescribeUserSCRAMs(ctx)
		for _, u := range users.Sorted() {
			all = append(all, fmt.Sprintf("%s %+v %v", u.User, u.CredInfos, u.Err))
		}
		quotas, err3 := admin.DescribeClientQuotas(ctx, false, nil)
		for _, q := range quotas {
			all = append(all, fmt.Sprintf("%v %+v", q.Entity, q.Values))
		}
		groups, err4 := admin.ListGroupsByType(ctx, []string{"share"})
		for _, g := range groups.Sorted() {
			all = append(all, fmt.Sprintf("share group %s %s", g.Group, g.State))
		}
		return errors.Join(err1, err2, err3, err4)
	})
	slices.Sort(all)
	return all
}
