package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// asProduceRequest converts what kmsg decoded.
func asProduceRequest(from *kmsg.ProduceRequest) ProduceRequest {
	r := ProduceRequest{TransactionalID: from.TransactionID, Acks: from.Acks, TimeoutMillis: from.TimeoutMillis}
	for _, topic := range from.Topics {
		t := ProduceTopic{Name: topic.Topic, ID: topic.TopicID}
		for _, p := range topic.Partitions {
			t.Partitions = append(t.Partitions, ProducePartition{p.Partition, p.Records})
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// sameProduce compares with nil and empty slices of topics alike.
func sameProduce(a, b ProduceRequest) bool {
	return fmt.Sprintf("%#v", a.Topics) == fmt.Sprintf("%#v", b.Topics) &&
		reflect.DeepEqual(a.TransactionalID, b.TransactionalID) && a.Acks == b.Acks && a.TimeoutMillis == b.TimeoutMillis
}

func clean(r ProduceRequest) ProduceRequest {
	for i := range r.Topics {
		if len(r.Topics[i].Partitions) == 0 {
			r.Topics[i].Partitions = nil
		}
	}
	if len(r.Topics) == 0 {
		r.Topics = nil
	}
	return r
}

func TestParseProduceRequest(t *testing.T) {
	var reused ProduceRequest
	for version := int16(3); version <= 13; version++ {
		for seed := range uint64(200) {
			r := newRandomizer(seed)
			r.tags = version >= 9
			body := r.request(produce, version).AppendTo(nil)
			decoded := kmsg.NewPtrProduceRequest()
			decoded.Version = version
			if err := decoded.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if err := ParseProduceRequest(version, append(body, 1, 2), &reused); err != nil {
				t.Fatalf("version %d seed %d: %v", version, seed, err)
			}
			if want := clean(asProduceRequest(decoded)); !sameProduce(clean(reused), want) {
				t.Fatalf("version %d seed %d: got %+v, want %+v", version, seed, reused, want)
			}
			for n := range body {
				if err := ParseProduceRequest(version, body[:n:n], &reused); !errors.Is(err, ErrMalformed) || len(reused.Topics) > 0 {
					t.Fatalf("version %d seed %d: %d of %d bytes passed", version, seed, n, len(body))
				}
			}
		}
	}
}

func TestParseProduceRequestAliases(t *testing.T) {
	body := produceBody(13, [16]byte{7}, []byte("records"))
	var r ProduceRequest
	if err := ParseProduceRequest(13, body, &r); err != nil {
		t.Fatal(err)
	}
	records := r.Topics[0].Partitions[0].Records
	body[bytes.Index(body, []byte("records"))] = 'R'
	if string(records) != "Records" || cap(records) != len(records) {
		t.Fatalf("%q, capacity %d", records, cap(records))
	}
	r.Reset()
	if kept := r.Topics[:1][0].Partitions[:1][0]; kept.Records != nil {
		t.Fatal("Reset keeps the frame")
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := ParseProduceRequest(13, body, &r); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}

// produceBody is a request with one topic and one partition.
func produceBody(version int16, id [16]byte, records []byte) []byte {
	request := kmsg.NewPtrProduceRequest()
	request.Version, request.Acks = version, -1
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = records
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID, topic.Partitions = "topic", id, append(topic.Partitions, partition)
	request.Topics = append(request.Topics, topic)
	return request.AppendTo(nil)
}

func TestParseProduceRequestLimitsPartitions(t *testing.T) {
	tests := []struct {
		name       string
		partitions int
		records    int // bytes in each
		ok         bool
	}{
		{"a few empty ones", 900, 0, true},
		{"many empty ones", 2000, 0, false},
		{"many with batches", 20000, 70, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			request := kmsg.NewPtrProduceRequest()
			request.Version = 13
			topic := kmsg.NewProduceRequestTopic()
			for range test.partitions {
				partition := kmsg.NewProduceRequestTopicPartition()
				partition.Records = make([]byte, test.records)
				topic.Partitions = append(topic.Partitions, partition)
			}
			request.Topics = append(request.Topics, topic)
			var r ProduceRequest
			if err := ParseProduceRequest(13, request.AppendTo(nil), &r); (err == nil) != test.ok || err != nil && !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
		})
	}
}

func TestAppendProduceResponse(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for seed := range uint64(200) {
			message := kmsg.NewPtrProduceResponse()
			r := newRandomizer(seed)
			r.fill(reflect.ValueOf(message).Elem())
			message.Version = version
			ignoreBefore10(message)
			want := message.AppendTo([]byte("before"))
			ours := asProduceResponse(message)
			if got := AppendProduceResponse([]byte("before"), version, &ours); !bytes.Equal(got, want) {
				t.Fatalf("version %d seed %d:\ngot  %x\nwant %x", version, seed, got, want)
			}
		}
	}
}

// ignoreBefore10 takes out what kmsg would send in versions that have no such
// fields.
func ignoreBefore10(message *kmsg.ProduceResponse) {
	if message.Version >= 10 {
		return
	}
	message.Brokers = nil
	for i := range message.Topics {
		for j := range message.Topics[i].Partitions {
			message.Topics[i].Partitions[j].CurrentLeader.Default()
		}
	}
}

func asProduceResponse(from *kmsg.ProduceResponse) ProduceResponse {
	r := ProduceResponse{ThrottleMillis: from.ThrottleMillis}
	for _, topic := range from.Topics {
		t := ProduceResponseTopic{Name: topic.Topic, ID: topic.TopicID}
		for _, p := range topic.Partitions {
			out := ProduceResponsePartition{
				Index: p.Partition, Error: Code(p.ErrorCode), BaseOffset: p.BaseOffset, LogAppendTimeMillis: p.LogAppendTime,
				LogStartOffset: p.LogStartOffset, ErrorMessage: p.ErrorMessage,
			}
			for _, e := range p.ErrorRecords {
				out.RecordErrors = append(out.RecordErrors, RecordError{e.RelativeOffset, e.ErrorMessage})
			}
			if l := p.CurrentLeader; l.LeaderID != -1 || l.LeaderEpoch != -1 {
				out.CurrentLeader = &LeaderIDAndEpoch{l.LeaderID, l.LeaderEpoch}
			}
			t.Partitions = append(t.Partitions, out)
		}
		r.Topics = append(r.Topics, t)
	}
	for _, b := range from.Brokers {
		r.NodeEndpoints = append(r.NodeEndpoints, NodeEndpoint{b.NodeID, b.Host, b.Port, b.Rack})
	}
	return r
}

// FuzzParseProduceRequest compares with Decode, on anything. Only a body with
// more partitions than could hold batches is refused by the parser alone.
func FuzzParseProduceRequest(f *testing.F) {
	for version := int16(3); version <= 13; version++ {
		r := newRandomizer(uint64(version))
		r.tags = version >= 9 && version%2 == 0
		f.Add(version, r.request(produce, version).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 3 || version > 13 {
			return
		}
		var r ProduceRequest
		var err error
		grown := allocated(func() { err = ParseProduceRequest(version, body, &r) })
		if limit := allocationLimit(produce, body); grown > limit {
			t.Fatalf("%d bytes allocated for %d, at most %d", grown, len(body), limit)
		}
		if err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatal(err)
		}
		decoded, refused := Decode(produce, version, body)
		if err == nil && refused != nil {
			t.Fatalf("taken, but Decode says %v", refused)
		}
		if refused != nil {
			return
		}
		want := asProduceRequest(decoded.(*kmsg.ProduceRequest))
		if err != nil {
			if n := elements(&want); n <= freePartitions+len(body)/bytesPerPartition {
				t.Fatalf("%d topics and partitions in %d bytes: %v", n, len(body), err)
			}
			return
		}
		if got, want := clean(r), clean(want); !sameProduce(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

// elements counts topics and partitions.
func elements(r *ProduceRequest) int {
	n := len(r.Topics)
	for i := range r.Topics {
		n += len(r.Topics[i].Partitions)
	}
	return n
}
