package config

// networkKeys: Listeners and connections.
var networkKeys = []Key{
	key("listeners", List, "PLAINTEXT://127.0.0.1:9092",
		"Addresses the node binds, comma separated, each NAME://host:port. No host means all interfaces, port "+
			"0 any free port; Ottla without configuration binds the loopback interface only.",
		kafka("PLAINTEXT://:9092"), nonEmptyList, perBroker, used),
	key("advertised.listeners", List, null,
		"Addresses that clients and other nodes are told to connect to, by listener name. Not set: those of "+
			"listeners. Each must be reachable from where its users are, so 0.0.0.0 is refused.",
		nonEmptyList, used),
	key("listener.security.protocol.map", String, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		"Which security protocol each listener name speaks, as NAME:PROTOCOL pairs. Ottla serves PLAINTEXT so "+
			"far and refuses to start a listener that promises more.",
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
			"always do. Keep listeners for ordinary clients out of it.",
		anyList),
	key("socket.request.max.bytes", Int, "104857600",
		"Largest request in bytes. A connection that announces more is closed.",
		atLeast(1), used),
	key("socket.receive.buffer.bytes", Int, "102400",
		"Size in bytes of the operating system's receive buffer per connection; -1 leaves it to the system, and so "+
			"does the default.",
		used),
	key("socket.send.buffer.bytes", Int, "102400",
		"Size in bytes of the operating system's send buffer per connection; -1 leaves it to the system. So does the "+
			"default, but for clients on the same machine, which have 204800.",
		used),
	key("socket.listen.backlog.size", Int, "50",
		"How many connections the operating system queues before they are accepted. Go uses the system's own "+
			"maximum.",
		atLeast(1)),
	key("socket.connection.setup.timeout.ms", Long, "10000",
		"How long, in milliseconds, a connection to another node may take to be established at the first "+
			"attempt."),
	key("socket.connection.setup.timeout.max.ms", Long, "30000",
		"Upper bound in milliseconds of the connection setup timeout, which doubles with each failed attempt."),
	key("queued.max.requests", Int, "500",
		"How many requests may wait for a handler before the sockets are no longer read. Ottla limits bytes "+
			"instead, see queued.max.request.bytes.",
		atLeast(1)),
	key("queued.max.request.bytes", Long, "-1",
		"Bytes of requests that all connections together may hold in memory; beyond it sockets are no longer "+
			"read. -1 is a quarter of ottla.memory.max, at most 128 MiB. The buffers "+
			"through which records leave and responses of more than 64 KiB may take a quarter of it besides.",
		used),
	key("connections.max.idle.ms", Long, "600000",
		"A connection without traffic for this many milliseconds is closed; a negative value keeps it open "+
			"for ever.",
		used),
	key("max.connections", Int, "2147483647",
		"Number of connections the node holds at a time, over all listeners; never more than the process may open "+
			"(see ottla.open.files.max). More wait to be accepted; on the listener between brokers they are let in, "+
			"and the longest idle one elsewhere is closed for them.",
		atLeast(0), clusterWide, used),
	key("max.connections.per.ip", Int, "2147483647",
		"Number of connections accepted from one address; more are closed at once. 0 is allowed only together "+
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
		"How long, in milliseconds, the answer to a failed authentication is held back, so that guessing is "+
			"slow. Must be below connections.max.idle.ms.",
		atLeast(0)),
	key("connections.max.reauth.ms", Long, "0",
		"Longest life in milliseconds of an authenticated session, after which a client must authenticate "+
			"again; 0 sets no bound."),
	key("request.timeout.ms", Int, "30000",
		"How long, in milliseconds, a node waits for another node's response before it gives the request up."),
	key("fetch.max.bytes", Int, "57671680",
		"Most bytes of records in one Fetch response, whatever the consumer asks for. The first batch is "+
			"always returned whole.",
		atLeast(1024), used),
	key("max.incremental.fetch.session.cache.slots", Int, "1000",
		"How many incremental fetch sessions (KIP-227) the node remembers. Beyond it, consumers repeat all "+
			"their partitions in each request.",
		atLeast(0), used),
	key("max.request.partition.size.limit", Int, "2000",
		"Most partitions in one DescribeTopicPartitions response; the rest follows by a cursor.",
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
