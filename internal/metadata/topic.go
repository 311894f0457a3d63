package metadata

import (
	"iter"
	"slices"
)

// Special broker ids of Partition.Leader and PartitionChangeRecord.Leader.
const (
	// NoLeader says that a partition is without a leader.
	NoLeader int32 = -1
	// NoLeaderChange leaves the leader and the leader epoch as they are.
	NoLeaderChange int32 = -2
)

// Special log dir ids of Partition.Directories (KIP-858); all ids below 100
// are reserved.
var (
	// DirMigrating stands for a replica placed before directories were known.
	DirMigrating = UUID{}
	// DirUnassigned lets the broker choose the log dir.
	DirUnassigned = UUID{15: 1}
	// DirLost is a log dir that the broker no longer has.
	DirLost = UUID{15: 2}
)

// Topic is a topic and its partitions. It never changes.
type Topic struct {
	Name string
	ID   UUID

	partitions Map[int32, *Partition]
}

// Partition returns a partition, nil when there is none of that id.
func (t *Topic) Partition(id int32) *Partition {
	p, _ := t.partitions.Get(id)
	return p
}

// NumPartitions is the number of partitions; their ids are 0 to it minus one.
func (t *Topic) NumPartitions() int { return t.partitions.Len() }

// Partitions are the partitions by id ascending.
func (t *Topic) Partitions() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for _, p := range t.partitions.All() {
			if !yield(p) {
				return
			}
		}
	}
}

// PartitionsFrom are the partitions whose id is at least from, ascending.
func (t *Topic) PartitionsFrom(from int32) iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for _, p := range t.partitions.From(from) {
			if !yield(p) {
				return
			}
		}
	}
}

// Partition is the state of one partition. It never changes, and its lists
// must not be changed.
type Partition struct {
	ID int32
	// Replicas are the brokers that hold it, the preferred leader first.
	Replicas []int32
	// Directories holds for each of Replicas the id of its log dir.
	Directories []UUID
	// ISR are the replicas in sync, a subset of Replicas (R3).
	ISR []int32
	// ELR and LastKnownELR are KIP-966's eligible leader replicas.
	ELR, LastKnownELR []int32
	// Removing and Adding are the replicas that a reassignment takes and gives.
	Removing, Adding []int32
	// Leader is a broker id or NoLeader.
	Leader int32
	// LeaderEpoch grows with every change of the leader, PartitionEpoch with
	// every change of the partition (R2).
	LeaderEpoch, PartitionEpoch int32
	// Recovering is set after an unclean election until the leader recovered.
	Recovering bool
}

// Directory is the id of the log dir of a replica on a broker; ok is false
// when the broker holds no replica.
func (p *Partition) Directory(broker int32) (id UUID, ok bool) {
	i := slices.Index(p.Replicas, broker)
	if i < 0 || i >= len(p.Directories) {
		return UUID{}, false
	}
	return p.Directories[i], true
}

// Equal compares all fields.
func (p *Partition) Equal(q *Partition) bool {
	return p == q || p.ID == q.ID && p.Leader == q.Leader && p.LeaderEpoch == q.LeaderEpoch &&
		p.PartitionEpoch == q.PartitionEpoch && p.Recovering == q.Recovering &&
		slices.Equal(p.Replicas, q.Replicas) && slices.Equal(p.Directories, q.Directories) &&
		slices.Equal(p.ISR, q.ISR) && slices.Equal(p.ELR, q.ELR) && slices.Equal(p.LastKnownELR, q.LastKnownELR) &&
		slices.Equal(p.Removing, q.Removing) && slices.Equal(p.Adding, q.Adding)
}

// idKey is the key of an id in a Map; it sorts as the bytes do.
func idKey(id UUID) string { return string(id[:]) }

// TopicByName returns a topic, nil when there is none of that name.
func (img *Image) TopicByName(name string) *Topic {
	t, _ := img.topicNames.Get(name)
	return t
}

// TopicByID returns a topic, nil when there is none of that id.
func (img *Image) TopicByID(id UUID) *Topic {
	t, _ := img.topics.Get(string(id[:]))
	return t
}

// NumTopics is the number of topics.
func (img *Image) NumTopics() int { return img.topics.Len() }

// Topics are the topics by name ascending.
func (img *Image) Topics() iter.Seq[*Topic] { return values(img.topicNames) }

// TopicsFrom are the topics whose name is at least from, ascending.
func (img *Image) TopicsFrom(from string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		for _, t := range img.topicNames.From(from) {
			if !yield(t) {
				return
			}
		}
	}
}
