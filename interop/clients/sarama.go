package clients

import (
	"context"
	"fmt"
	"time"

	"github.com/IBM/sarama"
)

type saramaClient struct{ addr string }

func (*saramaClient) Can() Abilities { return full }

func (*saramaClient) Close() error { return nil }

var saramaCodecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

var saramaAcks = map[string]sarama.RequiredAcks{"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll}

func saramaConfig() *sarama.Config {
	cfg := sarama.NewConfig()
	cfg.Version = sarama.MaxVersion
	cfg.Metadata.Retry.Max = 20
	return cfg
}

func (s *saramaClient) Create(_ context.Context, topic string, partitions int, configs map[string]string) error {
	admin, err := sarama.NewClusterAdmin([]string{s.addr}, saramaConfig())
	if err != nil {
		return err
	}
	defer hangUp(admin)
	entries := make(map[string]*string, len(configs))
	for k, v := range configs {
		entries[k] = &v
	}
	detail := &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: entries}
	return admin.CreateTopic(topic, detail, false)
}

func (s *saramaClient) Produce(_ context.Context, p Produce) ([]int64, error) {
	cfg := saramaConfig()
	cfg.Producer.Return.Successes = true
	cfg.Producer.Partitioner = sarama.NewManualPartitioner
	cfg.Producer.Compression = saramaCodecs[p.Codec]
	cfg.Producer.RequiredAcks = saramaAcks[p.Acks]
	cfg.Producer.MaxMessageBytes = 2 << 20
	if p.Idempotent {
		cfg.Producer.Idempotent = true
		cfg.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer([]string{s.addr}, cfg)
	if err != nil {
		return nil, err
	}
	defer hangUp(producer)
	messages := make([]*sarama.ProducerMessage, len(p.Records))
	for i, r := range p.Records {
		messages[i] = toSarama(p, r)
	}
	if err := producer.SendMessages(messages); err != nil {
		return nil, err
	}
	if p.Acks == "0" {
		return unknownOffsets(len(messages)), nil
	}
	offsets := make([]int64, len(messages))
	for i, m := range messages {
		offsets[i] = m.Offset
	}
	return offsets, nil
}

func toSarama(p Produce, r Record) *sarama.ProducerMessage {
	m := &sarama.ProducerMessage{Topic: p.Topic, Partition: int32(p.Partition)}
	if r.Key != nil {
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	if r.Timestamp != 0 {
		m.Timestamp = time.UnixMilli(r.Timestamp)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	return m
}

func (s *saramaClient) Consume(ctx context.Context, c Consume) ([]Record, error) {
	cfg := saramaConfig()
	cfg.Consumer.Fetch.Default = 4 << 20
	client, err := sarama.NewClient([]string{s.addr}, cfg)
	if err != nil {
		return nil, err
	}
	defer hangUp(client)
	offset := c.Offset
	if c.Timestamp != 0 {
		if offset, err = client.GetOffset(c.Topic, int32(c.Partition), c.Timestamp); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer hangUp(consumer)
	partition, err := consumer.ConsumePartition(c.Topic, int32(c.Partition), offset)
	if err != nil {
		return nil, err
	}
	defer hangUp(partition)
	var out []Record
	for len(out) < c.Count {
		select {
		case m := <-partition.Messages():
			out = append(out, fromSarama(m))
		case <-ctx.Done():
			return out, fmt.Errorf("after %d of %d records: %w", len(out), c.Count, ctx.Err())
		}
	}
	return out, nil
}

func fromSarama(m *sarama.ConsumerMessage) Record {
	rec := Record{Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
	for _, h := range m.Headers {
		rec.Headers = append(rec.Headers, Header{string(h.Key), h.Value})
	}
	return rec
}
