package config

import (
	"slices"
	"strconv"
	"time"
)

// Topic is the snapshot of one topic's configuration.
type Topic struct {
	SegmentBytes         int32         // segment.bytes, or internal.segment.bytes
	SegmentAge           time.Duration // segment.ms
	SegmentJitter        time.Duration // segment.jitter.ms
	SegmentIndexBytes    int32         // segment.index.bytes, of each index file
	IndexIntervalBytes   int32         // index.interval.bytes
	Preallocate          bool          // preallocate
	RetentionBytes       int64         // retention.bytes; -1: no limit
	RetentionMs          int64         // retention.ms; -1: no limit
	DeleteRetentionMs    int64         // delete.retention.ms
	FileDeleteDelay      time.Duration // file.delete.delay.ms
	Delete, Compact      bool          // cleanup.policy; neither: records are kept forever
	MinCleanableRatio    float64       // min.cleanable.dirty.ratio
	MinCompactionLagMs   int64         // min.compaction.lag.ms
	MaxCompactionLagMs   int64         // max.compaction.lag.ms
	MaxMessageBytes      int32         // max.message.bytes, of a batch
	FlushMessages        int64         // flush.messages
	FlushMs              int64         // flush.ms
	TimestampType        TimestampType // message.timestamp.type
	TimestampBeforeMaxMs int64         // message.timestamp.before.max.ms
	TimestampAfterMaxMs  int64         // message.timestamp.after.max.ms
	Compression          Compression   // compression.type and compression.*.level
	MinInsyncReplicas    int32         // min.insync.replicas
	UncleanLeader        bool          // unclean.leader.election.enable
	// LeaderThrottled and FollowerThrottled are the replicas whose replication
	// counts towards the quota.
	LeaderThrottled, FollowerThrottled ThrottledReplicas

	levels             levels
	segmentForTests    int32
	hasSegmentForTests bool
}

// TimestampType is the clock that sets a record's timestamp. The numbers are
// those of the batch attribute.
type TimestampType int8

// The timestamp types.
const (
	CreateTime    TimestampType = 0 // the producer's
	LogAppendTime TimestampType = 1 // the leader's
)

// Codec is a compression codec; the numbers are those of the batch attribute.
type Codec int8

// The codecs; Producer keeps the producer's codec.
const (
	Producer     Codec = -1
	Uncompressed Codec = 0
	Gzip         Codec = 1
	Snappy       Codec = 2
	LZ4          Codec = 3
	Zstd         Codec = 4
)

// Compression is how a leader stores batches.
type Compression struct {
	Codec Codec
	// Level is on the codec's own scale. It is unused for Producer,
	// Uncompressed and Snappy.
	Level int
}

// ThrottledReplicas is a set of replicas: all of them, or pairs.
type ThrottledReplicas struct {
	All   bool
	Pairs []PartitionReplica
}

// PartitionReplica is a partition's replica on a broker.
type PartitionReplica struct{ Partition, Broker int32 }

// Topic returns a topic's snapshot: its own overrides have priority over the
// broker's log.* keys, and those over the defaults. Unknown names are ignored,
// because they may come from the metadata of a newer version. The error is an
// *Error.
func (b *Broker) Topic(overrides map[string]string) (Topic, error) {
	t := b.topic
	for name, text := range overrides {
		k := lookup(ScopeTopic, name)
		if k == nil {
			continue
		}
		value, why := k.parse(text)
		if why != "" {
			return Topic{}, &Error{Name: name, Value: text, Message: why}
		}
		if set := topicFields[name]; set != nil {
			set(&t, value)
		}
	}
	t.settle()
	if fail := t.conflict(); fail != nil {
		return Topic{}, fail
	}
	return t, nil
}

