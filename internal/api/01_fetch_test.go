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
	"ottla/internal/replica"
	"ottla/internal/vfs"
)

// fetchOf makes a request without a session.
func fetchOf(version int16, parts ...fetchPart) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MinBytes, req.MaxBytes, req.SessionEpoch = version, -1, 1, 50<<20, -1
	for _, part := range parts {
		req.Topics = append(req.Topics, part.topicOf())
	}
	return req
}

// fetchPart is one partition of a fetch.
type fetchPart struct {
	topic     string
	id        [16]byte
	partition int32
	offset    int64
	maxBytes  int32 // 0: 1 MiB
}

func (p fetchPart) topicOf() kmsg.FetchRequestTopic {
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.topic, p.id
	out := kmsg.NewFetchRequestTopicPartition()
	out.Partition, out.FetchOffset, out.PartitionMaxBytes = p.partition, p.offset, p.maxBytes
	if p.maxBytes == 0 {
		out.PartitionMaxBytes = 1 << 20
	}
	t.Partitions = append(t.Partitions, out)
	return t
}

// fetchValues reads a partition as a consumer does, without waiting.
func (x *fixture) fetchValues(topic string, partition int32, offset int64) []string {
	x.Helper()
	resp := ask[*kmsg.FetchResponse](x, 12, fetchOf(12, fetchPart{topic: topic, partition: partition, offset: offset}))
	return values(x, resp.Topics[0].Partitions[0].RecordBatches)
}

func onlyFetched(x testing.TB, resp *kmsg.FetchResponse) kmsg.FetchResponseTopicPartition {
	x.Helper()
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		x.Fatalf("the answer has not one partition: %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}

func TestFetchInEachVersion(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		a, b := x.topic("a", 2), x.topic("b", 1)
		x.produce("a", 0, batch("a0", "a1"))
		x.produce("a", 0, batch("a2"))
		x.produce("a", 1, batch("x"))
		x.produce("b", 0, batch("b0"))
		x.eachVersion(1, func(version int16) {
			req := fetchOf(version, fetchPart{topic: "a", id: a, offset: 1}, fetchPart{topic: "b", id: b, offset: 1}, fetchPart{topic: "a", id: a, partition: 1})
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[2].Partitions...)
			req.Topics = req.Topics[:2]
			resp := ask[*kmsg.FetchResponse](x, version, req)
			if resp.ErrorCode != 0 || resp.SessionID != 0 || resp.ThrottleMillis != 0 || len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2 {
				t.Fatalf("version %d: %+v", version, resp)
			}
			for i, id := range [][16]byte{a, b} {
				if topic := resp.Topics[i]; version < 13 && topic.Topic != []string{"a", "b"}[i] || version >= 13 && topic.TopicID != id {
					t.Errorf("version %d: topic %d is %q %x", version, i, topic.Topic, topic.TopicID)
				}
			}
			for i, want := range []struct {
				of     kmsg.FetchResponseTopicPartition
				hw     int64
				values []string
			}{
				// The batch that holds the offset comes whole.
				{resp.Topics[0].Partitions[0], 3, []string{"a0", "a1", "a2"}},
				{resp.Topics[0].Partitions[1], 1, []string{"x"}},
				{resp.Topics[1].Partitions[0], 1, nil},
			} {
				p := want.of
				if p.ErrorCode != 0 || p.HighWatermark != want.hw || p.LastStableOffset != want.hw || p.AbortedTransactions != nil || p.PreferredReadReplica != -1 {
					t.Errorf("version %d: %+v, want high watermark %d", version, p, want.hw)
				}
				if start := p.LogStartOffset; version >= 5 && start != 0 {
					t.Errorf("version %d: log start %d", version, start)
				}
				if got := values(t, p.RecordBatches); !slices.Equal(got, want.values) || p.RecordBatches == nil {
					t.Errorf("version %d, partition %d: %q, want %q and never null", version, i, got, want.values)
				}
			}
		})
	})
}

