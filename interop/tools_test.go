package interop

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// toolRun is one run of a console tool. Its output must match every pattern,
// and its exit code must be 0 unless fails is set.
type toolRun struct {
	class string
	args  []string
	stdin string
	want  []string
	fails bool
	long  bool // only in the long form: a JVM takes up to a second
}

const (
	topicCommand  = "org.apache.kafka.tools.TopicCommand"
	configCommand = "kafka.admin.ConfigCommand"
	offsetShell   = "org.apache.kafka.tools.GetOffsetShell"
	quorumCommand = "org.apache.kafka.tools.MetadataQuorumCommand"
	consoleReader = "org.apache.kafka.tools.consumer.ConsoleConsumer"
)

// TestConsoleTools runs Kafka's own console tools, each in its own JVM, in the
// order of typical use on one topic.
func TestConsoleTools(t *testing.T) {
	target.Jars(t)
	broker := target.Start(t, target.Options{})
	deletion := filepath.Join(t.TempDir(), "delete.json")
	if err := os.WriteFile(deletion, []byte(`{"partitions":[{"topic":"tools","partition":1,"offset":1}],"version":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, run := range toolRuns(deletion) {
		if run.long && !target.Long() {
			continue
		}
		args := append([]string{"--bootstrap-server", broker.Addr}, run.args...)
		if run.class == "org.apache.kafka.tools.ClusterTool" { // its subcommand comes first
			args = append(run.args, "--bootstrap-server", broker.Addr)
		}
		out, err := runTool(t, run.stdin, run.class, args...)
		if (err != nil) != run.fails {
			t.Fatalf("%s %v: %v\n%s", run.class, run.args, err, out)
		}
		for _, pattern := range run.want {
			if !regexp.MustCompile(pattern).MatchString(out) {
				t.Errorf("%s %v: nothing matches %q in\n%s", run.class, run.args, pattern, out)
			}
		}
	}
}

func toolRuns(deletion string) []toolRun {
	return []toolRun{
		{class: topicCommand, args: []string{"--create", "--topic", "tools", "--partitions", "2", "--config", "retention.ms=-1"},
			want: []string{`Created topic tools\.`}},
		{class: topicCommand, args: []string{"--create", "--topic", "tools"}, fails: true, long: true,
			want: []string{`Topic 'tools' already exists`}},
		{class: topicCommand, args: []string{"--list"}, long: true, want: []string{`(?m)^tools$`}},
		{class: "org.apache.kafka.tools.ConsoleProducer", stdin: "k1:v1\nk2:v2\nk3:v3\n",
			args: []string{"--topic", "tools", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:"}},
		{class: topicCommand, args: []string{"--describe", "--topic", "tools"}, want: []string{
			`Topic: tools\s+TopicId: \S{22}\s+PartitionCount: 2\s+ReplicationFactor: 1\s+Configs: .*retention\.ms=-1`,
			`Partition: 1\s+Leader: 1\s+Replicas: 1\s+Isr: 1\s+Elr:\s+LastKnownElr:`}},
		// The partition of a key comes from the client's murmur2, which is the
		// same for every broker.
		{class: consoleReader, args: []string{"--topic", "tools", "--partition", "1", "--offset", "0", "--max-messages", "2",
			"--formatter-property", "print.key=true", "--formatter-property", "print.offset=true"},
			want: []string{`Offset:0\s+k1\s+v1`, `Offset:1\s+k2\s+v2`}},
		{class: consoleReader, args: []string{"--topic", "tools", "--partition", "1", "--offset", "1", "--max-messages", "1"}, long: true,
			want: []string{`(?m)^v2$`}},
		{class: offsetShell, args: []string{"--topic", "tools"}, want: []string{`tools:0:1`, `tools:1:2`}},
		{class: offsetShell, args: []string{"--topic", "tools", "--time", "max-timestamp"}, long: true, want: []string{`tools:0:0`, `tools:1:1`}},
		{class: "org.apache.kafka.tools.ClusterTool", args: []string{"cluster-id"}, want: []string{`Cluster ID: \S{22}`}},
		{class: "org.apache.kafka.tools.ClusterTool", args: []string{"list-endpoints"}, long: true,
			want: []string{`1\s+127\.0\.0\.1\s+\d+\s+null\s+unfenced\s+broker`}},
		{class: "org.apache.kafka.tools.LogDirsCommand", args: []string{"--describe", "--topic-list", "tools"},
			want: []string{`"partition":"tools-0","size":72,"offsetLag":0`, `"partition":"tools-1","size":83,`, `"error":null`}},
		{class: quorumCommand, args: []string{"describe", "--status"},
			want: []string{`ClusterId:\s+\S{22}`, `LeaderId:\s+1`, `MaxFollowerLag:\s+0`, `CurrentVoters:.*1`}},
		{class: quorumCommand, args: []string{"describe", "--replication"}, long: true, want: []string{`(?m)^1\s+\S{22}\s+\d+\s+0\s.*Leader`}},
		{class: configCommand, args: []string{"--entity-type", "topics", "--entity-name", "tools", "--alter", "--add-config", "retention.ms=100000"},
			want: []string{`Completed updating config for topic tools\.`}},
		{class: configCommand, args: []string{"--entity-type", "topics", "--entity-name", "tools", "--describe"},
			want: []string{`retention\.ms=100000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention\.ms=100000\}`}},
		{class: configCommand, args: []string{"--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"}, long: true,
			want: []string{`num\.partitions=1 sensitive=false synonyms=\{DEFAULT_CONFIG:num\.partitions=1\}`}},
		{class: "org.apache.kafka.tools.DeleteRecordsCommand", args: []string{"--offset-json-file", deletion},
			want: []string{`partition: tools-1\s+low_watermark: 1`}},
		{class: "org.apache.kafka.tools.BrokerApiVersionsCommand", want: []string{
			`id: 1 rack: null isFenced: false`, `Produce\(0\): 0 to 13 \[usable: 13\]`, `Fetch\(1\): 4 to 18 \[usable: 18\]`}},
		{class: "org.apache.kafka.tools.FeatureCommand", args: []string{"describe"},
			want: []string{`Feature: metadata\.version\s+SupportedMinVersion: 3\.3-IV3\s+SupportedMaxVersion: 4\.3-IV0\s+FinalizedVersionLevel: 4\.3-IV0`}},
		{class: "org.apache.kafka.tools.ProducerPerformance", args: []string{"--topic", "tools", "--num-records", "5000", "--record-size", "100", "--throughput", "-1"},
			want: []string{`5000 records sent`}},
		{class: "org.apache.kafka.tools.LeaderElectionCommand", args: []string{"--election-type", "preferred", "--topic", "tools", "--partition", "0"}, long: true,
			want: []string{`Valid replica already elected for partitions tools-0`}},
		{class: "org.apache.kafka.tools.TransactionsCommand", args: []string{"list"}, long: true, want: []string{`TransactionalId\s+Coordinator`}},
		{class: topicCommand, args: []string{"--alter", "--topic", "tools", "--partitions", "3"}, long: true},
		{class: topicCommand, args: []string{"--delete", "--topic", "tools"}},
		{class: topicCommand, args: []string{"--describe", "--topic", "tools"}, fails: true, long: true, want: []string{`Topic 'tools' does not exist as expected`}},
	}
}

// adminTour is the expected result of interop/java/AdminTour.java, with Kafka
// and with Ottla.
var adminTour = map[string]string{
	"cluster.nodes": "1", "cluster.id": "22", "cluster.controller": "1",
	"features.supported": "{eligible.leader.replicas.version=SupportedVersionRange[min_version:0, max_version:1]," +
		" group.version=SupportedVersionRange[min_version:0, max_version:1], kraft.version=SupportedVersionRange[min_version:0, max_version:1]," +
		" metadata.version=SupportedVersionRange[min_version:7, max_version:30], share.version=SupportedVersionRange[min_version:0, max_version:1]," +
		" streams.version=SupportedVersionRange[min_version:0, max_version:1], transaction.version=SupportedVersionRange[min_version:0, max_version:2]}",
	"features.finalized": "{eligible.leader.replicas.version=FinalizedVersionRange[min_version_level:1, max_version_level:1]," +
		" group.version=FinalizedVersionRange[min_version_level:1, max_version_level:1], kraft.version=FinalizedVersionRange[min_version_level:1, max_version_level:1]," +
		" metadata.version=FinalizedVersionRange[min_version_level:30, max_version_level:30], share.version=FinalizedVersionRange[min_version_level:1, max_version_level:1]," +
		" streams.version=FinalizedVersionRange[min_version_level:1, max_version_level:1], transaction.version=FinalizedVersionRange[min_version_level:2, max_version_level:2]}",
	"features.update": "InvalidUpdateVersionException",
	"quorum.leader":   "1", "quorum.voters": "1", "quorum.observers": "0", "logdirs": "true", "logdirs.size": "true",
	"config.before": "-1 DYNAMIC_TOPIC_CONFIG LONG", "config.set": "ok", "config.after": "77000 DYNAMIC_TOPIC_CONFIG LONG",
	"config.append": "ok", "config.appended": "delete,compact DYNAMIC_TOPIC_CONFIG LIST", "config.delete": "ok",
	"config.bad": "InvalidConfigurationException", "config.count": "33", "config.resources": "true",
	"offsets.earliest": "0", "offsets.latest": "3", "offsets.max": "2", "offsets.local": "0", "offsets.tiered": "-1", "offsets.timestamp": "0",
	"producers": "1", "records.delete": "2", "offsets.after": "2", "records.beyond": "OffsetOutOfRangeException",
	"topics.listed": "true", "topics.partitions": "2", "topics.leader": "1 1", "topics.byId": "1", "topics.grow": "null",
	"topics.shrink": "InvalidPartitionsException", "topics.exists": "TopicExistsException",
	"topics.replicas": "InvalidReplicationFactorException", "topics.defaults": "1",
	"reassign": "InvalidReplicaAssignmentException", "reassignments": "0", "elect": "ElectionNotNeededException",
	"acls": "SecurityDisabledException", "tokens": "UnsupportedByAuthenticationException", "quotas": "0", "scram": "0", "transactions": "0",
	"errors.topic": "UnknownTopicOrPartitionException", "errors.name": "InvalidTopicException",
	"errors.delete": "UnknownTopicOrPartitionException", "errors.unregister": "BrokerIdNotRegisteredException",
	"delete.byId": "null", "delete.byName": "null",
}

// TestAdminClients runs the admin functions of every client that has them.
func TestAdminClients(t *testing.T) {
	broker := target.Start(t, target.Options{})
	for _, f := range clients.All() {
		if !hasTour[f.Name] { // TestClients creates topics
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			topic := "admin-" + f.Name
			client := f.Start(t, broker.Addr).(*clients.Process)
			prepareTour(t, client, topic)
			if f.Name == "java" {
				compareTour(t, client, "admin", topic, adminTour)
				return
			}
			compareTour(t, client, "admin", topic, map[string]any{"brokers": 1.0, "partitions": 2.0, "listed": true, "latest": 3.0,
				"earliest": 1.0, "retention": "123456", "grown": 5.0})
		})
	}
}

var hasTour = map[string]bool{"java": true, "confluent-kafka": true, "kafka-python": true, "kafkajs": true, "platformatic-kafka": true}

// prepareTour prepares a tour: a topic with two partitions and three records.
func prepareTour(t *testing.T, client *clients.Process, topic string) {
	t.Helper()
	if err := client.Create(callContext(t), topic, 2, map[string]string{"retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	var records []clients.Record
	for i := range int64(3) {
		records = append(records, clients.Record{Key: []byte("k"), Value: []byte("v"), Timestamp: baseTime + i})
	}
	if _, err := client.Produce(callContext(t), clients.Produce{
		Topic: topic, Acks: "all", Codec: "none", Idempotent: true, Records: records,
	}); err != nil {
		t.Fatal(err)
	}
}

func compareTour[V comparable](t *testing.T, client *clients.Process, op, topic string, want map[string]V) {
	t.Helper()
	var found map[string]V
	if err := client.Tour(callContext(t), op, topic, &found); err != nil {
		t.Fatal(err)
	}
	for name, v := range want {
		if got, ok := found[name]; !ok || got != v {
			t.Errorf("%s: got %v, want %v", name, got, v)
		}
	}
	for name := range found {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: unexpected: %v", name, found[name])
		}
	}
}
