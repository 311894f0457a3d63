package config

import (
	"log/slog"
	"time"
)

// Broker is the snapshot of a node's configuration that the other packages
// read. It is immutable: an alteration at run time makes a new one (With).
type Broker struct {
	// NodeID is node.id (or broker.id), ≥ 0.
	NodeID int32
	// ClusterID is ottla.cluster.id, or CLUSTER_ID of the environment. Empty: a
	// new cluster generates an id at its first start.
	ClusterID string
	// BrokerRole and ControllerRole are process.roles.
	BrokerRole, ControllerRole bool
	// Rack is broker.rack; nil if not set.
	Rack *string

	// Listeners are the listeners that the node binds, in the order of the
	// listeners key. They include the controller's (Controller is set).
	Listeners []Listener
	// Advertised are the addresses for clients and other brokers. An empty host
	// means the machine's name, port 0 the bound port.
	Advertised []Listener
	// AdvertisedControllers are the controller's addresses if
	// advertised.listeners contains any. Otherwise Listeners applies.
	AdvertisedControllers []Listener
	// ControllerListenerNames is controller.listener.names; empty if there is
	// no controller listener.
	ControllerListenerNames []string
	// InterBrokerListener is the name of the listener between brokers.
	InterBrokerListener string
	// Voters is controller.quorum.voters; empty: this node alone.
	Voters []Voter

	// LogDirs has at least one entry, without duplicates.
	LogDirs []string
	// MetadataLogDir is the log dir of __cluster_metadata-0.
	MetadataLogDir string

	Network     Network
	Logs        Logs
	Metadata    Metadata
	Replication Replication
	Topics      TopicDefaults
	Producers   Producers
	Offsets     InternalTopic // __consumer_offsets
	Groups      Groups
	Txn         InternalTopic // __transaction_state
	Share       InternalTopic // __share_group_state
	Ottla       Own

	ConsumerGroups ConsumerGroups

	// LogLevel comes from ottla.log.level or KAFKA_LOG4J_ROOT_LOGLEVEL.
	LogLevel slog.Level
	// Warnings are lines to log at the start, for example about unknown keys.
	Warnings []string

	values *values
	topic  Topic // the configuration of a topic without overrides
}

// Network is the configuration of the socket server.
type Network struct {
	RequestMaxBytes       int32         // socket.request.max.bytes
	QueuedMaxRequestBytes int64         // queued.max.request.bytes; -1: no limit set
	QueuedMaxRequests     int32         // queued.max.requests
	SendBufferBytes       int32         // socket.send.buffer.bytes; -1: the system's
	ReceiveBufferBytes    int32         // socket.receive.buffer.bytes; -1: the system's
	ListenBacklog         int32         // socket.listen.backlog.size
	MaxIdle               time.Duration // connections.max.idle.ms; ≤ 0: never closed
	MaxConnections        int32         // max.connections
	MaxConnectionsPerIP   int32         // max.connections.per.ip
	// MaxConnectionsPerIPOverrides is max.connections.per.ip.overrides, by host
	// name or address as written.
	MaxConnectionsPerIPOverrides map[string]int32
	MaxConnectionCreationRate    int32         // max.connection.creation.rate, per second
	RequestTimeout               time.Duration // request.timeout.ms, between nodes
	FetchMaxBytes                int32         // fetch.max.bytes, of one Fetch response
	FetchSessions                int32         // max.incremental.fetch.session.cache.slots
	MaxRequestPartitions         int32         // max.request.partition.size.limit (DescribeTopicPartitions)
}

