package interop

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ottla/interop/clients"
	"ottla/interop/target"
)

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

// callLimit is the limit of one call of a client.
const callLimit = 60 * time.Second

func callContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	t.Cleanup(cancel)
	return ctx
}

// TestClients runs every client through the same cases on one broker. Records
// written by a client are read by franz-go and by the client itself; records
// written by franz-go are read by the client.
func TestClients(t *testing.T) {
	broker := target.Start(t, target.Options{})
	for _, f := range clients.All() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			m := &matrix{t: t, name: f.Name, client: f.Start(t, broker.Addr), franz: clients.NewFranz(broker.Addr)}
			t.Run("write", m.write)
			t.Run("megabyte", m.megabyte)
			if m.client.Can().Consume {
				t.Run("read", m.read)
			}
		})
	}
}

// matrix is the run of one client.
type matrix struct {
	t      *testing.T
	name   string
	client clients.Client
	franz  *clients.Franz
}

// create creates a topic, by the client itself if it can.
func (m *matrix) create(t *testing.T, suffix string) string {
	t.Helper()
	topic := m.name + "-" + suffix
	creator := m.client
	if !creator.Can().Admin {
		creator = m.franz
	}
	if err := creator.Create(callContext(t), topic, 2, map[string]string{"max.message.bytes": "4000000"}); err != nil {
		t.Fatal(err)
	}
	return topic
}

// way is one way of writing.
type way struct {
	acks, codec string
	idempotent  bool
}

func (w way) String() string {
	s := "acks " + w.acks + " " + w.codec
	if w.idempotent {
		s += " idempotent"
	}
	return s
}

// ways lists how a client writes: in the long form every combination that it
// supports, in the short form each codec and each acks once.
func ways(a clients.Abilities) []way {
	var out []way
	for _, acks := range a.Acks {
		for _, codec := range a.Codecs {
			idempotent := a.Idempotent && acks == "all"
			if target.Long() || acks == "all" || codec == "none" {
				out = append(out, way{acks, codec, idempotent})
			}
			if target.Long() && idempotent {
				out = append(out, way{acks, codec, false})
			}
		}
	}
	return out
}

// baseTime is the timestamp of the first record of a topic, in ms.
const baseTime = 1_700_000_000_000

// write lets the client write to one partition in every way, and reads
// everything back.
func (m *matrix) write(t *testing.T) {
	topic := m.create(t, "write")
	can := m.client.Can()
	var written []clients.Record
	for _, w := range ways(can) {
		records := shapes(can, baseTime+1000*int64(len(written)))
		offsets, err := m.client.Produce(callContext(t), clients.Produce{
			Topic: topic, Partition: 1, Acks: w.acks, Codec: w.codec, Idempotent: w.idempotent, Records: records,
		})
		if err != nil {
			t.Fatalf("%s: %v", w, err)
		}
		for i := range records {
			records[i].Offset = int64(len(written) + i)
			if offsets[i] != -1 && offsets[i] != records[i].Offset {
				t.Fatalf("%s: record %d has offset %d, want %d", w, i, offsets[i], records[i].Offset)
			}
		}
		written = append(written, records...)
		if w.acks == "0" { // without acks: the next records must not overtake these
			m.check(t, m.franz, topic, written, false)
		}
	}
	m.check(t, m.franz, topic, written, can.Timestamps)
	if can.Consume {
		m.check(t, m.client, topic, written, can.Timestamps)
	}
}

// megabyte writes a record of a million incompressible bytes.
func (m *matrix) megabyte(t *testing.T) {
	topic := m.create(t, "megabyte")
	value := noise(1_000_000)
	codec := "none"
	if target.Long() {
		codec = "lz4"
	}
	records := []clients.Record{{Value: value}, {Offset: 1, Value: []byte("after")}}
	_, err := m.client.Produce(callContext(t), clients.Produce{
		Topic: topic, Partition: 1, Acks: "all", Codec: codec, Idempotent: m.client.Can().Idempotent, Records: records,
	})
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, m.franz, topic, records, false)
	if m.client.Can().Consume {
		m.check(t, m.client, topic, records, false)
	}
}

