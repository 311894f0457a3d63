package storage

import (
	"errors"
	"fmt"
	"syscall"

	"ottla/internal/vfs"
)

// The errors that callers distinguish with errors.Is. They are wrapped, with partition,
// offsets and numbers in the text.
var (
	// ErrOffsetOutOfRange: an offset below the log's start or above its end, or
	// a start offset above the high watermark. OFFSET_OUT_OF_RANGE.
	ErrOffsetOutOfRange = errors.New("offset out of range")
	// ErrStorage: the disk failed, or it is full. KAFKA_STORAGE_ERROR, which a
	// client retries. IsNoSpace detects a full disk, whose dir stays online.
	ErrStorage = errors.New("storage error")
	// ErrClosed: the log is closed, deleted or its dir is offline.
	ErrClosed = errors.New("log is closed")
	// ErrBatchTooLarge: a list of batches exceeds segment.bytes.
	// RECORD_LIST_TOO_LARGE.
	ErrBatchTooLarge = errors.New("record list exceeds the segment size")
	// ErrUnexpectedOffset: a follower's batches begin below the log's end.
	ErrUnexpectedOffset = errors.New("append at an unexpected offset")
	// ErrFencedEpoch: an append with a leader epoch below the log's latest (P4).
	// FENCED_LEADER_EPOCH.
	ErrFencedEpoch = errors.New("leader epoch is fenced")
	// ErrOutOfOrderSequence: an idempotent producer's batch does not follow its
	// last one (T3, T4). OUT_OF_ORDER_SEQUENCE_NUMBER.
	ErrOutOfOrderSequence = errors.New("out of order sequence number")
	// ErrInvalidProducerEpoch: a newer epoch of the producer has already written
	// (T2).
	// INVALID_PRODUCER_EPOCH.
	ErrInvalidProducerEpoch = errors.New("invalid producer epoch")
	// ErrInvalidTxnState: a batch outside a transaction from a producer that has
	// one open. INVALID_TXN_STATE.
	ErrInvalidTxnState = errors.New("invalid transaction state")
	// ErrCoordinatorFenced: a marker of an older transaction coordinator (T9).
	// TRANSACTION_COORDINATOR_FENCED.
	ErrCoordinatorFenced = errors.New("transaction coordinator fenced")
	// ErrTopicID: the folder belongs to another topic of the same name (P14).
	// INCONSISTENT_TOPIC_ID.
	ErrTopicID = errors.New("inconsistent topic id")
	// ErrExists: the partition already has a log.
	ErrExists = errors.New("log exists already")
	// ErrUnknownDir: no online log dir has that id.
	ErrUnknownDir = errors.New("unknown log dir")
)

// IsNoSpace tells whether err means that the disk is full. The dir then stays online,
// reads and deletes continue, and an append may succeed later.
func IsNoSpace(err error) bool { return vfs.IsNoSpace(err) }

// Passes tells whether err is a lack of space or of file descriptors. The dir then stays
// online, and a retry may succeed.
func Passes(err error) bool {
	return vfs.IsNoSpace(err) || errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// StorageError is a failed file system operation. errors.Is matches ErrStorage;
// errors.As and IsNoSpace find the cause.
type StorageError struct {
	// Dir is the log dir, or the folder of a log outside a Manager.
	Dir string
	Err error
}

func (e *StorageError) Error() string { return fmt.Sprintf("log dir %s: %v", e.Dir, e.Err) }

// Unwrap returns both the sentinel and the cause.
func (e *StorageError) Unwrap() []error { return []error{ErrStorage, e.Err} }

// CorruptError reports invalid bytes on disk.
type CorruptError struct {
	// File is the path of the file.
	File string
	// Segment is the base offset of the segment, -1 for other files.
	Segment int64
	// Offset is the offset of the invalid record batch, -1 if unknown.
	Offset int64
	// Pos is the position in the file, in bytes.
	Pos    int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d (offset %d): %s", e.File, e.Pos, e.Offset, e.Reason)
}

// isClosed tells whether a log is being closed, which is not a failure of the dir.
func isClosed(err error) bool { return errors.Is(err, ErrClosed) }
