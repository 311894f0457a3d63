package coordinator

import (
	"errors"
	"fmt"
	"iter"

	"ottla/internal/record"
	"ottla/internal/replica"
)

// Log is a partition of the internal topic, led by this node in one leader
// epoch: the seam between a shard and its replica. Its methods are for one
// goroutine.
type Log interface {
	// Batches iterates what the log holds, from its start to EndOffset. A batch
	// is valid until the next step; an error ends the loop.
	Batches() iter.Seq2[record.Batch, error]
	// EndOffset is the offset of the next record.
	EndOffset() int64
	// Append writes a batch at the end, if this node still leads in the epoch.
	Append(batch record.Batch) (baseOffset int64, err error)
	// HighWatermark is the offset below which nothing is lost any more.
	HighWatermark() int64
	// MaxBatchBytes is the largest batch that Append takes.
	MaxBatchBytes() int
	// Changed gets a token when HighWatermark or Err changed; Seen takes note
	// of it, before they are looked at.
	Changed() <-chan struct{}
	Seen()
	// Err is why the log is over for this epoch: it wraps ErrNotCoordinator when
	// another one began or the partition was deleted; or its log dir failed.
	Err() error
	// Close stops Changed.
	Close()
}

// Replicas opens the partitions of a topic on this node: it is Options.Open.
func Replicas(m *replica.Manager, topic string) func(partition, epoch int32) (Log, error) {
	return func(partition, epoch int32) (Log, error) {
		p, err := m.Partition(topic, partition)
		if err != nil {
			return nil, err
		}
		if err := p.Leads(epoch); err != nil {
			return nil, err
		}
		l := &replicaLog{partition: p, epoch: epoch, waiter: replica.NewWaiter()}
		l.waiter.Watch(p, 0, replica.ReadUncommitted, replica.Progress{})
		return l, nil
	}
}

type replicaLog struct {
	partition *replica.Partition
	epoch     int32
	waiter    *replica.Waiter
}

func (l *replicaLog) Batches() iter.Seq2[record.Batch, error] {
	log := l.partition.Log()
	return log.Batches(log.StartOffset(), log.EndOffset())
}

func (l *replicaLog) EndOffset() int64 { return l.partition.Log().EndOffset() }

func (l *replicaLog) Append(batch record.Batch) (int64, error) {
	appended, err := l.partition.AppendInEpoch(l.epoch, batch, replica.AppendOptions{Acks: replica.AcksAll, Origin: record.Coordinator})
	if err != nil {
		tp := l.partition.TopicPartition()
		return 0, fmt.Errorf("append to %s-%d: %w", tp.Topic, tp.Partition, err)
	}
	return appended.BaseOffset, nil
}

func (l *replicaLog) HighWatermark() int64 { return l.partition.HighWatermark() }

func (l *replicaLog) MaxBatchBytes() int {
	c := l.partition.Log().Config()
	return int(min(c.MaxMessageBytes, c.SegmentBytes))
}

func (l *replicaLog) Changed() <-chan struct{} { return l.waiter.C }

func (l *replicaLog) Seen() { l.waiter.Changed() }

func (l *replicaLog) Err() error {
	err := l.partition.Leads(l.epoch)
	for _, ordinary := range []error{replica.ErrFencedLeaderEpoch, replica.ErrNotLeader, replica.ErrUnknownTopicOrPartition} {
		if errors.Is(err, ordinary) {
			return fmt.Errorf("%w: %w", ErrNotCoordinator, err)
		}
	}
	return err
}

func (l *replicaLog) Close() { l.waiter.Close() }
