// Package raft is the quorum that keeps the metadata log `__cluster_metadata`:
// etcd-io/raft as the algorithm, Kafka's files as its memory.
//
// Raft counts entries, Kafka counts records. One entry is one record batch:
// raft's term is the batch's leader epoch, and a table in memory leads from
// raft's index to the offset. Whoever looks at the folder sees what a Kafka
// controller writes there:
//
//	__cluster_metadata-0/
//	  00000000000000000000.log …                   the log, a storage.Log
//	  00000000000000000000-0000000000.checkpoint   snapshots; the first start
//	                                               writes this one with the voters
//	  quorum-state                                 term and vote
//
// Start reading at Node (node.go), whose loop (loop.go) drives core (core.go),
// the state machine around raft.RawNode without a goroutine of its own:
// propose.go and core.step put in, collect.go takes out, worker.go is the work
// that takes time, finish.go its end. log.go is raft's storage, index.go its
// table, entry.go the batches that stand for entries. open.go and scan.go find
// all that again, snapshot.go and snapshotter.go shorten it, voters.go and
// quorum_state.go are who votes and for whom. status.go and figures.go tell how
// it does.
package raft

import (
	"errors"
	"iter"
	"log/slog"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TopicPartition is the folder of the metadata log in its log dir.
const TopicPartition = "__cluster_metadata-0"

// MaxBatchBytes is the largest batch, and thereby the largest proposal, in
// bytes; Kafka's controllers have the same limit.
const MaxBatchBytes = 8 << 20

// What Propose and the rest report.
var (
	// ErrNotLeader: this node does not lead the term that the caller decided
	// in, or lost it before the records were committed. In the second case
	// they may be committed all the same.
	ErrNotLeader = errors.New("raft: not the leader of this epoch")
	// ErrBusy: too much is proposed and not committed yet; nothing was
	// appended, and a later attempt may succeed.
	ErrBusy = errors.New("raft: too many uncommitted proposals")
	// ErrTooLarge: the records do not fit into one batch of MaxBatchBytes.
	ErrTooLarge = errors.New("raft: the records do not fit into one batch")
	// ErrClosed: the node was closed. Records that wait may be committed all
	// the same.
	ErrClosed = errors.New("raft: closed")
	// ErrNotVoter is returned by Open for a folder whose quorum does not
	// include this node with this directory id.
	ErrNotVoter = errors.New("raft: this node is not a voter of the quorum")
)

// Message is what voters send each other. Its entries carry whole batches, its
// snapshot the id of a file.
type Message = raftpb.Message

// Options say who this node is and what it works with.
type Options struct {
	FS vfs.FS
	// Dir is the log dir (metadata.log.dir); the log is in its folder
	// TopicPartition, which Open makes.
	Dir string
	// NodeID and DirectoryID are this voter. Both together make its raft id,
	// so that a node that lost its disk is another voter.
	NodeID      int32
	DirectoryID metadata.UUID
	// Endpoints are where the controller listeners of this node are reached.
	// They go into the first VotersRecord, and into another one when this node
	// becomes leader and they are not what is on record.
	Endpoints []metadata.VoterEndpoint
	// InitialVoters is the quorum of the first start; empty means this node
	// alone. Later starts take the voters from the folder.
	InitialVoters []metadata.Voter
	// Static makes the first start leave the voters to the configuration, as a
	// Kafka does that was formatted for controller.quorum.voters (kraft.version
	// 0). Later starts take it from the folder. Only a quorum of this node alone
	// can be so.
	Static bool

	// Now is the wall clock of the records' timestamps and of retention.
	Now func() time.Time
	// Elapsed is a time that never goes back, for Figures.
	Elapsed func() time.Duration
	Log     *slog.Logger
	Codecs  *record.Codecs

	// SegmentBytes and SegmentAge roll the log (metadata.log.segment.bytes,
	// metadata.log.segment.ms); 0 is Kafka's default, 1 GiB and 7 days.
	SegmentBytes int32
	SegmentAge   time.Duration

	// SnapshotSource is the owner's state after everything that was applied.
	// It is called between two calls of apply, and its records are iterated
	// later, beside further calls. nil: this node never makes a snapshot.
	SnapshotSource func() iter.Seq[metadata.Message]
	// SnapshotBytes of batches since the last snapshot make the next one
	// (metadata.log.max.record.bytes.between.snapshots); 0 is 20 MiB.
	SnapshotBytes int64
	// SnapshotInterval makes one when anything was applied since the last
	// (metadata.log.max.snapshot.interval.ms); 0 turns that off.
	SnapshotInterval time.Duration
	// RetentionBytes of log and snapshots, and RetentionAge of a snapshot,
	// remove old ones and the log before them (metadata.max.retention.bytes
	// and .ms); negative keeps everything, 0 is 100 MiB and 7 days. The newest
	// snapshot always stays.
	RetentionBytes int64
	RetentionAge   time.Duration

	// Tick is raft's unit of time; 0 is 100 ms. An election begins after 10 to
	// 20 ticks without a leader, a heartbeat is sent each tick.
	Tick time.Duration
	// Send takes messages for other voters (Message.To is a RaftID). It is
	// called by the node's goroutine, must not block, and may drop messages.
	// nil drops all.
	Send func([]*Message)
	// LeaderChanged is told each new leader (-1: not known) and epoch, before
	// anything of the new epoch is applied. It is called by the node's
	// goroutine and must neither block nor call the Node.
	LeaderChanged func(leader, epoch int32)

	// inspect keeps openStore's steps from writing anything.
	inspect bool
}

// Committed is one committed batch, or the snapshot that stands for all before
// it.
type Committed struct {
	// BaseOffset and LastOffset are the batch's first and last; a snapshot
	// holds everything from 0 to LastOffset, which is -1 for an empty one.
	BaseOffset, LastOffset int64
	// Epoch is the leader epoch of the batch, of the last one for a snapshot.
	Epoch int32
	// Timestamp is when the leader appended the batch, in ms.
	Timestamp int64
	// Records are the records of a data batch, or the whole state. A batch of
	// raft's own has none: it only moves LastOffset.
	Records []metadata.Message
	// LeaderChange is set when a new leader begins its epoch with this batch:
	// from here on what it proposed itself follows.
	LeaderChange *metadata.LeaderChangeMessage
	// Snapshot tells that Records replace the state.
	Snapshot bool
}
