package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const groupGrammar = `With -g GROUP the command joins that consumer group. The members share the partitions,
and each continues at the committed offsets. Records are committed after they were
printed, so an interrupt loses nothing. -o sets where to begin in a partition without
a committed offset: beginning, end or @TIME. With --group-protocol consumer the broker
assigns the partitions (KIP-848).`

// groupReading is a reading whose partitions come and go as the group gives
// them. The client calls assigned and revoked only while the reader polls
// (kgo.BlockRebalanceOnPoll), so that they share its fields without a lock:
// between AllowRebalance and the end of a poll the reader leaves them alone.
type groupReading struct {
	reading
	flags *consumeFlags
	// plans are the partitions that the group has given. Those that are not
	// read to their bound yet are in left too.
	plans map[partition]*partitionPlan
	// bounds is what there was to read when the command began. Empty, and not
	// changed afterwards, when it goes on for ever.
	bounds map[partition]*partitionPlan
	given  bool // the group has given partitions once
}

// leaveLimit bounds the goodbye to the group after an interrupt.
const leaveLimit = 5 * time.Second

func (a *App) runGroup(ctx context.Context, f *consumeFlags, topics []string, what span, format formatter) error {
	opts, err := f.groupOptions(topics, what)
	if err != nil {
		return usage(err)
	}
	r := &groupReading{flags: f, plans: map[partition]*partitionPlan{}}
	if err := r.findBounds(ctx, topics, what); err != nil {
		return err
	}
	opts = append(opts, kgo.OnPartitionsAssigned(r.assigned), kgo.OnPartitionsRevoked(r.revoked), kgo.OnPartitionsLost(r.revoked))
	r.reading = reading{app: a, print: format, left: map[partition]*partitionPlan{}, count: f.count, out: bufio.NewWriterSize(a.Out, 64<<10)}
	client, err := f.link.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	r.client = client
	r.stop = func(p partition) { client.PauseFetchPartitions(map[string][]int32{p.topic: {p.number}}) }
	err = r.run(ctx)
	a.printed = true
	client.AllowRebalance()
	leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveLimit)
	defer cancel()
	if left := client.LeaveGroupContext(leaving); left != nil {
		a.Notef("ottla: leaving group %s: %s", f.group, newProblem(left, ""))
	}
	return errors.Join(err, r.out.Flush())
}

// groupOptions are the client's options for a member of the group.
func (f *consumeFlags) groupOptions(topics []string, what span) ([]kgo.Opt, error) {
	p, err := f.link.settings()
	if err != nil {
		return nil, err
	}
	if len(f.partitions) > 0 {
		return nil, errors.New("-g and -p exclude each other: the group gives the partitions")
	}
	if what.until != (position{}) && what.until != atEnd {
		return nil, errors.New("-g cannot stop at an offset: other members may read what stands before it")
	}
	opts := []kgo.Opt{
		kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait),
		kgo.ConsumerGroup(f.group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
	}
	switch {
	case what.from == atStart, what.from.at == stored:
		opts = append(opts, kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	case what.from == atEnd:
		opts = append(opts, kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	case what.from.at == byTime:
		opts = append(opts, kgo.ConsumeResetOffset(kgo.NewOffset().AfterMilli(what.from.n)))
	default:
		return nil, errors.New("-o of a group is beginning, end, stored or @TIME")
	}
	protocol, err := groupProtocol(flagOr(f.protocol, f.protocol != "", p["group.protocol"]))
	if err != nil {
		return nil, err
	}
	opts = append(opts, protocol...)
	if f.pattern {
		return append(opts, kgo.ConsumeRegex(), kgo.ConsumeTopics("^(?:"+strings.Join(topics, "|")+")$")), nil
	}
	return append(opts, kgo.ConsumeTopics(topics...)), nil
}

// groupProtocol makes the client speak one of the two protocols. A classic
// member offers cooperative-sticky, and what clients without it have.
func groupProtocol(name string) ([]kgo.Opt, error) {
	switch strings.ToLower(name) {
	case "", classicType:
		return []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer())}, nil
	case consumerType:
		return []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}, nil
	}
	return nil, fmt.Errorf("--group-protocol %s: neither classic nor consumer", name)
}

// findBounds notes where the topics end now, when the command is to stop there.
func (r *groupReading) findBounds(ctx context.Context, topics []string, what span) error {
	if !r.flags.exitAtEnd {
		return nil
	}
	if what.from.at == stored {
		what.from = atStart
	}
	client, err := r.flags.link.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	r.bounds, err = r.flags.plan(ctx, client, topics, what)
	return err
}

