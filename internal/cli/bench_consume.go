package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/cli/bench"
)

// benchConsumeFlags are the flags of bench consume.
type benchConsumeFlags struct {
	span                        spanFlags
	raw, quiet, once            bool
	readers                     int
	maxBytes, partitionMaxBytes int32
}

func (a *App) benchConsume(l *link) *cobra.Command {
	f := &benchConsumeFlags{}
	cmd := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Measure reading existing records",
		Args:  usageArgs(cobra.ExactArgs(1)),
		Example: example(`
# everything once, through a client
ottla bench consume load --duration 0 --once
# fifty readers, again and again
ottla bench consume load --raw --readers 50`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.readers < 1 || f.readers > mostConnections || f.maxBytes < 1 || f.partitionMaxBytes < 1 {
				return usagef("--readers is 1 to %d, --max-bytes and --partition-max-bytes above 0", mostConnections)
			}
			return a.runBenchConsume(cmd.Context(), l, f, args[0])
		},
	}
	flags := cmd.Flags()
	f.span.add(flags, 10*time.Second)
	flags.BoolVar(&f.raw, "raw", false, "without a client: what comes is counted and thrown away")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	flags.BoolVar(&f.once, "once", false, "stop when everything was read once (always the case without --raw)")
	flags.IntVar(&f.readers, "readers", 1, "raw: number of readers, each of the whole topic")
	flags.Int32Var(&f.maxBytes, "max-bytes", 50<<20, "maximum bytes of a response")
	flags.Int32Var(&f.partitionMaxBytes, "partition-max-bytes", 1<<20, "maximum bytes of a partition in a response")
	return cmd
}

func (a *App) runBenchConsume(ctx context.Context, l *link, f *benchConsumeFlags, topic string) error {
	span, err := f.span.span()
	if err != nil {
		return err
	}
	client, err := l.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	t, err := a.benchTopic(ctx, l, client, topic, 0)
	if err != nil {
		return err
	}
	if err := t.bounds(ctx, l, client, topic); err != nil {
		return err
	}
	if !f.raw {
		load := bench.ClientConsume{Until: t.ends, Span: span}
		result, err := load.Run(ctx, func() (*kgo.Client, error) {
			return l.connect(ctx, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
				kgo.FetchMaxBytes(f.maxBytes), kgo.FetchMaxPartitionBytes(f.partitionMaxBytes))
		}, a.progress(f.quiet))
		if err != nil {
			return err
		}
		return a.printBench(result, "poll")
	}
	load := bench.RawConsume{
		Topic: topic, Brokers: t.brokers, Readers: f.readers, MaxBytes: f.maxBytes, PartitionMaxBytes: f.partitionMaxBytes,
		From: t.start, Until: t.ends, Once: f.once, Span: span,
	}
	result, err := load.Run(ctx, a.progress(f.quiet))
	if err != nil {
		return err
	}
	return a.printBench(result, "request")
}