// Sizes in bytes: 200 and 300 are two batches each, of partition 0 and 1.
func TestFetchLimits(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.topic("empty", 1)
		for i, size := range []int{200, 300} {
			x.produce("a", int32(i), sized(size))
			x.produce("a", int32(i), sized(size))
		}
		for _, c := range []struct {
			name     string
			max      int32
			partMax  [2]int32
			minBytes int32
			want     [2]int // bytes of each partition
		}{
			{"enough for all", 10_000, [2]int32{1000, 1000}, 1, [2]int{400, 600}},
			{"exactly", 1000, [2]int32{400, 600}, 1, [2]int{400, 600}},
			{"a partition's limit of a byte", 10_000, [2]int32{1, 1}, 1, [2]int{200, 0}},
			{"a partition's limit of nothing", 10_000, [2]int32{0, 0}, 1, [2]int{200, 0}},
			// The tail of a region may be a part of a batch, which clients leave out.
			{"a partition's limit in between", 10_000, [2]int32{399, 599}, 1, [2]int{399, 599}},
			{"a limit of a byte", 1, [2]int32{1000, 1000}, 1, [2]int{200, 0}},
			{"a limit of nothing", 0, [2]int32{1000, 1000}, 1, [2]int{200, 0}},
			{"a limit within the second", 650, [2]int32{1000, 1000}, 1, [2]int{400, 0}},
			{"a limit after the third batch", 700, [2]int32{1000, 1000}, 1, [2]int{400, 300}},
			{"more wanted than allowed", 300, [2]int32{1000, 1000}, 5000, [2]int{300, 0}},
		} {
			req := fetchOf(12, fetchPart{topic: "a"}, fetchPart{topic: "a", partition: 1})
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[1].Partitions...)
			req.Topics = req.Topics[:1]
			req.MaxBytes, req.MinBytes = c.max, c.minBytes
			for i := range c.partMax {
				req.Topics[0].Partitions[i].PartitionMaxBytes = c.partMax[i]
			}
			began := time.Now()
			resp := ask[*kmsg.FetchResponse](x, 12, req)
			var got [2]int
			for i, p := range resp.Topics[0].Partitions {
				got[i] = len(p.RecordBatches)
				wantCode(t, c.name, p.ErrorCode, protocol.None)
			}
			if took := time.Since(began); got != c.want || took != 0 {
				t.Errorf("%s: %v bytes after %v, want %v at once", c.name, got, took, c.want)
			}
		}
		// An empty partition does not use up the one batch that comes anyhow.
		req := fetchOf(12, fetchPart{topic: "empty"}, fetchPart{topic: "a"})
		req.MaxBytes = 1
		resp := ask[*kmsg.FetchResponse](x, 12, req)
		if n := len(resp.Topics[1].Partitions[0].RecordBatches); n != 200 {
			t.Errorf("behind an empty partition: %d bytes, want 200", n)
		}
	})
}

// fetch.max.bytes of the broker bounds what a client may ask for.
func TestFetchMaxBytesOfTheBroker(t *testing.T) {
	story(t, map[string]string{"fetch.max.bytes": "1024"}, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for range 3 {
			x.produce("a", 0, batch(strings.Repeat("x", 430)))
		}
		resp := ask[*kmsg.FetchResponse](x, 12, fetchOf(12, fetchPart{topic: "a"}))
		if got := values(t, onlyFetched(x, resp).RecordBatches); len(got) != 2 {
			t.Errorf("%d records of 430 bytes came within 1024", len(got))
		}
	})
}

