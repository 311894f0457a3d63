package groups

import (
	"context"
	"errors"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaGoWorker is kafka-go as a member: one reader for each partition of each
// generation. It supports only the eager protocol.
func kafkaGoWorker(ctx context.Context, addr string, m Member, out *printer) error {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: m.Group, Brokers: []string{addr}, Topics: m.Topics, StartOffset: kafka.FirstOffset,
		SessionTimeout: time.Duration(m.Session) * time.Millisecond, HeartbeatInterval: time.Duration(m.Interval) * time.Millisecond,
		RebalanceTimeout: 10 * time.Second, JoinGroupBackoff: 200 * time.Millisecond,
		GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		gen, err := group.Next(ctx)
		switch {
		case errors.Is(err, kafka.ErrGroupClosed):
			return err
		case err != nil:
			continue // the broker is down: the group joins again after its backoff
		}
		kafkaGoGeneration(ctx, addr, gen, out)
	}
	err = group.Close()
	out.line("left", -1)
	return err
}

func kafkaGoGeneration(stop context.Context, addr string, gen *kafka.Generation, out *printer) {
	var mine []string
	for topic, all := range gen.Assignments {
		for _, a := range all {
			mine = append(mine, place(topic, int32(a.ID)))
		}
	}
	out.line("assigned", gen.ID, mine...)
	for topic, all := range gen.Assignments {
		for _, a := range all {
			gen.Start(func(ctx context.Context) {
				kafkaGoPartition(ctx, stop, addr, gen, topic, a, out)
				out.line("revoked", gen.ID, place(topic, int32(a.ID)))
			})
		}
	}
}

// kafkaGoPartition reads until the generation or the worker ends.
func kafkaGoPartition(ctx, stop context.Context, addr string, gen *kafka.Generation, topic string, a kafka.PartitionAssignment, out *printer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: a.ID, MaxWait: 200 * time.Millisecond})
	defer func() { _ = r.Close() }() // reading is over
	if err := r.SetOffset(a.Offset); err != nil {
		out.line("failed", gen.ID, err.Error())
		return
	}
	for {
		record, err := r.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // the broker is down: the reader connects again
		}
		out.record(gen.ID, topic, int32(a.ID), record.Offset, record.Value)
		if err := gen.CommitOffsets(map[string]map[int]int64{topic: {a.ID: record.Offset + 1}}); err != nil {
			out.line("failed", gen.ID, err.Error())
			continue
		}
		out.committed(gen.ID, topic, int32(a.ID), record.Offset+1)
	}
}
