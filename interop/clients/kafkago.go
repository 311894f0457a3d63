package clients

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

type kafkaGo struct{ addr string }

func (*kafkaGo) Can() Abilities {
	return Abilities{
		// Its reader returns everything empty as nil.
		Codecs: allCodecs, Acks: allAcks, Admin: true, Consume: true, Timestamps: true,
		Headers: true, NullBoth: true, RepeatedHeaders: true,
	}
}

func (*kafkaGo) Close() error { return nil }

func (k *kafkaGo) Create(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	var entries []kafka.ConfigEntry
	for name, value := range configs {
		entries = append(entries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	client := &kafka.Client{Addr: kafka.TCP(k.addr)}
	resp, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: entries,
	}}})
	if err != nil {
		return err
	}
	return resp.Errors[topic]
}

var kafkaGoCodecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

var kafkaGoAcks = map[string]kafka.RequiredAcks{"0": kafka.RequireNone, "1": kafka.RequireOne, "all": kafka.RequireAll}

// onePartition is a balancer that writes everything to one partition.
type onePartition int

func (p onePartition) Balance(kafka.Message, ...int) int { return int(p) }

func (k *kafkaGo) Produce(ctx context.Context, p Produce) ([]int64, error) {
	var mu sync.Mutex
	var offsets []int64
	w := &kafka.Writer{
		Addr: kafka.TCP(k.addr), Topic: p.Topic, Balancer: onePartition(p.Partition),
		RequiredAcks: kafkaGoAcks[p.Acks], Compression: kafkaGoCodecs[p.Codec],
		BatchBytes: 2 << 20, BatchSize: len(p.Records), BatchTimeout: 10 * time.Millisecond,
		// Completion is called sequentially for the batches of a partition.
		Completion: func(messages []kafka.Message, _ error) {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range messages {
				offsets = append(offsets, m.Offset)
			}
		},
	}
	messages := make([]kafka.Message, len(p.Records))
	for i, r := range p.Records {
		messages[i] = toKafkaGo(r)
	}
	err := w.WriteMessages(ctx, messages...)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if p.Acks == "0" {
		return unknownOffsets(len(messages)), err
	}
	return offsets, err
}

func toKafkaGo(r Record) kafka.Message {
	m := kafka.Message{Key: r.Key, Value: r.Value}
	if r.Timestamp != 0 {
		m.Time = time.UnixMilli(r.Timestamp)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
	}
	return m
}

func (k *kafkaGo) Consume(ctx context.Context, c Consume) ([]Record, error) {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{k.addr}, Topic: c.Topic, Partition: c.Partition, MinBytes: 1, MaxBytes: 8 << 20,
		MaxWait: 500 * time.Millisecond,
	})
	defer hangUp(r)
	var err error
	if c.Timestamp != 0 {
		err = r.SetOffsetAt(ctx, time.UnixMilli(c.Timestamp))
	} else {
		err = r.SetOffset(c.Offset)
	}
	if err != nil {
		return nil, err
	}
	var out []Record
	for len(out) < c.Count {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return out, fmt.Errorf("after %d of %d records: %w", len(out), c.Count, err)
		}
		rec := Record{Offset: m.Offset, Timestamp: m.Time.UnixMilli(), Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, Header{h.Key, h.Value})
		}
		out = append(out, rec)
	}
	return out, nil
}