// TestFetchRefuses has a row for each reason to refuse a partition.
func TestFetchRefuses(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		x.produce("a", 0, batch("v"))
		x.produce("a", 0, batch("w"))
		x.deleteRecords("a", 0, 1)
		part := func(req *kmsg.FetchRequest) *kmsg.FetchRequestTopicPartition { return &req.Topics[0].Partitions[0] }
		for _, c := range []struct {
			name     string
			min, max int16
			change   func(*kmsg.FetchRequest)
			want     protocol.Code
			noWord   bool // of aborted transactions: null
			leader   bool
		}{
			{"unknown topic", 0, 12, func(r *kmsg.FetchRequest) { r.Topics[0].Topic = "unknown" }, protocol.UnknownTopicOrPartition, false, false},
			{"unknown topic id", 13, 18, func(r *kmsg.FetchRequest) { r.Topics[0].TopicID[3]++ }, protocol.UnknownTopicID, false, false},
			{"zero topic id", 13, 18, func(r *kmsg.FetchRequest) { r.Topics[0].TopicID = [16]byte{} }, protocol.UnknownTopicID, false, false},
			{"unknown partition", 0, 18, func(r *kmsg.FetchRequest) { part(r).Partition = 4 }, protocol.UnknownTopicOrPartition, false, false},
			{"negative partition", 0, 18, func(r *kmsg.FetchRequest) { part(r).Partition = -4 }, protocol.UnknownTopicOrPartition, false, false},
			{"below the log start", 0, 18, func(r *kmsg.FetchRequest) { part(r).FetchOffset = 0 }, protocol.OffsetOutOfRange, true, false},
			{"beyond the end", 0, 18, func(r *kmsg.FetchRequest) { part(r).FetchOffset = 3 }, protocol.OffsetOutOfRange, true, false},
			{"negative offset", 0, 18, func(r *kmsg.FetchRequest) { part(r).FetchOffset = -1 }, protocol.OffsetOutOfRange, true, false},
			{"a newer epoch", 9, 18, func(r *kmsg.FetchRequest) { part(r).CurrentLeaderEpoch = 5 }, protocol.UnknownLeaderEpoch, true, false},
			{"a newer last epoch", 12, 18, func(r *kmsg.FetchRequest) { part(r).LastFetchedEpoch = 5 }, protocol.OffsetOutOfRange, true, false},
			{"isolation level 2", 0, 18, func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 }, protocol.UnknownServerError, true, false},
			{"isolation level -1", 0, 18, func(r *kmsg.FetchRequest) { r.IsolationLevel = -1 }, protocol.UnknownServerError, true, false},
			{"negative limit", 0, 18, func(r *kmsg.FetchRequest) { r.MaxBytes = -1 }, protocol.UnknownServerError, true, false},
			{"negative limit of the partition", 0, 18, func(r *kmsg.FetchRequest) { part(r).PartitionMaxBytes = -1 }, protocol.UnknownServerError, true, false},
			{"a replica", 0, 14, func(r *kmsg.FetchRequest) { r.ReplicaID = 2 }, protocol.NotLeaderOrFollower, true, false},
			{"a replica", 15, 18, func(r *kmsg.FetchRequest) { r.ReplicaState.ID = 2 }, protocol.NotLeaderOrFollower, true, false},
		} {
			x.eachVersion(1, func(version int16) {
				if version < c.min || version > c.max {
					return
				}
				req := fetchOf(version, fetchPart{topic: "a", id: id, offset: 1})
				req.MaxWaitMillis = 30_000 // an error does not wait
				c.change(req)
				began := time.Now()
				what := fmt.Sprintf("%s, version %d", c.name, version)
				resp := ask[*kmsg.FetchResponse](x, version, req)
				p := onlyFetched(x, resp)
				wantCode(t, what, p.ErrorCode, c.want)
				wantCode(t, what+", the whole", resp.ErrorCode, protocol.None)
				if p.HighWatermark != -1 || p.LastStableOffset != -1 || p.LogStartOffset != -1 || len(p.RecordBatches) > 0 || time.Since(began) != 0 {
					t.Errorf("%s: %+v after %v", what, p, time.Since(began))
				}
				if (p.AbortedTransactions == nil) != c.noWord || p.CurrentLeader.LeaderID != -1 {
					t.Errorf("%s: aborted %v, leader %+v", what, p.AbortedTransactions, p.CurrentLeader)
				}
			})
		}
	})
}

func (x *fixture) deleteRecords(topic string, partition int32, before int64) {
	x.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = topic
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, before
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp := ask[*kmsg.DeleteRecordsResponse](x, 2, req)
	wantCode(x, "delete records", resp.Topics[0].Partitions[0].ErrorCode, protocol.None)
}

// fetching runs a fetch that waits, in the background.
func (x *fixture) fetching(ctx context.Context, req *kmsg.FetchRequest) <-chan *kmsg.FetchResponse {
	answer := make(chan *kmsg.FetchResponse, 1)
	go func() {
		resp, err := x.do(ctx, req)
		if err != nil {
			x.Errorf("fetch: %v", err)
			close(answer)
			return
		}
		answer <- resp.(*kmsg.FetchResponse)
	}()
	synctest.Wait()
	return answer
}

