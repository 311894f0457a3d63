package interop

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/target"
	"ottla/interop/wire"
)

// TestOffsetRecords commits and deletes the same offsets on Apache Kafka and on
// Ottla and compares __consumer_offsets record by record, byte for byte, except
// for clocks and topic ids.
func TestOffsetRecords(t *testing.T) {
	target.Jars(t)
	var records [2][]string
	for i, kind := range []target.Kind{target.Kafka, target.Default()} {
		broker := target.Start(t, target.Options{Kind: kind, Set: []string{"offsets.topic.num.partitions=1", "offsets.topic.replication.factor=1"}})
		conn, err := wire.Dial(broker.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		writeOffsets(t, conn)
		records[i] = offsetRecords(t, broker.Addr)
	}
	if !slices.Equal(records[0], records[1]) {
		t.Errorf("Kafka wrote\n%q\nand Ottla\n%q", records[0], records[1])
	}
}

// writeOffsets writes records of every form: by name and id, with and without
// text and epoch, with an expiry, tombstones of offsets and of a group.
func writeOffsets(t *testing.T, conn *wire.Conn) {
	t.Helper()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 7
	for _, name := range []string{"a", "b"} {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 2, 1
		create.Topics = append(create.Topics, topic)
	}
	created := send[*kmsg.CreateTopicsResponse](t, conn, create)
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKeys = 4, []string{"g"}
	until(t, func() int16 { return send[*kmsg.FindCoordinatorResponse](t, conn, find).Coordinators[0].ErrorCode })
	text := "grüße"
	for _, version := range []int16{2, 4, 8, 10} {
		commit := kmsg.NewPtrOffsetCommitRequest()
		commit.Version, commit.Group, commit.Generation = version, fmt.Sprint("g", version), -1
		if version == 4 {
			commit.RetentionTimeMillis = 1000 * time.Hour.Milliseconds()
		}
		for i, name := range []string{"a", "b"} {
			topic := kmsg.NewOffsetCommitRequestTopic()
			topic.Topic, topic.TopicID = name, created.Topics[i].TopicID
			topic.Partitions = []kmsg.OffsetCommitRequestTopicPartition{{Partition: 0, Offset: 5, LeaderEpoch: -1, Metadata: &text}, {Partition: 1, Offset: 1 << 40, LeaderEpoch: 7}}
			commit.Topics = append(commit.Topics, topic)
		}
		until(t, func() int16 {
			return send[*kmsg.OffsetCommitResponse](t, conn, commit).Topics[0].Partitions[0].ErrorCode
		})
	}
	forget := kmsg.NewPtrOffsetDeleteRequest()
	forget.Group = "g8"
	forget.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "a", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}}}}
	send[*kmsg.OffsetDeleteResponse](t, conn, forget)
	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Version, remove.Groups = 2, []string{"g2"}
	send[*kmsg.DeleteGroupsResponse](t, conn, remove)
}

func send[R kmsg.Response](t *testing.T, conn *wire.Conn, req kmsg.Request) R {
	t.Helper()
	answer, err := conn.Request(req)
	if err != nil {
		t.Fatal(err)
	}
	return answer.Response.(R)
}

// until repeats a request until its coordinator is available.
func until(t *testing.T, request func() int16) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(toolLimit); time.Now().Before(deadline); <-tick.C {
		code := request()
		if code == 0 {
			return
		}
		if err := kerr.ErrorForCode(code); !kerr.IsRetriable(err) {
			t.Fatal(err)
		}
	}
	t.Fatal("the coordinator is not available")
}

// offsetRecords reads __consumer_offsets-0 and blanks out clocks and ids.
// Within a batch the order is Kafka's hash order if a list was a map, so the
// records of one request are sorted.
func offsetRecords(t *testing.T, addr string) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"__consumer_offsets": {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), toolLimit)
	defer cancel()
	var all []string
	for groupTombstone := false; !groupTombstone; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("%v, after %q", err, all)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			all = append(all, fmt.Sprintf("%x=%x", r.Key, blank(r.Value)))
			groupTombstone = groupTombstone || binary.BigEndian.Uint16(r.Key) == 2 && r.Value == nil
		})
	}
	last := len(all) - 1 // the tombstones of the group's offsets come before its own
	slices.Sort(all[last-4 : last])
	return all
}

// blank overwrites the clocks and the id in the value of an offset.
func blank(value []byte) []byte {
	if value == nil {
		return nil
	}
	v := kmsg.NewOffsetCommitValue()
	if err := v.ReadFrom(value); err != nil {
		return value
	}
	if v.TopicID != ([16]byte{}) {
		v.TopicID = [16]byte{1}
	}
	v.CommitTimestamp = 0
	if v.Version == 1 {
		v.ExpireTimestamp = 0
	}
	again := v.AppendTo(nil)
	if len(again) != len(value) {
		return value // differs from kmsg's encoding: shown as it is
	}
	return again
}
