package groups

import (
	"context"
	"errors"
	"io"
	"log"
	"time"

	"github.com/IBM/sarama"
)

// saramaMember is sarama as a member: one goroutine per partition.
type saramaMember struct{ out *printer }

func saramaWorker(ctx context.Context, addr string, m Member, out *printer) error {
	sarama.Logger = log.New(io.Discard, "", 0)
	c := sarama.NewConfig()
	c.Version = sarama.V3_6_0_0
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Session.Timeout = time.Duration(m.Session) * time.Millisecond
	c.Consumer.Group.Heartbeat.Interval = time.Duration(m.Interval) * time.Millisecond
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	c.Consumer.Group.InstanceId = m.Instance
	c.Consumer.Return.Errors = true
	c.Metadata.Retry.Max, c.Metadata.Retry.Backoff = 100, 100*time.Millisecond
	group, err := sarama.NewConsumerGroup([]string{addr}, m.Group, c)
	if err != nil {
		return err
	}
	go func() {
		for err := range group.Errors() {
			out.line("failed", -1, err.Error())
		}
	}()
	for ctx.Err() == nil {
		if err := group.Consume(ctx, m.Topics, &saramaMember{out}); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
			out.line("failed", -1, err.Error()) // the broker is down: join again
		}
	}
	err = group.Close()
	out.line("left", -1)
	return err
}

// Setup implements sarama.ConsumerGroupHandler.
func (s *saramaMember) Setup(session sarama.ConsumerGroupSession) error {
	s.out.line("assigned", session.GenerationID(), places(session.Claims())...)
	return nil
}

// Cleanup implements sarama.ConsumerGroupHandler. Sarama does not report
// whether a commit succeeded, so the worker can only print that the partitions
// are lost.
func (s *saramaMember) Cleanup(session sarama.ConsumerGroupSession) error {
	session.Commit()
	s.out.line("lost", session.GenerationID(), places(session.Claims())...)
	return nil
}

// ConsumeClaim implements sarama.ConsumerGroupHandler.
func (s *saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case r, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			s.out.record(session.GenerationID(), r.Topic, r.Partition, r.Offset, r.Value)
			session.MarkMessage(r, "")
			if len(claim.Messages()) == 0 {
				session.Commit()
			}
		case <-session.Context().Done():
			return nil
		}
	}
}
