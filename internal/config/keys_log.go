package config

// logKeys: Log.
var logKeys = []Key{
	key("log.segment.bytes", Int, "1073741824",
		"Size in bytes at which a segment file is closed and a new one begins, for topics without their own "+
			"segment.bytes.",
		atLeast(1048576), clusterWide, used),
	key("log.roll.ms", Long, null,
		"Age in milliseconds at which a segment is closed even if it is not full, for topics without "+
			"segment.ms. Not set: log.roll.hours.",
		clusterWide, used),
	key("log.roll.hours", Int, "168",
		"Age in hours at which a segment is closed even if it is not full; used when log.roll.ms is not set.",
		atLeast(1), used),
	key("log.roll.jitter.ms", Long, null,
		"Maximum random number of milliseconds subtracted from the roll age, so that many partitions do not roll at "+
			"once. Not set: log.roll.jitter.hours.",
		clusterWide, used),
	key("log.roll.jitter.hours", Int, "0",
		"Maximum random number of hours subtracted from the roll age; used when log.roll.jitter.ms is not set.",
		atLeast(0), used),
	key("log.index.size.max.bytes", Int, "10485760",
		"Largest size in bytes of an offset or time index file; a segment whose index is full is closed.",
		atLeast(4), clusterWide, used),
	key("log.index.interval.bytes", Int, "4096",
		"Distance in bytes of log between two entries of the offset index. Smaller makes lookups read less "+
			"and indexes larger.",
		atLeast(0), clusterWide, used),
	key("log.preallocate", Boolean, "false",
		"Whether the full size of a new segment file is allocated on disk at once. Helps old file systems; leave it "+
			"off elsewhere.",
		clusterWide),
	key("log.retention.ms", Long, null,
		"Age in milliseconds after which closed segments are deleted, counted from their newest record; -1 "+
			"keeps them forever. Not set: log.retention.minutes.",
		clusterWide, used),
	key("log.retention.minutes", Int, null,
		"Age in minutes after which closed segments are deleted; used when log.retention.ms is not set. Not "+
			"set: log.retention.hours.",
		used),
	key("log.retention.hours", Int, "168",
		"Age in hours after which closed segments are deleted; used when neither log.retention.ms nor "+
			"log.retention.minutes is set.",
		used),
	key("log.retention.bytes", Long, "-1",
		"Size in bytes that a partition may reach before its oldest segments are deleted; -1 means no limit. It "+
			"applies to each partition, not to the topic.",
		clusterWide, used),
	key("log.retention.check.interval.ms", Long, "300000",
		"Milliseconds between two searches for segments to delete.",
		atLeast(1), used),
	key("log.cleanup.policy", List, "delete",
		"What happens to old segments: delete drops them by age and size, compact keeps the last record of "+
			"each key. Both may be given; an empty list keeps everything.",
		listOf("compact", "delete"), clusterWide, used),
	key("log.segment.delete.delay.ms", Long, "60000",
		"Milliseconds between taking a segment out of a log and removing its file, so that reads in progress "+
			"can finish.",
		atLeast(0), clusterWide, used),
	key("log.flush.interval.messages", Long, "9223372036854775807",
		"Number of records after which a partition is flushed to disk. No effect with "+
			"ottla.durability=fsync, where records count only once they are flushed.",
		atLeast(1), clusterWide, used),
	key("log.flush.interval.ms", Long, null,
		"Maximum time in milliseconds that a record stays unflushed. Not set: log.flush.scheduler.interval.ms. "+
			"No effect with ottla.durability=fsync.",
		clusterWide, used),
	key("log.flush.scheduler.interval.ms", Long, "9223372036854775807",
		"Milliseconds between two searches for partitions to flush. No effect with "+
			"ottla.durability=fsync.",
		used),
	key("log.flush.offset.checkpoint.interval.ms", Int, "60000",
		"Milliseconds between two writes of the recovery points, before which a restart need not read the logs "+
			"again.",
		atLeast(0), used),
	key("log.flush.start.offset.checkpoint.interval.ms", Int, "60000",
		"Milliseconds between two writes of the log start offsets, before which records are deleted.",
		atLeast(0), used),
	key("log.initial.task.delay.ms", Long, "30000",
		"Milliseconds after the start before the first retention, flush and checkpoint rounds. For tests.",
		atLeast(0), internal, used),
	key("log.dir.failure.timeout.ms", Long, "30000",
		"How long, in milliseconds, a broker continues when it cannot report a failed log dir to the controller, "+
			"before it stops.",
		atLeast(1)),
	key("log.message.timestamp.type", String, "CreateTime",
		"Timestamps of records: CreateTime keeps the producer's timestamp, LogAppendTime replaces it by "+
			"the leader's.",
		oneOf("CreateTime", "LogAppendTime"), clusterWide, used),
	key("log.message.timestamp.before.max.ms", Long, "9223372036854775807",
		"How many milliseconds a producer's timestamp may lie in the past; older records are refused with "+
			"INVALID_TIMESTAMP. Not used with LogAppendTime.",
		atLeast(0), clusterWide, used),
	key("log.message.timestamp.after.max.ms", Long, "3600000",
		"How many milliseconds a producer's timestamp may lie in the future; later records are refused with "+
			"INVALID_TIMESTAMP. Not used with LogAppendTime.",
		atLeast(0), clusterWide, used),
	key("message.max.bytes", Int, "1048588",
		"Maximum size of a record batch in bytes, after compression, for topics without max.message.bytes.",
		atLeast(0), clusterWide, used),
	key("compression.type", String, "producer",
		"How batches are stored: producer keeps the producer's compression, uncompressed decompresses them, a codec "+
			"name recompresses them.",
		oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"), clusterWide, used),
	key("compression.gzip.level", Int, "-1",
		"Compression level when compression.type is gzip: 1 is fastest, 9 smallest, -1 the library's default.",
		gzipLevel, clusterWide, used),
	key("compression.lz4.level", Int, "9",
		"Compression level when compression.type is lz4: 1 is fastest, 17 smallest.",
		between(1, 17), clusterWide, used),
	key("compression.zstd.level", Int, "3",
		"Compression level when compression.type is zstd: higher is smaller and slower, negative values trade "+
			"size for speed.",
		between(-131072, 22), clusterWide, used),
	key("num.recovery.threads.per.data.dir", Int, "2",
		"How many partitions of one log dir are recovered in parallel at start and flushed in parallel at "+
			"shutdown.",
		atLeast(1), clusterWide, used),
	key("cordoned.log.dirs", List, "",
		"Log dirs that take no new partitions, for example before a disk is replaced (KIP-1066); * is all of "+
			"them.",
		anyList, perBroker, used),
}
