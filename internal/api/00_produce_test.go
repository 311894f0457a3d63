package api

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// produceTo makes a request for one partition of a topic, with acks=all.
func produceTo(topic string, partition int32, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

// withIDs gives a request's topics their ids, which replace names in version 13.
func withIDs(req *kmsg.ProduceRequest, id [16]byte) *kmsg.ProduceRequest {
	for i := range req.Topics {
		req.Topics[i].TopicID = id
	}
	return req
}

// produce writes to one partition by acks=all, and wants it to be written.
func (x *fixture) produce(topic string, partition int32, records []byte) kmsg.ProduceResponseTopicPartition {
	x.Helper()
	out := onlyProduced(x, ask[*kmsg.ProduceResponse](x, 9, produceTo(topic, partition, records)))
	wantCode(x, "produce to "+topic, out.ErrorCode, protocol.None)
	return out
}

func onlyProduced(x *fixture, resp *kmsg.ProduceResponse) kmsg.ProduceResponseTopicPartition {
	x.Helper()
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		x.Fatalf("the answer has not one partition: %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}

// stored is everything in a partition's log.
func (x *fixture) stored(topic string, partition int32) []byte {
	x.Helper()
	log := x.log(topic, partition)
	s, err := log.Read(log.StartOffset(), log.EndOffset(), 1<<30, true)
	x.must(err)
	defer s.Release()
	out := make([]byte, s.Len())
	_, err = s.ReadAt(out, 0)
	if err != nil && s.Len() > 0 && len(out) != s.Len() {
		x.Fatal(err)
	}
	return out
}

func TestProduceInEachVersion(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 2)
		next := int64(0)
		var want []string
		x.eachVersion(0, func(version int16) {
			for _, acks := range []int16{-1, 1} {
				value := fmt.Sprintf("v%d %d", version, acks)
				req := withIDs(produceTo("a", 1, batch(value, value)), id)
				req.Acks = acks
				resp := ask[*kmsg.ProduceResponse](x, version, req)
				if topic := resp.Topics[0]; version < 13 && topic.Topic != "a" || version == 13 && topic.TopicID != id {
					t.Errorf("version %d: the topic is %q %x", version, topic.Topic, topic.TopicID)
				}
				out := onlyProduced(x, resp)
				if out.ErrorCode != 0 || out.Partition != 1 || out.BaseOffset != next || out.LogAppendTime != -1 || out.ErrorMessage != nil || len(out.ErrorRecords) > 0 {
					t.Errorf("version %d: %+v, want offset %d", version, out, next)
				}
				if wantStart := int64(-1); version >= 5 && out.LogStartOffset != 0 || version < 5 && out.LogStartOffset != wantStart {
					t.Errorf("version %d: log start %d", version, out.LogStartOffset)
				}
				next += 2
				want = append(want, value, value)
			}
		})
		if got := values(t, x.stored("a", 1)); !slices.Equal(got, want) {
			t.Errorf("stored %q, want %q", got, want)
		}
		if end := x.log("a", 0).EndOffset(); end != 0 {
			t.Errorf("the other partition has %d records", end)
		}
	})
}

// broken changes a byte of a batch behind its header.
func broken(b []byte) []byte {
	b[len(b)-2] ^= 1
	return b
}

