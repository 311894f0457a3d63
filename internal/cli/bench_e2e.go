package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/cli/bench"
)

// benchEndToEndFlags are the flags of bench e2e.
type benchEndToEndFlags struct {
	span        spanFlags
	raw, quiet  bool
	partitions  int32
	recordBytes int
	acks        string
	rate        float64
}

func (a *App) benchEndToEnd(l *link) *cobra.Command {
	f := &benchEndToEndFlags{}
	cmd := &cobra.Command{
		Use:   "e2e TOPIC",
		Short: "Measure the time from producer to consumer",
		Args:  usageArgs(cobra.ExactArgs(1)),
		Example: example(`
ottla bench e2e ping --rate 1000 --acks all
# the broker alone, without what a client takes; nobody else may write to the topic
ottla bench e2e ping --rate 1000 --raw`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.rate <= 0 || f.recordBytes < 8 || f.recordBytes > maxRequestSize || f.partitions < 1 {
				return usagef("--rate must be above 0, --record-bytes 8 to %d, --partitions not below 1", maxRequestSize)
			}
			if f.raw && f.acks == "0" {
				return usagef("--raw reads answers, and there are none with --acks 0")
			}
			return a.runBenchEndToEnd(cmd.Context(), l, f, args[0])
		},
	}
	flags := cmd.Flags()
	f.span.add(flags, 10*time.Second)
	flags.BoolVar(&f.raw, "raw", false, "send requests made beforehand to one partition, without a client")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	flags.Int32VarP(&f.partitions, "partitions", "p", 1, "partitions of the topic, if it does not exist")
	flags.IntVar(&f.recordBytes, "record-bytes", 100, "size of each value")
	flags.Float64Var(&f.rate, "rate", 1000, "records per second")
	flags.StringVar(&f.acks, "acks", "all", "replicas that must have a record: 0, 1 or all")
	return cmd
}

func (a *App) runBenchEndToEnd(ctx context.Context, l *link, f *benchEndToEndFlags, topic string) error {
	span, err := f.span.span()
	if err != nil {
		return err
	}
	produce := benchProduceFlags{acks: f.acks, codec: "none"}
	opts, err := produce.clientOptions()
	if err != nil {
		return err
	}
	producer, err := l.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer producer.Close()
	t, err := a.benchTopic(ctx, l, producer, topic, f.partitions)
	if err != nil {
		return err
	}
	if err := t.bounds(ctx, l, producer, topic); err != nil {
		return err
	}
	if f.raw {
		b := t.brokers[0]
		load := bench.RawEndToEnd{
			Topic: topic, Broker: b, End: t.ends[b.Partitions[0]], RecordBytes: f.recordBytes,
			Acks: rawAcks(f.acks), Timeout: 30 * time.Second, Rate: f.rate, Span: span,
		}
		result, err := load.Run(ctx, a.progress(f.quiet))
		if err != nil {
			return err
		}
		return a.printBench(result, "record")
	}
	from := map[int32]kgo.Offset{}
	for p, end := range t.ends {
		from[p] = kgo.NewOffset().At(end)
	}
	consumer, err := l.connect(ctx, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}), kgo.FetchMaxWait(fetchWait))
	if err != nil {
		return err
	}
	defer consumer.Close()
	load := bench.EndToEnd{Topic: topic, RecordBytes: f.recordBytes, Rate: f.rate, Span: span}
	result, err := load.Run(ctx, producer, consumer, a.progress(f.quiet))
	if err != nil {
		return err
	}
	return a.printBench(result, "record")
}
