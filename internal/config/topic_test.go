package config

import (
	"math"
	"reflect"
	"testing"
	"time"
)

// TestTopicDefaults checks a topic without overrides on a node without
// configuration. It has Kafka's defaults.
func TestTopicDefaults(t *testing.T) {
	got, err := mustLoad(t, "").Topic(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Topic{
		SegmentBytes: 1 << 30, SegmentAge: 7 * 24 * time.Hour, SegmentIndexBytes: 10485760, IndexIntervalBytes: 4096,
		RetentionBytes: -1, RetentionMs: 604800000, DeleteRetentionMs: 86400000, FileDeleteDelay: time.Minute, Delete: true,
		MinCleanableRatio: 0.5, MaxCompactionLagMs: math.MaxInt64, MaxMessageBytes: 1048588, FlushMessages: math.MaxInt64,
		FlushMs: math.MaxInt64, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3600000,
		Compression: Compression{Codec: Producer}, MinInsyncReplicas: 1,
		levels: levels{gzip: -1, lz4: 9, zstd: 3},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestTopicOverrides sets every key of a topic, once by the broker and once by
// the topic itself. Both must give the same result.
func TestTopicOverrides(t *testing.T) {
	want := Topic{
		SegmentBytes: 2 << 20, SegmentAge: 3 * time.Hour, SegmentJitter: 2 * time.Hour, SegmentIndexBytes: 100,
		IndexIntervalBytes: 7, Preallocate: true, RetentionBytes: 9, RetentionMs: 120000, DeleteRetentionMs: 10,
		FileDeleteDelay: 11 * time.Millisecond, Delete: true, Compact: true, MinCleanableRatio: 0.25, MinCompactionLagMs: 12,
		MaxCompactionLagMs: 13, MaxMessageBytes: 14, FlushMessages: 15, FlushMs: 16, TimestampType: LogAppendTime,
		TimestampBeforeMaxMs: 17, TimestampAfterMaxMs: 18, Compression: Compression{Zstd, 19}, MinInsyncReplicas: 2,
		UncleanLeader: true, levels: levels{gzip: 8, lz4: 2, zstd: 19},
	}
	byBroker, err := mustLoad(t, `
log.segment.bytes=2097152
log.roll.hours=3
log.roll.jitter.hours=2
log.index.size.max.bytes=100
log.index.interval.bytes=7
log.preallocate=true
log.retention.bytes=9
log.retention.minutes=2
log.cleaner.delete.retention.ms=10
log.segment.delete.delay.ms=11
log.cleanup.policy=compact,delete
log.cleaner.min.cleanable.ratio=0.25
log.cleaner.min.compaction.lag.ms=12
log.cleaner.max.compaction.lag.ms=13
message.max.bytes=14
log.flush.interval.messages=15
log.flush.scheduler.interval.ms=16
log.message.timestamp.type=LogAppendTime
log.message.timestamp.before.max.ms=17
log.message.timestamp.after.max.ms=18
compression.type=zstd
compression.gzip.level=8
compression.lz4.level=2
compression.zstd.level=19
min.insync.replicas=2
unclean.leader.election.enable=true
`).Topic(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byBroker, want) {
		t.Errorf("by the broker:\ngot  %+v\nwant %+v", byBroker, want)
	}
	byTopic, err := mustLoad(t, "log.retention.ms=1\nlog.segment.bytes=3145728").Topic(map[string]string{
		"segment.bytes": "2097152", "segment.ms": "10800000", "segment.jitter.ms": "7200000", "segment.index.bytes": "100",
		"index.interval.bytes": "7", "preallocate": "true", "retention.bytes": "9", "retention.ms": "120000",
		"delete.retention.ms": "10", "file.delete.delay.ms": "11", "cleanup.policy": "delete,compact",
		"min.cleanable.dirty.ratio": "0.25", "min.compaction.lag.ms": "12", "max.compaction.lag.ms": "13",
		"max.message.bytes": "14", "flush.messages": "15", "flush.ms": "16", "message.timestamp.type": "LogAppendTime",
		"message.timestamp.before.max.ms": "17", "message.timestamp.after.max.ms": "18", "compression.type": "zstd",
		"compression.gzip.level": "8", "compression.lz4.level": "2", "compression.zstd.level": "19",
		"min.insync.replicas": "2", "unclean.leader.election.enable": "true", "of.a.newer.version": "x",
		"local.retention.ms": "5", "remote.log.copy.disable": "true",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byTopic, want) {
		t.Errorf("by the topic:\ngot  %+v\nwant %+v", byTopic, want)
	}
}

func TestTopicDetails(t *testing.T) {
	b := mustLoad(t, "log.cleanup.policy=")
	got, err := b.Topic(map[string]string{
		"internal.segment.bytes": "1000", "segment.bytes": "1048576", "compression.type": "gzip",
		"leader.replication.throttled.replicas": "*", "follower.replication.throttled.replicas": "0:1,2:3,99999999999:1",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.SegmentBytes != 1000 || got.Delete || got.Compact || got.Compression != (Compression{Gzip, -1}) {
		t.Errorf("%+v", got)
	}
	if !got.LeaderThrottled.All || !reflect.DeepEqual(got.FollowerThrottled.Pairs, []PartitionReplica{{0, 1}, {2, 3}}) {
		t.Errorf("throttled %+v, %+v", got.LeaderThrottled, got.FollowerThrottled)
	}
	for name, want := range map[string]Compression{
		"uncompressed": {Uncompressed, 0}, "snappy": {Snappy, 0}, "lz4": {LZ4, 9}, "zstd": {Zstd, 3},
	} {
		if got, err := b.Topic(map[string]string{"compression.type": name}); err != nil || got.Compression != want {
			t.Errorf("%s: %+v, %v", name, got.Compression, err)
		}
	}
	if _, err := b.Topic(map[string]string{"retention.ms": "x"}); err == nil {
		t.Error("a wrong override is taken")
	}
}

// TestValidateTopic compares with the messages of Apache Kafka's
// LogConfig.validate.
func TestValidateTopic(t *testing.T) {
	b := mustLoad(t, "")
	for _, c := range []struct {
		overrides map[string]string
		want      string
	}{
		{map[string]string{"foo": "1"}, "Unknown topic config name: foo"},
		{map[string]string{"foo": "1", "bar": "2", "retention.ms": "x"}, "Unknown topic config name: bar"},
		{map[string]string{"retention.ms": "abc"}, "Invalid value abc for configuration retention.ms: Not a number of type LONG"},
		{map[string]string{"retention.ms": "-2"}, "Invalid value -2 for configuration retention.ms: Value must be at least -1"},
		{map[string]string{"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}, "conflict topic config setting min.compaction.lag.ms (10) > max.compaction.lag.ms (5)"},
		{map[string]string{"segment.bytes": "1000"}, "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576"},
		{map[string]string{"internal.segment.bytes": "1000"}, ""},
		{map[string]string{"internal.segment.bytes": "0"}, ""},
		{map[string]string{"remote.storage.enable": "true"}, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{map[string]string{"remote.storage.enable": "false"}, ""},
		{map[string]string{"cleanup.policy": ""}, ""},
		{map[string]string{"cleanup.policy": "compact,delete"}, ""},
		{map[string]string{"cleanup.policy": "compact,compact"}, ""},
		{map[string]string{"cleanup.policy": "none"}, "Invalid value none for configuration cleanup.policy: String must be one of: compact, delete"},
		{map[string]string{"local.retention.ms": "99999999999"}, ""},
		{map[string]string{"remote.log.copy.disable": "true"}, ""},
		{map[string]string{"min.insync.replicas": "0"}, "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"},
		{map[string]string{"flush.messages": "0"}, "Invalid value 0 for configuration flush.messages: Value must be at least 1"},
		{nil, ""},
	} {
		err := b.ValidateTopic(c.overrides)
		got := ""
		if err != nil {
			got = err.Error()
			if fail := asError(t, err); fail.Kind != InvalidConfig || fail.Name == "" {
				t.Errorf("%v: %+v", c.overrides, fail)
			}
		}
		if got != c.want {
			t.Errorf("%v:\ngot  %s\nwant %s", c.overrides, got, c.want)
		}
	}
	if err := ValidateTopicConfig("foo", "1"); err == nil || err.Error() != "Unknown topic config name: foo" {
		t.Errorf("got %v", err)
	}
}

// TestValidateGroup compares with the messages of Apache Kafka's
// GroupConfig.validate.
func TestValidateGroup(t *testing.T) {
	plain := mustLoad(t, "")
	wide := mustLoad(t, "group.consumer.min.heartbeat.interval.ms=1000\ngroup.consumer.max.heartbeat.interval.ms=50000\n"+
		"group.share.max.heartbeat.interval.ms=50000\ngroup.streams.max.heartbeat.interval.ms=50000")
	for _, c := range []struct {
		b            *Broker
		config, want string
	}{
		{plain, "foo=1", "Unknown group config name: foo"},
		{plain, "consumer.session.timeout.ms=abc", "Invalid value abc for configuration consumer.session.timeout.ms: Not a number of type INT"},
		{plain, "consumer.session.timeout.ms=1", "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{plain, "consumer.session.timeout.ms=70000", "consumer.session.timeout.ms must be less than or equal to group.consumer.max.session.timeout.ms"},
		{plain, "consumer.heartbeat.interval.ms=1", "consumer.heartbeat.interval.ms must be greater than or equal to group.consumer.min.heartbeat.interval.ms"},
		{plain, "consumer.heartbeat.interval.ms=16000", "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{plain, "consumer.assignment.interval.ms=20000", "consumer.assignment.interval.ms must be less than or equal to group.consumer.max.assignment.interval.ms"},
		{plain, "share.session.timeout.ms=1", "share.session.timeout.ms must be greater than or equal to group.share.min.session.timeout.ms"},
		{plain, "share.heartbeat.interval.ms=99999", "share.heartbeat.interval.ms must be less than or equal to group.share.max.heartbeat.interval.ms"},
		{plain, "share.record.lock.duration.ms=1000", "share.record.lock.duration.ms must be greater than or equal to group.share.min.record.lock.duration.ms"},
		{plain, "share.record.lock.duration.ms=99999", "share.record.lock.duration.ms must be less than or equal to group.share.max.record.lock.duration.ms"},
		{plain, "share.delivery.count.limit=20", "share.delivery.count.limit must be less than or equal to group.share.max.delivery.count.limit"},
		{plain, "share.delivery.count.limit=1", "Invalid value 1 for configuration share.delivery.count.limit: Value must be at least 2"},
		{plain, "share.partition.max.record.locks=100", ""},
		{plain, "share.partition.max.record.locks=20000", "share.partition.max.record.locks must be less than or equal to group.share.max.partition.max.record.locks"},
		{plain, "share.auto.offset.reset=by_duration:PT1H", ""},
		{plain, "share.isolation.level=x", "Invalid value x for configuration share.isolation.level: String must be one of: read_committed, read_uncommitted"},
		{plain, "streams.session.timeout.ms=100000", "streams.session.timeout.ms must be less than or equal to group.streams.max.session.timeout.ms"},
		{plain, "streams.num.standby.replicas=5", "streams.num.standby.replicas must be less than or equal to group.streams.max.standby.replicas"},
		{plain, "streams.initial.rebalance.delay.ms=5", ""},
		{wide, "consumer.heartbeat.interval.ms=45000", "consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"},
		{wide, "share.heartbeat.interval.ms=50000", "share.session.timeout.ms must be greater than share.heartbeat.interval.ms"},
		{wide, "streams.heartbeat.interval.ms=50000", "streams.session.timeout.ms must be greater than streams.heartbeat.interval.ms"},
		{wide, "consumer.heartbeat.interval.ms=44999", ""},
	} {
		configs := map[string]string{}
		all, err := ParseProperties(c.config)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			configs[p.Name] = p.Value
		}
		got := ""
		if err := c.b.ValidateGroup(configs); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.config, got, c.want)
		}
	}
}
