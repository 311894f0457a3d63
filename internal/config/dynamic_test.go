package config

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWith applies run-time alterations to values set at the start.
func TestWith(t *testing.T) {
	b := mustLoad(t, "log.retention.ms=1\nlog.roll.hours=5\nmessage.max.bytes=100\nnum.partitions=3")
	altered, problems := b.With(
		map[string]string{"log.retention.ms": "30", "max.connections": "7"},
		map[string]string{"log.retention.ms": "20", "message.max.bytes": "200", "log.roll.ms": "40"})
	if problems != nil {
		t.Fatal(problems)
	}
	if got := altered.topic; got.RetentionMs != 30 || got.MaxMessageBytes != 200 || got.SegmentAge != 40*time.Millisecond {
		t.Errorf("%+v", got)
	}
	if altered.Network.MaxConnections != 7 || altered.Topics.Partitions != 3 {
		t.Errorf("%+v %+v", altered.Network, altered.Topics)
	}
	if b.topic.RetentionMs != 1 {
		t.Error("the snapshot has changed under its readers")
	}
	if value, origin, _ := altered.Value("log.retention.ms"); value != "30" || origin != FromDefault {
		t.Errorf("%s from %v", value, origin)
	}
	topic, err := altered.Topic(map[string]string{"max.message.bytes": "300"})
	if err != nil || topic.MaxMessageBytes != 300 || topic.RetentionMs != 30 {
		t.Errorf("%+v, %v", topic, err)
	}
	if again, _ := altered.With(altered.values.perNode, altered.values.clusterWide); again != altered {
		t.Error("the same alterations make another snapshot")
	}
	if back, _ := altered.With(nil, nil); back.topic.RetentionMs != 1 || back.topic.SegmentAge != 5*time.Hour {
		t.Errorf("alterations stay: %+v", back.topic)
	}
}

// TestWithBadValues: invalid values are ignored and listed.
func TestWithBadValues(t *testing.T) {
	b := mustLoad(t, "")
	altered, problems := b.With(
		map[string]string{"log.retention.ms": "x", "node.id": "3", "max.connections": "7", "ssl.keystore.location": "/x", "sasl.enabled.mechanisms": "PLAIN"},
		map[string]string{"listeners": "PLAINTEXT://:1", "message.max.bytes": "9"})
	want := []string{
		"dynamic config is ignored: Invalid value x for configuration log.retention.ms: Not a number of type LONG",
		"dynamic config is ignored: Cannot update these configs dynamically: [node.id]",
		"dynamic config is ignored: sasl.enabled.mechanisms asks for SASL, which Ottla does not serve yet",
		"dynamic config is ignored: These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]",
		"dynamic config is ignored: Cannot update these configs at default cluster level, broker id must be specified: [listeners]",
	}
	if !slices.Equal(problems, want) {
		t.Errorf("problems:\n%s", strings.Join(problems, "\n"))
	}
	if altered.Network.MaxConnections != 7 || altered.topic.MaxMessageBytes != 9 {
		t.Error("good values are left out")
	}
	altered, problems = b.With(nil, map[string]string{"log.retention.ms": "0", "max.connections": "7"})
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "dynamic configs are ignored: log.retention.ms must be unlimited") {
		t.Errorf("problems %v", problems)
	}
	if altered.topic.RetentionMs != 604800000 || altered.Network.MaxConnections == 7 {
		t.Errorf("values that do not fit together are taken: %+v", altered.topic)
	}
}