// TestProduceRefuses has a row for each reason to refuse a partition. Nothing
// is written then, and the other partition of the request is.
func TestProduceRefuses(t *testing.T) {
	old := func() []byte {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(someTime-7_200_000, nil, []byte("a"))
		b.Append(someTime, nil, []byte("b"))
		b.Append(someTime-7_200_001, nil, []byte("c"))
		built, _ := b.Build()
		return bytes.Clone(built)
	}
	unkeyed := func() []byte {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(someTime, []byte("k"), []byte("a"))
		b.Append(someTime, nil, []byte("b"))
		built, _ := b.Build()
		return bytes.Clone(built)
	}
	for _, c := range []struct {
		name      string
		min, max  int16 // versions
		topic     string
		partition int32
		records   []byte
		change    func(*kmsg.ProduceRequest)
		want      protocol.Code
		start     bool    // the log start is named all the same
		at        []int32 // of ErrorRecords
		message   bool
		all       bool // the other partition is refused as well
	}{
		{name: "unknown topic", max: 12, topic: "unknown", records: batch("v"), want: protocol.UnknownTopicOrPartition},
		{name: "unknown topic id", min: 13, topic: "a", records: batch("v"), want: protocol.UnknownTopicID, all: true, change: func(r *kmsg.ProduceRequest) { withIDs(r, [16]byte{9}) }},
		{name: "zero topic id", min: 13, topic: "a", records: batch("v"), want: protocol.UnknownTopicID, all: true, change: func(r *kmsg.ProduceRequest) { withIDs(r, [16]byte{}) }},
		{name: "unknown partition", topic: "a", partition: 9, records: batch("v"), want: protocol.UnknownTopicOrPartition},
		{name: "negative partition", topic: "a", partition: -1, records: batch("v"), want: protocol.UnknownTopicOrPartition},
		{name: "metadata topic", max: 12, topic: "__cluster_metadata", records: batch("v"), want: protocol.UnknownTopicOrPartition},
		{name: "internal topic that does not exist", max: 12, topic: "__transaction_state", records: batch("v"), want: protocol.UnknownTopicOrPartition},
		{name: "internal topic", max: 12, topic: "__consumer_offsets", records: batch("v"), want: protocol.InvalidTopicException, message: true},
		{name: "acks 2", topic: "a", records: batch("v"), want: protocol.InvalidRequiredAcks, all: true, change: func(r *kmsg.ProduceRequest) { r.Acks = 2 }},
		{name: "acks -2", topic: "a", records: batch("v"), want: protocol.InvalidRequiredAcks, all: true, change: func(r *kmsg.ProduceRequest) { r.Acks = -2 }},
		{name: "a transactional id", topic: "a", records: batch("v"), want: protocol.TransactionalIDAuthorizationFailed, all: true, change: func(r *kmsg.ProduceRequest) { r.TransactionID = ptr("t") }},
		{
			name: "a batch of a transaction", topic: "a", want: protocol.TransactionalIDAuthorizationFailed,
			records: build(record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 7}}, "v"),
		},
		{name: "null records", topic: "a", records: nil, want: protocol.InvalidRecord, message: true},
		{name: "empty records", topic: "a", records: []byte{}, want: protocol.InvalidRecord, message: true},
		{name: "two batches", topic: "a", records: append(batch("v"), batch("w")...), want: protocol.InvalidRecord, message: true},
		{name: "cut batch", topic: "a", records: batch("v")[:65], want: protocol.InvalidRecord, message: true},
		{name: "magic 1", topic: "a", records: func() []byte { b := batch("v"); b[16] = 1; return b }(), want: protocol.InvalidRecord, message: true},
		{name: "magic 3", topic: "a", records: func() []byte { b := batch("v"); b[16] = 3; return b }(), want: protocol.CorruptMessage, message: true},
		{name: "wrong CRC", topic: "a", records: broken(batch("vvv")), want: protocol.CorruptMessage, message: true},
		{name: "zstd before version 7", max: 6, topic: "a", records: build(record.BuilderOptions{Compression: record.Zstd}, "v"), want: protocol.UnsupportedCompressionType, message: true},
		{name: "control batch", topic: "a", records: build(record.BuilderOptions{Control: true}, "v"), want: protocol.InvalidRecord, start: true, message: true},
		{name: "too large", topic: "small", records: batch(strings.Repeat("x", 1000)), want: protocol.MessageTooLarge, message: true},
		{name: "larger than a segment", topic: "segment", records: batch(strings.Repeat("x", 1_100_000)), want: protocol.RecordListTooLarge},
		{name: "no key in a compacted topic", topic: "compact", records: unkeyed(), want: protocol.InvalidRecord, start: true, at: []int32{1}, message: true},
		{name: "timestamps too old", topic: "window", records: old(), want: protocol.InvalidTimestamp, start: true, at: []int32{0, 2}, message: true},
		{name: "a gap in the sequence", topic: "a", records: idempotent(1, 5, 7, "v"), want: protocol.OutOfOrderSequenceNumber, start: true},
		{name: "an epoch that is over", topic: "a", records: idempotent(1, 4, 1, "v"), want: protocol.InvalidProducerEpoch, start: true},
	} {
		story(t, nil, func(t *testing.T, x *fixture) {
			ids := map[string][16]byte{
				"a": x.topic("a", 2), "small": x.topic("small", 2, "max.message.bytes", "500"),
				"segment": x.topic("segment", 2, "segment.bytes", "1048576", "max.message.bytes", "5000000"),
				"compact": x.topic("compact", 2, "cleanup.policy", "compact"),
				"window":  x.topic("window", 2, "message.timestamp.before.max.ms", "3600000"),
			}
			x.topic("__consumer_offsets", 1)
			x.produce("a", 0, idempotent(1, 5, 0, "v0"))
			before := x.log("a", 0).EndOffset()
			x.eachVersion(0, func(version int16) {
				if version < c.min || c.max > 0 && version > c.max {
					return
				}
				req := withIDs(produceTo(c.topic, c.partition, bytes.Clone(c.records)), ids[c.topic])
				if c.records == nil {
					req.Topics[0].Partitions[0].Records = nil
				}
				good := kmsg.NewProduceRequestTopicPartition()
				good.Partition, good.Records = 1, batch("good")
				other := kmsg.NewProduceRequestTopic()
				other.Topic, other.TopicID, other.Partitions = "a", ids["a"], append(other.Partitions, good)
				req.Topics = append(req.Topics, other)
				if c.change != nil {
					c.change(req)
				}
				resp := ask[*kmsg.ProduceResponse](x, version, req)
				got := resp.Topics[0].Partitions[0]
				what := fmt.Sprintf("%s, version %d", c.name, version)
				wantCode(t, what, got.ErrorCode, c.want)
				wantStart := int64(-1)
				if c.start && version >= 5 {
					wantStart = 0
				}
				if got.BaseOffset != -1 || got.LogAppendTime != -1 || got.LogStartOffset != wantStart || got.Partition != c.partition {
					t.Errorf("%s: %+v", what, got)
				}
				var at []int32
				for _, r := range got.ErrorRecords {
					at = append(at, r.RelativeOffset)
					if deref(r.ErrorMessage) == "" {
						t.Errorf("%s: record %d is refused without a word", what, r.RelativeOffset)
					}
				}
				if version >= 8 && (!slices.Equal(at, c.at) || (got.ErrorMessage != nil) != c.message) {
					t.Errorf("%s: records %v, message %q", what, at, deref(got.ErrorMessage))
				}
				if code := resp.Topics[1].Partitions[0].ErrorCode; (code != 0) != c.all {
					t.Errorf("%s: the other partition got %s", what, codeName(code))
				}
			})
			if after := x.log("a", 0).EndOffset(); after != before {
				t.Errorf("%s: %d records were written", c.name, after-before)
			}
		})
	}
}

