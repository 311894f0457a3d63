package api

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/record"
)

// offsetAsk is one partition of a ListOffsets request.
type offsetAsk struct {
	topic     string
	partition int32
	timestamp int64
	epoch     int32
}

func listOffsetsOf(asks ...offsetAsk) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	for _, a := range asks {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = a.topic
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = a.partition, a.timestamp, a.epoch
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
	}
	return req
}

// at makes a batch of records with the timestamps someTime + each.
func at(o record.BuilderOptions, offsets ...int64) []byte {
	if o.Compression != record.None {
		o.Codecs = record.NewCodecs()
	}
	b := record.NewBuilder(o)
	for _, ms := range offsets {
		b.Append(someTime+ms, []byte("k"), []byte("v"))
	}
	built, err := b.Build()
	if err != nil {
		panic(err)
	}
	return bytes.Clone(built)
}

// TestListOffsets asks a log of three batches: timestamps 0 10 20, 100 110 120
// (gzip), and 50 40 30, the largest of which comes first.
func TestListOffsets(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.produce("a", 0, at(record.BuilderOptions{}, 0, 10, 20))
		x.produce("a", 0, at(record.BuilderOptions{Compression: record.Gzip}, 100, 110, 120))
		x.produce("a", 0, at(record.BuilderOptions{}, 50, 40, 30))
		for _, c := range []struct {
			name      string
			ask       offsetAsk
			min, max  int16
			offset    int64
			timestamp int64 // after someTime; -1: none
			code      protocol.Code
		}{
			{"latest", offsetAsk{"a", 0, -1, -1}, 1, 11, 9, -1, 0},
			{"latest of an empty log", offsetAsk{"a", 1, -1, -1}, 1, 11, 0, -1, 0},
			{"earliest", offsetAsk{"a", 0, -2, -1}, 1, 11, 0, -1, 0},
			{"max timestamp", offsetAsk{"a", 0, -3, -1}, 7, 11, 5, 120, 0},
			{"max timestamp of an empty log", offsetAsk{"a", 1, -3, -1}, 7, 11, -1, -1, 0},
			{"max timestamp before it existed", offsetAsk{"a", 0, -3, -1}, 1, 6, -1, -1, protocol.UnsupportedVersion},
			{"earliest local", offsetAsk{"a", 0, -4, -1}, 8, 11, 0, -1, 0},
			{"earliest local before it existed", offsetAsk{"a", 0, -4, -1}, 1, 7, -1, -1, protocol.UnsupportedVersion},
			{"latest tiered", offsetAsk{"a", 0, -5, -1}, 9, 11, -1, -1, 0},
			{"latest tiered before it existed", offsetAsk{"a", 0, -5, -1}, 1, 8, -1, -1, protocol.UnsupportedVersion},
			{"earliest pending upload", offsetAsk{"a", 0, -6, -1}, 11, 11, -1, -1, 0},
			{"earliest pending upload before it existed", offsetAsk{"a", 0, -6, -1}, 1, 10, -1, -1, protocol.UnsupportedVersion},
			{"no special timestamp", offsetAsk{"a", 0, -7, -1}, 1, 11, -1, -1, protocol.UnsupportedVersion},
			{"time 0", offsetAsk{"a", 0, 0, -1}, 1, 11, 0, 0, 0},
			{"exactly", offsetAsk{"a", 0, someTime + 10, -1}, 1, 11, 1, 10, 0},
			{"in between", offsetAsk{"a", 0, someTime + 11, -1}, 1, 11, 2, 20, 0},
			{"between batches", offsetAsk{"a", 0, someTime + 21, -1}, 1, 11, 3, 100, 0},
			{"in a compressed batch", offsetAsk{"a", 0, someTime + 115, -1}, 1, 11, 5, 120, 0},
			{"after all", offsetAsk{"a", 0, someTime + 121, -1}, 1, 11, -1, -1, 0},
			{"the end of time", offsetAsk{"a", 0, math.MaxInt64, -1}, 1, 11, -1, -1, 0},
			{"unknown topic", offsetAsk{"u", 0, -1, -1}, 1, 11, -1, -1, protocol.UnknownTopicOrPartition},
			{"unknown partition", offsetAsk{"a", 7, -1, -1}, 1, 11, -1, -1, protocol.UnknownTopicOrPartition},
			{"the right epoch", offsetAsk{"a", 0, -1, 0}, 4, 11, 9, -1, 0},
			{"a newer epoch", offsetAsk{"a", 0, -1, 3}, 4, 11, -1, -1, protocol.UnknownLeaderEpoch},
			{"a newer epoch, which is not sent", offsetAsk{"a", 0, -1, 3}, 1, 3, 9, -1, 0},
		} {
			for version := c.min; version <= c.max; version++ {
				resp := ask[*kmsg.ListOffsetsResponse](x, version, listOffsetsOf(c.ask))
				what := fmt.Sprintf("%s, version %d", c.name, version)
				got := resp.Topics[0].Partitions[0]
				wantTime := int64(-1)
				if c.timestamp >= 0 {
					wantTime = someTime + c.timestamp
				}
				wantCode(t, what, got.ErrorCode, c.code)
				if resp.Topics[0].Topic != c.ask.topic || got.Partition != c.ask.partition || got.Offset != c.offset || got.Timestamp != wantTime {
					t.Errorf("%s: %+v, want offset %d, time %d", what, got, c.offset, wantTime)
				}
				if wantEpoch := int32(-1); version >= 4 && c.offset >= 0 && got.LeaderEpoch != 0 || (version < 4 || c.offset < 0) && got.LeaderEpoch != wantEpoch {
					t.Errorf("%s: leader epoch %d", what, got.LeaderEpoch)
				}
			}
		}
	})
}

