// Package raft implements the quorum that keeps the metadata log
// `__cluster_metadata`. The algorithm is etcd-io/raft; the files are Kafka's.
//
// Raft counts entries, Kafka counts records. One entry is one record batch.
// Raft's term is the batch's leader epoch. A table in memory maps raft's index
// to the offset. The folder holds the same files that a Kafka controller
// writes:
//
//	__cluster_metadata-0/
//	  00000000000000000000.log …                   the log, a storage.Log
//	  00000000000000000000-0000000000.checkpoint   snapshots; the first start
//	                                               writes this one with the voters
//	  quorum-state                                 term and vote
//
// Start reading at Node (node.go). Its loop (loop.go) drives core (core.go),
// the state machine around raft.RawNode, which has no goroutine of its own.
// propose.go and core.step hold the inputs, collect.go the outputs, worker.go
// the slow work, and finish.go the handling of finished work. log.go is raft's
// storage, index.go its table, entry.go the batches that represent entries.
// open.go and scan.go open and check the log at start, snapshot.go and
// snapshotter.go write snapshots and shorten the log, voters.go holds the set
// of voters and quorum_state.go the vote. status.go and figures.go report the
// state and the metrics.
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

// MaxBatchBytes is the size limit of a batch, and so of a proposal, in bytes.
// Kafka's controllers have the same limit.
const MaxBatchBytes = 8 << 20

// Errors of Propose and the other functions.
var (
	// ErrNotLeader: this node does not lead the term for which the caller made
	// its decision, or it lost the leadership before the records were
	// committed. In the second case they may still be committed.
	ErrNotLeader = errors.New("raft: not the leader of this epoch")
	// ErrBusy: too many proposals are not committed yet. Nothing was appended;
	// a later attempt may succeed.
	ErrBusy = errors.New("raft: too many uncommitted proposals")
	// ErrTooLarge: the records do not fit into one batch of MaxBatchBytes.
	ErrTooLarge = errors.New("raft: the records do not fit into one batch")
	// ErrClosed: the node was closed. Waiting records may still be committed.
	ErrClosed = errors.New("raft: closed")
	// ErrNotVoter is returned by Open for a folder whose quorum does not
	// include this node with this directory id.
	ErrNotVoter = errors.New("raft: this node is not a voter of the quorum")
)

// Message is a message between voters. Its entries carry whole batches; its
// snapshot carries the id of a file.
type Message = raftpb.Message

// Options configure a node.
type Options struct {
	FS vfs.FS
	// Dir is the log dir (metadata.log.dir); the log is in its folder
	// TopicPartition, which Open makes.
	Dir string
	// NodeID and DirectoryID identify this voter. Its raft id is derived from
	// both, so a node that lost its disk is another voter.
	NodeID      int32
	DirectoryID metadata.UUID
	// Endpoints are the addresses of this node's controller listeners. They are
	// written to the first VotersRecord. When this node becomes leader and
	// other endpoints are recorded, it writes another VotersRecord.
	Endpoints []metadata.VoterEndpoint
	// InitialVoters is the quorum of the first start; empty means this node
	// alone. Later starts take the voters from the folder.
	InitialVoters []metadata.Voter
	// Static makes the first start leave the voters to the configuration, like
	// a Kafka that was formatted for controller.quorum.voters (kraft.version
	// 0). Later starts take this from the folder. It is supported only for a
	// quorum of this node alone.
	Static bool

	// Now is the wall clock of the records' timestamps and of retention.
	Now func() time.Time
	// Elapsed is a monotonic time, for Figures.
	Elapsed func() time.Duration
	Log     *slog.Logger
	Codecs  *record.Codecs

	// SegmentBytes and SegmentAge roll the log (metadata.log.segment.bytes,
	// metadata.log.segment.ms); 0 is Kafka's default, 1 GiB and 7 days.
	SegmentBytes int32
	SegmentAge   time.Duration

	// SnapshotSource returns the owner's state after everything that was
	// applied. It is called between two calls of apply. Its records are
	// iterated later, concurrently with further calls of apply. nil: this node
	// never makes a snapshot.
	SnapshotSource func() iter.Seq[metadata.Message]
	// SnapshotBytes is the size of the batches after which the next snapshot is
	// made (metadata.log.max.record.bytes.between.snapshots); 0 is 20 MiB.
	SnapshotBytes int64
	// SnapshotInterval is the time after which a snapshot is made if anything
	// was applied since the last one (metadata.log.max.snapshot.interval.ms); 0
	// turns that off.
	SnapshotInterval time.Duration
	// RetentionBytes limits the size of log and snapshots together,
	// RetentionAge the age of a snapshot. Older snapshots and the log before
	// them are removed (metadata.max.retention.bytes and .ms). Negative keeps
	// everything, 0 is 100 MiB and 7 days. The newest snapshot is always kept.
	RetentionBytes int64
	RetentionAge   time.Duration

	// Tick is raft's unit of time; 0 is 100 ms. An election begins after 10 to
	// 20 ticks without a leader, a heartbeat is sent each tick.
	Tick time.Duration
	// Send sends messages to other voters (Message.To is a RaftID). It is
	// called by the node's goroutine, must not block, and may drop messages.
	// nil drops all messages.
	Send func([]*Message)
	// LeaderChanged is called with each new leader (-1: unknown) and epoch,
	// before anything of the new epoch is applied. It is called by the node's
	// goroutine and must neither block nor call the Node.
	LeaderChanged func(leader, epoch int32)

	// inspect prevents openStore's steps from writing anything.
	inspect bool
}

// Committed is one committed batch, or a snapshot that replaces all batches
// before it.
type Committed struct {
	// BaseOffset and LastOffset are the first and last offset of the batch. A
	// snapshot holds everything from 0 to LastOffset, which is -1 for an empty
	// one.
	BaseOffset, LastOffset int64
	// Epoch is the leader epoch of the batch; for a snapshot, of its last
	// batch.
	Epoch int32
	// Timestamp is when the leader appended the batch, in ms.
	Timestamp int64
	// Records are the records of a data batch, or the whole state for a
	// snapshot. A batch that raft itself writes has none: it only moves
	// LastOffset.
	Records []metadata.Message
	// LeaderChange is set when a new leader begins its epoch with this batch.
	// The new leader's own proposals follow.
	LeaderChange *metadata.LeaderChangeMessage
	// Snapshot is true when Records replace the state.
	Snapshot bool
}
