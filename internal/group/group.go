// Package group is the group coordinator: consumer groups in both of Kafka's
// protocols, and the offsets that they committed.
//
// A group acts as one reader of its topics: a partition goes to one of its
// members, and what was read is remembered in __consumer_offsets. Machine holds
// the groups of one partition of that topic and decides every request about
// them (see package coordinator for what that means); Coordinator is its shell
// for package api.
//
// Start reading at Machine, then classic.go (JoinGroup, SyncGroup, the client
// assigns), consumer.go (ConsumerGroupHeartbeat, KIP-848, the broker assigns)
// and offsets.go.
package group

import (
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
)

//go:generate go run ../schema/gen

// Kind is the protocol of a group, as ListGroups names it.
type Kind string

// The kinds of groups.
const (
	Classic  Kind = "classic"
	Consumer Kind = "consumer"
)

// group is what groups of all kinds have in common: a row of Machine.groups.
//
// The errors of the checks are protocol.Code values.
type group interface {
	id() string
	kind() Kind
	// state is the name that ListGroups and DescribeGroups show.
	state() string
	// protocolType is "consumer" for groups of consumers, "" while unknown.
	protocolType() string
	// empty tells that the group has no members, size how many it has.
	empty() bool
	size() int
	// subscribed tells whether a member may read the topic: its offsets neither
	// expire nor can they be deleted.
	subscribed(topic string) bool
	// checkCommit tells whether a member may commit: generation is its
	// generation, or its member epoch (G4). The check that it returns, if any,
	// is asked for each partition; its error fails the whole request.
	checkCommit(c commitBy) (partitionCheck, error)
	// checkFetch tells whether a member may read offsets; memberID is nil and
	// epoch negative for callers that are no members.
	checkFetch(memberID *string, epoch int32) error
	// checkDelete tells whether the group may be deleted, checkDeleteOffsets
	// whether single offsets of it may.
	checkDelete() error
	checkDeleteOffsets() error
	// tombstones are the records that forget the group, without its offsets.
	tombstones() []coordinator.Record
	// touch prolongs the session of the member that committed.
	touch(at coordinator.Moment, memberID string)
	// expires tells whether offsets may expire as the group is now (KIP-211).
	expires() bool
	// emptySince is when the group became empty, in ms (Moment.Wall), for the
	// expiry of its offsets (KIP-211); false: each offset counts from its own
	// commit.
	emptySince() (ms int64, ok bool)
	// loaded begins the sessions of a group that was loaded.
	loaded(at coordinator.Moment) coordinator.Output
	// topicsChanged tells what became of topics, as Machine.TopicsChanged.
	topicsChanged(at coordinator.Moment, topics []metadata.TopicDelta) coordinator.Output
}

// partitionCheck tells whether a commit of one partition is in order.
type partitionCheck func(topic string, id metadata.UUID, partition int32) error

// commitBy is who commits an offset.
type commitBy struct {
	memberID   string
	instanceID *string
	generation int32
	// transactional commits come with TxnOffsetCommit.
	transactional bool
	// version is that of the request: OffsetCommit 9 and later speak of member
	// epochs.
	version int16
}

// Client is who sends a request.
type Client struct {
	// ID is the client.id.
	ID string
	// Host is the peer's address as Kafka shows it, "/127.0.0.1".
	Host string
}
