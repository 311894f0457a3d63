package group

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// TestOffsetRecords holds the bytes that Apache Kafka 4.3.1 writes for the same
// commits (interop compares them with the real one's).
func TestOffsetRecords(t *testing.T) {
	id := metadata.UUID{0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x01}
	for _, c := range []struct {
		name, key, value string
		committed
	}{
		{
			"latest", "0001" + "0001" + "67" + "0001" + "74" + "00000007",
			"0004" + "0000000000000005" + "00000003" + "05" + "74657874" + "00000000000f4240" + "01" + "00" + "10" + "112233445566778899aabbccddeeff01",
			committed{offset: 5, leaderEpoch: 3, metadata: "text", timestamp: someTime, expires: -1, topic: id},
		},
		{
			"without an id", "0001" + "0001" + "67" + "0001" + "74" + "00000007",
			"0004" + "ffffffffffffffff" + "ffffffff" + "01" + "00000000000f4240" + "00",
			committed{offset: -1, leaderEpoch: -1, timestamp: someTime, expires: -1},
		},
		{
			"with an expiry", "0001" + "0001" + "67" + "0001" + "74" + "00000007",
			"0001" + "0000000000000005" + "0004" + "74657874" + "00000000000f4240" + "00000000000f4241",
			committed{offset: 5, leaderEpoch: -1, metadata: "text", timestamp: someTime, expires: someTime + 1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, value := appendOffsetKey(nil, "g", "t", 7), appendOffset(nil, &c.committed)
			if got := hex.EncodeToString(key); got != c.key {
				t.Errorf("key %s, want %s", got, c.key)
			}
			if got := hex.EncodeToString(value); got != c.value {
				t.Errorf("value %s, want %s", got, c.value)
			}
			if back, err := parseOffset(value); err != nil || back != c.committed {
				t.Errorf("read back %+v, %v", back, err)
			}
			group, topic, partition, err := parseOffsetKey(key)
			if err != nil || string(group) != "g" || string(topic) != "t" || partition != 7 {
				t.Errorf("read back %s %s %d, %v", group, topic, partition, err)
			}
		})
	}
}

// TestOldOffsetRecords reads what older Kafkas wrote.
func TestOldOffsetRecords(t *testing.T) {
	for version, text := range map[int]string{
		0: "0000" + "0000000000000005" + "0001" + "78" + "0000000000000009",
		2: "0002" + "0000000000000005" + "0001" + "78" + "0000000000000009",
		3: "0003" + "0000000000000005" + "00000002" + "0001" + "78" + "0000000000000009",
	} {
		value, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		want := committed{offset: 5, leaderEpoch: -1, metadata: "x", timestamp: 9, expires: -1}
		if version == 3 {
			want.leaderEpoch = 2
		}
		if got, err := parseOffset(value); err != nil || got != want {
			t.Errorf("version %d: %+v, %v", version, got, err)
		}
	}
}

// TestBadRecords: what cannot be a record of the topic is refused and changes
// nothing.
func TestBadRecords(t *testing.T) {
	key := hex.EncodeToString(appendOffsetKey(nil, "g", "t", 7))
	for _, c := range [][2]string{
		{"", "0004"}, {"00", "0004"}, {"7fff0001", "0004"}, {key[:8], "0004"}, {key[:10], "0004"}, {key[:len(key)-2], "0004"},
		{key, ""}, {key, "00"}, {key, "0004"}, {key, "0005" + strings.Repeat("00", 40)}, {key, "ffff" + strings.Repeat("00", 40)},
		{"000100ff67", "0004"}, {"0001ffff67", "0004"},
	} {
		w := newOffsetWorld(t)
		k, err1 := hex.DecodeString(c[0])
		v, err2 := hex.DecodeString(c[1])
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if err := w.m.Apply(coordinator.Record{Key: k, Value: v}, coordinator.Origin{ProducerID: coordinator.NoProducer}); err == nil {
			t.Errorf("key %s value %s was taken", c[0], c[1])
		}
		if len(w.m.groups)+len(w.m.offsets) > 0 {
			t.Errorf("key %s value %s left something", c[0], c[1])
		}
	}
}

