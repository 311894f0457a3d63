package group

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/zeebo/xxh3"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
)

// TestXXH3 compares the library's hash with what hash4j computed: a group's
// metadata hash is on disk, and Kafka compares it.
func TestXXH3(t *testing.T) {
	content, err := os.ReadFile("testdata/xxh3.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		lines++
		column := strings.Split(line, "\t")
		n, err := strconv.Atoi(column[0])
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + n)
		}
		if got := strconv.FormatInt(int64(xxh3.Hash(b)), 10); got != column[1] {
			t.Errorf("%d bytes: %s, want %s", n, got, column[1])
		}
	}
	if lines < 20 {
		t.Errorf("%d lines", lines)
	}
}

// TestKafkaLog reads what Apache Kafka wrote, writes every record again, comes
// to the same groups and to the same metadata hash.
func TestKafkaLog(t *testing.T) {
	content, err := os.ReadFile("testdata/kafka_log.tsv")
	if err != nil {
		t.Fatal(err)
	}
	e := newConsumerRoom(t, 1)
	id, err := metadata.ParseUUID("pH_2UqOmRX65sl6o-1BBYg")
	if err != nil {
		t.Fatal(err)
	}
	rack := "r1"
	e.metadata(&metadata.RegisterBrokerRecord{BrokerID: 1, Rack: &rack}, &metadata.TopicRecord{Name: "jt", TopicID: id})
	for p := range int32(6) {
		e.metadata(&metadata.PartitionRecord{PartitionID: p, TopicID: id, Replicas: []int32{1}, ISR: []int32{1}, Leader: 1})
	}
	records := 0
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		column := strings.Split(line, "\t")
		key, err := hex.DecodeString(column[0])
		if err != nil {
			t.Fatal(err)
		}
		r := coordinator.Record{Key: key}
		if column[1] != "-" {
			if r.Value, err = hex.DecodeString(column[1]); err != nil {
				t.Fatal(err)
			}
		}
		if again := writtenAgain(t, r); !bytes.Equal(again.Key, r.Key) || !bytes.Equal(again.Value, r.Value) {
			t.Errorf("%x %x is written as %x %x", r.Key, r.Value, again.Key, again.Value)
		}
		if err := e.m.Apply(r, coordinator.Origin{ProducerID: coordinator.NoProducer}); err != nil {
			t.Errorf("%x: %v", r.Key, err)
		}
		records++
	}
	g, _ := e.m.groups["jg"].(*consumerGroup)
	if g == nil || records < 20 {
		t.Fatalf("%d records, group %v", records, g)
	}
	if g.epoch != 4 || g.assignmentEpoch != 4 || len(g.members) != 3 || len(g.statics) != 3 || len(g.held) != 6 {
		t.Errorf("epoch %d, assignment %d, %d members, %d static, %d partitions held", g.epoch, g.assignmentEpoch, len(g.members), len(g.statics), len(g.held))
	}
	if hash := e.m.hashes.of(e.image, []string{"jt", "none"}); hash != g.metadataHash {
		t.Errorf("metadata hash %d, Kafka's is %d", hash, g.metadataHash)
	}
	for _, m := range g.members {
		if m.epoch != epochLeaveStatic {
			t.Errorf("%s is at epoch %d", m.id, m.epoch)
		}
	}
}

// writtenAgain parses a record and writes it.
func writtenAgain(t *testing.T, r coordinator.Record) coordinator.Record {
	t.Helper()
	for i, fresh := range recordKeys {
		key, value := fresh(), recordValues[i]()
		if key.Parse(r.Key) != nil {
			continue
		}
		gone, err := parseRecord(r, key, value)
		if err != nil {
			t.Fatal(err)
		}
		if gone {
			value = nil
		}
		return newRecord(key, value)
	}
	t.Fatalf("%x is no key", r.Key)
	return coordinator.Record{}
}
