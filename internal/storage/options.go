package storage

import (
	"log/slog"
	"time"

	"ottla/internal/config"
	"ottla/internal/metrics"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TopicPartition is a topic, its id and a partition.
type TopicPartition struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}

// DefaultOpenFiles is a limit that leaves file descriptors for connections on usual
// systems.
const DefaultOpenFiles = 4096

// Options are the options of a Manager. Fields without a default must be set.
type Options struct {
	FS     vfs.FS
	Dirs   []string
	Now    func() time.Time // wall clock for timestamps, retention and expiry
	Log    *slog.Logger
	Codecs *record.Codecs
	// Seed is the seed for the ids of new dirs and deleted folders, and for the
	// jitter of segment.jitter.ms.
	Seed uint64

	// NodeID and ClusterID are compared with meta.properties of each dir, and
	// written there if the dir is new.
	NodeID    int32
	ClusterID string

	Durability  config.Durability
	FlushMethod config.FlushMethod
	// OpenFilesMax is the number of segment files that stay open. More are open only
	// while they are read or dirty. 0: DefaultOpenFiles.
	OpenFilesMax int
	// OpenFilesLimit is the number of open files above which appends and reads get
	// ErrStorage, which is retriable; 0: no limit.
	OpenFilesLimit int

	// ReserveBytes is ottla.disk.reserve.bytes, at most a twentieth of the disk;
	// 0: none.
	ReserveBytes int64

	// Default is the config of a topic for which TopicConfig returns none.
	Default config.Topic
	// TopicConfig returns the config of a topic whose folder is found at open.
	// Several goroutines call it at once. nil: Default for all. Later changes are
	// set by Log.UpdateConfig.
	TopicConfig func(topic string) (config.Topic, bool)

	// Logs has the intervals and the recovery threads. An interval of 0 leaves
	// that work to the caller (see Manager.Checkpoint, CheckRetention …).
	Logs config.Logs
	// HighWatermarkInterval is replica.high.watermark.checkpoint.interval.ms.
	HighWatermarkInterval time.Duration
	// Producers has producer.id.expiration.ms and its check interval.
	Producers config.Producers

	// Metrics counts the rounds of the flushers; nil: no counting.
	Metrics *metrics.Metrics
	// OnDirFailure is called once for each dir that goes offline, in a separate
	// goroutine and without a lock. From then on every call of its logs, including
	// reads, fails with ErrStorage. Close waits for OnDirFailure to return.
	OnDirFailure func(DirFailure)

	// manual starts no goroutine and does everything sequentially, for tests that
	// crash at a certain I/O. scanBytes makes their buffers small.
	manual    bool
	scanBytes int
}

// DirFailure is a log dir that went offline.
type DirFailure struct {
	Path string
	ID   [16]byte
	Err  error
}

// LogOptions are the options of one log outside a Manager: the metadata log, whose owner
// does flushes, checkpoints and deletions.
type LogOptions struct {
	FS     vfs.FS
	Path   string // the folder, created if it is missing
	TP     TopicPartition
	Config config.Topic
	Now    func() time.Time
	Log    *slog.Logger
	Codecs *record.Codecs
	Seed   uint64
	// Start is the log start offset stored by the owner, 0 for none. An empty log
	// begins there.
	Start int64
	// RecoveryPoint is the last result of Checkpoint. Recovery begins there. 0 is
	// always valid, and is required after a truncation below the point.
	RecoveryPoint int64
}