// Kafka's own coordinators write internal topics by Produce, as __admin_client.
func TestProduceToInternalTopicAsCoordinator(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("__consumer_offsets", 1)
		x.clientID = adminClientID
		x.produce("__consumer_offsets", 0, batch("v"))
	})
}

// A topic that keeps the log's time tells it, and a duplicate is answered with
// the largest timestamp of what it repeats (as Kafka does).
func TestProduceTimes(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("append", 1, "message.timestamp.type", "LogAppendTime")
		x.topic("create", 1)
		<-time.After(time.Hour)
		if got := x.produce("append", 0, batch("v")).LogAppendTime; got != time.Now().UnixMilli() {
			t.Errorf("log append time %d, want %d", got, time.Now().UnixMilli())
		}
		if got := x.produce("create", 0, idempotent(3, 0, 0, "v", "w")).LogAppendTime; got != -1 {
			t.Errorf("create time: log append time %d", got)
		}
		if got := x.produce("create", 0, idempotent(3, 0, 0, "v", "w")).LogAppendTime; got != someTime+1 {
			t.Errorf("duplicate: log append time %d, want %d", got, someTime+1)
		}
	})
}

// Whatever the codec, a batch is stored as it came but for offset and epoch,
// and one of a topic with a codec of its own is compressed anew.
func TestProduceCodecs(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("keep", 1)
		x.topic("gzip", 1, "compression.type", "gzip")
		want := []string{"a", strings.Repeat("b", 500), ""}
		for _, codec := range []record.Compression{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
			sent := build(record.BuilderOptions{Compression: codec}, want...)
			base := x.produce("keep", 0, bytes.Clone(sent)).BaseOffset
			kept := x.stored("keep", 0)
			kept = kept[len(kept)-len(sent):]
			stored := record.Batch(bytes.Clone(kept))
			if stored.BaseOffset() != base || stored.LeaderEpoch() != 0 {
				t.Errorf("%v: offset %d in epoch %d, want %d in 0", codec, stored.BaseOffset(), stored.LeaderEpoch(), base)
			}
			stored.SetBaseOffset(0)
			record.Batch(sent).SetLeaderEpoch(0)
			if !bytes.Equal(stored, sent) {
				t.Errorf("%v: stored other bytes:\n%x\n%x", codec, []byte(stored), sent)
			}
			x.produce("gzip", 0, bytes.Clone(sent))
		}
		rest, n := x.stored("gzip", 0), 0
		for len(rest) > 0 {
			b, next, err := record.Next(rest)
			x.must(err)
			if b.Compression() != record.Gzip {
				t.Errorf("batch %d of a gzip topic is %v", n, b.Compression())
			}
			rest, n = next, n+1
		}
		if got := values(t, x.stored("gzip", 0)); len(got) != 5*len(want) || !slices.Equal(got[:3], want) {
			t.Errorf("the gzip topic holds %q", got)
		}
	})
}