func TestWhoMayCommit(t *testing.T) {
	w := newOffsetWorld(t)
	w.newTopic("t", 1)
	by := func(version int16, generation int32, member string) func(*kmsg.OffsetCommitRequest) {
		return func(r *kmsg.OffsetCommitRequest) { r.Version, r.Generation, r.MemberID = version, generation, member }
	}
	for _, c := range []struct {
		what       string
		group      string
		version    int16
		generation int32
		member     string
		want       protocol.Code
	}{
		{"a generation of no group", "none", 8, 1, "m", protocol.IllegalGeneration},
		{"an epoch of no group", "none", 9, 1, "m", protocol.GroupIDNotFound},
		{"nobody", "g", 9, -1, "", protocol.None},
		{"a member without a generation", "g", 9, -1, "m", protocol.None},
		{"a generation of a simple group", "g", 9, 0, "m", protocol.UnknownMemberID},
	} {
		if got := w.commit(c.group, "t", 1, by(c.version, c.generation, c.member)); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	w.want("of no group", w.offsets("none"), "")
	w.want("of the simple group", w.offsets("g"), "t-0=1 ")
	if w.m.groups["none"] != nil {
		t.Error("a refused commit made a group")
	}
}

// TestReload: every state is the fold of its records (G5).
func TestReload(t *testing.T) {
	w := newOffsetWorld(t)
	w.newTopic("t", 1)
	w.newTopic("u", 2)
	for i := range int64(5) {
		w.commit("g", "t", i)
		w.commit("g", "u", 10*i)
		w.commit("h", "t", 100*i)
	}
	before := [2]string{w.offsets("g"), w.offsets("h")}
	w.want("before", before[0], "t-0=4 u-0=40 ")
	w.reload()
	w.want("after", w.offsets("g"), before[0])
	w.want("after", w.offsets("h"), before[1])
	w.delete("g")
	w.want("deleted", w.offsets("g"), "")
	w.reload()
	w.want("deleted and loaded", w.offsets("g"), "")
	if len(w.m.groups) != 1 || len(w.m.offsets) != 1 {
		t.Errorf("%d groups and %d with offsets are left", len(w.m.groups), len(w.m.offsets))
	}
}

// TestPendingOffsets: offsets of open transactions are not told (T14), and the
// newest record wins when they are decided.
func TestPendingOffsets(t *testing.T) {
	record := func(offset int64) coordinator.Record {
		return coordinator.Record{Key: appendOffsetKey(nil, "g", "t", 0), Value: appendOffset(nil, &committed{offset: offset, expires: -1})}
	}
	w := newOffsetWorld(t)
	w.newTopic("t", 1)
	w.commit("g", "t", 1)
	w.append(record(50), 7)
	w.want("pending", w.offsets("g"), "t-0=UNSTABLE_OFFSET_COMMIT ")
	w.end(7, "abort")
	w.want("aborted", w.offsets("g"), "t-0=1 ")
	w.append(record(60), 7)
	w.append(record(61), 8)
	w.end(7, "commit")
	w.want("one decided", w.offsets("g"), "t-0=UNSTABLE_OFFSET_COMMIT ")
	w.commit("g", "t", 2) // later than both
	w.end(8, "commit")
	w.want("the newest record wins", w.offsets("g"), "t-0=2 ")
	w.append(record(70), 9)
	w.end(9, "commit")
	w.want("committed", w.offsets("g"), "t-0=70 ")
	w.append(record(80), 9)
	w.delete("g")
	w.end(9, "commit")
	w.want("deleted while open", w.offsets("g"), "")
	if len(w.m.transactions)+len(w.m.offsets) > 0 {
		t.Errorf("%v and %v are left", w.m.transactions, w.m.offsets)
	}
}

func TestExpiry(t *testing.T) {
	w := newOffsetWorld(t, "offsets.retention.minutes=60", "offsets.retention.check.interval.ms=60000")
	w.newTopic("t", 1)
	w.newTopic("u", 2)
	w.commit("g", "t", 1)
	w.commit("own", "t", 1, func(r *kmsg.OffsetCommitRequest) { r.Version, r.RetentionTimeMillis = 4, 5*60_000 })
	w.advance(4 * time.Minute)
	w.want("before its own retention", w.offsets("own"), "t-0=1 ")
	w.advance(time.Minute)
	w.want("after its own retention", w.offsets("own"), "")
	w.advance(30 * time.Minute)
	w.commit("g", "u", 2)
	w.append(coordinator.Record{Key: appendOffsetKey(nil, "g", "t", 0), Value: appendOffset(nil, &committed{offset: 9, expires: -1})}, 7)
	w.advance(24 * time.Minute)
	w.want("before the retention", w.offsets("g"), "t-0=UNSTABLE_OFFSET_COMMIT u-0=2 ")
	w.advance(time.Minute)
	w.want("a transaction keeps it", w.offsets("g"), "t-0=UNSTABLE_OFFSET_COMMIT u-0=2 ")
	w.end(7, "abort")
	w.advance(time.Minute)
	w.want("after the retention", w.offsets("g"), "u-0=2 ")
	if w.m.groups["g"] == nil || w.m.groups["own"] != nil {
		t.Errorf("groups %v", w.m.groups)
	}
	w.advance(33 * time.Minute)
	w.want("a minute before the retention", w.offsets("g"), "u-0=2 ")
	w.advance(time.Minute)
	if len(w.m.groups)+len(w.m.offsets) > 0 {
		t.Errorf("groups %v, offsets %v", w.m.groups, w.m.offsets)
	}
	w.reload()
	if len(w.m.groups)+len(w.m.offsets) > 0 {
		t.Errorf("after a load: groups %v, offsets %v", w.m.groups, w.m.offsets)
	}
}

// TestDeletedTopics: the offsets of a topic go with it, also when nobody led the
// partition meanwhile, and those of a new topic under its name stay.
func TestDeletedTopics(t *testing.T) {
	w := newOffsetWorld(t)
	old := w.newTopic("t", 1)
	w.newTopic("u", 2)
	w.commit("g", "t", 1)
	w.commit("g", "u", 2)
	w.changed(&metadata.RemoveTopicRecord{TopicID: old})
	w.want("deleted", w.offsets("g"), "u-0=2 ")
	again := w.newTopic("t", 3)
	w.want("made again", w.offsets("g"), "u-0=2 ")
	w.commit("g", "t", 3)

	// The same while the coordinator is away.
	w.metadata(&metadata.RemoveTopicRecord{TopicID: again}, &metadata.TopicRecord{Name: "t", TopicID: metadata.UUID{4, 15: 1}})
	w.reload()
	w.want("made again while away", w.offsets("g"), "u-0=2 ")
	if got := w.commit("g", "t", 4); got != protocol.None {
		t.Errorf("commit: %v", got)
	}
	w.do(w.m.TopicsChanged(w.at(), nil)) // anything may have changed
	w.want("nothing changed", w.offsets("g"), "t-0=4 u-0=2 ")

	// A commit that was on its way while the topic was replaced.
	stale := func(r *kmsg.OffsetCommitRequest) { r.Topics[0].TopicID = again }
	if got := w.commit("g", "t", 9, stale); got != protocol.UnknownTopicOrPartition {
		t.Errorf("a commit for the topic before: %v", got)
	}
}

// TestDeletedTopicsOnAFullDisk: a topic is often deleted because its disk is full,
// so that what it leaves behind cannot be forgotten at once. What was committed
// for it says nothing of the next topic of its name.
func TestDeletedTopicsOnAFullDisk(t *testing.T) {
	w := newOffsetWorld(t, "offsets.retention.check.interval.ms=60000")
	old := w.newTopic("t", 1)
	w.newTopic("u", 2)
	w.commit("g", "t", 1)
	w.commit("g", "u", 2)
	w.failing = true
	w.changed(&metadata.RemoveTopicRecord{TopicID: old})
	if w.failing {
		t.Fatal("nothing was to be written")
	}
	w.want("deleted", w.offsets("g"), "u-0=2 ")
	w.want("deleted, by name", w.offsetOf("g", "t"), "t-0=-1")
	w.newTopic("t", 3)
	w.want("made again", w.offsets("g"), "u-0=2 ")
	w.want("made again, by name", w.offsetOf("g", "t"), "t-0=-1")
	w.advance(time.Minute)
	if o := w.m.offsets["g"]; len(o.committed) != 1 {
		t.Errorf("never forgotten: %v", o.committed)
	}
	w.commit("g", "t", 3)
	w.want("committed", w.offsetOf("g", "t"), "t-0=3")
}

// TestPartitionOf compares with String.hashCode of a Java virtual machine.
func TestPartitionOf(t *testing.T) {
	for group, want := range map[string]int32{
		"": 0, "a": 97 % 50, "group": 98629247 % 50, "hello world": 1794106052 % 50,
		"polygenelubricants": 0, // -2^31
		"grüße":              98768023 % 50,
		"𝄞":                  1772394 % 50,
		"ggggggggggh":        1561134072 % 50, // negative
	} {
		if got := partitionOf(group, 50); got != want {
			t.Errorf("%q: %d, want %d", group, got, want)
		}
	}
}

// BenchmarkCommit is the machine's part of a commit of one offset.
func BenchmarkCommit(b *testing.B) {
	w := newOffsetWorld(b)
	id := w.newTopic("topic-of-some-length", 1)
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, "group-of-some-length", -1
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "topic-of-some-length", TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
	b.ReportAllocs()
	for b.Loop() {
		out := w.m.OffsetCommit(w.at(), 1, req)
		for _, r := range out.Records {
			if err := w.m.Apply(r, coordinator.Origin{ProducerID: coordinator.NoProducer}); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkLoad folds 1,000 groups with 100 offsets each.
func BenchmarkLoad(b *testing.B) {
	var records []coordinator.Record
	for group := range 1000 {
		for partition := range int32(100) {
			records = append(records, coordinator.Record{
				Key:   appendOffsetKey(nil, fmt.Sprint("group-", group), "topic-of-some-length", partition),
				Value: appendOffset(nil, &committed{offset: 1, expires: -1, topic: metadata.UUID{1}}),
			})
		}
	}
	w := newOffsetWorld(b)
	w.newTopic("topic-of-some-length", 1)
	b.ReportAllocs()
	for b.Loop() {
		w.m = w.machine()
		for i, r := range records {
			if err := w.m.Apply(r, coordinator.Origin{Offset: int64(i), ProducerID: coordinator.NoProducer}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
