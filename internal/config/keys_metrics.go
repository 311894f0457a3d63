package config

// metricsKeys: Metrics.
var metricsKeys = []Key{
	key("metric.reporters", List, "org.apache.kafka.common.metrics.JmxReporter",
		"Java classes that report metrics. Ottla serves metrics over HTTP.",
		anyList, clusterWide),
	key("metrics.num.samples", Int, "2",
		"Number of samples from which rates and averages are computed.",
		atLeast(1)),
	key("metrics.sample.window.ms", Long, "30000",
		"Length in milliseconds of a sample of metrics.",
		atLeast(1)),
	key("metrics.recording.level", String, "INFO",
		"How much is measured: INFO, DEBUG or TRACE."),
	key("kafka.metrics.reporters", List, "",
		"Java classes that report metrics in the older Yammer format. Ottla serves metrics over HTTP.",
		anyList),
	key("kafka.metrics.polling.interval.secs", Int, "10",
		"Seconds between two reports of kafka.metrics.reporters.",
		atLeast(1)),
	key("telemetry.max.bytes", Int, "1048576",
		"Largest push of client metrics in bytes (KIP-714), as sent over the wire.",
		atLeast(1)),
}
