package group

import (
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// simple is a group that exists only through its offsets: somebody commits
// without being a member. Kafka calls it a simple consumer group: an empty
// classic group without a protocol type. Who joins under its id replaces it by
// a group of the kind that he speaks, and finds the offsets.
type simple struct{ name string }

func (g *simple) id() string           { return g.name }
func (g *simple) kind() Kind           { return Classic }
func (g *simple) state() string        { return "Empty" }
func (g *simple) protocolType() string { return "" }
func (g *simple) empty() bool          { return true }
func (g *simple) size() int            { return 0 }

func (g *simple) subscribed(string) bool { return false }

// checkCommit lets everybody commit who does not claim a membership.
func (g *simple) checkCommit(c commitBy) (partitionCheck, error) {
	if c.generation >= 0 {
		return nil, protocol.UnknownMemberID
	}
	return nil, nil
}

func (g *simple) checkFetch(*string, int32) error { return nil }
func (g *simple) checkDelete() error              { return nil }
func (g *simple) checkDeleteOffsets() error       { return nil }

func (g *simple) tombstones() []coordinator.Record {
	return []coordinator.Record{{Key: groupMetadataKey(g.name)}}
}

func (g *simple) touch(coordinator.Moment, string) {}

func (g *simple) expires() bool             { return true }
func (g *simple) emptySince() (int64, bool) { return 0, false }

func (g *simple) loaded(coordinator.Moment) coordinator.Output { return coordinator.Output{} }

func (g *simple) topicsChanged(coordinator.Moment, []metadata.TopicDelta) coordinator.Output {
	return coordinator.Output{}
}
