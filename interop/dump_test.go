package interop

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// TestKafkaReadsFiles writes with every codec over several segments, deletes
// some records by DeleteRecords and retention, stops the broker, and reads the
// files with Kafka's own tool. (TestInterchange reads files with transactions:
// Ottla does not support transactional producers yet.)
func TestKafkaReadsFiles(t *testing.T) {
	target.Jars(t)
	broker := target.Start(t, target.Options{Set: []string{"log.initial.task.delay.ms=0", "log.retention.check.interval.ms=50"}})
	franz := clients.NewFranz(broker.Addr)
	if err := franz.Create(callContext(t), "files", 2, map[string]string{"segment.bytes": "1048576", "retention.ms": "-1"}); err != nil {
		t.Fatal(err)
	}
	createMoved(t, broker, []moved{{topic: "trimmed"}, {topic: "aged", configs: map[string]string{"retention.bytes": "150000"}}}, true)
	trim(t, broker, "trimmed")
	write(t, broker, "aged", "none", true)
	awaitDeleted(t, broker, "aged")
	written := 0
	can := franz.Can()
	large := clients.Record{Key: []byte("large"), Value: noise(300_000)}
	for i, codec := range can.Codecs {
		records := shapes(can, baseTime+10_000*int64(i))
		for range 3 {
			large.Timestamp = records[len(records)-1].Timestamp + 1
			records = append(records, large)
		}
		written += len(records)
		for batch := range slices.Chunk(records, 4) { // many batches: there is one index entry per 4 KiB
			for partition := range 2 {
				if _, err := franz.Produce(callContext(t), clients.Produce{
					Topic: "files", Partition: partition, Acks: "all", Codec: codec, Idempotent: partition == 0, Records: batch,
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	metadata := CheckFiles(t, broker.Dir)
	CheckIndexes(t, broker.Dir)
	for _, partition := range []string{"files-0", "files-1"} {
		CheckRecords(t, broker.Dir, partition, written)
	}
	for _, want := range []string{"TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "REGISTER_BROKER_RECORD", "FEATURE_LEVEL_RECORD",
		"KRaftVersion", "KRaftVoters", `"name":"files"`} {
		if !strings.Contains(metadata, want) {
			t.Errorf("the metadata log and its snapshots hold no %s:\n%s", want, metadata)
		}
	}
}

// awaitDeleted returns when retention has deleted records of a topic.
func awaitDeleted(t *testing.T, b *target.Broker, topic string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := callContext(t)
	for {
		at, err := offsetOf(ctx, kadm.NewClient(cl).ListStartOffsets, topic, 0)
		if err != nil {
			t.Fatal(err)
		}
		if at.Offset > 0 {
			return
		}
	}
}

// TestKafkaReadsCompacted lets a broker compact, and reads the result with
// Kafka's own tool.
func TestKafkaReadsCompacted(t *testing.T) {
	target.Jars(t)
	broker := target.Start(t, target.Options{Set: quickCleaner})
	createMoved(t, broker, []moved{{topic: "compacted", configs: compactConfigs}}, true)
	compact(t, broker, "compacted")
	want := Look(t, broker.Addr, "compacted", 0)
	broker.Kill()
	start(t, broker)
	if diff := want.Diff(Look(t, broker.Addr, "compacted", 0)); diff != "" {
		t.Errorf("after kill -9: %s", diff)
	}
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	CheckFiles(t, broker.Dir)
	CheckIndexes(t, broker.Dir)
}