// hold makes every flush of a partition's log wait until the test lets it go.
func (x *fixture) hold() (release func()) {
	gate := make(chan struct{})
	wait := func(vfs.Event) { <-gate }
	x.faults.Add(vfs.Rule{Op: vfs.OpSync, Path: ".log", Hook: wait}, vfs.Rule{Op: vfs.OpSyncFS, Hook: wait})
	return func() {
		x.faults.Clear()
		close(gate)
	}
}

func isDone(f *flight) bool {
	select {
	case <-f.reply.Done:
		return true
	default:
		return f.reply.Done == nil
	}
}

// acks=1 is answered after the write, acks=all and all readers wait for the
// disk (P12), a duplicate as well.
func TestProduceWaitsForTheDisk(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.produce("a", 0, batch("before"))
		release := x.hold()
		var waiting []*flight
		for _, sequence := range []int32{0, 1, 0} {
			f, err := x.begin(context.Background(), produceTo("a", 0, idempotent(5, 0, sequence, fmt.Sprint("s", sequence))))
			x.must(err)
			waiting = append(waiting, f)
		}
		one := produceTo("a", 0, batch("acks 1"))
		one.Acks = 1
		if got := onlyProduced(x, ask[*kmsg.ProduceResponse](x, 9, one)); got.BaseOffset != 3 {
			t.Errorf("acks=1: %+v, want offset 3", got)
		}
		synctest.Wait()
		for i, f := range waiting {
			if isDone(f) {
				t.Errorf("request %d is answered before its record is on disk", i)
			}
		}
		if got := x.fetchValues("a", 0, 0); !slices.Equal(got, []string{"before"}) {
			t.Errorf("readers see %q before the flush", got)
		}
		release()
		for i, want := range []int64{1, 2, 1} {
			body, err := waiting[i].end()
			x.must(err)
			out := onlyProduced(x, x.decode(waiting[i].req, body).(*kmsg.ProduceResponse))
			if out.ErrorCode != 0 || out.BaseOffset != want {
				t.Errorf("request %d: %+v, want offset %d", i, out, want)
			}
		}
		synctest.Wait() // nobody waits for the flush of the last one
		if got, want := x.fetchValues("a", 0, 0), []string{"before", "s0", "s1", "acks 1"}; !slices.Equal(got, want) {
			t.Errorf("readers see %q, want %q", got, want)
		}
	})
}