// A partition that is named twice is refused, wherever; others are answered.
func TestListOffsetsTwice(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		req := listOffsetsOf(offsetAsk{"a", 0, -1, -1}, offsetAsk{"a", 1, -1, -1}, offsetAsk{"a", 0, -2, -1}, offsetAsk{"a", 0, -2, -1})
		resp := ask[*kmsg.ListOffsetsResponse](x, 7, req)
		for i, want := range []protocol.Code{protocol.InvalidRequest, 0, protocol.InvalidRequest, protocol.InvalidRequest} {
			wantCode(t, fmt.Sprint("ask ", i), resp.Topics[i].Partitions[0].ErrorCode, want)
		}
	})
}

// What consumers do not see yet is not found for them; a replica and a tool see
// all. Isolation bounds the latest offset.
func TestListOffsetsBelowTheHighWatermark(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.produce("a", 0, at(record.BuilderOptions{}, 0))
		defer x.hold()()
		one := produceTo("a", 0, at(record.BuilderOptions{}, 50))
		one.Acks = 1
		ask[*kmsg.ProduceResponse](x, 9, one)
		for _, c := range []struct {
			name      string
			replica   int32
			timestamp int64
			want      int64
		}{
			{"consumer: latest", -1, -1, 1},
			{"consumer: by time", -1, someTime + 1, -1},
			{"tool: latest", -2, -1, 2},
			{"replica: latest", 1, -1, 2},
			{"replica: by time", 1, someTime + 1, 1},
		} {
			req := listOffsetsOf(offsetAsk{"a", 0, c.timestamp, -1})
			req.ReplicaID = c.replica
			got := ask[*kmsg.ListOffsetsResponse](x, 7, req).Topics[0].Partitions[0]
			if got.Offset != c.want || got.ErrorCode != 0 {
				t.Errorf("%s: %+v, want %d", c.name, got, c.want)
			}
		}
	})
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.produce("a", 0, batch("1", "2", "3"))
		for _, c := range []struct {
			name           string
			topic          string
			partition      int32
			current, epoch int32
			want           int32
			end            int64
			code           protocol.Code
		}{
			{"the epoch of now", "a", 0, -1, 0, 0, 3, 0},
			{"of an empty log", "a", 1, 0, 0, 0, 0, 0},
			{"a newer one", "a", 0, -1, 5, -1, -1, 0},
			{"none", "a", 0, -1, -1, -1, -1, 0},
			{"as of a newer leader", "a", 0, 3, 0, -1, -1, protocol.UnknownLeaderEpoch},
			{"unknown partition", "a", 9, -1, 0, -1, -1, protocol.UnknownTopicOrPartition},
			{"unknown topic", "u", 0, -1, 0, -1, -1, protocol.UnknownTopicOrPartition},
		} {
			x.eachVersion(23, func(version int16) {
				req := kmsg.NewPtrOffsetForLeaderEpochRequest()
				topic := kmsg.NewOffsetForLeaderEpochRequestTopic()
				topic.Topic = c.topic
				p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
				p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = c.partition, c.current, c.epoch
				topic.Partitions = append(topic.Partitions, p)
				req.Topics = append(req.Topics, topic)
				got := ask[*kmsg.OffsetForLeaderEpochResponse](x, version, req).Topics[0].Partitions[0]
				wantCode(t, c.name, got.ErrorCode, c.code)
				if got.Partition != c.partition || got.LeaderEpoch != c.want || got.EndOffset != c.end {
					t.Errorf("%s, version %d: %+v, want epoch %d, end %d", c.name, version, got, c.want, c.end)
				}
			})
		}
	})
}

