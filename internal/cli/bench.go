package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/internal/cli/bench"
)

// bench is the parent of the commands that measure a cluster.
func (a *App) bench() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Generate load on a cluster and measure it",
		Long: `Generate load and measure it: records, bytes, requests and latencies.

By default a client library generates the load, as in an application. With --raw the
requests are prepared in advance and sent pipelined on several connections. This
measures the brokers without the client.

With a rate, each record has a scheduled time, and latencies are measured from it. So
a stall of the broker counts for all records that were due meanwhile.`,
		Args: usageArgs(cobra.NoArgs),
		RunE: needCommand,
		Example: example(`
ottla bench produce load --partitions 6 --raw --connections 2
ottla bench consume load --raw
ottla bench e2e ping --rate 1000`),
	}
	l := a.linkFlags(cmd.PersistentFlags())
	cmd.AddCommand(a.benchProduce(l), a.benchConsume(l), a.benchEndToEnd(l))
	return cmd
}

// spanFlags say when a load ends.
type spanFlags struct {
	warmup, duration time.Duration
	records, bytes   int64
}

func (f *spanFlags) add(flags *pflag.FlagSet, duration time.Duration) {
	flags.DurationVar(&f.warmup, "warmup", 0, "`time` before the measurement begins")
	flags.DurationVar(&f.duration, "duration", duration, "`time` that is measured; 0: until --records or --bytes")
	flags.Int64Var(&f.records, "records", 0, "stop after this many records, including the warm-up")
	flags.Int64Var(&f.bytes, "bytes", 0, "stop after this many bytes, including the warm-up")
}

func (f *spanFlags) span() (bench.Span, error) {
	if f.warmup < 0 || f.duration < 0 || f.records < 0 || f.bytes < 0 {
		return bench.Span{}, usagef("--warmup, --duration, --records and --bytes must not be negative")
	}
	return bench.Span{Warmup: f.warmup, Duration: f.duration, Records: f.records, Bytes: f.bytes}, nil
}

// benchTopic is what a load needs to know of its topic.
type benchTopic struct {
	brokers     []bench.Broker
	start, ends map[int32]int64
}

// benchTopic finds the topic, or makes it when partitions is above 0 and there
// is none.
func (a *App) benchTopic(ctx context.Context, l *link, client *kgo.Client, topic string, partitions int32) (*benchTopic, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	admin := kadm.NewClient(client)
	if partitions > 0 {
		err := createTopic(ctx, admin, topic, partitions)
		if err == nil {
			err = awaitLeaders(ctx, admin, topic, partitions)
		}
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
	}
	found, err := admin.Metadata(ctx, topic)
	if err != nil {
		return nil, err
	}
	detail := found.Topics[topic]
	if detail.Err != nil {
		return nil, fmt.Errorf("topic %s: %w", topic, detail.Err)
	}
	t := &benchTopic{}
	for _, b := range found.Brokers {
		led := bench.Broker{Addr: fmt.Sprintf("%s:%d", b.Host, b.Port)}
		for _, p := range detail.Partitions.Sorted() {
			if p.Leader == b.NodeID {
				led.Partitions = append(led.Partitions, p.Partition)
			}
		}
		if len(led.Partitions) > 0 {
			t.brokers = append(t.brokers, led)
		}
	}
	if len(t.brokers) == 0 {
		return nil, fmt.Errorf("topic %s: no partition has a leader", topic)
	}
	return t, nil
}

// mostCreated is how many partitions one request asks for: Kafka takes 10,000
// records of metadata, which the topic itself is one of.
const mostCreated = 5000

// createTopic makes a topic, in steps when it has many partitions.
func createTopic(ctx context.Context, admin *kadm.Client, topic string, partitions int32) error {
	made, err := admin.CreateTopic(ctx, min(partitions, mostCreated), -1, nil, topic)
	if err == nil {
		err = made.Err
	}
	for n := int32(mostCreated); err == nil && n < partitions; {
		n = min(partitions, n+mostCreated)
		var more kadm.CreatePartitionsResponses
		if more, err = admin.UpdatePartitions(ctx, int(n), topic); err == nil {
			err = more.Error()
		}
	}
	return err
}

