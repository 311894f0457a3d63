package storage

import (
	"log/slog"
	"time"

	"ottla/internal/config"
	"ottla/internal/metrics"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TopicPartition names a partition and the topic's id.
type TopicPartition struct {
	Topic     string
	TopicID   [16]byte
	Partition int32
}

// DefaultOpenFiles is a limit that leaves room for connections under the
// descriptor limits of the usual systems.
const DefaultOpenFiles = 4096

// Options are what a Manager needs. Fields without a default must be set.
type Options struct {
	FS     vfs.FS
	Dirs   []string
	Now    func() time.Time // wall clock of timestamps, retention and expiry
	Log    *slog.Logger
	Codecs *record.Codecs
	// Seed feeds the ids of new dirs and deleted folders, and the jitter of
	// segment.jitter.ms.
	Seed uint64

	// NodeID and ClusterID are compared with meta.properties of each dir, or
	// written there when the dir is new.
	NodeID    int32
	ClusterID string

	Durability  config.Durability
	FlushMethod config.FlushMethod
	// OpenFilesMax is how many files of segments stay open; more only while
	// they are read or dirty. 0: DefaultOpenFiles.
	OpenFilesMax int
	// OpenFilesLimit is how many may be open at all before appends and reads are
	// refused by ErrStorage, which passes; 0: any number.
	OpenFilesLimit int

	// ReserveBytes is ottla.disk.reserve.bytes, at most a twentieth of the disk;
	// 0: none.
	ReserveBytes int64

	// Default is the config of a topic that TopicConfig does not know.
	Default config.Topic
	// TopicConfig gives the config of a topic whose folder is found at open, to
	// several goroutines at once; nil: Default for all. Later changes come
	// through Log.UpdateConfig.
	TopicConfig func(topic string) (config.Topic, bool)

	// Logs has the intervals and the recovery threads. An interval of 0 leaves
	// that work to the caller (see Manager.Checkpoint, CheckRetention …).
	Logs config.Logs
	// HighWatermarkInterval is replica.high.watermark.checkpoint.interval.ms.
	HighWatermarkInterval time.Duration
	// Producers has producer.id.expiration.ms and its check interval.
	Producers config.Producers

	// Metrics counts the rounds of the flushers; nil: nobody wants to know.
	Metrics *metrics.Metrics
	// OnDirFailure is told once for each dir that goes offline, in a goroutine
	// of its own, without any lock held. Every call of its logs, reads too,
	// fails from then on with ErrStorage. Close waits for it to return.
	OnDirFailure func(DirFailure)

	// manual starts no goroutine and does everything one after the other, for
	// tests that crash at a certain I/O; scanBytes makes their buffers small.
	manual    bool
	scanBytes int
}

// DirFailure is a log dir that went offline.
type DirFailure struct {
	Path string
	ID   [16]byte
	Err  error
}

// LogOptions open one log outside a Manager: the metadata log, whose owner
// flushes, checkpoints and deletes by itself.
type LogOptions struct {
	FS     vfs.FS
	Path   string // the folder, made when it is missing
	TP     TopicPartition
	Config config.Topic
	Now    func() time.Time
	Log    *slog.Logger
	Codecs *record.Codecs
	Seed   uint64
	// Start is the log start offset that the owner remembers, 0 if none: where
	// an empty log begins.
	Start int64
	// RecoveryPoint is what Checkpoint returned last: recovery begins there. 0 is
	// always right, and so it must be after a truncation below it.
	RecoveryPoint int64
}