// TestValidateBroker compares with the messages of Apache Kafka's
// DynamicBrokerConfig.validate.
func TestValidateBroker(t *testing.T) {
	plain := mustLoad(t, "")
	for _, c := range []struct {
		perBroker     bool
		changes, want string
	}{
		{true, "node.id=3", "Cannot update these configs dynamically: [node.id]"},
		{true, "node.id=3 num.partitions=4 broker.id=3", "Cannot update these configs dynamically: [broker.id, node.id, num.partitions]"},
		{true, "log.retention.hours=3", "Cannot update these configs dynamically: [log.retention.hours]"},
		{true, "ottla.durability=fsync", "Cannot update these configs dynamically: [ottla.durability]"},
		{true, "log.retention.ms=abc", "Invalid value abc for configuration log.retention.ms: Not a number of type LONG"},
		{true, "log.retention.ms=-5", ""},
		{true, "log.retention.ms=0", "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
		{false, "log.segment.bytes=10", "Invalid value 10 for configuration log.segment.bytes: Value must be at least 1048576"},
		{false, "listeners=PLAINTEXT://:9092", "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"},
		{false, "cordoned.log.dirs=*", "Cannot update these configs at default cluster level, broker id must be specified: [cordoned.log.dirs]"},
		{true, "cordoned.log.dirs=*", ""},
		{true, "cordoned.log.dirs=/q", "requirement failed: All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : /q"},
		{true, "ssl.keystore.location=/x", "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]"},
		{false, "listener.name.internal.ssl.keystore.location=/x", "Cannot update these configs at default cluster level, broker id must be specified: [listener.name.internal.ssl.keystore.location]"},
		{true, "listener.name.internal.ssl.keystore.location=/x", "listener.name.internal.ssl.keystore.location asks for TLS, which Ottla does not serve yet"},
		{false, "listener.name.internal.max.connections=5", ""},
		{false, "listener.name.internal.max.connections=x", "Invalid value x for configuration max.connections: Not a number of type INT"},
		{false, "max.connections=x", "Invalid value x for configuration max.connections: Not a number of type INT"},
		{true, "foo.bar=x", ""},
		{true, "leader.replication.throttled.rate=-1", "Invalid value -1 for configuration leader.replication.throttled.rate: Value must be at least 0"},
		{false, "leader.replication.throttled.rate=5", ""},
		{false, "sasl.jaas.config=x", "Cannot update these configs at default cluster level, broker id must be specified: [sasl.jaas.config]"},
		{true, "advertised.listeners=x", "Cannot update these configs dynamically: [advertised.listeners]"},
		{true, "listeners=PLAINTEXT://127.0.0.1:9093", "Invalid value org.apache.kafka.common.config.ConfigException: Advertised listeners cannot be altered when using a Raft-based metadata quorum. for configuration Invalid dynamic configuration"},
		{true, "listeners=PLAINTEXT://127.0.0.1:9092", ""},
		{false, "num.io.threads=16", ""},
		{false, "num.io.threads=17", "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=17, value should not be greater than double the current value 8 for configuration Invalid dynamic configuration"},
		{false, "num.io.threads=3", "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic thread count update validation failed for num.io.threads=3, value should be at least half the current value 8 for configuration Invalid dynamic configuration"},
		{false, "log.cleaner.threads=3", "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads cannot be increased to more than double the current value 1 for configuration Invalid dynamic configuration"},
		{false, "log.cleaner.threads=0", "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner threads should be at least 1 for configuration Invalid dynamic configuration"},
		{false, "log.cleaner.threads=2", ""},
		{false, "log.cleaner.min.compaction.lag.ms=5 log.cleaner.max.compaction.lag.ms=4", "conflict topic config setting min.compaction.lag.ms (5) > max.compaction.lag.ms (4)"},
	} {
		changes := map[string]string{}
		for _, pair := range strings.Fields(c.changes) {
			name, value, _ := strings.Cut(pair, "=")
			changes[name] = value
		}
		got := ""
		if err := plain.ValidateBroker(changes, c.perBroker); err != nil {
			got = err.Error()
			if kind := asError(t, err).Kind; kind != InvalidRequest {
				t.Errorf("%s: kind %d", c.changes, kind)
			}
		}
		if got != c.want {
			t.Errorf("per broker %v: %s\ngot  %s\nwant %s", c.perBroker, c.changes, got, c.want)
		}
	}
}

// TestValidateBrokerSeesTheOtherLevel: the alterations of both levels are
// checked together.
func TestValidateBrokerSeesTheOtherLevel(t *testing.T) {
	b, _ := mustLoad(t, "").With(map[string]string{"log.cleaner.max.compaction.lag.ms": "5"}, map[string]string{"log.cleaner.threads": "2"})
	if err := b.ValidateBroker(map[string]string{"log.cleaner.min.compaction.lag.ms": "6"}, false); err == nil {
		t.Error("the node's own alterations are forgotten")
	}
	if err := b.ValidateBroker(map[string]string{"log.cleaner.min.compaction.lag.ms": "6"}, true); err != nil {
		t.Errorf("the replaced alterations count: %v", err)
	}
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	if err := WriteMarkdown(&out); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, k := range slices.Concat(Keys(ScopeBroker), Keys(ScopeTopic), Keys(ScopeGroup)) {
		if listed := strings.Contains(page, "\n### `"+k.Name+"`\n\n"+k.Doc+"\n"); listed == k.Internal {
			t.Errorf("%s: listed %v", k.Name, listed)
		}
	}
	for _, want := range []string{
		"## Log cleaner\n", "## Topic configs\n", "## Group configs\n",
		"long · default `604800000` (7 days) · range `[-1,...]` · from the broker's `log.retention.ms`, `log.retention.minutes`, `log.retention.hours`\n",
		"int · default `2000` (2 seconds) · Kafka's default `9000` · alterable: no\n",
		"int · default `1` · Kafka requires a value · range `[0,...]` · alterable: no\n",
		"int · default `1073741824` (1 GiB) · range `[1048576,...]` · alterable: cluster-wide\n",
		"int · default `2147483647` (no limit) · range `[0,...]` · alterable: cluster-wide\n",
		"password · default none · alterable: per broker · never shown · *not used yet*\n",
		"list · default empty · range `[partitionId]:[brokerId],[partitionId]:[brokerId],...` · *not used yet*\n",
		"long · default `86400000` (1 day)", "int · default `1048588` ·",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := WriteMarkdown(brokenPipe{}); err == nil {
		t.Error("a failed write is not reported")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errTest }

type testError string

func (e testError) Error() string { return string(e) }

const errTest = testError("broken pipe")
