package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// copyFlags are the flags of copy.
type copyFlags struct {
	from, to   *link
	toServers  string
	toProfile  string
	offsets    []string
	follow     bool
	count      int64
	partitions []int32
	codec      string
	byKey      bool
	quiet      bool
}

// copied is the result of a copy.
type copied struct {
	Source  string  `json:"source"`
	Target  string  `json:"target"`
	Records int64   `json:"records"`
	Bytes   int64   `json:"bytes"` // of keys, values and headers
	Seconds float64 `json:"seconds"`
	// Next is the offset of each partition at which another copy goes on.
	Next map[int32]int64 `json:"next_offsets"`
}

func (a *App) copy() *cobra.Command {
	f := &copyFlags{}
	cmd := &cobra.Command{
		Use:   "copy SOURCE TARGET",
		Short: "Copy the records of a topic to another one, or to another cluster",
		Long: "Copy the records of the topic SOURCE to the topic TARGET, which must exist. Keys, values, headers and\n" +
			"timestamps are kept, offsets are not. If TARGET has as many partitions as SOURCE, a record keeps its\n" +
			"partition; otherwise its key determines the partition. The copy stops at the current end of SOURCE,\n" +
			"unless --follow is given. When it stops, it prints the offsets at which to continue. After a crash,\n" +
			"records may be copied again (at least once).\n\n" + offsetGrammar,
		Args:              usageArgs(cobra.ExactArgs(2)),
		ValidArgsFunction: a.completeTopics(func() *link { return f.from }, 2),
		Example: example(`
ottla copy orders orders-copy
ottla copy orders orders --to-bootstrap-server other:9092
ottla copy orders orders -o @-1h --follow --to-profile staging`),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runCopy(cmd.Context(), f, args[0], args[1]) },
	}
	flags := cmd.Flags()
	f.from = a.linkFlags(flags)
	flags.StringVar(&f.toServers, "to-bootstrap-server", "", "`host:port`,… of the cluster of TARGET (default: that of SOURCE)")
	flags.StringVar(&f.toProfile, "to-profile", "", "profile for the cluster of TARGET")
	flags.StringArrayVarP(&f.offsets, "offset", "o", nil, "where to begin and to end (see above; default: beginning)")
	flags.BoolVar(&f.follow, "follow", false, "continue with new records until interrupted")
	flags.Int64VarP(&f.count, "count", "c", 0, "stop after this many records")
	flags.Int32SliceVarP(&f.partitions, "partition", "p", nil, "only these partitions of SOURCE")
	flags.StringVarP(&f.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.BoolVar(&f.byKey, "by-key", false, "choose partitions by key, even if TARGET has as many as SOURCE")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no summary")
	mustComplete(cmd, "to-profile", a.completeProfiles)
	return cmd
}

// target is the link to the cluster of TARGET.
func (f *copyFlags) target() *link {
	to := *f.from
	if f.toServers == "" && f.toProfile == "" {
		return &to
	}
	to.servers, to.profile, to.properties, to.file = f.toServers, f.toProfile, nil, ""
	return &to
}

func (a *App) runCopy(ctx context.Context, f *copyFlags, source, target string) error {
	what, err := parseOffsets(f.offsets, time.Now())
	if err != nil {
		return usage(err)
	}
	codec, err := parseCodec(f.codec)
	if err != nil {
		return usage(err)
	}
	f.to = f.target()
	if source == target && f.toServers == "" && f.toProfile == "" {
		return usagef("a topic cannot be copied to itself: use another topic or another cluster")
	}
	if what.from.at == stored || f.follow && what.until.at != nowhere {
		return usagef("-o: a copy begins at an offset or a time, and --follow has no end")
	}
	if !f.follow && what.until.at == nowhere {
		what.until = atEnd
	}
	reader, err := f.from.connect(ctx, kgo.KeepControlRecords(), kgo.FetchMaxWait(fetchWait), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return err
	}
	defer reader.Close()
	c := &copying{app: a, f: f, source: source, target: target, result: copied{Source: source, Target: target, Next: map[int32]int64{}}}
	plan, err := c.plan(ctx, reader, what)
	if err != nil {
		return err
	}
	writer, err := c.connect(ctx, len(plan), codec)
	if err != nil {
		return err
	}
	defer writer.Close()
	return c.run(ctx, reader, writer, plan)
}

