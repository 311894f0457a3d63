package config

// cleanerKeys: Log cleaner.
var cleanerKeys = []Key{
	key("log.cleaner.enable", Boolean, "true",
		"Whether compacted topics are compacted. Disable it only to investigate a problem: the topics then grow "+
			"without limit, including __consumer_offsets.",
		used),
	key("log.cleaner.threads", Int, "1",
		"How many logs are compacted in parallel.",
		atLeast(0), clusterWide, used),
	key("log.cleaner.backoff.ms", Long, "15000",
		"How long, in milliseconds, the cleaner pauses when there is nothing to compact.",
		atLeast(0), clusterWide, used),
	key("log.cleaner.dedupe.buffer.size", Long, "134217728",
		"Memory in bytes for the table of keys and their last offsets, shared by all cleaner threads. At "+
			"least 1 MiB per thread.",
		clusterWide, used),
	key("log.cleaner.io.buffer.size", Int, "524288",
		"Memory in bytes for reading and writing while compacting, shared by all cleaner threads.",
		atLeast(0), clusterWide, used),
	key("log.cleaner.io.buffer.load.factor", Double, "0.9",
		"How full the table of keys may get, from 0 to 1. Fuller compacts more in one pass, with more "+
			"collisions.",
		clusterWide, used),
	key("log.cleaner.io.max.bytes.per.second", Double, "1.7976931348623157E308",
		"Bytes per second that the cleaner may read and write in total. The default is no limit.",
		clusterWide, used),
	key("log.cleaner.min.cleanable.ratio", Double, "0.5",
		"Fraction of a log that must be uncompacted before it is compacted again, 0 to 1. Lower wastes less "+
			"space and costs more I/O.",
		ratio(0, 1), clusterWide, used),
	key("log.cleaner.min.compaction.lag.ms", Long, "0",
		"Milliseconds during which a new record is not compacted.",
		atLeast(0), clusterWide, used),
	key("log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807",
		"Milliseconds after which a record must become eligible for compaction, however small the uncompacted "+
			"share is.",
		atLeast(1), clusterWide, used),
	key("log.cleaner.delete.retention.ms", Long, "86400000",
		"Milliseconds that a compacted log keeps deletion markers. A reader from the start "+
			"must read them within this time.",
		atLeast(0), clusterWide, used),
}
