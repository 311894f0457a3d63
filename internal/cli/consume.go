package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeFlags are the flags of consume.
type consumeFlags struct {
	link         *link
	offsets      []string
	count        int64
	exitAtEnd    bool
	partitions   []int32
	format       string
	envelopes    bool
	keyDelimiter string
	delimiter    string
	nulls        bool
	pattern      bool
	isolation    string
	group        string
	protocol     string
}

func (a *App) consume() *cobra.Command {
	f := &consumeFlags{}
	cmd := &cobra.Command{
		Use:   "consume TOPIC…",
		Short: "Print the records of topics",
		Long: "Print the records of topics from the first one, and wait for more until interrupted.\n\n" +
			offsetGrammar + "\n\n" + formatGrammar + "\n\n" +
			"--format json prints the same lines as -J: one object for each record. --format yaml\nprints them as YAML documents.\n\n" + groupGrammar,
		Args:              usageArgs(cobra.MinimumNArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return f.link }, 0),
		Example: example(`
ottla consume greetings
# what is there now, with keys and offsets
ottla consume orders -e -f '%o %k: %s\n'
# the last ten records; the last hour
ottla consume orders -o -10 -e
ottla consume orders -o @-1h:@now -J
# share the partitions with the other members of a group, go on where it stopped
ottla consume orders -g billing`),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runConsume(cmd.Context(), f, args) },
	}
	flags := cmd.Flags()
	f.link = a.linkFlags(flags)
	flags.StringArrayVarP(&f.offsets, "offset", "o", nil, "where to begin and to end (see above; default: beginning)")
	flags.Int64VarP(&f.count, "count", "c", 0, "stop after this many records")
	flags.Int64VarP(&f.count, "num", "n", 0, "same as -c")
	flags.BoolVarP(&f.exitAtEnd, "exit", "e", false, "stop at the current end of the topics")
	flags.Int32SliceVarP(&f.partitions, "partition", "p", nil, "only these partitions")
	flags.StringVarP(&f.format, "output-format", "f", "", "print each record by this format (see above)")
	flags.BoolVarP(&f.envelopes, "json", "J", false, "print each record as a JSON object with all its fields")
	flags.StringVarP(&f.keyDelimiter, "key-delimiter", "K", "", "also print the key, with this after it")
	flags.StringVarP(&f.delimiter, "delimiter", "D", `\n`, "print this after each record")
	flags.BoolVarP(&f.nulls, "null", "Z", false, "print "+nullText+" for null keys and values")
	flags.BoolVarP(&f.pattern, "regex", "r", false, "TOPIC… are regular expressions")
	flags.StringVar(&f.isolation, "isolation-level", "", "read_committed or read_uncommitted (default: -X isolation.level, else read_uncommitted)")
	flags.StringVarP(&f.group, "group", "g", "", "read as a member of this consumer `group` (see above)")
	flags.StringVar(&f.protocol, "group-protocol", "", "classic or consumer (default: -X group.protocol, else classic)")
	mustComplete(cmd, "group", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeGroups(f.link, 0)(cmd, nil, "")
	})
	mustComplete(cmd, "group-protocol", completeWords(classicType, consumerType))
	return cmd
}

// printer returns how records are printed; nil for envelopes.
func (f *consumeFlags) printer(json bool) (formatter, error) {
	if f.envelopes && f.format != "" {
		return nil, errors.New("-J and -f exclude each other")
	}
	null := ""
	if f.nulls {
		null = nullText
	}
	switch {
	case f.format != "":
		return parseFormat(f.format, null)
	case f.envelopes || json:
		return nil, nil
	}
	keyDelimiter, err := unescape(f.keyDelimiter)
	if err != nil {
		return nil, err
	}
	delimiter, err := unescape(f.delimiter)
	return delimited(keyDelimiter, delimiter, null), err
}

func (a *App) runConsume(ctx context.Context, f *consumeFlags, topics []string) error {
	format, err := f.printer(a.structured())
	if err != nil {
		return usage(err)
	}
	what, err := parseOffsets(f.offsets, time.Now())
	if err != nil {
		return usage(err)
	}
	if f.group == "" && what.from.at == stored {
		return usagef("there are stored offsets only in a consumer group: -g is missing")
	}
	if f.group == "" && f.protocol != "" {
		return usagef("--group-protocol is for -g")
	}
	if f.exitAtEnd && what.until.at == nowhere {
		what.until = atEnd
	}
	if err := f.checkIsolation(); err != nil {
		return err
	}
	if f.group != "" {
		return a.runGroup(ctx, f, topics, what, format)
	}
	client, err := f.link.connect(ctx, kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait))
	if err != nil {
		return err
	}
	defer client.Close()
	plan, err := f.plan(ctx, client, topics, what)
	if err != nil {
		return err
	}
	r := &reading{app: a, client: client, print: format, left: plan, count: f.count, idle: idleTime, out: bufio.NewWriterSize(a.Out, 64<<10)}
	r.stop = func(p partition) { client.RemoveConsumePartitions(map[string][]int32{p.topic: {p.number}}) }
	err = r.run(ctx)
	a.printed = true // records went out: no error object behind them
	return errors.Join(err, r.out.Flush())
}

