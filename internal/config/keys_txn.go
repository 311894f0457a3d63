package config

// txnKeys: Producers and transactions.
var txnKeys = []Key{
	key("producer.id.expiration.ms", Int, "86400000",
		"A partition removes the state of an idempotent producer that wrote nothing for this many milliseconds. An open "+
			"transaction keeps it alive.",
		atLeast(1), clusterWide, used),
	key("producer.id.expiration.check.interval.ms", Int, "600000",
		"Milliseconds between two searches for producers to remove.",
		atLeast(1), internal, used),
	key("transaction.max.timeout.ms", Int, "900000",
		"Maximum transaction timeout in milliseconds of a producer.",
		atLeast(1), used),
	key("transactional.id.expiration.ms", Int, "604800000",
		"The coordinator removes a transactional id without activity for this many milliseconds. An open "+
			"transaction keeps it alive.",
		atLeast(1)),
	key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000",
		"Milliseconds between two searches for timed out transactions, which are then aborted.",
		atLeast(1)),
	key("transaction.remove.expired.transaction.cleanup.interval.ms", Int, "3600000",
		"Milliseconds between two searches for transactional ids to remove.",
		atLeast(1)),
	key("transaction.partition.verification.enable", Boolean, "true",
		"Whether a leader asks the coordinator whether a partition belongs to a transaction before it "+
			"accepts transactional records (KIP-890).",
		clusterWide),
	key("transaction.two.phase.commit.enable", Boolean, "false",
		"Whether transactions can be part of a two-phase commit that a system outside of Kafka controls "+
			"(KIP-939)."),
	key("transaction.state.log.num.partitions", Int, "50",
		"Number of partitions of __transaction_state. Transactional ids are distributed over them, so it must not "+
			"change later.",
		atLeast(1), used),
	key("transaction.state.log.replication.factor", Short, "3",
		"Replicas of __transaction_state. If not set: 1 on a node that is the only voter, otherwise "+
			"3.",
		atLeast(1), used),
	key("transaction.state.log.min.isr", Int, "2",
		"min.insync.replicas of __transaction_state. If not set: 1 on a node that is the only voter, "+
			"otherwise 2.",
		atLeast(1), used),
	key("transaction.state.log.segment.bytes", Int, "104857600",
		"Segment size in bytes of __transaction_state; small segments are compacted and loaded faster.",
		atLeast(1), used),
	key("transaction.state.log.load.buffer.size", Int, "5242880",
		"Bytes per read when a coordinator loads a partition of __transaction_state.",
		atLeast(1)),
	key("add.partitions.to.txn.retry.backoff.ms", Int, "20",
		"How long, in milliseconds, a broker waits at first before it asks the coordinator again about a "+
			"partition of a transaction.",
		atLeast(1)),
	key("add.partitions.to.txn.retry.backoff.max.ms", Int, "100",
		"How long in total, in milliseconds, a broker asks the coordinator to add a partition to a "+
			"transaction.",
		atLeast(0)),
}
