package config

// topicKeys: Topic.
var topicKeys = []Key{
	key("cleanup.policy", List, "delete",
		"What happens to old segments: delete drops them by age and size, compact keeps the last record of "+
			"each key. Both may be given; an empty list keeps everything.",
		listOf("compact", "delete"), used, from(same("log.cleanup.policy"))),
	key("compression.type", String, "producer",
		"How batches are stored: producer keeps the producer's compression, uncompressed decompresses them, a codec "+
			"name recompresses them.",
		oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), used, from(same("compression.type"))),
	key("compression.gzip.level", Int, "-1",
		"Compression level when compression.type is gzip: 1 is fastest, 9 smallest, -1 the library's default.",
		gzipLevel, used, from(same("compression.gzip.level"))),
	key("compression.lz4.level", Int, "9",
		"Compression level when compression.type is lz4: 1 is fastest, 17 smallest.",
		between(1, 17), used, from(same("compression.lz4.level"))),
	key("compression.zstd.level", Int, "3",
		"Compression level when compression.type is zstd: higher is smaller and slower, negative values trade "+
			"size for speed.",
		between(-131072, 22), used, from(same("compression.zstd.level"))),
	key("delete.retention.ms", Long, "86400000",
		"Milliseconds that a compacted topic keeps deletion markers. A reader from the "+
			"start must read them within this time.",
		atLeast(0), used, from(same("log.cleaner.delete.retention.ms"))),
	key("file.delete.delay.ms", Long, "60000",
		"Milliseconds between taking a segment out of the log and removing its file, so that reads in "+
			"progress can finish.",
		atLeast(0), used, from(same("log.segment.delete.delay.ms"))),
	key("flush.messages", Long, "9223372036854775807",
		"Number of records after which a partition is flushed to disk. No effect with "+
			"ottla.durability=fsync, where records count only once they are flushed.",
		atLeast(1), used, from(same("log.flush.interval.messages"))),
	key("flush.ms", Long, "9223372036854775807",
		"Maximum time in milliseconds that a record stays unflushed. No effect with ottla.durability=fsync.",
		atLeast(0), used, from(same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms"))),
	key("follower.replication.throttled.replicas", List, "",
		"Replicas whose fetches count towards the follower's replication quota, as partition:broker pairs; "+
			"* is all of them.",
		replicaList),
	key("leader.replication.throttled.replicas", List, "",
		"Replicas whose sent data counts towards the leader's replication quota, as partition:broker pairs; * "+
			"is all of them.",
		replicaList),
	key("index.interval.bytes", Int, "4096",
		"Distance in bytes of log between two entries of the offset index. Smaller makes lookups read less "+
			"and indexes larger.",
		atLeast(0), used, from(same("log.index.interval.bytes"))),
	key("internal.segment.bytes", Int, null,
		"Replaces segment.bytes without its minimum of 1 MiB. For tests.",
		internal, used),
	key("local.retention.bytes", Long, "-2",
		"Bytes of copied segments per partition that stay on local disk with remote storage; -2 means "+
			"retention.bytes, which it must not exceed.",
		atLeast(-2), from(same("log.local.retention.bytes"))),
	key("local.retention.ms", Long, "-2",
		"Milliseconds that segments stay on local disk after they were copied to remote storage; -2 means "+
			"retention.ms, which it must not exceed.",
		atLeast(-2), from(same("log.local.retention.ms"))),
	key("max.compaction.lag.ms", Long, "9223372036854775807",
		"Milliseconds after which a record must become eligible for compaction, however small the uncompacted "+
			"share is.",
		atLeast(1), used, from(same("log.cleaner.max.compaction.lag.ms"))),
	key("max.message.bytes", Int, "1048588",
		"Maximum size of a record batch in bytes, after compression.",
		atLeast(0), used, from(same("message.max.bytes"))),
	key("message.timestamp.after.max.ms", Long, "3600000",
		"How many milliseconds a producer's timestamp may lie in the future; later records are refused with "+
			"INVALID_TIMESTAMP. Not used with LogAppendTime.",
		atLeast(0), used, from(same("log.message.timestamp.after.max.ms"))),
	key("message.timestamp.before.max.ms", Long, "9223372036854775807",
		"How many milliseconds a producer's timestamp may lie in the past; older records are refused with "+
			"INVALID_TIMESTAMP. Not used with LogAppendTime.",
		atLeast(0), used, from(same("log.message.timestamp.before.max.ms"))),
	key("message.timestamp.type", String, "CreateTime",
		"Timestamps of records: CreateTime keeps the producer's timestamp, LogAppendTime replaces it by "+
			"the leader's.",
		oneOf("CreateTime", "LogAppendTime"), used, from(same("log.message.timestamp.type"))),
	key("min.cleanable.dirty.ratio", Double, "0.5",
		"Fraction of a log that must be uncompacted before it is compacted again, 0 to 1. Lower wastes less "+
			"space and costs more I/O.",
		ratio(0, 1), used, from(same("log.cleaner.min.cleanable.ratio"))),
	key("min.compaction.lag.ms", Long, "0",
		"Milliseconds during which a new record is not compacted.",
		atLeast(0), used, from(same("log.cleaner.min.compaction.lag.ms"))),
	key("min.insync.replicas", Int, "1",
		"Number of in-sync replicas that a write with acks=all requires; with fewer, producers get "+
			"NOT_ENOUGH_REPLICAS.",
		atLeast(1), used, from(same("min.insync.replicas"))),
	key("preallocate", Boolean, "false",
		"Whether the full size of a new segment file is allocated on disk at once.",
		from(same("log.preallocate"))),
	key("remote.log.copy.disable", Boolean, "false",
		"Whether a topic with remote storage stops copying segments and only reads the existing ones."),
	key("remote.log.delete.on.disable", Boolean, "false",
		"Whether disabling remote storage deletes the topic's data there."),
	key("remote.storage.enable", Boolean, "false",
		"Whether old segments move to remote storage. Cannot be undone without deleting them. Not supported yet: "+
			"true is refused."),
	key("retention.bytes", Long, "-1",
		"Size in bytes that a partition may reach before its oldest segments are deleted; -1 means no limit. It "+
			"applies to each partition, not to the topic.",
		used, from(same("log.retention.bytes"))),
	key("retention.ms", Long, "604800000",
		"Age in milliseconds after which closed segments are deleted, counted from their newest record; -1 "+
			"keeps them forever.",
		atLeast(-1), used, from(same("log.retention.ms"), minutes("log.retention.minutes"), hours("log.retention.hours"))),
	key("segment.bytes", Int, "1073741824",
		"Size in bytes at which a segment file is closed and a new one begins. Retention and compaction "+
			"work on closed segments.",
		atLeast(1048576), used, from(same("log.segment.bytes"))),
	key("segment.index.bytes", Int, "10485760",
		"Largest size in bytes of an offset or time index file; a segment whose index is full is closed.",
		atLeast(4), used, from(same("log.index.size.max.bytes"))),
	key("segment.jitter.ms", Long, "0",
		"Maximum random number of milliseconds subtracted from segment.ms, so that many partitions do not roll at once.",
		atLeast(0), used, from(same("log.roll.jitter.ms"), hours("log.roll.jitter.hours"))),
	key("segment.ms", Long, "604800000",
		"Age in milliseconds at which a segment is closed even if it is not full, so that retention and "+
			"compaction can process it.",
		atLeast(1), used, from(same("log.roll.ms"), hours("log.roll.hours"))),
	key("unclean.leader.election.enable", Boolean, "false",
		"Whether a replica that has fallen behind may become leader when no other is left. This loses acknowledged "+
			"records.",
		from(same("unclean.leader.election.enable"))),
}