// awaitLeaders waits until a topic that was just made can be written to: brokers
// learn of it one after the other, and a raw load does not try again.
func awaitLeaders(ctx context.Context, admin *kadm.Client, topic string, partitions int32) error {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err == nil {
			err = ends.Error()
		}
		if err == nil && len(ends[topic]) == int(partitions) {
			return nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// bounds adds from where to where the partitions reach.
func (t *benchTopic) bounds(ctx context.Context, l *link, client *kgo.Client, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	t.start, t.ends = map[int32]int64{}, map[int32]int64{}
	all, err := listBounds(ctx, kadm.NewClient(client), []string{topic}, span{}, false)
	for p, b := range all {
		t.start[p.number], t.ends[p.number] = b.start, b.end
	}
	return err
}

// progress tells on standard error how a load goes.
func (a *App) progress(quiet bool) func(bench.Progress) {
	if quiet {
		return nil
	}
	return func(p bench.Progress) {
		seconds := p.Elapsed.Seconds()
		a.Notef("%3.0f s  %d records, %.0f a second, %.1f MB/s", seconds, p.Records, float64(p.Records)/seconds, float64(p.Bytes)/1e6/seconds)
	}
}

// benchReport is the result as JSON. MB are 10⁶ bytes.
type benchReport struct {
	Seconds           float64        `json:"seconds"`
	Records           int64          `json:"records"`
	Bytes             int64          `json:"bytes"`
	Requests          int64          `json:"requests,omitempty"`
	Failed            int64          `json:"failed"`
	RecordsPerSecond  float64        `json:"records_per_second"`
	MBPerSecond       float64        `json:"mb_per_second"`
	RequestsPerSecond float64        `json:"requests_per_second,omitempty"`
	LatencyMs         benchLatencies `json:"latency_ms"`
}

type benchLatencies struct {
	Of    string  `json:"of"` // what was timed
	Count int64   `json:"count"`
	Mean  float64 `json:"mean"`
	Min   float64 `json:"min"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// printBench prints a result; of names what the latencies are of.
func (a *App) printBench(r *bench.Result, of string) error {
	l := &r.Latency
	report := benchReport{
		Seconds: r.Elapsed.Round(time.Microsecond).Seconds(), Records: r.Records, Bytes: r.Bytes, Requests: r.Requests, Failed: r.Failed,
		RecordsPerSecond: round(r.PerSecond(r.Records)), MBPerSecond: round(r.PerSecond(r.Bytes) / 1e6), RequestsPerSecond: round(r.PerSecond(r.Requests)),
		LatencyMs: benchLatencies{of, l.Count, millisOf(l.Mean), millisOf(l.Lowest), millisOf(l.P50), millisOf(l.P90), millisOf(l.P99), millisOf(l.P999), millisOf(l.Highest)},
	}
	err := a.Print(report, func(w io.Writer) {
		fmt.Fprintf(w, "%d records in %.2f s: %.0f a second, %.1f MB/s", r.Records, r.Elapsed.Seconds(), report.RecordsPerSecond, report.MBPerSecond)
		if r.Requests > 0 {
			fmt.Fprintf(w, ", %.0f requests a second", report.RequestsPerSecond)
		}
		if r.Failed > 0 {
			fmt.Fprintf(w, "; %d failed", r.Failed)
		}
		fmt.Fprintln(w)
		m := &report.LatencyMs
		t := newTable("latency of a "+of+" (ms)", "#mean", "#min", "#p50", "#p90", "#p99", "#p99.9", "#max")
		t.row("", m.Mean, m.Min, m.P50, m.P90, m.P99, m.P999, m.Max)
		t.write(w)
	})
	if err == nil && r.Failed > 0 {
		err = fmt.Errorf("%d failed", r.Failed)
	}
	return err
}

func millisOf(d time.Duration) float64 { return round(float64(d) / float64(time.Millisecond)) }

// round leaves three digits behind the point.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }
