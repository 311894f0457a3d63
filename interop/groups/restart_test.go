package groups

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// crowdMembers is the number of members of each group of a crowd.
const crowdMembers = 5

// crowdSession is the session timeout of the members. All must be back within
// this time after a restart of the broker.
const crowdSession = 45 * time.Second

// crowd is a set of groups, whose members are clients in this process. Each
// member owns one of five partitions.
type crowd struct {
	mu      sync.Mutex
	members []*crowdMember
	moved   chan struct{} // closed and replaced when a member gains or loses a partition
}

type crowdMember struct {
	client *kgo.Client
	group  int
	owned  map[int32]bool
}

// TestRestartUnderGroups restarts the broker under 20 groups of five members
// (long form: 200 groups). Within a session timeout all members can commit
// again, and each group advances by at most one generation: no member had to
// join twice.
func TestRestartUnderGroups(t *testing.T) {
	groups := 20
	if target.Long() {
		groups = 200
	}
	broker := target.Start(t, target.Options{Set: append([]string{"group.max.session.timeout.ms=60000"}, settings...)})
	if err := clients.NewFranz(broker.Addr).Create(t.Context(), "crowded", crowdMembers, nil); err != nil {
		t.Fatal(err)
	}
	c := newCrowd(t, broker.Addr, groups)
	before := c.await(t, stepLimit)
	broker.Kill()
	if err := broker.Up(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	after := c.await(t, crowdSession)
	t.Logf("%d groups of %d members are back after %v", groups, crowdMembers, time.Since(began).Truncate(time.Millisecond))
	for g := range groups {
		if after[g] > before[g]+1 {
			t.Errorf("group %d: from generation %d to %d", g, before[g], after[g])
		}
	}
}

func newCrowd(t *testing.T, addr string, groups int) *crowd {
	t.Helper()
	c := &crowd{moved: make(chan struct{})}
	for g := range groups {
		for range crowdMembers {
			m := &crowdMember{group: g, owned: map[int32]bool{}}
			gain := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { c.move(m, p, true) }
			lose := func(_ context.Context, _ *kgo.Client, p map[string][]int32) { c.move(m, p, false) }
			cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumerGroup(fmt.Sprintf("crowd-%d", g)), kgo.ConsumeTopics("crowded"),
				kgo.Balancers(kgo.RangeBalancer()), kgo.DisableAutoCommit(), kgo.SessionTimeout(crowdSession), kgo.HeartbeatInterval(time.Second),
				kgo.OnPartitionsAssigned(gain), kgo.OnPartitionsRevoked(lose), kgo.OnPartitionsLost(lose), kgo.FetchMaxWait(30*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			m.client = cl
			c.mu.Lock()
			c.members = append(c.members, m)
			c.mu.Unlock()
		}
	}
	t.Cleanup(func() {
		var all sync.WaitGroup
		for _, m := range c.members {
			all.Go(m.client.Close)
		}
		all.Wait()
	})
	return c
}

func (c *crowd) move(m *crowdMember, partitions map[string][]int32, gain bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range partitions["crowded"] {
		if gain {
			m.owned[n] = true
		} else {
			delete(m.owned, n)
		}
	}
	close(c.moved)
	c.moved = make(chan struct{})
}

// await returns the generation of each group once every member owns one
// partition and has committed for it, all in that generation.
func (c *crowd) await(t *testing.T, limit time.Duration) []int32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	gens := make([][]int32, len(c.members))
	errs := make([]error, len(c.members))
	var all sync.WaitGroup
	for i, m := range c.members {
		all.Go(func() {
			var gen int32
			gen, errs[i] = c.committed(ctx, m)
			gens[i] = []int32{gen}
		})
	}
	all.Wait()
	last := make([]int32, len(c.members)/crowdMembers)
	for i, m := range c.members {
		if errs[i] != nil {
			t.Fatalf("a member of group %d: %v", m.group, errs[i])
		}
		last[m.group] = max(last[m.group], gens[i][0])
	}
	return last
}

// committed commits for the one partition of a member, as soon as it has one
// and the broker accepts the commit.
func (c *crowd) committed(ctx context.Context, m *crowdMember) (int32, error) {
	for {
		c.mu.Lock()
		moved, owned := c.moved, len(m.owned)
		offsets := map[int32]kgo.EpochOffset{}
		for n := range m.owned {
			offsets[n] = kgo.EpochOffset{Epoch: -1, Offset: 0}
		}
		c.mu.Unlock()
		var err error
		if owned == 1 {
			_, gen := m.client.GroupMetadata()
			if err = commitOnce(ctx, m.client, offsets); err == nil {
				return gen, nil
			}
			if !displaced(err) {
				return 0, err
			}
		}
		select { // it joins again and retries after the next assignment
		case <-moved:
		case <-ctx.Done():
			return 0, fmt.Errorf("owns %d partitions: %w", owned, errors.Join(ctx.Err(), err))
		}
	}
}

func displaced(err error) bool {
	return errors.Is(err, kerr.RebalanceInProgress) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID)
}

func commitOnce(ctx context.Context, cl *kgo.Client, offsets map[int32]kgo.EpochOffset) (failed error) {
	cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{"crowded": offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
			if failed = err; err != nil {
				return
			}
			for _, t := range resp.Topics {
				for _, p := range t.Partitions {
					failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		})
	return failed
}
