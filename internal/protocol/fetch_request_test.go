package protocol

import (
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// asFetchRequest converts what kmsg decoded.
func asFetchRequest(from *kmsg.FetchRequest) FetchRequest {
	r := FetchRequest{
		ReplicaID: from.ReplicaID, ReplicaEpoch: -1, MaxWaitMillis: from.MaxWaitMillis, MinBytes: from.MinBytes, MaxBytes: from.MaxBytes,
		IsolationLevel: from.IsolationLevel, SessionID: from.SessionID, SessionEpoch: from.SessionEpoch, Rack: from.Rack, ClusterID: from.ClusterID,
	}
	if from.Version >= 15 {
		r.ReplicaID, r.ReplicaEpoch = from.ReplicaState.ID, from.ReplicaState.Epoch
	}
	for _, topic := range from.Topics {
		t := FetchTopic{Name: topic.Topic, ID: topic.TopicID}
		for _, p := range topic.Partitions {
			t.Partitions = append(t.Partitions, FetchPartition{
				Index: p.Partition, CurrentLeaderEpoch: p.CurrentLeaderEpoch, FetchOffset: p.FetchOffset, LastFetchedEpoch: p.LastFetchedEpoch,
				MaxBytes: p.PartitionMaxBytes, LogStartOffset: p.LogStartOffset, HighWatermark: p.HighWatermark, DirectoryID: p.ReplicaDirectoryID,
			})
		}
		r.Topics = append(r.Topics, t)
	}
	for _, topic := range from.ForgottenTopics {
		r.Forgotten = append(r.Forgotten, ForgottenTopic{topic.Topic, topic.TopicID, topic.Partitions})
	}
	return r
}

// show prints a request with nil and empty slices alike.
func show(r FetchRequest) string {
	id := "none"
	if r.ClusterID != nil {
		id = *r.ClusterID
		r.ClusterID = nil
	}
	return fmt.Sprintf("%v %q", r, id)
}

// The parser takes what kmsg takes, and makes the same of it, however much was
// there before.
func TestParseFetchRequest(t *testing.T) {
	var reused FetchRequest
	for version := int16(4); version <= 18; version++ {
		for seed := range uint64(200) {
			r := newRandomizer(seed)
			r.tags = version >= 12
			body := r.request(fetch, version).AppendTo(nil)
			decoded := kmsg.NewPtrFetchRequest()
			decoded.Version = version
			if err := decoded.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if err := ParseFetchRequest(version, append(body, 1, 2), &reused); err != nil {
				t.Fatalf("version %d seed %d: %v", version, seed, err)
			}
			if got, want := show(reused), show(asFetchRequest(decoded)); got != want {
				t.Fatalf("version %d seed %d:\ngot  %s\nwant %s", version, seed, got, want)
			}
			for n := range body {
				if err := ParseFetchRequest(version, body[:n:n], &reused); !errors.Is(err, ErrMalformed) || len(reused.Topics) > 0 {
					t.Fatalf("version %d seed %d: %d of %d bytes passed", version, seed, n, len(body))
				}
			}
		}
	}
}

func TestParseFetchRequestAllocatesNothing(t *testing.T) {
	for _, version := range []int16{4, 12, 18} {
		request := newRandomizer(3).request(fetch, version).(*kmsg.FetchRequest)
		request.ClusterID = nil
		body := request.AppendTo(nil)
		var r FetchRequest
		if n := testing.AllocsPerRun(100, func() {
			if err := ParseFetchRequest(version, body, &r); err != nil {
				t.Fatal(err)
			}
			r.Reset()
		}); n > 0 {
			t.Errorf("version %d: %v allocations", version, n)
		}
	}
}

// FuzzParseFetchRequest compares with Decode, on anything.
func FuzzParseFetchRequest(f *testing.F) {
	for version := int16(4); version <= 18; version++ {
		r := newRandomizer(uint64(version))
		r.tags = version%2 == 0
		f.Add(version, r.request(fetch, version).AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < 4 || version > 18 {
			return
		}
		var r FetchRequest
		var err error
		grown := allocated(func() { err = ParseFetchRequest(version, body, &r) })
		if limit := allocationLimit(fetch, body); grown > limit {
			t.Fatalf("%d bytes allocated for %d, at most %d", grown, len(body), limit)
		}
		decoded, refused := Decode(fetch, version, body)
		if (err == nil) != (refused == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%v, but Decode says %v", err, refused)
		}
		if err != nil {
			return
		}
		if got, want := show(r), show(asFetchRequest(decoded.(*kmsg.FetchRequest))); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func BenchmarkParseFetchRequest(b *testing.B) {
	request := kmsg.NewPtrFetchRequest()
	request.Version = 18
	topic := kmsg.NewFetchRequestTopic()
	for i := range 100 {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition = int32(i)
		topic.Partitions = append(topic.Partitions, p)
	}
	request.Topics = append(request.Topics, topic)
	body := request.AppendTo(nil)
	b.Run("by hand", func(b *testing.B) {
		b.ReportAllocs()
		var r FetchRequest
		for b.Loop() {
			if err := ParseFetchRequest(18, body, &r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("kmsg", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(fetch, 18, body); err != nil {
				b.Fatal(err)
			}
		}
	})
}