// DeleteRecords moves the log start, and readers see that at once.
func TestDeleteRecords(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 2)
		x.topic("compact", 1, "cleanup.policy", "compact")
		x.topic("__consumer_offsets", 1)
		for range 4 {
			x.produce("a", 0, batch("v"))
		}
		for _, c := range []struct {
			name      string
			topic     string
			partition int32
			offset    int64
			low       int64
			code      protocol.Code
		}{
			{"some", "a", 0, 2, 2, 0},
			{"the same again", "a", 0, 3, 3, 0},
			{"back", "a", 0, 1, 3, 0},
			{"beyond the high watermark", "a", 0, 5, -1, protocol.OffsetOutOfRange},
			{"negative", "a", 0, -2, -1, protocol.OffsetOutOfRange},
			{"all", "a", 0, -1, 4, 0},
			{"of an empty log", "a", 1, -1, 0, 0},
			{"of a compacted topic", "compact", 0, 0, -1, protocol.PolicyViolation},
			{"of an internal topic", "__consumer_offsets", 0, 0, -1, protocol.InvalidTopicException},
			{"of the metadata topic", "__cluster_metadata", 0, 1, -1, protocol.UnknownTopicOrPartition},
			{"unknown topic", "u", 0, 0, -1, protocol.UnknownTopicOrPartition},
			{"unknown partition", "a", 8, 0, -1, protocol.UnknownTopicOrPartition},
		} {
			x.eachVersion(21, func(version int16) {
				req := kmsg.NewPtrDeleteRecordsRequest()
				topic := kmsg.NewDeleteRecordsRequestTopic()
				topic.Topic = c.topic
				p := kmsg.NewDeleteRecordsRequestTopicPartition()
				p.Partition, p.Offset = c.partition, c.offset
				topic.Partitions = append(topic.Partitions, p)
				req.Topics = append(req.Topics, topic)
				got := ask[*kmsg.DeleteRecordsResponse](x, version, req).Topics[0].Partitions[0]
				wantCode(t, c.name, got.ErrorCode, c.code)
				if got.Partition != c.partition || got.LowWatermark != c.low {
					t.Errorf("%s, version %d: %+v, want %d", c.name, version, got, c.low)
				}
			})
			if c.name == "some" {
				if got := ask[*kmsg.ListOffsetsResponse](x, 7, listOffsetsOf(offsetAsk{"a", 0, -2, -1})).Topics[0].Partitions[0].Offset; got != 2 {
					t.Errorf("the earliest offset is %d, want 2", got)
				}
				waiting := fetchOf(12, fetchPart{topic: "a", offset: 4})
				waiting.MaxWaitMillis = 1000
				answer, began := x.fetching(x.Context(), waiting), time.Now()
				x.deleteRecords("a", 0, 3)
				<-answer
				if time.Since(began) != time.Second {
					t.Errorf("a reader above was woken after %v", time.Since(began))
				}
			}
		}
	})
}

// An isolation level that does not exist is refused, whatever else is asked.
func TestListOffsetsIsolationLevels(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.produce("a", 0, batch("v"))
		for level, want := range map[int8]protocol.Code{
			0: protocol.None, 1: protocol.None, 2: protocol.UnknownServerError, 3: protocol.UnknownServerError,
			-1: protocol.UnknownServerError, math.MinInt8: protocol.UnknownServerError,
		} {
			for version := int16(2); version <= 11; version++ {
				req := listOffsetsOf(offsetAsk{"a", 0, -1, -1})
				req.IsolationLevel = level
				resp := ask[*kmsg.ListOffsetsResponse](x, version, req)
				got := resp.Topics[0].Partitions[0]
				wantCode(t, fmt.Sprintf("level %d", level), got.ErrorCode, want)
				if want != protocol.None && (got.Offset != -1 || got.Timestamp != -1 || got.LeaderEpoch != -1) {
					t.Errorf("level %d, version %d: %+v", level, version, got)
				}
			}
		}
	})
}