// answered takes an answer that must be there as soon as nothing moves any
// more, and tells none by nil.
func answered(answer <-chan *kmsg.FetchResponse) *kmsg.FetchResponse {
	synctest.Wait()
	select {
	case resp := <-answer:
		return resp
	default:
		return nil
	}
}

// A fetch that finds too little waits: for enough bytes, an error, or the end of
// its time, whatever comes first, and is then answered at once.
func TestFetchWaits(t *testing.T) {
	size := int32(len(batch("12345")))
	for _, c := range []struct {
		name     string
		minBytes int32
		happens  func(x *fixture)
		answered bool
		want     []string
		code     protocol.Code
	}{
		{"a record", 1, func(x *fixture) { x.produce("a", 0, batch("12345")) }, true, []string{"12345"}, 0},
		{"a record of the other partition", 1, func(x *fixture) { x.produce("a", 1, batch("12345")) }, true, nil, 0},
		{"too few", 2 * size, func(x *fixture) { x.produce("a", 0, batch("12345")) }, false, nil, 0},
		{"enough in two steps", 2 * size, func(x *fixture) {
			x.produce("a", 0, batch("12345"))
			synctest.Wait()
			x.produce("a", 0, batch("67890"))
		}, true, []string{"12345", "67890"}, 0},
		{"too few in two steps", 3 * size, func(x *fixture) {
			x.produce("a", 0, batch("12345"))
			synctest.Wait()
			x.produce("a", 0, batch("67890"))
		}, false, nil, 0},
		{"enough over two partitions", 2 * size, func(x *fixture) {
			x.produce("a", 1, batch("12345"))
			x.produce("a", 0, batch("67890"))
		}, true, []string{"67890"}, 0},
		{"nothing for it", 1, func(x *fixture) { x.produce("b", 0, batch("12345")) }, false, nil, 0},
		{"the topic goes", 1, func(x *fixture) { x.deleteTopic("a") }, true, nil, protocol.UnknownTopicOrPartition},
	} {
		story(t, nil, func(t *testing.T, x *fixture) {
			x.topic("a", 2)
			x.topic("b", 1)
			req := fetchOf(12, fetchPart{topic: "a"}, fetchPart{topic: "a", partition: 1})
			req.MinBytes, req.MaxWaitMillis = c.minBytes, 500
			began := time.Now()
			answer := x.fetching(t.Context(), req)
			if answered(answer) != nil {
				t.Errorf("%s: answered before", c.name)
			}
			c.happens(x)
			resp := answered(answer)
			if (resp != nil) != c.answered {
				t.Errorf("%s: answered %v, want %v", c.name, resp != nil, c.answered)
			}
			if resp == nil {
				<-answer
				if took := time.Since(began); took != 500*time.Millisecond {
					t.Errorf("%s: answered after %v, want the whole wait", c.name, took)
				}
				return
			}
			p := resp.Topics[0].Partitions[0]
			wantCode(t, c.name, p.ErrorCode, c.code)
			if got := values(t, p.RecordBatches); !slices.Equal(got, c.want) || time.Since(began) != 0 {
				t.Errorf("%s: %q after %v, want %q at once", c.name, got, time.Since(began), c.want)
			}
		})
	}
}

// A client that goes on to name a deleted topic, or a partition that never was,
// waits with its other partitions, or it would ask again at once, for ever.
func TestFetchWaitsBesideWhatDoesNotExist(t *testing.T) {
	for _, version := range []int16{4, 11, 12, 13, 18} {
		story(t, nil, func(t *testing.T, x *fixture) {
			a, gone := x.topic("a", 1), x.topic("gone", 1)
			want := protocol.UnknownTopicOrPartition
			req := fetchOf(version, fetchPart{topic: "a", id: a}, fetchPart{topic: "gone", id: gone})
			if version >= 13 {
				want = protocol.UnknownTopicID
			}
			x.deleteTopic("gone")
			req.MaxWaitMillis = 500
			began := time.Now()
			answer := x.fetching(t.Context(), req)
			if answered(answer) != nil {
				t.Errorf("version %d: a topic that is gone is answered at once", version)
			}
			resp := <-answer
			if took := time.Since(began); took != 500*time.Millisecond || len(resp.Topics) != 2 {
				t.Errorf("version %d: %+v after %v", version, resp, took)
			}
			wantCode(t, "the topic that is gone", resp.Topics[1].Partitions[0].ErrorCode, want)

			answer = x.fetching(t.Context(), req)
			x.produce("a", 0, batch("v"))
			resp = answered(answer)
			if resp == nil {
				t.Fatalf("version %d: a record does not end the wait", version)
			}
			wantCode(t, "the topic that is gone", resp.Topics[1].Partitions[0].ErrorCode, want)
		})
	}
}

