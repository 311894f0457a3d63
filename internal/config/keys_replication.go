package config

// replicationKeys: Replication.
var replicationKeys = []Key{
	key("min.insync.replicas", Int, "1",
		"Number of in-sync replicas that a write with acks=all requires, for topics without their own "+
			"value; with fewer, producers get NOT_ENOUGH_REPLICAS.",
		atLeast(1), clusterWide, used),
	key("unclean.leader.election.enable", Boolean, "false",
		"Whether a replica that has fallen behind may become leader when no other is left. This loses acknowledged "+
			"records.",
		clusterWide),
	key("unclean.leader.election.interval.ms", Long, "300000",
		"Milliseconds between two searches for leaderless partitions that may have an unclean election.",
		atLeast(1), internal),
	key("auto.leader.rebalance.enable", Boolean, "true",
		"Whether leadership returns to the preferred replicas automatically."),
	key("leader.imbalance.check.interval.seconds", Long, "300",
		"Seconds between two searches for partitions whose leader is not the preferred replica.",
		atLeast(1)),
	key("replica.lag.time.max.ms", Long, "30000",
		"A follower that has not caught up with its leader for this many milliseconds is removed from the "+
			"in-sync replicas."),
	key("replica.fetch.max.bytes", Int, "1048576",
		"Bytes that a follower requests per partition. A larger batch is still sent.",
		atLeast(0)),
	key("replica.fetch.min.bytes", Int, "1",
		"Bytes that a leader collects before it answers a follower, within replica.fetch.wait.max.ms."),
	key("replica.fetch.response.max.bytes", Int, "10485760",
		"Bytes that a follower requests in one response over all partitions. A larger first batch is still "+
			"sent.",
		atLeast(0)),
	key("replica.fetch.wait.max.ms", Int, "500",
		"How long, in milliseconds, a leader may delay a follower's fetch. Must be below "+
			"replica.lag.time.max.ms."),
	key("replica.fetch.backoff.ms", Int, "1000",
		"How long, in milliseconds, a follower waits after a failed fetch of a partition.",
		atLeast(0)),
	key("replica.socket.timeout.ms", Int, "30000",
		"How long, in milliseconds, a follower waits for a response of its leader. At least "+
			"replica.fetch.wait.max.ms."),
	key("replica.socket.receive.buffer.bytes", Int, "65536",
		"Size in bytes of the receive buffer of a follower's connection to its leader; -1 leaves it to the "+
			"system."),
	key("replica.high.watermark.checkpoint.interval.ms", Long, "5000",
		"Milliseconds between two writes of the high watermarks to disk.",
		used),
	key("replica.selector.class", String, null,
		"Java class that selects the replica from which a consumer reads. Not set: always the leader."),
	key("num.replica.fetchers", Int, "1",
		"Connections that a follower uses per leader. More replicate faster and cost more.",
		atLeast(1), clusterWide),
	key("num.replica.alter.log.dirs.threads", Int, null,
		"How many replicas move between log dirs in parallel. Not set: one per log dir."),
	key("follower.fetch.last.tiered.offset.enable", Boolean, "false",
		"Whether an empty follower skips the data in remote storage and starts after it (KIP-1023).",
		clusterWide),
}
