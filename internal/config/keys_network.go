package config

// networkKeys: Listeners and connections.
var networkKeys = []Key{
	key("listeners", List, "PLAINTEXT://127.0.0.1:9092",
		"Addresses that the node binds, comma separated, each NAME://host:port. No host means all interfaces, port "+
			"0 any free port. Without configuration Ottla binds only the loopback interface.",
		kafka("PLAINTEXT://:9092"), nonEmptyList, perBroker, used),
	key("advertised.listeners", List, null,
		"Addresses to which clients and other nodes connect, by listener name. Not set: those of "+
			"listeners. The users must be able to reach them, so 0.0.0.0 is refused.",
		nonEmptyList, used),
	key("listener.security.protocol.map", String, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		"Security protocol of each listener name, as NAME:PROTOCOL pairs. Ottla supports only PLAINTEXT so "+
			"far and refuses to start with other protocols.",
		perBroker, used),
	key("inter.broker.listener.name", String, null,
		"Listener over which brokers talk to each other. Not set: the one named after "+
			"security.inter.broker.protocol.",
		used),
	key("security.inter.broker.protocol", String, "PLAINTEXT",
		"Security protocol between brokers, used to find their listener when inter.broker.listener.name is "+
			"not set. The two exclude each other.",
		oneOf("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"), used),
	key("early.start.listeners", List, null,
		"Listeners that accept connections before the authorizer has loaded its rules; the controller's "+
			"always do. Do not include listeners for ordinary clients.",
		anyList),
	key("socket.request.max.bytes", Int, "104857600",
		"Maximum size of a request in bytes. A connection that announces a larger one is closed.",
		atLeast(1), used),
	key("socket.receive.buffer.bytes", Int, "102400",
		"Size in bytes of the operating system's receive buffer per connection; -1 means the system's default, "+
			"as does the default of this key.",
		used),
	key("socket.send.buffer.bytes", Int, "102400",
		"Size in bytes of the operating system's send buffer per connection; -1 means the system's default, as does the "+
			"default of this key, except for clients on the same machine, where it is 204800.",
		used),
	key("socket.listen.backlog.size", Int, "50",
		"Number of connections that the operating system queues before they are accepted. Go uses the system's own "+
			"maximum.",
		atLeast(1)),
	key("socket.connection.setup.timeout.ms", Long, "10000",
		"How long, in milliseconds, a connection to another node may take to be established at the first "+
			"attempt."),
	key("socket.connection.setup.timeout.max.ms", Long, "30000",
		"Upper bound in milliseconds of the connection setup timeout, which doubles with each failed attempt."),
	key("queued.max.requests", Int, "500",
		"Number of requests that may wait for a handler. Beyond it sockets are not read. Ottla limits bytes "+
			"instead, see queued.max.request.bytes.",
		atLeast(1)),
	key("queued.max.request.bytes", Long, "-1",
		"Bytes of requests in memory over all connections. Beyond it sockets are not "+
			"read. -1: a quarter of ottla.memory.max, at most 128 MiB. Buffers "+
			"for sending records, and responses of more than 64 KiB, may use a quarter of this in addition.",
		used),
	key("connections.max.idle.ms", Long, "600000",
		"A connection without traffic for this many milliseconds is closed; with a negative value it stays open "+
			"forever.",
		used),
	key("max.connections", Int, "2147483647",
		"Maximum number of connections over all listeners; never more than the process may open "+
			"(see ottla.open.files.max). Further connections wait. On the listener between brokers they are accepted, "+
			"and the connection of another listener that was idle longest is closed.",
		atLeast(0), clusterWide, used),
	key("max.connections.per.ip", Int, "2147483647",
		"Maximum number of connections from one address; further ones are closed at once. 0 is allowed only together "+
			"with max.connections.per.ip.overrides.",
		atLeast(0), clusterWide, used),
	key("max.connections.per.ip.overrides", String, "",
		"Exceptions from max.connections.per.ip, as comma separated host:count pairs; host is a name or an "+
			"address.",
		clusterWide, used),
	key("max.connection.creation.rate", Int, "2147483647",
		"New connections accepted per second. Beyond it, accepting is delayed.",
		atLeast(0), clusterWide),
	key("connection.failed.authentication.delay.ms", Int, "100",
		"How long, in milliseconds, the response to a failed authentication is delayed, so that guessing is "+
			"slow. Must be below connections.max.idle.ms.",
		atLeast(0)),
	key("connections.max.reauth.ms", Long, "0",
		"Maximum lifetime in milliseconds of an authenticated session, after which a client must authenticate "+
			"again; 0 means no limit."),
	key("request.timeout.ms", Int, "30000",
		"How long, in milliseconds, a node waits for another node's response."),
	key("fetch.max.bytes", Int, "57671680",
		"Maximum number of bytes of records in one Fetch response, independent of the request. The first batch is "+
			"always returned completely.",
		atLeast(1024), used),
	key("max.incremental.fetch.session.cache.slots", Int, "1000",
		"Number of incremental fetch sessions (KIP-227) that the node keeps. Beyond it, consumers send all "+
			"their partitions in each request.",
		atLeast(0), used),
	key("max.request.partition.size.limit", Int, "2000",
		"Maximum number of partitions in one DescribeTopicPartitions response. A cursor leads to the rest.",
		atLeast(1), used),
	key("fetch.purgatory.purge.interval.requests", Int, "1000",
		"After how many finished fetches Kafka sweeps its list of waiting ones. Ottla removes a waiter when "+
			"it is done."),
	key("producer.purgatory.purge.interval.requests", Int, "1000",
		"After how many finished produce requests Kafka sweeps its list of waiting ones. Ottla removes a "+
			"waiter when it is done."),
	key("delete.records.purgatory.purge.interval.requests", Int, "1",
		"After how many finished DeleteRecords requests Kafka sweeps its list of waiting ones. Ottla removes "+
			"a waiter when it is done."),
	key("share.fetch.purgatory.purge.interval.requests", Int, "1000",
		"After how many finished share fetches Kafka sweeps its list of waiting ones. Ottla removes a waiter "+
			"when it is done."),
}