// What a fetch waits for is what consumers may see, not what was written.
func TestFetchWaitsForTheHighWatermark(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		release := x.hold()
		one := produceTo("a", 0, batch("v"))
		one.Acks = 1
		ask[*kmsg.ProduceResponse](x, 9, one)
		// The log end is past the offset, which is no error (KIP-207).
		req := fetchOf(12, fetchPart{topic: "a", offset: 1})
		req.MaxWaitMillis = 100_000
		behind := x.fetching(t.Context(), req)
		req = fetchOf(12, fetchPart{topic: "a"})
		req.MaxWaitMillis = 100_000
		answer := x.fetching(t.Context(), req)
		if resp := answered(answer); resp != nil {
			t.Errorf("answered before the flush: %+v", resp)
		}
		release()
		resp := answered(answer)
		if resp == nil {
			t.Fatal("not answered after the flush")
		}
		if got := values(t, onlyFetched(x, resp).RecordBatches); !slices.Equal(got, []string{"v"}) {
			t.Errorf("got %q", got)
		}
		x.produce("a", 0, batch("w"))
		if resp := answered(behind); resp == nil || onlyFetched(x, resp).ErrorCode != 0 {
			t.Errorf("who waited at the log's end got %+v", resp)
		}
	})
}

// A fetch does not wait when it must not, or when its connection is gone.
func TestFetchDoesNotWait(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		for _, c := range []struct {
			name           string
			wait, minBytes int32
			parts          []fetchPart
		}{
			{"no time", 0, 1, []fetchPart{{topic: "a"}}},
			{"negative time", -1, 1, []fetchPart{{topic: "a"}}},
			{"nothing wanted", 500, 0, []fetchPart{{topic: "a"}}},
			{"less than nothing wanted", 500, -5, []fetchPart{{topic: "a"}}},
			{"no partition", 500, 1, nil},
			{"an error beside", 500, 1, []fetchPart{{topic: "a"}, {topic: "a", partition: 1, offset: 7}}},
			{"nothing that exists", 500, 1, []fetchPart{{topic: "gone"}, {topic: "unknown"}}},
		} {
			req := fetchOf(12, c.parts...)
			req.MaxWaitMillis, req.MinBytes = c.wait, c.minBytes
			began := time.Now()
			resp := ask[*kmsg.FetchResponse](x, 12, req)
			if time.Since(began) != 0 || len(c.parts) > 0 && len(resp.Topics) == 0 {
				t.Errorf("%s: %+v after %v", c.name, resp, time.Since(began))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		req := fetchOf(12, fetchPart{topic: "a"})
		req.MaxWaitMillis = 1 << 30
		answer := x.fetching(ctx, req)
		cancel()
		if answered(answer) == nil {
			t.Error("the end of the connection does not end the wait")
		}
	})
}

