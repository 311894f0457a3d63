package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceFlags are the flags of produce.
type produceFlags struct {
	link      *link
	key       string
	keySet    bool
	headers   []string
	codec     string
	codecSet  bool
	partition int32
	acks      string
	acksSet   bool
	count     int64
	quiet     bool
	input     inputOptions
}

func (a *App) produce() *cobra.Command {
	f := &produceFlags{}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records from standard input to a topic",
		Long: `Write records from standard input to a topic: one per line, unless -D, -J or -f is
given. The exit code is 0 if every record was acknowledged.`,
		Args:              usageArgs(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeTopics(func() *link { return f.link }, 1),
		Example: example(`
echo hello | ottla produce greetings
# key and value, the key null where there is no colon
printf 'k1:v1\nk2:v2\n' | ottla produce orders -K:
# copy a topic with keys, headers and bytes as they are
ottla consume orders -J -e | ottla produce orders-copy -J`),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.keySet = cmd.Flags().Changed("key")
			f.codecSet = cmd.Flags().Changed("compression")
			f.acksSet = cmd.Flags().Changed("acks")
			return a.runProduce(cmd.Context(), f, args[0])
		},
	}
	flags := cmd.Flags()
	f.link = a.linkFlags(flags)
	flags.StringVarP(&f.key, "key", "k", "", "key of every record without a key (default: null)")
	flags.StringVarP(&f.input.keyDelimiter, "key-delimiter", "K", "", "delimiter between key and value")
	flags.StringVarP(&f.input.delimiter, "delimiter", "D", `\n`, "delimiter between records")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "header `name=value` of every record (repeatable); without \"=\" the value is null")
	flags.StringVarP(&f.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.Int32VarP(&f.partition, "partition", "p", -1, "partition of every record (default: by key)")
	flags.StringVar(&f.acks, "acks", "all", "replicas that must have a record: 0 (nobody), 1 (the leader) or all (-1)")
	flags.Int64VarP(&f.count, "count", "c", 0, "stop after this many records")
	flags.BoolVarP(&f.input.emptyIsNull, "null", "Z", false, "send empty keys and values as null")
	flags.BoolVarP(&f.input.envelopes, "json", "J", false, "read JSON objects as printed by consume -J")
	flags.StringVarP(&f.input.format, "input-format", "f", "", `read records by a format, such as '%k %s\n'`)
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no summary on standard error")
	return cmd
}

// check turns flags into options of the client and of the input.
func (f *produceFlags) check() ([]kgo.Opt, error) {
	var err error
	if f.input.envelopes && f.input.format != "" {
		return nil, usagef("-J and -f exclude each other")
	}
	if f.input.delimiter, err = unescape(f.input.delimiter); err != nil {
		return nil, usage(err)
	}
	if f.input.keyDelimiter, err = unescape(f.input.keyDelimiter); err != nil {
		return nil, usage(err)
	}
	if f.input.delimiter == "" {
		return nil, usagef("-D must not be empty")
	}
	if f.keySet {
		f.input.key = []byte(f.key)
	}
	for _, h := range f.headers {
		name, value, ok := strings.Cut(h, "=")
		header := kgo.RecordHeader{Key: name}
		if ok {
			header.Value = []byte(value)
		}
		f.input.headers = append(f.input.headers, header)
	}
	if f.partition < -1 {
		return nil, usagef("-p %d: a partition is a number from 0", f.partition)
	}
	return f.clientOptions()
}

// maxRequestSize is the default of Kafka's broker for a record batch
// (max.message.bytes), so that what the broker takes is not refused here.
const maxRequestSize = 1048588

func (f *produceFlags) clientOptions() ([]kgo.Opt, error) {
	p, err := f.link.settings()
	if err != nil {
		return nil, err
	}
	opts := []kgo.Opt{
		kgo.AllowAutoTopicCreation(),
		kgo.ProducerBatchMaxBytes(maxRequestSize),
		kgo.MaxBufferedBytes(256 << 20),
		kgo.RecordDeliveryTimeout(2 * time.Minute),
	}
	if f.partition >= 0 {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	codec, err := parseCodec(flagOr(f.codec, f.codecSet, p["compression.type"]))
	if err != nil {
		return nil, usage(err)
	}
	acks, idempotent, err := parseAcks(flagOr(f.acks, f.acksSet, p["acks"]), p["enable.idempotence"])
	if err != nil {
		return nil, usage(err)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec), kgo.RequiredAcks(acks))
	if !idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	return opts, nil
}

// flagOr is the flag's value unless it was left alone and a property is set.
func flagOr(flag string, set bool, property string) string {
	if !set && property != "" {
		return property
	}
	return flag
}

func parseCodec(name string) (kgo.CompressionCodec, error) {
	switch name {
	case "none", "":
		return kgo.NoCompression(), nil
	case "gzip":
		return kgo.GzipCompression(), nil
	case "snappy":
		return kgo.SnappyCompression(), nil
	case "lz4":
		return kgo.Lz4Compression(), nil
	case "zstd":
		return kgo.ZstdCompression(), nil
	}
	return kgo.CompressionCodec{}, fmt.Errorf("compression %q is none of none, gzip, snappy, lz4, zstd", name)
}

