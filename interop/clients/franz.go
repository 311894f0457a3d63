package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var allCodecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// allAcks begins with all: a broker may not know a topic that its controller
// has just created, and a client retries only if it gets a response.
var allAcks = []string{"all", "1", "0"}

// Franz is franz-go. The matrix also uses it as the reference reader and
// writer.
type Franz struct{ addr string }

// NewFranz connects franz-go to a broker.
func NewFranz(addr string) *Franz { return &Franz{addr} }

// Can implements Client.
func (*Franz) Can() Abilities { return full }

// Close implements Client.
func (*Franz) Close() error { return nil }

// Create implements Client.
func (f *Franz) Create(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	values := make(map[string]*string, len(configs))
	for k, v := range configs {
		values[k] = &v
	}
	_, err = kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), 1, values, topic)
	return err
}

var franzCodecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// Produce implements Client.
func (f *Franz) Produce(ctx context.Context, p Produce) ([]int64, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(f.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(franzCodecs[p.Codec]), kgo.ProducerBatchMaxBytes(2 << 20),
		kgo.MaxBufferedRecords(100_000),
	}
	switch p.Acks {
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !p.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	records := make([]*kgo.Record, len(p.Records))
	for i, r := range p.Records {
		records[i] = &kgo.Record{Topic: p.Topic, Partition: int32(p.Partition), Key: r.Key, Value: r.Value}
		if r.Timestamp != 0 {
			records[i].Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return nil, err
	}
	if p.Acks == "0" {
		return unknownOffsets(len(records)), nil
	}
	offsets := make([]int64, len(records))
	for i, r := range records {
		offsets[i] = r.Offset
	}
	return offsets, nil
}

// AwaitEnd returns when the log of a partition has reached an end offset.
func (f *Franz) AwaitEnd(ctx context.Context, topic string, partition int, end int64) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	for {
		now, err := f.end(ctx, cl, topic, partition)
		if err != nil {
			return fmt.Errorf("waiting for offset %d of %s-%d: %w", end, topic, partition, err)
		}
		if now >= end {
			return nil
		}
	}
}

// End is the end offset of a partition's log.
func (f *Franz) End(ctx context.Context, topic string, partition int) (int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	return f.end(ctx, cl, topic, partition)
}

func (*Franz) end(ctx context.Context, cl *kgo.Client, topic string, partition int) (int64, error) {
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	o, ok := ends.Lookup(topic, int32(partition))
	if !ok {
		return 0, fmt.Errorf("no end offset of %s-%d", topic, partition)
	}
	return o.Offset, o.Err
}

// Consume implements Client.
func (f *Franz) Consume(ctx context.Context, c Consume) ([]Record, error) {
	from := kgo.NewOffset().At(c.Offset)
	if c.Timestamp != 0 {
		from = kgo.NewOffset().AfterMilli(c.Timestamp)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(f.addr), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: {int32(c.Partition): from}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	var out []Record
	for len(out) < c.Count {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("after %d of %d records: %w", len(out), c.Count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, FromFranz(r)) })
	}
	return out[:c.Count], nil
}

// FromFranz converts a record of franz-go to the form of the matrix.
func FromFranz(r *kgo.Record) Record {
	rec := Record{Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		rec.Headers = append(rec.Headers, Header{h.Key, h.Value})
	}
	return rec
}
