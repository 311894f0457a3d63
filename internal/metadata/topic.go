package metadata

import (
	"iter"
	"slices"
)

// Special broker ids of Partition.Leader and PartitionChangeRecord.Leader.
const (
	// NoLeader means that a partition has no leader.
	NoLeader int32 = -1
	// NoLeaderChange leaves the leader and the leader epoch unchanged.
	NoLeaderChange int32 = -2
)

// Special log dir ids of Partition.Directories (KIP-858); all ids below 100
// are reserved.
var (
	// DirMigrating marks a replica that was placed before directories were
	// introduced.
	DirMigrating = UUID{}
	// DirUnassigned lets the broker choose the log dir.
	DirUnassigned = UUID{15: 1}
	// DirLost marks a log dir that the broker no longer has.
	DirLost = UUID{15: 2}
)

// Topic is a topic and its partitions. It is immutable.
type Topic struct {
	Name string
	ID   UUID

	partitions Map[int32, *Partition]
}

// Partition returns a partition, nil if no partition has that id.
func (t *Topic) Partition(id int32) *Partition {
	p, _ := t.partitions.Get(id)
	return p
}

// NumPartitions is the number of partitions; their ids are 0 to
// NumPartitions-1.
func (t *Topic) NumPartitions() int { return t.partitions.Len() }

// Partitions iterates over the partitions, by ascending id.
func (t *Topic) Partitions() iter.Seq[*Partition] {
	return func(yield func(*Partition) bool) {
		for _, p := range t.partitions.All() {
			if !yield(p) {
				return
			}
		}
	}
}

// PartitionsFrom iterates over the partitions whose id is at least from, by
// ascending id.
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
	// Directories holds the log dir id of each of Replicas.
	Directories []UUID
	// ISR are the replicas in sync, a subset of Replicas (R3).
	ISR []int32
	// ELR and LastKnownELR are KIP-966's eligible leader replicas.
	ELR, LastKnownELR []int32
	// Removing and Adding are the replicas that a reassignment removes and
	// adds.
	Removing, Adding []int32
	// Leader is a broker id or NoLeader.
	Leader int32
	// LeaderEpoch grows with every change of the leader, PartitionEpoch with
	// every change of the partition (R2).
	LeaderEpoch, PartitionEpoch int32
	// Recovering is set after an unclean election until the leader has
	// recovered.
	Recovering bool
}

// Directory returns the log dir id of the replica on a broker; ok is false if
// the broker has no replica.
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

// idKey returns the key of an id in a Map. Keys sort like the bytes of the ids.
func idKey(id UUID) string { return string(id[:]) }

// TopicByName returns a topic, nil if no topic has that name.
func (img *Image) TopicByName(name string) *Topic {
	t, _ := img.topicNames.Get(name)
	return t
}

// TopicByID returns a topic, nil if no topic has that id.
func (img *Image) TopicByID(id UUID) *Topic {
	t, _ := img.topics.Get(string(id[:]))
	return t
}

// NumTopics is the number of topics.
func (img *Image) NumTopics() int { return img.topics.Len() }

// Topics iterates over the topics, by ascending name.
func (img *Image) Topics() iter.Seq[*Topic] { return values(img.topicNames) }

// TopicsFrom iterates over the topics whose name is at least from, by ascending
// name.
func (img *Image) TopicsFrom(from string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		for _, t := range img.topicNames.From(from) {
			if !yield(t) {
				return
			}
		}
	}
}