func (r *groupReading) assigned(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
	client.ResumeFetchPartitions(partitions) // left alone when the member had them before
	for topic, numbers := range partitions {
		for _, number := range numbers {
			p := partition{topic, number}
			plan := partitionPlan{until: -1}
			if bound := r.bounds[p]; bound != nil {
				plan = *bound
			}
			r.plans[p], r.left[p] = &plan, &plan
			r.given = true
		}
	}
}

func (r *groupReading) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for topic, numbers := range partitions {
		for _, number := range numbers {
			delete(r.plans, partition{topic, number})
			delete(r.left, partition{topic, number})
		}
	}
}

// run prints what the group gives, and commits each part once it is written.
func (r *groupReading) run(ctx context.Context) error {
	for {
		fetches, idle := r.poll(ctx)
		if interrupted(ctx) {
			return nil
		}
		if idle {
			if err := r.dropEmpty(ctx); err != nil {
				return err
			}
		} else if err := r.errors(fetches); err != nil {
			return err
		}
		full, err := r.printAll(ctx, fetches)
		if err != nil {
			return err
		}
		if full || r.given && r.bounds != nil && len(r.left) == 0 {
			return nil
		}
		r.client.AllowRebalance()
	}
}

// poll waits for records; when there is an end, not for ever.
func (r *groupReading) poll(ctx context.Context) (kgo.Fetches, bool) {
	if r.bounds == nil {
		return r.client.PollFetches(ctx), false
	}
	return pollFor(ctx, r.client)
}

// printAll prints what was fetched, writes it out, and commits it then.
func (r *groupReading) printAll(ctx context.Context, fetches kgo.Fetches) (full bool, err error) {
	full, err = r.records(fetches)
	if flushed := r.out.Flush(); flushed != nil {
		return full, fmt.Errorf("printing records: %w", flushed)
	}
	if err != nil {
		return full, err
	}
	var last []*kgo.Record
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		plan := r.plans[partition{f.Topic, f.Partition}]
		for i := len(f.Records) - 1; i >= 0 && plan != nil; i-- {
			if f.Records[i].Offset < plan.next {
				last = append(last, f.Records[i])
				return
			}
		}
	})
	return full, r.commit(ctx, last)
}

// displaced are the errors of a commit that came too late: the group goes on
// without the member, which joins again by itself.
var displaced = []error{kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.StaleMemberEpoch}

// commit commits the last printed record of each partition. A rebalance in the
// middle is no failure: who gets the partition then reads the records again.
func (r *groupReading) commit(ctx context.Context, last []*kgo.Record) error {
	if len(last) == 0 {
		return nil
	}
	err := r.client.CommitRecords(context.WithoutCancel(ctx), last...)
	switch {
	case err == nil:
		return nil
	case slices.ContainsFunc(displaced, func(d error) bool { return errors.Is(err, d) }):
		r.app.Notef("ottla: group %s: what was printed last is not committed and may come again: %s", r.flags.group, newProblem(err, ""))
		return nil
	}
	return fmt.Errorf("group %s: committing: %s", r.flags.group, newProblem(err, ""))
}

// refused are the errors of a group that joining again does not mend.
var refused = []error{
	kerr.InconsistentGroupProtocol, kerr.GroupMaxSizeReached, kerr.FencedInstanceID, kerr.UnreleasedInstanceID, kerr.InvalidGroupID,
	kerr.InvalidSessionTimeout, kerr.UnsupportedAssignor, kerr.GroupAuthorizationFailed, kerr.GroupIDNotFound, kerr.InvalidRegularExpression,
}

// errors ends the command for what the client cannot mend, and tells of the
// rest.
func (r *groupReading) errors(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var session *kgo.ErrGroupSession
		if !errors.As(e.Err, &session) {
			continue
		}
		if slices.ContainsFunc(refused, func(x error) bool { return errors.Is(session.Err, x) }) {
			return fmt.Errorf("group %s: %s", r.flags.group, newProblem(session.Err, ""))
		}
		r.app.Notef("ottla: group %s: joining again: %s", r.flags.group, newProblem(session.Err, ""))
	}
	return r.reading.errors(fetches)
}

// dropEmpty gives up the partitions whose records before the bound were read
// before, by this group, or are not there.
func (r *groupReading) dropEmpty(ctx context.Context) error {
	committed, err := kadm.NewClient(r.client).FetchOffsets(ctx, r.flags.group)
	if err != nil {
		return fmt.Errorf("group %s: %s", r.flags.group, newProblem(err, ""))
	}
	for p, plan := range r.left {
		o, ok := committed.Lookup(p.topic, p.number)
		if bound := r.bounds[p]; ok && o.Err == nil && o.At >= 0 && bound != nil && plan.next == bound.next {
			plan.next = o.At // nothing came of it yet
		}
		if plan.until >= 0 && plan.next >= plan.until {
			r.giveUp(p)
		}
	}
	return r.checkTails(ctx)
}
