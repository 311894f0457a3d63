package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/cli/bench"
	"ottla/internal/record"
)

// benchProduceFlags are the flags of bench produce.
type benchProduceFlags struct {
	span                  spanFlags
	raw, quiet            bool
	partitions            int32
	connections, inFlight int
	perRequest, perBatch  int
	recordBytes, keys     int
	acks, codec           string
	rate                  float64
	linger                time.Duration
}

func (a *App) benchProduce(l *link) *cobra.Command {
	f := &benchProduceFlags{}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Measure writing",
		Args:  usageArgs(cobra.ExactArgs(1)),
		Example: example(`
# 100 KB batches as fast as two connections take them
ottla bench produce load --partitions 6 --raw --connections 2 --records-per-batch 100 --record-bytes 1024
# 5,000 records a second through a client, acknowledged by all replicas
ottla bench produce load --rate 5000 --acks all`),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.runBenchProduce(cmd.Context(), l, f, args[0])
		},
	}
	flags := cmd.Flags()
	f.span.add(flags, 10*time.Second)
	flags.BoolVar(&f.raw, "raw", false, "send requests made beforehand, without a client")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	flags.Int32VarP(&f.partitions, "partitions", "p", 6, "partitions of the topic, if it does not exist")
	flags.IntVar(&f.recordBytes, "record-bytes", 1024, "size of each value")
	flags.Float64Var(&f.rate, "rate", 0, "records (raw: requests) per second; 0: no limit")
	flags.StringVar(&f.acks, "acks", "all", "replicas that must have a record: 0 (client only), 1 or all")
	flags.StringVarP(&f.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.DurationVar(&f.linger, "linger", 0, "client: time that a batch waits for more records")
	flags.IntVar(&f.keys, "keys", 0, "client: number of different keys; 0: no keys")
	flags.IntVar(&f.connections, "connections", 1, "raw: connections")
	flags.IntVar(&f.inFlight, "in-flight", 5, "raw: unanswered requests per connection")
	flags.IntVar(&f.perRequest, "batches-per-request", 1, "raw: batches in a request, each for another partition")
	flags.IntVar(&f.perBatch, "records-per-batch", 100, "raw: records in a batch")
	return cmd
}

// The limits of a raw load: what a broker takes in one request.
const (
	mostConnections = 20_000
	mostInFlight    = 1_000
	mostRequest     = 100 << 20
)

func (f *benchProduceFlags) check() error {
	switch {
	case f.recordBytes < 0 || f.recordBytes > maxRequestSize:
		return usagef("--record-bytes %d: 0 to %d", f.recordBytes, maxRequestSize)
	case f.rate < 0 || f.keys < 0 || f.linger < 0 || f.partitions < 1:
		return usagef("--rate, --keys and --linger must not be negative, --partitions not below 1")
	case f.raw && f.acks == "0":
		return usagef("--raw counts answers, and there are none with --acks 0")
	case f.connections < 1 || f.connections > mostConnections:
		return usagef("--connections %d: 1 to %d", f.connections, mostConnections)
	case f.inFlight < 1 || f.inFlight > mostInFlight:
		return usagef("--in-flight %d: 1 to %d", f.inFlight, mostInFlight)
	case f.perRequest < 1 || f.perBatch < 1 || f.perRequest*f.perBatch*max(1, f.recordBytes) > mostRequest:
		return usagef("a request must have a batch and a record at least, and at most %d bytes", mostRequest)
	}
	return nil
}

func (a *App) runBenchProduce(ctx context.Context, l *link, f *benchProduceFlags, topic string) error {
	span, err := f.span.span()
	if err != nil {
		return err
	}
	opts, err := f.clientOptions()
	if err != nil {
		return err
	}
	client, err := l.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	t, err := a.benchTopic(ctx, l, client, topic, f.partitions)
	if err != nil {
		return err
	}
	if !f.raw {
		load := bench.ClientProduce{Topic: topic, RecordBytes: f.recordBytes, Keys: f.keys, Rate: f.rate, Span: span}
		result, err := load.Run(ctx, client, a.progress(f.quiet))
		if err != nil {
			return err
		}
		return a.printBench(result, "record")
	}
	load := bench.RawProduce{
		Topic: topic, Brokers: t.brokers, Connections: f.connections, InFlight: f.inFlight,
		BatchesPerRequest: f.perRequest, RecordsPerBatch: f.perBatch, RecordBytes: f.recordBytes, Compression: rawCodec(f.codec),
		Acks: rawAcks(f.acks), Timeout: 30 * time.Second, Rate: f.rate, Span: span,
	}
	result, err := load.Run(ctx, a.progress(f.quiet))
	if err != nil {
		return err
	}
	return a.printBench(result, "request")
}

// clientOptions also checks the flags that a raw load shares.
func (f *benchProduceFlags) clientOptions() ([]kgo.Opt, error) {
	codec, err := parseCodec(f.codec)
	if err != nil {
		return nil, usage(err)
	}
	acks, idempotent, err := parseAcks(f.acks, "")
	if err != nil {
		return nil, usage(err)
	}
	opts := []kgo.Opt{
		kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(acks), kgo.ProducerLinger(f.linger),
		kgo.ProducerBatchMaxBytes(maxRequestSize), kgo.MaxBufferedRecords(100_000),
	}
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	return opts, nil
}

func rawAcks(name string) int16 {
	if name == "1" {
		return 1
	}
	return -1
}

// rawCodec is the codec of a name that parseCodec knows.
func rawCodec(name string) record.Compression {
	for _, c := range []record.Compression{record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		if c.String() == name {
			return c
		}
	}
	return record.None
}