// topicFields sets each key of the table in the snapshot. Keys for remote
// storage have no field yet.
var topicFields = map[string]func(t *Topic, value any){
	"cleanup.policy": func(t *Topic, v any) {
		t.Delete = slices.Contains(v.([]string), "delete")
		t.Compact = slices.Contains(v.([]string), "compact")
	},
	"compression.type":                        func(t *Topic, v any) { t.Compression.Codec = codecs[v.(string)] },
	"compression.gzip.level":                  func(t *Topic, v any) { t.levels.gzip = v.(int64) },
	"compression.lz4.level":                   func(t *Topic, v any) { t.levels.lz4 = v.(int64) },
	"compression.zstd.level":                  func(t *Topic, v any) { t.levels.zstd = v.(int64) },
	"delete.retention.ms":                     func(t *Topic, v any) { t.DeleteRetentionMs = v.(int64) },
	"file.delete.delay.ms":                    func(t *Topic, v any) { t.FileDeleteDelay = millis(v) },
	"flush.messages":                          func(t *Topic, v any) { t.FlushMessages = v.(int64) },
	"flush.ms":                                func(t *Topic, v any) { t.FlushMs = v.(int64) },
	"follower.replication.throttled.replicas": func(t *Topic, v any) { t.FollowerThrottled, _ = parseThrottled(v.([]string)) },
	"leader.replication.throttled.replicas":   func(t *Topic, v any) { t.LeaderThrottled, _ = parseThrottled(v.([]string)) },
	"index.interval.bytes":                    func(t *Topic, v any) { t.IndexIntervalBytes = int32(v.(int64)) },
	"internal.segment.bytes":                  func(t *Topic, v any) { t.segmentForTests, t.hasSegmentForTests = int32(v.(int64)), true },
	"max.compaction.lag.ms":                   func(t *Topic, v any) { t.MaxCompactionLagMs = v.(int64) },
	"max.message.bytes":                       func(t *Topic, v any) { t.MaxMessageBytes = int32(v.(int64)) },
	"message.timestamp.after.max.ms":          func(t *Topic, v any) { t.TimestampAfterMaxMs = v.(int64) },
	"message.timestamp.before.max.ms":         func(t *Topic, v any) { t.TimestampBeforeMaxMs = v.(int64) },
	"message.timestamp.type":                  func(t *Topic, v any) { t.TimestampType = timestampTypes[v.(string)] },
	"min.cleanable.dirty.ratio":               func(t *Topic, v any) { t.MinCleanableRatio = v.(float64) },
	"min.compaction.lag.ms":                   func(t *Topic, v any) { t.MinCompactionLagMs = v.(int64) },
	"min.insync.replicas":                     func(t *Topic, v any) { t.MinInsyncReplicas = int32(v.(int64)) },
	"preallocate":                             func(t *Topic, v any) { t.Preallocate = v.(bool) },
	"retention.bytes":                         func(t *Topic, v any) { t.RetentionBytes = v.(int64) },
	"retention.ms":                            func(t *Topic, v any) { t.RetentionMs = v.(int64) },
	"segment.bytes":                           func(t *Topic, v any) { t.SegmentBytes = int32(v.(int64)) },
	"segment.index.bytes":                     func(t *Topic, v any) { t.SegmentIndexBytes = int32(v.(int64)) },
	"segment.jitter.ms":                       func(t *Topic, v any) { t.SegmentJitter = millis(v) },
	"segment.ms":                              func(t *Topic, v any) { t.SegmentAge = millis(v) },
	"unclean.leader.election.enable":          func(t *Topic, v any) { t.UncleanLeader = v.(bool) },
}

func millis(v any) time.Duration { return inUnits(v.(int64), time.Millisecond) }

var codecs = map[string]Codec{
	"producer": Producer, "uncompressed": Uncompressed, "gzip": Gzip, "snappy": Snappy, "lz4": LZ4, "zstd": Zstd,
}

var timestampTypes = map[string]TimestampType{"CreateTime": CreateTime, "LogAppendTime": LogAppendTime}

// levels are the compression levels of all codecs. Only one of them is used.
type levels struct{ gzip, lz4, zstd int64 }

