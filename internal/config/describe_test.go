package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// asError returns err as an *Error, or fails the test.
func asError(t *testing.T, err error) *Error {
	t.Helper()
	var fail *Error
	if !errors.As(err, &fail) {
		t.Fatalf("%v is no *Error", err)
	}
	return fail
}

// mustLoad loads a valid configuration.
func mustLoad(t *testing.T, file string, set ...string) *Broker {
	t.Helper()
	b, err := Load(Sources{File: file, Set: set})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// describedFile is the configuration that describe.tsv was recorded with.
const describedFile = `
node.id=1
process.roles=broker,controller
listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:9093
log.dirs=/a, /b
log.dir=/tmp/kafka-logs
log.retention.hours=\ 24\u0020
log.roll.hours=48
log.flush.scheduler.interval.ms=5000
message.max.bytes=2000000
log.cleanup.policy=compact,delete
some.thing=else
num.partitions=4
max.connections=500
broker.session.timeout.ms=9000
broker.heartbeat.interval.ms=2000
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.consumer.heartbeat.interval.ms=6000
delegation.token.expiry.time.ms=5
listener.name.plaintext.max.connections=7
unstable.api.versions.enable=true
`

var describedDynamic = DynamicValues{
	ClusterWide: map[string]string{
		"log.retention.ms": "7000", "message.max.bytes": "3000000", "max.connections": "600",
		"leader.replication.throttled.rate": "100", "log.flush.interval.ms": "9", "group.consumer.assignment.interval.ms": "77",
	},
	PerNode: map[string]string{
		"log.retention.ms": "8000", "listener.name.plaintext.max.connections": "9", "compression.type": "gzip", "custom.thing": "z",
	},
}

// describedCases returns the response for each case of describe.tsv.
func describedCases(t *testing.T) map[string][]Entry {
	b := mustLoad(t, describedFile)
	over := map[string]string{
		"retention.ms": " 1000", "cleanup.policy": "delete", "segment.bytes": "2097152", "internal.segment.bytes": "100",
		"leader.replication.throttled.replicas": "*", "unknown.key": "x",
	}
	group := map[string]string{"consumer.session.timeout.ms": "50000", "share.isolation.level": "read_committed"}
	altered, problems := b.With(describedDynamic.PerNode, describedDynamic.ClusterWide)
	if problems != nil {
		t.Fatal(problems)
	}
	var none DynamicValues
	return map[string][]Entry{
		"static/broker":       b.DescribeBroker(none),
		"static/default":      b.DescribeBrokerDefault(nil),
		"static/topic/plain":  b.DescribeTopic(nil, none),
		"static/topic/over":   b.DescribeTopic(over, none),
		"static/group/g":      b.DescribeGroup(group),
		"dynamic/broker":      b.DescribeBroker(describedDynamic),
		"dynamic/default":     b.DescribeBrokerDefault(describedDynamic.ClusterWide),
		"dynamic/topic/plain": b.DescribeTopic(nil, describedDynamic),
		"dynamic/topic/over":  altered.DescribeTopic(over, describedDynamic),
		"dynamic/group/g":     altered.DescribeGroup(group),
		"created": b.DescribeCreated(map[string]string{"segment.bytes": "2097152"}, DynamicValues{
			ClusterWide: map[string]string{"log.retention.ms": "7000", "message.max.bytes": "3000000"},
			PerNode:     map[string]string{"compression.type": "gzip"},
		}),
	}
}

// TestDescribeAsKafka compares every kind of DescribeConfigs response with
// Apache Kafka's response for the same configuration: values, sources, access,
// types, and the synonyms with their order.
func TestDescribeAsKafka(t *testing.T) {
	cases := describedCases(t)
	for _, row := range readTSV(t, "describe.tsv") {
		entries := cases[row["case"]]
		i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == row["name"] })
		if strings.HasSuffix(row["name"], ".ssl.key.password") {
			continue // such a value is refused so far and therefore not described
		}
		if i < 0 {
			t.Errorf("%s: %s is missing", row["case"], row["name"])
			continue
		}
		got := fmt.Sprintf("%s %s %s", spell(entries[i]), printedType(entries[i], row["case"]), spellSynonyms(entries[i].Synonyms))
		want := fmt.Sprintf("%s %s %s %s %s %s", row["value"], row["source"], row["access"], row["sensitive"], row["type"], row["synonyms"])
		if got, want = withoutOwnDefault(row["name"], got), withoutOwnDefault(row["name"], want); got != want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", row["case"], row["name"], got, want)
		}
		if entries[i].IsDefault != (entries[i].Source == SourceDefault) {
			t.Errorf("%s %s: IsDefault is %v", row["case"], row["name"], entries[i].IsDefault)
		}
	}
}

