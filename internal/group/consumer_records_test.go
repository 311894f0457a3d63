package group

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"

	"ottla/internal/schema"
	"ottla/internal/schema/schematest"
)

// recordKeys and recordValues are one of each type that gen writes.
var (
	recordKeys = []func() recordKey{
		func() recordKey { return &ConsumerGroupMetadataKey{} },
		func() recordKey { return &ConsumerGroupPartitionMetadataKey{} },
		func() recordKey { return &ConsumerGroupMemberMetadataKey{} },
		func() recordKey { return &ConsumerGroupTargetAssignmentMetadataKey{} },
		func() recordKey { return &ConsumerGroupTargetAssignmentMemberKey{} },
		func() recordKey { return &ConsumerGroupCurrentMemberAssignmentKey{} },
		func() recordKey { return &ConsumerGroupRegularExpressionKey{} },
	}
	recordValues = []func() schema.Value{
		func() schema.Value { return &ConsumerGroupMetadataValue{} },
		func() schema.Value { return &ConsumerGroupPartitionMetadataValue{} },
		func() schema.Value { return NewConsumerGroupMemberMetadataValue() },
		func() schema.Value { return &ConsumerGroupTargetAssignmentMetadataValue{} },
		func() schema.Value { return &ConsumerGroupTargetAssignmentMemberValue{} },
		func() schema.Value { return &ConsumerGroupCurrentMemberAssignmentValue{} },
		func() schema.Value { return &ConsumerGroupRegularExpressionValue{} },
	}
)

type goldenRecord struct {
	key    bool
	name   string
	raw    []byte
	fields string
}

func goldenRecords(t testing.TB) []goldenRecord {
	t.Helper()
	content, err := os.ReadFile("testdata/kafka_records.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var all []goldenRecord
	for _, line := range strings.Split(strings.TrimSpace(string(content)), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		column := strings.Split(line, "\t")
		raw, err := hex.DecodeString(column[3])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, goldenRecord{column[0] == "key", column[1], raw, column[4]})
	}
	return all
}

func typeName(v any) string { return reflect.TypeOf(v).Elem().Name() }

// TestKafkaRecords reads what Apache Kafka 4.3.1's own classes wrote, compares
// every field with what Kafka printed, and writes the same bytes again.
func TestKafkaRecords(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goldenRecords(t) {
		seen[g.name] = true
		var (
			got   any
			again []byte
			err   error
		)
		for _, fresh := range recordKeys {
			if k := fresh(); g.key && typeName(k) == g.name {
				err = k.Parse(g.raw)
				got, again = k, k.Append(nil)
			}
		}
		for _, fresh := range recordValues {
			if v := fresh(); !g.key && typeName(v) == g.name {
				err = schema.ParseVersioned(g.raw, v)
				got, again = v, schema.AppendVersioned(nil, v, recordVersion)
			}
		}
		if got == nil || err != nil {
			t.Errorf("%s %x: %v", g.name, g.raw, err)
			continue
		}
		if !bytes.Equal(again, g.raw) {
			t.Errorf("%s\ngot  %x\nwant %x", g.name, again, g.raw)
		}
		if s := java.String(reflect.ValueOf(got).Elem()); s != g.fields {
			t.Errorf("%x\ngot  %s\nwant %s", g.raw, s, g.fields)
		}
	}
	if len(seen) != len(recordKeys)+len(recordValues) {
		t.Errorf("goldens of %d types, want %d", len(seen), len(recordKeys)+len(recordValues))
	}
}

// java is what Kafka's classes have otherwise.
var java = schematest.Java{
	Types: map[string]string{
		"CurrentTopicPartitions": "TopicPartitions", "TargetTopicPartitions": "TopicPartition",
		"GroupTopicMetadata": "TopicMetadata", "GroupPartitionRacks": "PartitionMetadata",
	},
	Null: func(_, field string) bool { return field == "AssignmentEpochs" },
}

// TestRecordRoundTrip writes random records, reads them, writes the same, and
// breaks them everywhere: an error each time, and never a panic.
func TestRecordRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		for _, fresh := range recordValues {
			v, back := fresh(), fresh()
			schematest.Fill(r, reflect.ValueOf(v).Elem())
			raw := schema.AppendVersioned(nil, v, recordVersion)
			if err := schema.ParseVersioned(raw, back); err != nil {
				t.Fatalf("%T %x: %v", v, raw, err)
			}
			if again := schema.AppendVersioned(nil, back, recordVersion); !bytes.Equal(again, raw) {
				t.Fatalf("%T\nwritten %x\nagain   %x", v, raw, again)
			}
			for n := range raw {
				if err := schema.ParseVersioned(raw[:n], fresh()); !errors.Is(err, schema.ErrMalformed) {
					t.Fatalf("%T cut at %d of %d: %v", v, n, len(raw), err)
				}
			}
			raw[1] = 1
			if err := schema.ParseVersioned(raw, fresh()); !errors.Is(err, schema.ErrMalformed) {
				t.Fatalf("%T version 1: %v", v, err)
			}
		}
		for _, fresh := range recordKeys {
			k, back := fresh(), fresh()
			schematest.Fill(r, reflect.ValueOf(k).Elem())
			raw := k.Append(nil)
			if err := back.Parse(raw); err != nil || !reflect.DeepEqual(k, back) {
				t.Fatalf("%T %x: %v", k, raw, err)
			}
			for _, broken := range [][]byte{raw[:len(raw)-1], append(raw[:len(raw):len(raw)], 0), append([]byte{0, 99}, raw[2:]...)} {
				if err := fresh().Parse(broken); !errors.Is(err, schema.ErrMalformed) {
					t.Fatalf("%T %x: %v", k, broken, err)
				}
			}
		}
	}
}

// FuzzRecord: no bytes make the parsers panic, and what they accept they write
// as it was.
func FuzzRecord(f *testing.F) {
	for _, g := range goldenRecords(f) {
		f.Add(g.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, fresh := range recordKeys {
			k := fresh()
			if err := k.Parse(raw); err == nil && !bytes.Equal(k.Append(nil), raw) {
				t.Fatalf("%T %x is written as %x", k, raw, k.Append(nil))
			}
		}
		for _, fresh := range recordValues {
			v, back := fresh(), fresh()
			if err := schema.ParseVersioned(raw, v); err != nil {
				if !errors.Is(err, schema.ErrMalformed) {
					t.Fatal(err)
				}
				continue
			}
			// Normal form: a tagged field may have been written with its default.
			again := schema.AppendVersioned(nil, v, recordVersion)
			if err := schema.ParseVersioned(again, back); err != nil || !bytes.Equal(schema.AppendVersioned(nil, back, recordVersion), again) {
				t.Fatalf("%T %x is written as %x: %v", v, raw, again, err)
			}
		}
	})
}