// settle computes the fields that depend on several keys.
func (t *Topic) settle() {
	if t.hasSegmentForTests {
		t.SegmentBytes = t.segmentForTests
	}
	t.Compression.Level = 0
	switch t.Compression.Codec {
	case Gzip:
		t.Compression.Level = int(t.levels.gzip)
	case LZ4:
		t.Compression.Level = int(t.levels.lz4)
	case Zstd:
		t.Compression.Level = int(t.levels.zstd)
	}
}

// conflict refuses values that are valid alone but not together.
func (t *Topic) conflict() *Error {
	if t.MinCompactionLagMs > t.MaxCompactionLagMs {
		return &Error{Name: "min.compaction.lag.ms", Message: "conflict topic config setting min.compaction.lag.ms (" +
			strconv.FormatInt(t.MinCompactionLagMs, 10) + ") > max.compaction.lag.ms (" +
			strconv.FormatInt(t.MaxCompactionLagMs, 10) + ")"}
	}
	return nil
}

// topicDefaults is the snapshot of a topic without overrides.
func (v *values) topicDefaults() Topic {
	var t Topic
	keys := theIndex().sorted[ScopeTopic]
	for i := range keys {
		k := &keys[i]
		text, ok := v.topicText(k)
		if !ok {
			continue
		}
		value, _ := k.convert(text)
		if set := topicFields[k.Name]; set != nil {
			set(&t, value)
		}
	}
	t.settle()
	return t
}

// checkTopicRanges checks the broker's values against the ranges of the topic
// keys, some of which are narrower.
func (v *values) checkTopicRanges() *Error {
	for _, k := range theIndex().sorted[ScopeTopic] {
		if text, ok := v.topicText(&k); ok {
			if _, why := k.parse(text); why != "" {
				return &Error{Name: k.BrokerSynonyms[0].Name, Value: text, Message: why}
			}
		}
	}
	return nil
}

// topicText is the default of a topic or group key from the broker's keys: the
// value of the first synonym that is not null, in the topic's unit.
func (v *values) topicText(k *Key) (text string, ok bool) {
	for _, synonym := range k.BrokerSynonyms {
		if text, ok = v.text(synonym.Name); ok {
			return synonym.convert(k.Name, text), true
		}
	}
	return k.Default, k.HasDefault
}

// convert converts the text of the broker's key to the unit of the topic's.
// Every negative retention means unlimited, which is -1 for a topic. Scaled
// keys are INT, so the product cannot overflow.
func (s Synonym) convert(topicKey, text string) string {
	if s.Scale == 1 && topicKey != "retention.ms" {
		return text
	}
	n, err := strconv.ParseInt(trim(text), 10, 64)
	if err != nil {
		return text
	}
	if topicKey == "retention.ms" && n < 0 {
		return "-1"
	}
	return strconv.FormatInt(n*s.Scale, 10)
}

// ValidateTopic checks all overrides of a topic: names, types, ranges and
// combinations, in the order of the names. The error is an *Error.
func (b *Broker) ValidateTopic(overrides map[string]string) error {
	for _, name := range sortedNames(overrides) {
		if lookup(ScopeTopic, name) == nil {
			return &Error{Name: name, Message: "Unknown topic config name: " + name}
		}
	}
	for _, name := range sortedNames(overrides) {
		if err := ValidateTopicConfig(name, overrides[name]); err != nil {
			return err
		}
	}
	if _, err := b.Topic(overrides); err != nil {
		return err
	}
	if remote, _ := lookup(ScopeTopic, "remote.storage.enable").parse(overrides["remote.storage.enable"]); remote == true {
		return &Error{Name: "remote.storage.enable", Value: "true", Message: "Tiered Storage functionality is disabled " +
			"in the broker. Topic cannot be configured with remote log storage."}
	}
	return nil
}

// ValidateTopicConfig checks one topic config by name, type and range.
func ValidateTopicConfig(name, value string) error {
	k := lookup(ScopeTopic, name)
	if k == nil {
		return &Error{Name: name, Message: "Unknown topic config name: " + name}
	}
	if _, why := k.parse(value); why != "" {
		return &Error{Name: name, Value: value, Message: why}
	}
	return nil
}
