package groups

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// franz is franz-go as a member. The client calls assigned, revoked and lost
// only during a poll, so pending needs no lock.
type franz struct {
	out     *printer
	pending map[string]map[int32]kgo.EpochOffset // printed, not committed
}

func franzWorker(ctx context.Context, addr string, m Member, out *printer) error {
	f := &franz{out: out, pending: map[string]map[int32]kgo.EpochOffset{}}
	cl, err := kgo.NewClient(append(franzOptions(addr, m),
		kgo.OnPartitionsAssigned(f.assigned), kgo.OnPartitionsRevoked(f.revoked), kgo.OnPartitionsLost(f.lost))...)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		_, gen := cl.GroupMetadata()
		fetches.EachRecord(func(r *kgo.Record) {
			out.record(gen, r.Topic, r.Partition, r.Offset, r.Value)
			if f.pending[r.Topic] == nil {
				f.pending[r.Topic] = map[int32]kgo.EpochOffset{}
			}
			f.pending[r.Topic][r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		})
		f.commit(context.WithoutCancel(ctx), cl)
		cl.AllowRebalance()
	}
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	err = cl.LeaveGroupContext(leaving)
	cl.CloseAllowingRebalance()
	out.line("left", -1)
	return err
}

func franzOptions(addr string, m Member) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(addr), kgo.ConsumerGroup(m.Group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.SessionTimeout(time.Duration(m.Session) * time.Millisecond), kgo.HeartbeatInterval(time.Duration(m.Interval) * time.Millisecond),
		kgo.MetadataMinAge(100 * time.Millisecond), kgo.ConsumeTopics(m.Topics...),
	}
	if m.Pattern != "" {
		opts = append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics(m.Pattern))
	}
	if m.Instance != "" {
		opts = append(opts, kgo.InstanceID(m.Instance))
	}
	switch {
	case m.Protocol == "consumer":
		return append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	case m.Assignor == "cooperative-sticky":
		return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	}
	return append(opts, kgo.Balancers(kgo.RangeBalancer()))
}

func (f *franz) assigned(_ context.Context, cl *kgo.Client, partitions map[string][]int32) {
	_, gen := cl.GroupMetadata()
	f.out.line("assigned", gen, places(partitions)...)
}

func (f *franz) revoked(ctx context.Context, cl *kgo.Client, partitions map[string][]int32) {
	f.commit(ctx, cl)
	f.gone("revoked", cl, partitions)
}

func (f *franz) lost(_ context.Context, cl *kgo.Client, partitions map[string][]int32) {
	f.gone("lost", cl, partitions)
}

func (f *franz) gone(kind string, cl *kgo.Client, partitions map[string][]int32) {
	for topic, numbers := range partitions {
		for _, n := range numbers {
			delete(f.pending[topic], n)
		}
	}
	_, gen := cl.GroupMetadata()
	f.out.line(kind, gen, places(partitions)...)
}

// commit commits everything that was printed. During a rebalance it may have to
// wait for the next round or for the revocation.
func (f *franz) commit(ctx context.Context, cl *kgo.Client) {
	_, gen := cl.GroupMetadata()
	tries, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if len(f.pending) == 0 {
		return
	}
	cl.CommitOffsetsSync(tries, f.pending, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			f.out.line("failed", gen, err.Error())
			return
		}
		for i, t := range resp.Topics {
			for j, p := range t.Partitions {
				switch err := kerr.ErrorForCode(p.ErrorCode); {
				case err == nil:
					f.out.committed(gen, t.Topic, p.Partition, req.Topics[i].Partitions[j].Offset)
					delete(f.pending[t.Topic], p.Partition)
				case !errors.Is(err, kerr.RebalanceInProgress):
					f.out.line("failed", gen, err.Error())
				}
			}
		}
	})
	for topic, left := range f.pending {
		if len(left) == 0 {
			delete(f.pending, topic)
		}
	}
}