// In page-cache mode nothing waits for the disk.
func TestProduceToThePageCache(t *testing.T) {
	story(t, map[string]string{"ottla.durability": "page-cache"}, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		defer x.hold()()
		x.produce("a", 0, batch("v"))
		if got := x.fetchValues("a", 0, 0); !slices.Equal(got, []string{"v"}) {
			t.Errorf("readers see %q", got)
		}
	})
}

// The timeout of acks=all holds, but for a disk that takes a moment; the offset
// is told all the same, as Kafka does.
func TestProduceTimesOut(t *testing.T) {
	for _, c := range []struct {
		millis int32
		want   time.Duration
	}{
		{5000, 5 * time.Second}, {0, minAcksTimeout}, {-1, minAcksTimeout}, {10, minAcksTimeout},
	} {
		story(t, nil, func(t *testing.T, x *fixture) {
			x.topic("a", 1)
			defer x.hold()()
			req := produceTo("a", 0, batch("v"))
			req.TimeoutMillis = c.millis
			began := time.Now()
			out := onlyProduced(x, ask[*kmsg.ProduceResponse](x, 9, req))
			wantCode(t, fmt.Sprint("timeout ", c.millis), out.ErrorCode, protocol.RequestTimedOut)
			if took := time.Since(began); took != c.want || out.BaseOffset != 0 {
				t.Errorf("timeout %d: %v, offset %d; want %v", c.millis, took, out.BaseOffset, c.want)
			}
		})
	}
}

// acks=0 has no answer; what fails closes the connection, in the place of the
// answer.
func TestProduceWithoutAnswer(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for _, c := range []struct {
			name  string
			req   *kmsg.ProduceRequest
			fails bool
		}{
			{"written", produceTo("a", 0, batch("v")), false},
			{"unknown topic", produceTo("unknown", 0, batch("v")), true},
			{"corrupt", produceTo("a", 0, broken(batch("vvv"))), true},
			{"nothing to write", func() *kmsg.ProduceRequest { r := produceTo("a", 0, nil); r.Topics = nil; return r }(), false},
		} {
			c.req.Acks = 0
			f, err := x.begin(context.Background(), c.req)
			x.must(err)
			if !f.reply.None || f.reply.Done != nil {
				t.Errorf("%s: a reply is to be sent or waited for", c.name)
			}
			if _, err := f.end(); (err != nil) != c.fails {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if end := x.log("a", 0).EndOffset(); end != 1 {
			t.Errorf("%d records were written, want 1", end)
		}
	})
}

// Requests that run ahead of their answers stay in order, and a connection that
// dies leaves nothing behind that the next request would trip over.
func TestProduceRunsAhead(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		release := x.hold()
		var flights []*flight
		for i := range 20 {
			f, err := x.begin(context.Background(), produceTo("a", int32(i%2), batch(fmt.Sprint(i))))
			x.must(err)
			flights = append(flights, f)
		}
		for i, f := range flights {
			if i%3 == 0 {
				f.drop() // the connection is gone
			}
		}
		later, err := x.begin(context.Background(), produceTo("a", 0, batch("later")))
		x.must(err)
		release()
		for i, f := range append(flights, later) {
			if i < 20 && i%3 == 0 {
				continue
			}
			body, err := f.end()
			x.must(err)
			out := onlyProduced(x, x.decode(f.req, body).(*kmsg.ProduceResponse))
			if out.ErrorCode != 0 || out.BaseOffset != int64(i/2) {
				t.Errorf("request %d: %+v, want offset %d", i, out, i/2)
			}
		}
	})
}

