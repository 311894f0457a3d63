package config

import (
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// newBroker makes the snapshot from checked values.
func newBroker(v *values) (*Broker, *Error) {
	r := roles{slices.Contains(v.list("process.roles"), "broker"), slices.Contains(v.list("process.roles"), "controller")}
	quorum, _ := parseVoters("controller.quorum.voters", v.list("controller.quorum.voters"))
	if fail := v.soleNode(r, quorum); fail != nil {
		return nil, fail
	}
	v.derive(quorum)
	e, fail := resolveEndpoints(v, r)
	if fail != nil {
		return nil, fail
	}
	if len(e.controllerNames) > 0 && !v.isSet("controller.listener.names") {
		v.derived["controller.listener.names"] = strings.Join(e.controllerNames, ",")
	}
	b := &Broker{
		NodeID: v.int32("node.id"), ClusterID: v.str("ottla.cluster.id"),
		BrokerRole: r.broker, ControllerRole: r.controller, Voters: quorum,
		Listeners: e.listeners, Advertised: e.advertised, AdvertisedControllers: e.controllers,
		ControllerListenerNames: e.controllerNames, InterBrokerListener: e.interBroker,
		LogLevel: logLevel(v.str("ottla.log.level")), values: v,
	}
	if v.has("broker.rack") {
		rack := v.str("broker.rack")
		b.Rack = &rack
	}
	b.LogDirs = v.list("log.dir")
	if v.has("log.dirs") {
		b.LogDirs = v.list("log.dirs")
	}
	b.MetadataLogDir = b.LogDirs[0]
	if dir := v.str("metadata.log.dir"); dir != "" {
		b.MetadataLogDir = dir
	}
	if fail := b.fill(v); fail != nil {
		return nil, fail
	}
	return b, b.check(v)
}

// derive sets the defaults that depend on other keys. A node that is the only
// voter has replication factor 1.
func (v *values) derive(quorum []Voter) {
	v.derived["broker.id"] = strconv.Itoa(int(v.int32("node.id")))
	if len(quorum) > 1 {
		return
	}
	for _, name := range []string{
		"offsets.topic.replication.factor",
		"transaction.state.log.replication.factor", "transaction.state.log.min.isr",
		"share.coordinator.state.topic.replication.factor", "share.coordinator.state.topic.min.isr",
	} {
		v.derived[name] = "1"
	}
}

// fill sets the parts of the snapshot.
func (b *Broker) fill(v *values) *Error {
	perIP, fail := v.perIP()
	if fail != nil {
		return fail
	}
	b.Network = v.network()
	b.Network.MaxConnectionsPerIPOverrides = perIP
	b.Logs = v.logs(b.LogDirs)
	b.Metadata = v.metadata()
	b.Replication = v.replication()
	b.Topics = TopicDefaults{
		Partitions:        v.int32("num.partitions"),
		ReplicationFactor: int16(min(v.int64("default.replication.factor"), math.MaxInt16)),
		AutoCreate:        v.bool("auto.create.topics.enable"),
		DeleteEnable:      v.bool("delete.topic.enable"),
	}
	b.Producers = Producers{
		IDExpiration:            v.ms("producer.id.expiration.ms"),
		IDExpirationCheck:       v.ms("producer.id.expiration.check.interval.ms"),
		IDsMax:                  v.int32("ottla.producer.ids.max"),
		TransactionMaxTimeout:   v.ms("transaction.max.timeout.ms"),
		TransactionIDExpiration: v.ms("transactional.id.expiration.ms"),
	}
	b.Offsets = v.internalTopic("offsets.topic.", "")
	b.Groups = v.groups()
	b.Txn = v.internalTopic("transaction.state.log.", "transaction.state.log.min.isr")
	b.Share = v.internalTopic("share.coordinator.state.topic.", "share.coordinator.state.topic.min.isr")
	if b.ConsumerGroups, fail = v.consumerGroups(); fail != nil {
		return fail
	}
	b.Ottla = Own{
		OpenFilesMax: v.int32("ottla.open.files.max"),
		DiskReserve:  v.int64("ottla.disk.reserve.bytes"),
		MemoryMax:    v.int64("ottla.memory.max"),
		HTTPListener: v.str("ottla.http.listener"), HTTPHosts: v.list("ottla.http.hosts"), MetricsPartitionsMax: v.int32("ottla.metrics.partitions.max"),
	}
	if v.str("ottla.durability") == "page-cache" {
		b.Ottla.Durability = PageCache
	}
	b.Ottla.FlushMethod = map[string]FlushMethod{"fdatasync": FlushFdatasync, "syncfs": FlushSyncfs}[v.str("ottla.flush.method")]
	b.topic = v.topicDefaults()
	return nil
}

func (v *values) internalTopic(prefix, minISR string) InternalTopic {
	t := InternalTopic{
		Partitions:        v.int32(prefix + "num.partitions"),
		ReplicationFactor: v.int16(prefix + "replication.factor"),
		SegmentBytes:      v.int32(prefix + "segment.bytes"),
	}
	if minISR != "" {
		t.MinInsyncReplicas = v.int32(minISR)
	}
	return t
}

func (v *values) network() Network {
	return Network{
		RequestMaxBytes:           v.int32("socket.request.max.bytes"),
		QueuedMaxRequestBytes:     v.int64("queued.max.request.bytes"),
		QueuedMaxRequests:         v.int32("queued.max.requests"),
		SendBufferBytes:           v.int32("socket.send.buffer.bytes"),
		ReceiveBufferBytes:        v.int32("socket.receive.buffer.bytes"),
		ListenBacklog:             v.int32("socket.listen.backlog.size"),
		MaxIdle:                   v.ms("connections.max.idle.ms"),
		MaxConnections:            v.int32("max.connections"),
		MaxConnectionsPerIP:       v.int32("max.connections.per.ip"),
		MaxConnectionCreationRate: v.int32("max.connection.creation.rate"),
		RequestTimeout:            v.ms("request.timeout.ms"),
		FetchMaxBytes:             v.int32("fetch.max.bytes"),
		FetchSessions:             v.int32("max.incremental.fetch.session.cache.slots"),
		MaxRequestPartitions:      v.int32("max.request.partition.size.limit"),
	}
}

// perIP parses max.connections.per.ip.overrides.
func (v *values) perIP() (map[string]int32, *Error) {
	const key = "max.connections.per.ip.overrides"
	overrides := map[string]int32{}
	for pair := range strings.SplitSeq(v.str(key), ",") {
		if pair = strings.TrimSpace(pair); pair == "" {
			continue
		}
		host, count, ok := splitHostPort(pair)
		n, err := strconv.ParseInt(count, 10, 32)
		if !ok || err != nil {
			return nil, refusal(key, invalid(key, v.str(key), pair+" is not of the form host:count"))
		}
		overrides[host] = int32(n)
	}
	return overrides, nil
}

func (v *values) logs(dirs []string) Logs {
	cordoned := v.list("cordoned.log.dirs")
	if len(cordoned) == 1 && cordoned[0] == "*" {
		cordoned = slices.Clone(dirs)
	}
	return Logs{
		RecoveryThreadsPerDir:         v.int32("num.recovery.threads.per.data.dir"),
		RetentionCheckInterval:        v.ms("log.retention.check.interval.ms"),
		InitialTaskDelay:              v.ms("log.initial.task.delay.ms"),
		FlushSchedulerInterval:        v.ms("log.flush.scheduler.interval.ms"),
		RecoveryCheckpointInterval:    v.ms("log.flush.offset.checkpoint.interval.ms"),
		StartOffsetCheckpointInterval: v.ms("log.flush.start.offset.checkpoint.interval.ms"),
		DirFailureTimeout:             v.ms("log.dir.failure.timeout.ms"),
		CordonedDirs:                  cordoned,
		CleanerEnable:                 v.bool("log.cleaner.enable"),
		CleanerThreads:                v.int32("log.cleaner.threads"),
		CleanerDedupeBufferSize:       v.int64("log.cleaner.dedupe.buffer.size"),
		CleanerIOBufferSize:           v.int32("log.cleaner.io.buffer.size"),
		CleanerIOBufferLoadFactor:     v.double("log.cleaner.io.buffer.load.factor"),
		CleanerIOMaxBytesPerSecond:    v.double("log.cleaner.io.max.bytes.per.second"),
		CleanerBackoff:                v.ms("log.cleaner.backoff.ms"),
	}
}

func (v *values) metadata() Metadata {
	m := Metadata{
		SegmentBytes:              v.int32("metadata.log.segment.bytes"),
		SegmentAge:                v.ms("metadata.log.segment.ms"),
		RetentionBytes:            v.int64("metadata.max.retention.bytes"),
		Retention:                 v.ms("metadata.max.retention.ms"),
		MaxBatchBytes:             v.int32("internal.metadata.max.batch.size.in.bytes"),
		DeleteDelay:               v.ms("internal.metadata.delete.delay.millis"),
		SnapshotBytes:             v.int64("metadata.log.max.record.bytes.between.snapshots"),
		SnapshotInterval:          v.ms("metadata.log.max.snapshot.interval.ms"),
		MaxIdleInterval:           v.ms("metadata.max.idle.interval.ms"),
		ElectionTimeout:           v.ms("controller.quorum.election.timeout.ms"),
		ElectionBackoffMax:        v.ms("controller.quorum.election.backoff.max.ms"),
		FetchTimeout:              v.ms("controller.quorum.fetch.timeout.ms"),
		RequestTimeout:            v.ms("controller.quorum.request.timeout.ms"),
		RetryBackoff:              v.ms("controller.quorum.retry.backoff.ms"),
		AppendLinger:              v.ms("controller.quorum.append.linger.ms"),
		FetchMaxBytes:             v.int32("controller.quorum.fetch.max.bytes"),
		FetchSnapshotMaxBytes:     v.int32("controller.quorum.fetch.snapshot.max.bytes"),
		BrokerSessionTimeout:      v.ms("broker.session.timeout.ms"),
		BrokerHeartbeatInterval:   v.ms("broker.heartbeat.interval.ms"),
		BrokerRegistrationTimeout: v.ms("initial.broker.registration.timeout.ms"),
		LeaderRebalance:           v.bool("auto.leader.rebalance.enable"),
		LeaderRebalanceInterval:   v.seconds("leader.imbalance.check.interval.seconds"),
	}
	if v.has("internal.metadata.log.segment.bytes") {
		m.SegmentBytes = v.int32("internal.metadata.log.segment.bytes")
	}
	return m
}

func (v *values) replication() Replication {
	return Replication{
		Fetchers:              v.int32("num.replica.fetchers"),
		LagTimeMax:            v.ms("replica.lag.time.max.ms"),
		FetchMaxBytes:         v.int32("replica.fetch.max.bytes"),
		FetchMinBytes:         v.int32("replica.fetch.min.bytes"),
		FetchResponseMaxBytes: v.int32("replica.fetch.response.max.bytes"),
		FetchWaitMax:          v.ms("replica.fetch.wait.max.ms"),
		FetchBackoff:          v.ms("replica.fetch.backoff.ms"),
		SocketTimeout:         v.ms("replica.socket.timeout.ms"),
		CheckpointInterval:    v.ms("replica.high.watermark.checkpoint.interval.ms"),
	}
}

func (v *values) groups() Groups {
	return Groups{
		OffsetMetadataMaxBytes: v.int32("offset.metadata.max.bytes"),
		CommitTimeout:          v.ms("offsets.commit.timeout.ms"),
		OffsetsCompression:     v.int32("offsets.topic.compression.codec"),
		OffsetsRetention:       time.Duration(v.int32("offsets.retention.minutes")) * time.Minute,
		RetentionCheckInterval: v.ms("offsets.retention.check.interval.ms"),
		InitialRebalanceDelay:  v.ms("group.initial.rebalance.delay.ms"),
		MinSessionTimeout:      v.ms("group.min.session.timeout.ms"),
		MaxSessionTimeout:      v.ms("group.max.session.timeout.ms"),
		MaxSize:                v.int32("group.max.size"),
	}
}

// logLevel maps the name of a level, in any case, to slog's level.
func logLevel(name string) slog.Level {
	switch strings.ToLower(name) {
	case "trace", "all":
		return slog.LevelDebug - 4
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "fatal":
		return slog.LevelError + 4
	case "off":
		return math.MaxInt
	}
	return slog.LevelInfo
}