// read lets the client read records that franz-go wrote with every codec.
func (m *matrix) read(t *testing.T) {
	can := m.client.Can()
	can.Timestamps = true // franz-go's abilities, not the client's
	topic := m.create(t, "read")
	var written []clients.Record
	for _, codec := range can.Codecs {
		records := shapes(can, baseTime+1000*int64(len(written)))
		if _, err := m.franz.Produce(callContext(t), clients.Produce{
			Topic: topic, Partition: 1, Acks: "all", Codec: codec, Idempotent: true, Records: records,
		}); err != nil {
			t.Fatal(err)
		}
		for i := range records {
			records[i].Offset = int64(len(written) + i)
		}
		written = append(written, records...)
	}
	m.check(t, m.client, topic, written, true)
}

// check reads a partition from the beginning, from an offset in the middle, and
// from timestamps, and compares each time. If the client did not set
// timestamps, the records have the time of its clock; check takes it from the
// records that were read.
func (m *matrix) check(t *testing.T, reader clients.Client, topic string, written []clients.Record, timestamps bool) {
	t.Helper()
	all := m.readBack(t, reader, clients.Consume{Topic: topic, Count: len(written)}, written, timestamps)
	middle := len(written)/2 + 1
	m.readBack(t, reader, clients.Consume{Topic: topic, Offset: int64(middle), Count: len(written) - middle}, all[middle:], true)
	if !timestamps {
		return
	}
	exact := all[middle].Timestamp
	m.readBack(t, reader, clients.Consume{Topic: topic, Timestamp: exact, Count: len(written) - middle}, all[middle:], true)
	between := exact - 1 // shapes leaves gaps between timestamps
	m.readBack(t, reader, clients.Consume{Topic: topic, Timestamp: between, Count: len(written) - middle}, all[middle:], true)
}

func (m *matrix) readBack(t *testing.T, reader clients.Client, c clients.Consume, want []clients.Record, timestamps bool) []clients.Record {
	t.Helper()
	c.Partition = 1
	if c.Count == 0 {
		return nil
	}
	got, err := reader.Consume(callContext(t), c)
	if err != nil {
		t.Fatalf("reading %+v: %v", c, err)
	}
	if !timestamps {
		for i := range min(len(want), len(got)) {
			want[i].Timestamp = got[i].Timestamp
		}
	}
	if diff := clients.Diff(want, got); diff != "" {
		t.Fatalf("reading %+v: %s", c, diff)
	}
	return got
}

// shapes returns a record of every shape that a client can write, ten
// milliseconds apart, and many small ones.
func shapes(can clients.Abilities, at int64) []clients.Record {
	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	records := []clients.Record{
		{Key: []byte("key"), Value: []byte("value")},
		{Value: []byte("without key")},
		{Key: []byte("tombstone")},
		{Key: []byte("ключ"), Value: []byte("väl-ue 値")},
		{Key: binary, Value: binary},
		{Key: []byte("large"), Value: bytes.Repeat([]byte("compressible "), 2000)},
	}
	if can.NullBoth {
		records = append(records, clients.Record{})
	}
	if can.EmptyKey {
		records = append(records, clients.Record{Key: []byte{}, Value: []byte("empty key")})
	}
	if can.EmptyValue {
		records = append(records, clients.Record{Key: []byte("empty value"), Value: []byte{}})
	}
	records = append(records, withHeaders(can)...)
	for i := range 50 {
		records = append(records, clients.Record{Key: fmt.Appendf(nil, "k%d", i), Value: []byte(strings.Repeat("v", i+1))})
	}
	if can.Timestamps {
		for i := range records {
			records[i].Timestamp = at + 10*int64(i)
		}
	}
	return records
}

func withHeaders(can clients.Abilities) []clients.Record {
	if !can.Headers {
		return nil
	}
	headers := []clients.Header{{Key: "trace", Value: []byte("abc")}, {Key: "größe", Value: []byte("12")}}
	records := []clients.Record{{Key: []byte("headers"), Value: []byte("two"), Headers: headers}}
	if can.RepeatedHeaders {
		repeated := append([]clients.Header{{Key: "trace", Value: []byte("first")}}, headers...)
		records = append(records, clients.Record{Key: []byte("headers"), Value: []byte("repeated"), Headers: repeated})
	}
	if can.NullHeader {
		odd := []clients.Header{{Key: "null"}, {Key: "empty", Value: []byte{}}, {Key: "binary", Value: []byte{0, 255, 10}}}
		records = append(records, clients.Record{Key: []byte("headers"), Value: []byte("odd"), Headers: odd})
	}
	return records
}

// noise returns n incompressible bytes. They are always the same.
func noise(n int) []byte {
	out := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range out {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		out[i] = byte(x >> 32)
	}
	return out
}
