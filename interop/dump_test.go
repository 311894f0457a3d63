package interop

import (
	"slices"
	"strings"
	"testing"

	"ottla/interop/clients"
	"ottla/interop/target"
)

// TestKafkaReadsFiles writes with every codec over several segments, stops the
// broker, and lets Kafka's own tool read the files.
func TestKafkaReadsFiles(t *testing.T) {
	target.Jars(t)
	broker := target.Start(t, target.Options{})
	franz := clients.NewFranz(broker.Addr)
	if err := franz.Create(callContext(t), "files", 2, map[string]string{"segment.bytes": "1048576"}); err != nil {
		t.Fatal(err)
	}
	can := franz.Can()
	large := clients.Record{Key: []byte("large"), Value: noise(300_000)}
	for i, codec := range can.Codecs {
		records := shapes(can, baseTime+10_000*int64(i))
		for range 3 {
			large.Timestamp = records[len(records)-1].Timestamp + 1
			records = append(records, large)
		}
		for batch := range slices.Chunk(records, 4) { // many batches: an index entry stands for 4 KiB
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
	for _, want := range []string{"TOPIC_RECORD", "PARTITION_RECORD", "CONFIG_RECORD", "REGISTER_BROKER_RECORD", "FEATURE_LEVEL_RECORD",
		"KRaftVersion", "KRaftVoters", `"name":"files"`} {
		if !strings.Contains(metadata, want) {
			t.Errorf("the metadata log and its snapshots hold no %s:\n%s", want, metadata)
		}
	}
}