// Who waits when the topic goes is told so at once.
func TestProduceToATopicThatGoes(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		gate := make(chan struct{})
		x.faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: "/a-0", Hook: func(vfs.Event) { <-gate }})
		f, err := x.begin(context.Background(), produceTo("a", 0, batch("v")))
		x.must(err)
		began := time.Now()
		deleting := make(chan struct{})
		go func() {
			defer close(deleting)
			x.deleteTopic("a")
		}()
		body, err := f.end()
		x.must(err)
		out := onlyProduced(x, x.decode(f.req, body).(*kmsg.ProduceResponse))
		wantCode(t, "the topic is gone", out.ErrorCode, protocol.UnknownTopicOrPartition)
		if took := time.Since(began); took != 0 {
			t.Errorf("answered after %v", took)
		}
		x.faults.Clear()
		close(gate)
		<-deleting
	})
}

func (x *fixture) deleteTopic(name string) {
	x.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	req.TopicNames = []string{name}
	resp := ask[*kmsg.DeleteTopicsResponse](x, 5, req)
	wantCode(x, "delete "+name, resp.Topics[0].ErrorCode, protocol.None)
}

// An idempotent producer's last five batches are known again (T3, T4).
func TestProduceDuplicates(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for i := range 6 {
			x.produce("a", 0, idempotent(8, 0, int32(2*i), "v", "w"))
		}
		for i := range 6 {
			out := onlyProduced(x, ask[*kmsg.ProduceResponse](x, 9, produceTo("a", 0, idempotent(8, 0, int32(2*i), "v", "w"))))
			switch {
			case i == 0:
				wantCode(t, "the sixth last again", out.ErrorCode, protocol.OutOfOrderSequenceNumber)
			case out.ErrorCode != 0 || out.BaseOffset != int64(2*i):
				t.Errorf("batch %d again: %+v, want offset %d", i, out, 2*i)
			}
		}
		if end := x.log("a", 0).EndOffset(); end != 12 {
			t.Errorf("the log ends at %d, want 12", end)
		}
	})
}

func TestProduceRefusesGarbage(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		r := x.request(produceTo("a", 0, batch("v")))
		r.Body = r.Body[:len(r.Body)/2]
		if _, err := find(0).Handle(x.h, context.Background(), r); err == nil {
			t.Error("a body that is cut does not close the connection")
		}
	})
}

// What is wrong with the batches of a request is told in detail only as far as
// the answer stays in proportion: a batch of a hundred bytes can hold a hundred
// bad records, and a request a million batches.
func TestProduceDetailsAreBounded(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		late := record.NewBuilder(record.BuilderOptions{Compression: record.Zstd, Codecs: record.NewCodecs()})
		for range 200 {
			late.Append(time.Now().Add(24*time.Hour).UnixMilli(), nil, nil)
		}
		built, err := late.Build()
		x.must(err)
		const batches = 1000
		for name, records := range map[string][]byte{"late": built, "none": {}} {
			req := produceTo("a", 0, nil)
			parts := &req.Topics[0].Partitions
			for range batches {
				(*parts)[0].Records = bytes.Clone(records)
				*parts = append(*parts, (*parts)[0])
			}
			*parts = (*parts)[1:]
			flight, err := x.begin(context.Background(), req)
			x.must(err)
			answer, err := flight.end()
			x.must(err)
			if len(answer) > 1<<20 {
				t.Errorf("%s: %d bytes are answered", name, len(answer))
			}
			got := x.decode(req, answer).(*kmsg.ProduceResponse).Topics[0].Partitions
			if first := got[0]; len(got) != batches || first.ErrorMessage == nil || name == "late" && len(first.ErrorRecords) != record.MaxRecordErrors {
				t.Errorf("%s: %d partitions, of the first %v and %d records", name, len(got), first.ErrorMessage, len(first.ErrorRecords))
			}
			for i, p := range got {
				if p.ErrorCode == 0 {
					t.Fatalf("%s: batch %d was taken", name, i)
				}
			}
		}
	})
}