// Logs is the configuration of the log manager.
type Logs struct {
	RecoveryThreadsPerDir         int32         // num.recovery.threads.per.data.dir
	RetentionCheckInterval        time.Duration // log.retention.check.interval.ms
	InitialTaskDelay              time.Duration // log.initial.task.delay.ms
	FlushSchedulerInterval        time.Duration // log.flush.scheduler.interval.ms
	RecoveryCheckpointInterval    time.Duration // log.flush.offset.checkpoint.interval.ms
	StartOffsetCheckpointInterval time.Duration // log.flush.start.offset.checkpoint.interval.ms
	DirFailureTimeout             time.Duration // log.dir.failure.timeout.ms
	CordonedDirs                  []string      // cordoned.log.dirs; "*" is resolved
	CleanerEnable                 bool          // log.cleaner.enable
	CleanerThreads                int32         // log.cleaner.threads
	CleanerDedupeBufferSize       int64         // log.cleaner.dedupe.buffer.size, all threads
	CleanerIOBufferSize           int32         // log.cleaner.io.buffer.size, all threads
	CleanerIOBufferLoadFactor     float64       // log.cleaner.io.buffer.load.factor
	CleanerIOMaxBytesPerSecond    float64       // log.cleaner.io.max.bytes.per.second
	CleanerBackoff                time.Duration // log.cleaner.backoff.ms
}

// Metadata is the configuration of the metadata quorum and the controller.
type Metadata struct {
	SegmentBytes              int32         // metadata.log.segment.bytes or internal.metadata.log.segment.bytes
	SegmentAge                time.Duration // metadata.log.segment.ms
	RetentionBytes            int64         // metadata.max.retention.bytes
	Retention                 time.Duration // metadata.max.retention.ms
	MaxBatchBytes             int32         // internal.metadata.max.batch.size.in.bytes
	DeleteDelay               time.Duration // internal.metadata.delete.delay.millis
	SnapshotBytes             int64         // metadata.log.max.record.bytes.between.snapshots
	SnapshotInterval          time.Duration // metadata.log.max.snapshot.interval.ms; 0: never by time
	MaxIdleInterval           time.Duration // metadata.max.idle.interval.ms; 0: no NoOpRecords
	ElectionTimeout           time.Duration // controller.quorum.election.timeout.ms
	ElectionBackoffMax        time.Duration // controller.quorum.election.backoff.max.ms
	FetchTimeout              time.Duration // controller.quorum.fetch.timeout.ms
	RequestTimeout            time.Duration // controller.quorum.request.timeout.ms
	RetryBackoff              time.Duration // controller.quorum.retry.backoff.ms
	AppendLinger              time.Duration // controller.quorum.append.linger.ms
	FetchMaxBytes             int32         // controller.quorum.fetch.max.bytes
	FetchSnapshotMaxBytes     int32         // controller.quorum.fetch.snapshot.max.bytes
	BrokerSessionTimeout      time.Duration // broker.session.timeout.ms
	BrokerHeartbeatInterval   time.Duration // broker.heartbeat.interval.ms
	BrokerRegistrationTimeout time.Duration // initial.broker.registration.timeout.ms
	LeaderRebalance           bool          // auto.leader.rebalance.enable
	LeaderRebalanceInterval   time.Duration // leader.imbalance.check.interval.seconds
}

// Replication is the configuration of leaders and followers.
type Replication struct {
	Fetchers              int32         // num.replica.fetchers
	LagTimeMax            time.Duration // replica.lag.time.max.ms
	FetchMaxBytes         int32         // replica.fetch.max.bytes, per partition
	FetchMinBytes         int32         // replica.fetch.min.bytes
	FetchResponseMaxBytes int32         // replica.fetch.response.max.bytes
	FetchWaitMax          time.Duration // replica.fetch.wait.max.ms
	FetchBackoff          time.Duration // replica.fetch.backoff.ms
	SocketTimeout         time.Duration // replica.socket.timeout.ms
	CheckpointInterval    time.Duration // replica.high.watermark.checkpoint.interval.ms
}

// TopicDefaults applies to new topics where the creator sets no value.
type TopicDefaults struct {
	Partitions        int32 // num.partitions
	ReplicationFactor int16 // default.replication.factor
	AutoCreate        bool  // auto.create.topics.enable
	DeleteEnable      bool  // delete.topic.enable
}

// Producers is the configuration for idempotent and transactional producers.
type Producers struct {
	IDExpiration            time.Duration // producer.id.expiration.ms
	IDExpirationCheck       time.Duration // producer.id.expiration.check.interval.ms
	IDsMax                  int32         // ottla.producer.ids.max
	TransactionMaxTimeout   time.Duration // transaction.max.timeout.ms
	TransactionIDExpiration time.Duration // transactional.id.expiration.ms
}