func spell(e Entry) string {
	return fmt.Sprintf("%s %d %s %s", spellValue(e.Value), e.Source, yes(e.ReadOnly, "ro", "rw"), yes(e.Sensitive, "secret", ""))
}

func printedType(e Entry, kind string) string {
	if kind == "created" {
		return e.Type.String()
	}
	return fmt.Sprint(int(e.Type))
}

func spellValue(value *string) string {
	if value == nil {
		return "<null>"
	}
	return *value
}

func spellSynonyms(all []EntrySynonym) string {
	var out []string
	for _, s := range all {
		out = append(out, fmt.Sprintf("%s=%s@%d", s.Name, spellValue(s.Value), s.Source))
	}
	return strings.Join(out, " ; ")
}

// withoutOwnDefault removes the default's synonym of keys whose default is
// Ottla's own or depends on other keys.
func withoutOwnDefault(name, spelt string) string {
	k, _ := Lookup(ScopeBroker, name)
	derived := name == "broker.id" || strings.HasSuffix(name, ".replication.factor") || strings.HasSuffix(name, ".min.isr")
	if k.KafkaDefault == "" && !derived {
		return spelt
	}
	parts := strings.Split(spelt, " ; ")
	if len(parts) > 1 && strings.HasSuffix(parts[len(parts)-1], "@5") {
		parts = parts[:len(parts)-1]
	}
	return strings.Join(parts, " ; ")
}

// TestDescribeLists checks the list: all keys that are not internal, no
// duplicates, with documentation, and no secrets.
func TestDescribeLists(t *testing.T) {
	b := mustLoad(t, describedFile)
	broker := b.DescribeBroker(DynamicValues{PerNode: map[string]string{"some.password": "hush"}})
	if !slices.IsSortedFunc(broker, func(x, y Entry) int { return strings.Compare(x.Name, y.Name) }) {
		t.Error("entries are not sorted")
	}
	names := map[string]Entry{}
	for _, e := range broker {
		if _, twice := names[e.Name]; twice {
			t.Errorf("%s is listed twice", e.Name)
		}
		names[e.Name] = e
		if k, ok := Lookup(ScopeBroker, e.Name); ok && e.Doc != k.Doc {
			t.Errorf("%s: documentation is %q", e.Name, e.Doc)
		}
		if e.Sensitive && (e.Value != nil || slices.ContainsFunc(e.Synonyms, func(s EntrySynonym) bool { return s.Value != nil })) {
			t.Errorf("%s shows a secret", e.Name)
		}
	}
	for _, k := range Keys(ScopeBroker) {
		_, listed := names[k.Name]
		if want := !k.Internal && !k.DynamicOnly || k.Name == "unstable.api.versions.enable"; listed != want {
			t.Errorf("%s: listed %v", k.Name, listed)
		}
	}
	if e := names["some.password"]; !e.Sensitive || e.Source != SourceDynamicBroker {
		t.Errorf("an unknown key is described as %+v", e)
	}
	for _, e := range b.DescribeTopic(map[string]string{"internal.segment.bytes": " 100", "segment.ms": " 100"}, DynamicValues{}) {
		// Internal keys are listed as written, others are normalized.
		if want := map[string]string{"internal.segment.bytes": " 100", "segment.ms": "100"}[e.Name]; want != "" && *e.Value != want {
			t.Errorf("%s is described as %q", e.Name, *e.Value)
		}
	}
	if e := names["ottla.durability"]; spell(e) != "fsync 5 ro " {
		t.Errorf("ottla.durability is described as %s", spell(e))
	}
}

// TestDescribeFollowsTheOnlyVoter: defaults that depend on other keys are
// described as defaults.
func TestDescribeFollowsTheOnlyVoter(t *testing.T) {
	for _, e := range mustLoad(t, "").DescribeBroker(DynamicValues{}) {
		want := map[string]string{
			"offsets.topic.replication.factor": "1 5 ro ", "transaction.state.log.min.isr": "1 5 ro ",
			"node.id": "1 5 ro ", "broker.id": "1 5 ro ", "log.dirs": "<null> 5 ro ", "listeners": "PLAINTEXT://127.0.0.1:9092 5 rw ",
		}[e.Name]
		if want != "" && spell(e) != want {
			t.Errorf("%s: %s, want %s", e.Name, spell(e), want)
		}
	}
}
