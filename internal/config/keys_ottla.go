package config

// ottlaKeys: Ottla.
var ottlaKeys = []Key{
	key("ottla.cluster.id", String, null,
		"Id of the cluster, 22 characters of base64url, used for new data folders; CLUSTER_ID of the "+
			"environment is the same. Not set: a new cluster generates one.",
		used),
	key("ottla.durability", String, "fsync",
		"When a record counts as written. fsync: when it is on disk, so that acknowledged records survive a "+
			"power loss. page-cache: when the operating system has it, as in Kafka.",
		oneOf("fsync", "page-cache"), used),
	key("ottla.flush.method", String, "auto",
		"How data is flushed to the disk: fdatasync file by file, syncfs for the whole file system (Linux "+
			"5.8 and later), auto chooses by the number of files.",
		oneOf("auto", "fdatasync", "syncfs"), used),
	key("ottla.open.files.max", Int, "0",
		"Maximum number of open segment and index files. Beyond it appends wait until files are flushed and "+
			"closed, and reads get a retriable error. 0: two fifths of what the process may open (ulimit -n). "+
			"The rest is for connections, except for a reserve for the node itself.",
		atLeast(0), used),
	key("ottla.disk.reserve.bytes", Long, "16777216",
		"Bytes of each log dir that records cannot use, at most a twentieth of the disk. When the disk is full, "+
			"producers are refused. Reads, deletes, retention and metadata changes continue in this space, and deleted "+
			"files are removed at once. 0 reserves nothing.",
		atLeast(0), used),
	key("ottla.memory.max", Long, "0",
		"Soft limit of the memory of the process, in bytes. Files in the page cache do not count. "+
			"0: GOMEMLIMIT or, on Linux, a quarter of the machine's memory or of the limit of its control "+
			"group. The memory for requests depends on it, see queued.max.request.bytes.",
		atLeast(0), used),
	key("ottla.producer.ids.max", Int, "200000",
		"Maximum number of producer ids in memory over all partitions, about 250 bytes each. Beyond it the partition "+
			"with most of them removes those that wrote least recently and have no open transaction; see also "+
			"producer.id.expiration.ms.",
		atLeast(1000), used),
	key("ottla.http.listener", String, null,
		"Address host:port of metrics, health and profiles over HTTP; none disables it. Not set: "+
			"127.0.0.1:9644, unless another program uses it.",
		used),
	key("ottla.http.hosts", List, "",
		"Host names that the HTTP listener accepts for metrics and profiles, in addition to localhost, IP addresses, "+
			"the machine's name and the host of ottla.http.listener; *: any name. Requests with other names are refused, "+
			"because a web page could make a browser send them (DNS rebinding). Health accepts every name.",
		used),
	key("ottla.metrics.partitions.max", Int, "10000",
		"Number of partitions of the cluster above which /metrics has only sums, no series of single partitions.",
		atLeast(0), used),
	key("ottla.log.level", String, "info",
		"Minimum severity of log lines: trace, debug, info, warn or error. KAFKA_LOG4J_ROOT_LOGLEVEL of the "+
			"environment is the same.",
		oneOfFold("trace", "debug", "info", "warn", "error", "fatal", "off", "all"), used),
}
