package config

import (
	"slices"
	"strconv"
	"strings"
)

// check refuses values that are valid alone but not together. The wording is
// that of Kafka's KafkaConfig, without the prefix "requirement failed: " that
// Scala adds.
func (b *Broker) check(v *values) *Error {
	for _, rule := range rules {
		if rule.broken(b, v) {
			return &Error{Name: rule.key, Value: v.show(rule.key), Message: rule.message, required: true}
		}
	}
	if fail := b.checkCordoned(); fail != nil {
		return fail
	}
	if fail := b.checkIdle(v); fail != nil {
		return fail
	}
	if fail := v.checkGroups(); fail != nil {
		return fail
	}
	if b.Metadata.BrokerHeartbeatInterval > b.Metadata.BrokerSessionTimeout/2 {
		b.Warnings = append(b.Warnings, "broker.heartbeat.interval.ms ("+v.show("broker.heartbeat.interval.ms")+
			") is more than half of broker.session.timeout.ms ("+v.show("broker.session.timeout.ms")+
			"): one late heartbeat fences the broker")
	}
	if fail := v.checkTopicRanges(); fail != nil {
		return fail
	}
	return b.topic.conflict()
}

// show is the value as text, "" for null.
func (v *values) show(name string) string {
	s, _ := v.text(name)
	return s
}

// rule is a condition over several keys. Its error names one of them.
type rule struct {
	key     string
	broken  func(b *Broker, v *values) bool
	message string
}

var rules = []rule{
	{"log.roll.ms", func(b *Broker, _ *values) bool { return b.topic.SegmentAge < 1 },
		"log.roll.ms must be greater than or equal to 1"},
	{"log.roll.jitter.ms", func(b *Broker, _ *values) bool { return b.topic.SegmentJitter < 0 },
		"log.roll.jitter.ms must be greater than or equal to 0"},
	{"log.retention.ms", func(b *Broker, _ *values) bool { return b.topic.RetentionMs == 0 },
		"log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
	{"log.cleaner.dedupe.buffer.size", func(b *Broker, _ *values) bool {
		return b.Logs.CleanerDedupeBufferSize/int64(max(b.Logs.CleanerThreads, 1)) <= 1<<20
	}, "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread."},
	{"replica.fetch.wait.max.ms", func(b *Broker, _ *values) bool {
		return b.Replication.FetchWaitMax > b.Replication.SocketTimeout
	}, "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket timeouts"},
	{"replica.fetch.wait.max.ms", func(b *Broker, _ *values) bool {
		return b.Replication.FetchWaitMax > b.Replication.LagTimeMax
	}, "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent changes in ISR"},
	{"queued.max.request.bytes", func(b *Broker, _ *values) bool {
		return b.Network.QueuedMaxRequestBytes > 0 && b.Network.QueuedMaxRequestBytes < int64(b.Network.RequestMaxBytes)
	}, "queued.max.request.bytes must be larger or equal to socket.request.max.bytes"},
	{"max.connections.per.ip", func(b *Broker, _ *values) bool {
		return b.Network.MaxConnectionsPerIP == 0 && len(b.Network.MaxConnectionsPerIPOverrides) == 0
	}, "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
	{"group.coordinator.rebalance.protocols", func(_ *Broker, v *values) bool {
		return !slices.Contains(v.list("group.coordinator.rebalance.protocols"), "classic")
	}, "Disabling the 'classic' protocol is not supported."},
}

// checkCordoned checks cordoned.log.dirs against the log dirs.
func (b *Broker) checkCordoned() *Error {
	var missing []string
	for _, dir := range b.Logs.CordonedDirs {
		if dir == "*" {
			return &Error{Name: "cordoned.log.dirs", required: true,
				Message: "When cordoned.log.dirs is set to *, it must not contain other values"}
		}
		if !slices.Contains(b.LogDirs, dir) {
			missing = append(missing, dir)
		}
	}
	if missing != nil {
		return &Error{Name: "cordoned.log.dirs", Value: strings.Join(missing, ","), required: true, Message: "All entries in " +
			"cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : " + strings.Join(missing, ", ")}
	}
	return nil
}

// checkIdle checks that the response to a failed authentication is sent before
// its connection counts as idle.
func (b *Broker) checkIdle(v *values) *Error {
	const delay, idle = "connection.failed.authentication.delay.ms", "connections.max.idle.ms"
	if v.int64(idle) < 0 || v.int64(delay) < v.int64(idle) {
		return nil
	}
	return &Error{Name: idle, Value: v.show(idle), required: true,
		Message: delay + "=" + strconv.FormatInt(v.int64(delay), 10) + " should always be less than " + idle + "=" +
			strconv.FormatInt(v.int64(idle), 10) + " to prevent failed authentication responses from timing out"}
}
