package config

// ottlaKeys: Ottla.
var ottlaKeys = []Key{
	key("ottla.cluster.id", String, null,
		"Id of the cluster, 22 characters of base64url, used when a data folder is new; CLUSTER_ID of the "+
			"environment is the same. Not set: a new cluster makes one up.",
		used),
	key("ottla.durability", String, "fsync",
		"When a record counts as written: fsync once it is on disk, so that acknowledged records survive "+
			"power loss; page-cache once the operating system has it, as Kafka does.",
		oneOf("fsync", "page-cache"), used),
	key("ottla.flush.method", String, "auto",
		"How unwritten data reaches the disk: fdatasync file by file, syncfs for the whole file system (Linux "+
			"5.8 and later), auto chooses by the number of files.",
		oneOf("auto", "fdatasync", "syncfs"), used),
	key("ottla.open.files.max", Int, "0",
		"Most files of segments and indexes that are open at a time. Beyond it appends wait for the disk to let go "+
			"of some, and reads are told to come again. 0 takes two fifths of what the process may open (ulimit -n); "+
			"what is left, but for some that the node itself needs, is for connections.",
		atLeast(0), used),
	key("ottla.disk.reserve.bytes", Long, "16777216",
		"Bytes of each log dir that records may not take, at most a twentieth of the disk. When the disk is full, "+
			"producers are refused, and reads, deletes, retention and changes of metadata go on in this space; deleted "+
			"files are removed at once. 0 keeps nothing.",
		atLeast(0), used),
	key("ottla.memory.max", Long, "0",
		"Bytes of memory the process tries to stay below, as a soft limit (files in the page cache do not count); "+
			"0 takes GOMEMLIMIT or, on Linux, a quarter of the machine's memory or of the limit of its control "+
			"group. What requests may hold follows from it, see queued.max.request.bytes.",
		atLeast(0), used),
	key("ottla.producer.ids.max", Int, "200000",
		"Producer ids that the node remembers over all partitions, each with about 250 bytes. Beyond it the partition "+
			"with most of them forgets those that wrote longest ago and have no transaction open; see also "+
			"producer.id.expiration.ms.",
		atLeast(1000), used),
	key("ottla.http.listener", String, null,
		"Address host:port of metrics, health and profiles over HTTP; none: they are not served. Not set: "+
			"127.0.0.1:9644, unless another program has it.",
		used),
	key("ottla.http.hosts", List, "",
		"Names by which callers may ask the HTTP listener for metrics and profiles, beside localhost, IP addresses, "+
			"the machine's name and the host of ottla.http.listener; *: any name. A request by another name is refused, "+
			"since a web page could make a browser send it (DNS rebinding). Health answers to every name.",
		used),
	key("ottla.metrics.partitions.max", Int, "10000",
		"Partitions of the cluster above which /metrics has no series of single partitions, only sums.",
		atLeast(0), used),
	key("ottla.log.level", String, "info",
		"Least severity of log lines: trace, debug, info, warn or error. KAFKA_LOG4J_ROOT_LOGLEVEL of the "+
			"environment is the same.",
		oneOfFold("trace", "debug", "info", "warn", "error", "fatal", "off", "all"), used),
}