// A reader of committed records stops at the first open transaction, and is
// told of the aborted ones (T10, T11).
func TestFetchCommitted(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		x.produce("a", 0, batch("plain"))
		p, err := x.h.Replicas.Partition("a", 0)
		x.must(err)
		appendAs := func(b []byte) {
			t.Helper()
			_, err := p.Append(b, replica.AppendOptions{Acks: replica.AcksAll, Origin: record.Coordinator})
			x.must(err)
			x.must(p.Log().Flush())
		}
		producer := &record.ProducerInfo{ID: 77}
		appendAs(build(record.BuilderOptions{Transactional: true, Producer: producer}, "undecided"))
		x.produce("a", 0, batch("behind"))
		read := func(version int16, level int8) kmsg.FetchResponseTopicPartition {
			req := fetchOf(version, fetchPart{topic: "a", id: id})
			req.IsolationLevel = level
			return onlyFetched(t, ask[*kmsg.FetchResponse](x, version, req))
		}
		x.eachVersion(1, func(version int16) {
			all, committed := read(version, 0), read(version, 1)
			if got := values(t, all.RecordBatches); len(got) != 3 || all.LastStableOffset != 1 || all.AbortedTransactions != nil {
				t.Errorf("version %d: uncommitted %q %+v", version, got, all)
			}
			if got := values(t, committed.RecordBatches); !slices.Equal(got, []string{"plain"}) || committed.LastStableOffset != 1 || committed.HighWatermark != 3 ||
				committed.AbortedTransactions == nil || len(committed.AbortedTransactions) > 0 {
				t.Errorf("version %d: committed %q %+v", version, got, committed)
			}
		})
		req := fetchOf(12, fetchPart{topic: "a", offset: 1})
		req.MaxWaitMillis, req.IsolationLevel = 100_000, 1
		waiting := x.fetching(t.Context(), req)
		marker, err := record.EndTxnBatch(record.BuilderOptions{Producer: &record.ProducerInfo{ID: 77, BaseSequence: record.NoSequence}}, someTime, record.EndTxnMarker{})
		x.must(err)
		if answered(waiting) != nil {
			t.Error("the reader of committed records did not wait")
		}
		appendAs(bytes.Clone(marker))
		resp := answered(waiting)
		if resp == nil {
			t.Fatal("the end of the transaction does not wake its reader")
		}
		got := onlyFetched(t, resp)
		if len(got.AbortedTransactions) != 1 || got.AbortedTransactions[0].ProducerID != 77 || got.AbortedTransactions[0].FirstOffset != 1 || got.LastStableOffset != 4 {
			t.Errorf("after the abort: %+v", got)
		}
	})
}

// A Produce is one write for each of its partitions, however many records it
// has. A Fetch near the end reads nothing: what it answers with are regions.
func TestHotPathIO(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		const partitions = 3
		x.topic("a", partitions)
		req, fetch := produceTo("a", 0, nil), fetchOf(12)
		req.Topics[0].Partitions = nil
		for i := range int32(partitions) {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = i, batch(slices.Repeat([]string{"value"}, 500)...)
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, part)
			fetch.Topics = append(fetch.Topics, fetchPart{topic: "a", partition: i, offset: 1200}.topicOf())
		}
		writes, reads := 0, 0
		for _, c := range []struct {
			op vfs.Op
			n  *int
		}{{vfs.OpWrite, &writes}, {vfs.OpRead, &reads}} {
			x.faults.Add(vfs.Rule{Op: c.op, Path: "/a-", Hook: func(e vfs.Event) {
				if strings.HasSuffix(e.Path, ".log") {
					*c.n++
				}
			}})
		}
		for i := 1; i <= 3; i++ {
			ask[*kmsg.ProduceResponse](x, 9, req)
			if writes != i*partitions {
				t.Errorf("%d writes for %d requests to %d partitions", writes, i, partitions)
			}
		}
		f, err := x.begin(context.Background(), fetch)
		x.must(err)
		payload, err := f.reply.Encode(nil)
		x.must(err)
		if len(payload.Regions) != partitions || reads != 0 {
			t.Errorf("%d regions, %d reads before they are sent", len(payload.Regions), reads)
		}
		f.drop()
	})
}

// The leader that is named belongs to the topic that was asked for, not to the
// next one of its name.
func TestFetchNamesNoLeaderOfAnother(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		beat := func(fence bool) {
			req := kmsg.NewPtrBrokerHeartbeatRequest()
			req.Version, req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset, req.WantFence = 1, x.h.Static.NodeID, x.epoch, x.controller.Image().Offset, fence
			wantCode(t, "heartbeat", x.controller.BrokerHeartbeat(t.Context(), req).ErrorCode, protocol.None)
		}
		beat(true) // nobody leads now
		f, err := x.begin(t.Context(), fetchOf(16, fetchPart{id: id}))
		x.must(err)
		beat(false)
		x.deleteTopic("a")
		x.topic("a", 1)
		body, err := f.end()
		x.must(err)
		p := x.decode(f.req, body).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		wantCode(t, "fetch", p.ErrorCode, protocol.NotLeaderOrFollower)
		if p.CurrentLeader.LeaderID != -1 {
			t.Errorf("the leader of %x is said to be %+v", id, p.CurrentLeader)
		}
	})
}