// InternalTopic configures the creation of an internal topic.
type InternalTopic struct {
	Partitions        int32
	ReplicationFactor int16
	SegmentBytes      int32
	MinInsyncReplicas int32 // 0: not set by the broker; the topic config applies
}

// Groups is the configuration of the group coordinator.
type Groups struct {
	OffsetMetadataMaxBytes int32         // offset.metadata.max.bytes
	CommitTimeout          time.Duration // offsets.commit.timeout.ms
	OffsetsCompression     int32         // offsets.topic.compression.codec: a codec's number in the batch header
	OffsetsRetention       time.Duration // offsets.retention.minutes
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms

	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	MaxSize               int32         // group.max.size
}

// Own holds Ottla's own keys.
type Own struct {
	Durability   Durability  // ottla.durability
	FlushMethod  FlushMethod // ottla.flush.method
	OpenFilesMax int32       // ottla.open.files.max; 0: not known
	DiskReserve  int64       // ottla.disk.reserve.bytes, of each log dir; 0: none
	MemoryMax    int64       // ottla.memory.max, bytes; 0: not known
	HTTPListener string      // ottla.http.listener, host:port or none; empty: not set
	HTTPHosts    []string    // ottla.http.hosts
	// MetricsPartitionsMax is ottla.metrics.partitions.max.
	MetricsPartitionsMax int32
}

// Durability says when a record counts as written.
type Durability uint8

// The durabilities.
const (
	Fsync     Durability = iota // when it is on disk
	PageCache                   // when the operating system has it, as in Kafka
)

// FlushMethod is how dirty files are written to disk.
type FlushMethod uint8

// The flush methods.
const (
	FlushAuto FlushMethod = iota // depends on the number of dirty files
	FlushFdatasync
	FlushSyncfs
)

// Listener is a name, a security protocol and an address.
type Listener struct {
	Name     string // upper case, such as PLAINTEXT or CONTROLLER
	Protocol string // PLAINTEXT; others are refused because they are not supported yet
	Host     string // empty: all interfaces
	Port     int32  // 0: any free port
	// Controller is set for listeners that serve controllers, not clients.
	Controller bool
}

// Voter is one entry of controller.quorum.voters: id@host:port.
type Voter struct {
	ID   int32
	Host string
	Port int32
}

// Value returns the effective value of a broker key as text, and its origin.
// The origin is FromDefault also for values altered at run time. ok is false if
// the key is null, or unknown and not set. Passwords are not hidden.
func (b *Broker) Value(name string) (value string, origin Origin, ok bool) {
	value, ok = b.values.text(name)
	if s, set := b.values.static[name]; set && s.value == value {
		origin = s.origin
	}
	return value, origin, ok
}

// Setting is a key that was set at the start.
type Setting struct {
	Name   string
	Value  string // "[hidden]" when sensitive
	Origin Origin
	Where  string // such as "server.properties:12" or "KAFKA_NODE_ID"
	Known  bool   // in the table, or a variant for a listener or plugin
	Used   bool   // Ottla uses the key
}

// Settings lists all keys that were set at the start, sorted by name.
func (b *Broker) Settings() []Setting {
	all := make([]Setting, 0, len(b.values.static))
	for _, name := range sortedNames(b.values.static) {
		s := b.values.static[name]
		if s.echo {
			continue
		}
		k := lookup(ScopeBroker, listenerBase(name))
		row := Setting{Name: name, Value: s.value, Origin: s.origin, Where: s.where, Known: isKnown(name)}
		row.Used = k != nil && k.Used && k.Name == name
		if k == nil || k.Sensitive {
			row.Value = "[hidden]"
		}
		all = append(all, row)
	}
	return all
}

// Unused lists the known keys that were set at the start but that Ottla does
// not use, sorted. Unknown keys are in Warnings.
func (b *Broker) Unused() []string {
	var names []string
	for _, s := range b.Settings() {
		if s.Known && !s.Used {
			names = append(names, s.Name)
		}
	}
	return names
}