// checkIsolation makes the flag the strongest of the client's settings, and f
// know what holds.
func (f *consumeFlags) checkIsolation() error {
	if f.isolation != "" {
		if _, err := isolation(f.isolation); err != nil {
			return usagef("--isolation-level: %w", err)
		}
		f.link.properties = append(f.link.properties, "isolation.level="+f.isolation)
	}
	p, err := f.link.settings()
	f.isolation = p["isolation.level"]
	return err
}

// idleTime is longer than a leader holds a fetch back that finds nothing.
const idleTime = 2 * fetchWait

const fetchWait = 500 * time.Millisecond

// partitionPlan is what is left to read of one partition.
type partitionPlan struct {
	topicID [16]byte
	next    int64
	until   int64 // -1: for ever
}

// plan asks the cluster where the partitions of the topics begin and end.
func (f *consumeFlags) plan(ctx context.Context, client *kgo.Client, names []string, what span) (map[partition]*partitionPlan, error) {
	ctx, cancel := context.WithTimeout(ctx, f.link.timeout)
	defer cancel()
	admin := kadm.NewClient(client)
	topics, err := f.topics(ctx, admin, names)
	if err != nil {
		return nil, err
	}
	ends, err := listBounds(ctx, admin, topics.Names(), what, f.isolation == readCommitted)
	if err != nil {
		return nil, err
	}
	plan := map[partition]*partitionPlan{}
	for p, b := range ends {
		if len(f.partitions) > 0 && !slices.Contains(f.partitions, p.number) {
			continue
		}
		from, until := what.resolve(*b)
		plan[p] = &partitionPlan{topicID: topics[p.topic].ID, next: from, until: until}
	}
	for _, topic := range topics.Names() {
		for _, number := range f.partitions {
			if ends[partition{topic, number}] == nil {
				return nil, fmt.Errorf("topic %s has no partition %d", topic, number)
			}
		}
	}
	return plan, nil
}

// topics finds the topics that are named, or that match the expressions.
func (f *consumeFlags) topics(ctx context.Context, admin *kadm.Client, names []string) (kadm.TopicDetails, error) {
	if f.pattern {
		return matchingTopics(ctx, admin, names)
	}
	topics, err := admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	for _, t := range topics.Sorted() {
		if t.Err != nil {
			p := newProblem(t.Err, "")
			there := items{names: func() []string { return allTopics(ctx, admin) }}
			return nil, fmt.Errorf("topic %s: %s%s", t.Topic, p, there.suggestion("topic "+t.Topic, p))
		}
	}
	return topics, nil
}

// matchingTopics finds the topics whose whole name matches one of exprs;
// internal ones must be named.
func matchingTopics(ctx context.Context, admin *kadm.Client, exprs []string) (kadm.TopicDetails, error) {
	re, err := regexp.Compile("^(?:" + strings.Join(exprs, "|") + ")$")
	if err != nil {
		return nil, usage(err)
	}
	topics, err := admin.ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(topics, func(name string, t kadm.TopicDetail) bool { return !re.MatchString(name) || t.Err != nil })
	if len(topics) == 0 {
		return nil, fmt.Errorf("no topic matches %s", strings.Join(exprs, " "))
	}
	return topics, nil
}

// partition names a partition of a topic.
type partition struct {
	topic  string
	number int32
}

// listBounds asks for the ends of all partitions and for the offsets of the
// times in what. committed ends before the first open transaction.
func listBounds(ctx context.Context, admin *kadm.Client, topics []string, what span, committed bool) (map[partition]*bounds, error) {
	all := map[partition]*bounds{}
	ask := func(list kadm.ListedOffsets, err error, keep func(*bounds, int64)) error {
		if err != nil {
			return err
		}
		if err := list.Error(); err != nil {
			return err
		}
		list.Each(func(o kadm.ListedOffset) {
			p := partition{o.Topic, o.Partition}
			if all[p] == nil {
				all[p] = &bounds{at: map[int64]int64{}}
			}
			keep(all[p], o.Offset)
		})
		return nil
	}
	list, err := admin.ListStartOffsets(ctx, topics...)
	if err := ask(list, err, func(b *bounds, n int64) { b.start = n }); err != nil {
		return nil, err
	}
	if committed {
		list, err = admin.ListCommittedOffsets(ctx, topics...)
	} else {
		list, err = admin.ListEndOffsets(ctx, topics...)
	}
	if err := ask(list, err, func(b *bounds, n int64) { b.end = n }); err != nil {
		return nil, err
	}
	for _, ms := range what.times() {
		list, err = admin.ListOffsetsAfterMilli(ctx, ms, topics...)
		if err := ask(list, err, func(b *bounds, n int64) { b.at[ms] = n }); err != nil {
			return nil, err
		}
	}
	return all, nil
}