// parseAcks also tells whether the producer is idempotent, which needs acks=all
// and is then the default, as in Java.
func parseAcks(text, idempotence string) (kgo.Acks, bool, error) {
	switch text {
	case "0":
		return kgo.NoAck(), false, nil
	case "1":
		return kgo.LeaderAck(), false, nil
	case "all", "-1":
		return kgo.AllISRAcks(), !strings.EqualFold(idempotence, "false"), nil
	}
	return kgo.Acks{}, false, fmt.Errorf("acks %q is none of 0, 1, all", text)
}

func (a *App) runProduce(ctx context.Context, f *produceFlags, topic string) error {
	opts, err := f.check()
	if err != nil {
		return err
	}
	in, err := newRecordReader(a.In, f.input)
	if err != nil {
		return usage(err)
	}
	client, err := f.link.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer client.Close()
	if a.InTTY && !f.quiet {
		a.Notef("One record a line; end with Ctrl-D.")
	}
	t := &tally{app: a, topic: topic, parts: map[int32]*partitionTally{}}
	readErr := t.send(ctx, client, in, f)
	flushErr := f.flush(ctx, client)
	return t.finish(errors.Join(readErr, flushErr), f.quiet)
}

// tally counts what became of the records.
type tally struct {
	app   *App
	topic string

	mu       sync.Mutex
	sent     int64 // numbers the records in messages
	produced int64
	failed   int64
	first    error
	parts    map[int32]*partitionTally
}

type partitionTally struct {
	Partition   int32 `json:"partition"`
	Records     int64 `json:"records"`
	FirstOffset int64 `json:"first_offset"`
	LastOffset  int64 `json:"last_offset"`
}

// send produces all records of in without waiting for their answers; the client
// blocks when too many are under way. A broken input, the count or an interrupt
// ends it; what was read before is sent all the same.
func (t *tally) send(ctx context.Context, client *kgo.Client, in recordReader, f *produceFlags) error {
	sending := context.WithoutCancel(ctx)
	read := readAhead(ctx, in)
	for f.count == 0 || t.sent < f.count {
		var next readRecord
		select {
		case next = <-read:
		case <-ctx.Done():
			return nil
		}
		if errors.Is(next.err, io.EOF) {
			return nil
		}
		if next.err != nil {
			return fmt.Errorf("reading records: %w", next.err)
		}
		r := next.record
		r.Topic, r.Partition = t.topic, f.partition
		t.sent++
		number := t.sent
		client.Produce(sending, r, func(r *kgo.Record, err error) { t.done(number, r, err) })
	}
	return nil
}

// readRecord is what a recordReader returned.
type readRecord struct {
	record *kgo.Record
	err    error
}

// readAhead reads records in a goroutine of its own, because a read of standard
// input cannot be interrupted: after an interrupt the goroutine stays in it
// until the process ends.
func readAhead(ctx context.Context, in recordReader) <-chan readRecord {
	read := make(chan readRecord, 256)
	go func() {
		for {
			record, err := in.next()
			select {
			case read <- readRecord{record, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return read
}

// flush waits until the fate of all records is known. After an interrupt it
// waits no longer than for any answer.
func (f *produceFlags) flush(ctx context.Context, client *kgo.Client) error {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(f.link.timeout, cancel) })
	defer stop()
	if err := client.Flush(last); err != nil {
		return fmt.Errorf("interrupted before all records were acknowledged: %w", err)
	}
	return nil
}

// toldFailures is how many failed records are told one by one.
const toldFailures = 10

// done is called for each record when its fate is known.
func (t *tally) done(number int64, r *kgo.Record, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed++
		if t.first == nil {
			t.first = err
		}
		if t.failed <= toldFailures {
			t.app.Notef("ottla: record %d: %s", number, newProblem(err, ""))
		}
		return
	}
	t.produced++
	p := t.parts[r.Partition]
	if p == nil {
		p = &partitionTally{Partition: r.Partition, FirstOffset: r.Offset}
		t.parts[r.Partition] = p
	}
	p.Records++
	p.FirstOffset = min(p.FirstOffset, r.Offset)
	p.LastOffset = max(p.LastOffset, r.Offset)
}

func (t *tally) finish(err error, quiet bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed > toldFailures {
		t.app.Notef("ottla: and %d more records failed", t.failed-toldFailures)
	}
	if !quiet {
		t.app.Notef("%d of %d records written to %s", t.produced, t.sent, t.topic)
	}
	if t.app.structured() {
		result := struct {
			Topic      string            `json:"topic"`
			Produced   int64             `json:"produced"`
			Failed     int64             `json:"failed"`
			Partitions []*partitionTally `json:"partitions"`
			Error      *problem          `json:"error,omitempty"`
		}{t.topic, t.produced, t.failed, []*partitionTally{}, newProblem(errors.Join(err, t.first), "")}
		for _, p := range slices.Sorted(maps.Keys(t.parts)) {
			result.Partitions = append(result.Partitions, t.parts[p])
		}
		t.app.printObject(result)
	}
	if err == nil && t.failed > 0 {
		return errItems
	}
	return err
}
