package ottla_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla"
)

// BenchmarkRequest measures a whole request through a node over a socket, one
// at a time: a Produce of one record (acks=1, page cache), and a Fetch of this
// record.
func BenchmarkRequest(b *testing.B) {
	node, err := ottla.Start(b.Context(), ottla.Config{Dir: b.TempDir(), Properties: map[string]string{"ottla.durability": "page-cache"}})
	if err != nil {
		b.Fatal(err)
	}
	defer node.Close()
	records := firstBatch(b, node.Addr())

	produce := kmsg.NewPtrProduceRequest()
	produce.Version, produce.Acks = 9, 1
	topic := kmsg.NewProduceRequestTopic()
	partition := kmsg.NewProduceRequestTopicPartition()
	partition.Records = records
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, partition)
	produce.Topics = append(produce.Topics, topic)
	b.Run("produce", func(b *testing.B) {
		measure(b, node.Addr(), produce, func(r kmsg.Response) int16 { return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode })
	})
	b.Run("fetch", func(b *testing.B) {
		measure(b, node.Addr(), fetchFirst(), func(r kmsg.Response) int16 { return r.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode })
	})
}

// fetchFirst is a Fetch request for the first record of t.
func fetchFirst() *kmsg.FetchRequest {
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version, fetch.MaxBytes = 12, 1
	topic := kmsg.NewFetchRequestTopic()
	partition := kmsg.NewFetchRequestTopicPartition()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, partition)
	fetch.Topics = append(fetch.Topics, topic)
	return fetch
}

// firstBatch writes a record through a client and returns its batch.
func firstBatch(b *testing.B, addr string) []byte {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(b.Context(), &kgo.Record{Topic: "t", Partition: 0, Value: make([]byte, 100)}).FirstErr(); err != nil {
		b.Fatal(err)
	}
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 12
	if err := resp.ReadFrom(exchange(b, nc, frameOf(fetchFirst()), make([]byte, 1<<16))); err != nil {
		b.Fatal(err)
	}
	return resp.Topics[0].Partitions[0].RecordBatches
}

func frameOf(req kmsg.Request) []byte { return kmsg.NewRequestFormatter().AppendRequest(nil, req, 1) }

// exchange sends a request and returns the body of the response.
func exchange(b *testing.B, nc net.Conn, frame, buf []byte) []byte {
	if _, err := nc.Write(frame); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(nc, buf[:4]); err != nil {
		b.Fatal(err)
	}
	n := binary.BigEndian.Uint32(buf)
	if _, err := io.ReadFull(nc, buf[:n]); err != nil {
		b.Fatal(err)
	}
	return buf[5:n] // behind the correlation id and no tagged fields
}

// measure sends a request b.N times. The last response must be free of errors.
func measure(b *testing.B, addr string, req kmsg.Request, code func(kmsg.Response) int16) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	frame, buf := frameOf(req), make([]byte, 1<<16)
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		body = exchange(b, nc, frame, buf)
	}
	resp := req.ResponseKind()
	if err := resp.ReadFrom(body); err != nil || code(resp) != 0 {
		b.Fatalf("error %d, %v", code(resp), err)
	}
}
