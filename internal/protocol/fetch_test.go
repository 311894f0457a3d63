package protocol

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The bytes and what is put into their slots make what kmsg encodes.
func TestAppendFetchResponse(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		for seed := range uint64(200) {
			message := kmsg.NewPtrFetchResponse()
			r := newRandomizer(seed)
			r.fill(reflect.ValueOf(message).Elem())
			message.Version = version
			if version < 16 {
				message.Brokers = nil // kmsg would send them all the same
			}
			ours, records := asFetchResponse(message)
			want := message.AppendTo([]byte("before"))
			dst, slots := AppendFetchResponse([]byte("before"), version, &ours, nil)
			if got := interleave(t, dst, slots, records); !bytes.Equal(got, want) {
				t.Fatalf("version %d seed %d:\ngot  %x\nwant %x", version, seed, got, want)
			}
		}
	}
}

func interleave(t *testing.T, dst []byte, slots []int, records [][]byte) []byte {
	t.Helper()
	if len(slots) != len(records) {
		t.Fatalf("%d slots for %d regions", len(slots), len(records))
	}
	var out []byte
	done := 0
	for i, slot := range slots {
		out = append(append(out, dst[done:slot]...), records[i]...)
		done = slot
	}
	return append(out, dst[done:]...)
}

// asFetchResponse converts a message, in which it turns null records into empty
// ones, and lists the records that are not empty.
func asFetchResponse(from *kmsg.FetchResponse) (FetchResponse, [][]byte) {
	r := FetchResponse{ThrottleMillis: from.ThrottleMillis, Error: Code(from.ErrorCode), SessionID: from.SessionID}
	var records [][]byte
	for i := range from.Topics {
		topic := &from.Topics[i]
		t := FetchResponseTopic{Name: topic.Topic, ID: topic.TopicID}
		for j := range topic.Partitions {
			p := &topic.Partitions[j]
			if p.RecordBatches = append([]byte{}, p.RecordBatches...); len(p.RecordBatches) > 0 {
				records = append(records, p.RecordBatches)
			}
			t.Partitions = append(t.Partitions, asFetchPartition(p))
		}
		r.Topics = append(r.Topics, t)
	}
	for _, b := range from.Brokers {
		r.NodeEndpoints = append(r.NodeEndpoints, NodeEndpoint{b.NodeID, b.Host, b.Port, b.Rack})
	}
	return r, records
}

func asFetchPartition(p *kmsg.FetchResponseTopicPartition) FetchResponsePartition {
	out := FetchResponsePartition{
		Index: p.Partition, Error: Code(p.ErrorCode), HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset,
		LogStartOffset: p.LogStartOffset, PreferredReadReplica: p.PreferredReadReplica, RecordsLen: len(p.RecordBatches),
	}
	if d := p.DivergingEpoch; d.Epoch != -1 || d.EndOffset != -1 {
		out.DivergingEpoch = &EpochEndOffset{d.Epoch, d.EndOffset}
	}
	if l := p.CurrentLeader; l.LeaderID != -1 || l.LeaderEpoch != -1 {
		out.CurrentLeader = &LeaderIDAndEpoch{l.LeaderID, l.LeaderEpoch}
	}
	if s := p.SnapshotID; s.EndOffset != -1 || s.Epoch != -1 {
		out.SnapshotID = &SnapshotID{s.EndOffset, s.Epoch}
	}
	if p.AbortedTransactions != nil {
		out.AbortedTransactions = []AbortedTransaction{}
	}
	for _, a := range p.AbortedTransactions {
		out.AbortedTransactions = append(out.AbortedTransactions, AbortedTransaction{a.ProducerID, a.FirstOffset})
	}
	return out
}

// Golden bytes, by hand after Kafka's FetchResponse.json: what no encoder of
// this repository or of kmsg has a say in.
func TestFetchResponseGolden(t *testing.T) {
	response := FetchResponse{SessionID: 9, Topics: []FetchResponseTopic{{
		Name: "t", ID: [16]byte{15: 3},
		Partitions: []FetchResponsePartition{{
			Index: 1, HighWatermark: 8, LastStableOffset: 7, LogStartOffset: 2, PreferredReadReplica: -1, RecordsLen: 200,
			CurrentLeader: &LeaderIDAndEpoch{4, 5},
		}, {
			Index: 2, Error: OffsetOutOfRange, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: 0,
			AbortedTransactions: []AbortedTransaction{},
		}},
	}}}
	tests := []struct {
		version int16
		want    string
		slot    int
	}{
		{4, "\x00\x00\x00\x00" + "\x00\x00\x00\x01" + "\x00\x01t" + "\x00\x00\x00\x02" +
			"\x00\x00\x00\x01\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x08" + "\x00\x00\x00\x00\x00\x00\x00\x07" + "\xff\xff\xff\xff" + "\x00\x00\x00\xc8" +
			"\x00\x00\x00\x02\x00\x01" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00", 45},
		{17, "\x00\x00\x00\x00" + "\x00\x00" + "\x00\x00\x00\x09" + "\x02" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03" + "\x03" +
			"\x00\x00\x00\x01\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x08" + "\x00\x00\x00\x00\x00\x00\x00\x07" + "\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00" + "\xff\xff\xff\xff" + "\xc9\x01" +
			"\x01\x01\x09\x00\x00\x00\x04\x00\x00\x00\x05\x00" +
			"\x00\x00\x00\x02\x00\x01" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\xff\xff\xff\xff\xff\xff\xff\xff" + "\x01" + "\x00\x00\x00\x00" + "\x01" + "\x00" +
			"\x00" + "\x00", 65},
	}
	for _, test := range tests {
		got, slots := AppendFetchResponse(nil, test.version, &response, nil)
		if string(got) != test.want || len(slots) != 1 || slots[0] != test.slot {
			t.Errorf("version %d: slots %v\ngot  %x\nwant %x", test.version, slots, got, test.want)
		}
	}
}