// copying is a copy under way: records are read as consume reads them, and
// produced in order for each partition. Should one fail, the copy ends; what was
// acknowledged before is counted.
type copying struct {
	app            *App
	f              *copyFlags
	source, target string
	exact          bool // partition to partition
	writer         *kgo.Client
	stop           context.CancelFunc // ends the reading

	mu     sync.Mutex
	result copied
	failed error // the first record that was not written
}

// plan is what is to be read of SOURCE.
func (c *copying) plan(ctx context.Context, reader *kgo.Client, what span) (map[partition]*partitionPlan, error) {
	consume := &consumeFlags{link: c.f.from, partitions: c.f.partitions, isolation: readCommitted}
	return consume.plan(ctx, reader, []string{c.source}, what)
}

// copyRetries is how often a record is sent that finds no leader, or no answer. (A
// delivery timeout would count from the record's own timestamp.)
const copyRetries = 20

// connect connects to the cluster of TARGET, and decides how partitions are
// chosen.
func (c *copying) connect(ctx context.Context, partitions int, codec kgo.CompressionCodec) (*kgo.Client, error) {
	probe, err := c.f.to.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer probe.Close()
	asking, cancel := context.WithTimeout(ctx, c.f.to.timeout)
	defer cancel()
	admin := kadm.NewClient(probe)
	topics, err := (&consumeFlags{}).topics(asking, admin, []string{c.target})
	if err != nil {
		return nil, err
	}
	there := len(topics[c.target].Partitions)
	c.exact = !c.f.byKey && (there == partitions || len(c.f.partitions) > 0 && there > int(slices.Max(c.f.partitions)))
	opts := []kgo.Opt{kgo.ProducerBatchMaxBytes(maxRequestSize), kgo.ProducerBatchCompression(codec), kgo.RecordRetries(copyRetries)}
	if c.exact {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return c.f.to.connect(ctx, opts...)
}

func (c *copying) run(ctx context.Context, reader, writer *kgo.Client, plan map[partition]*partitionPlan) error {
	began := time.Now()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.stop, c.writer = stop, writer
	for p, left := range plan {
		c.result.Next[p.number] = left.next
	}
	r := &reading{app: c.app, client: reader, left: plan, count: c.f.count, idle: idleTime, each: c.one}
	r.stop = func(p partition) { reader.RemoveConsumePartitions(map[string][]int32{p.topic: {p.number}}) }
	err := r.run(ctx)
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.f.to.timeout)
	defer cancel()
	err = errors.Join(err, writer.Flush(flushing))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		err = errors.Join(err, fmt.Errorf("writing to %s: %w", c.target, c.failed))
	}
	c.result.Seconds = time.Since(began).Seconds()
	return errors.Join(err, c.report())
}

// one sends a record on. It is called in the order of each partition.
func (c *copying) one(from *kgo.Record) {
	r := &kgo.Record{Topic: c.target, Partition: from.Partition, Key: from.Key, Value: from.Value, Headers: from.Headers, Timestamp: from.Timestamp}
	source, next := from.Partition, from.Offset+1
	c.writer.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err != nil && c.failed == nil {
			c.failed = err
			c.stop()
		}
		if c.failed != nil {
			return // what comes after a gap does not count
		}
		c.result.Records++
		c.result.Bytes += int64(len(r.Key) + len(r.Value))
		for _, h := range r.Headers {
			c.result.Bytes += int64(len(h.Key) + len(h.Value))
		}
		c.result.Next[source] = max(c.result.Next[source], next)
	})
}

func (c *copying) report() error {
	if c.f.quiet {
		return nil
	}
	r := &c.result
	return c.app.Print(r, func(w io.Writer) {
		fmt.Fprintf(w, "copied %d records (%d bytes) of %s to %s in %.1f s", r.Records, r.Bytes, r.Source, r.Target, r.Seconds)
		if r.Seconds > 0 {
			fmt.Fprintf(w, ", %.0f a second", float64(r.Records)/r.Seconds)
		}
		fmt.Fprintln(w)
		for _, p := range slices.Sorted(maps.Keys(r.Next)) {
			fmt.Fprintf(w, "  partition %d: next offset %d\n", p, r.Next[p])
		}
	})
}
