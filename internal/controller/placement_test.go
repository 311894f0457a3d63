package controller

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// brokersOf makes an Image of brokers written as id/rack with a mark: "-" for a
// fenced one, "!" for one that shuts down, "#" for one whose log dir is cordoned.
func brokersOf(t *testing.T, brokers ...string) *view {
	var records []metadata.Message
	for _, text := range brokers {
		var (
			id   int32
			rack string
			mark string
		)
		if _, err := fmt.Sscanf(text, "%d/%1s%s", &id, &rack, &mark); err != nil && mark != "" {
			t.Fatal(err)
		}
		m := &metadata.RegisterBrokerRecord{BrokerID: id, Fenced: mark == "-", InControlledShutdown: mark == "!", LogDirs: []metadata.UUID{uuid(0xd, byte(id))}}
		if rack != "0" {
			m.Rack = &rack
		}
		if mark == "#" {
			m.CordonedLogDirs = m.LogDirs
		}
		records = append(records, m)
	}
	img, _, err := metadata.Empty().Apply(records, int64(len(records)), 1)
	if err != nil {
		t.Fatal(err)
	}
	return &view{img: img, rand: rand.New(rand.NewPCG(7, 7))}
}

// TestPlacementSpreads: every replica on another broker, leaders live and
// even, racks different where there are enough of them.
func TestPlacementSpreads(t *testing.T) {
	for _, row := range []struct {
		brokers      []string
		factor, n    int
		differ       int // racks that every partition spans
		most, fewest int // partitions that a broker leads
	}{
		{[]string{"1/0"}, 1, 10, 1, 10, 10},
		{[]string{"1/0", "2/0", "3/0"}, 3, 30, 1, 12, 8},
		{[]string{"1/a", "2/a", "3/b", "4/b", "5/c", "6/c"}, 3, 60, 3, 12, 8},
		{[]string{"1/a", "2/a", "3/b", "4/b"}, 3, 40, 2, 14, 6},
		{[]string{"1/a", "2/a-", "3/b"}, 2, 20, 2, 12, 8},
		{[]string{"1/a", "2/b!", "3/b", "4/a#"}, 2, 20, 2, 12, 8},
	} {
		v := brokersOf(t, row.brokers...)
		placed, err := v.place(row.n, int16(row.factor))
		if err != nil {
			t.Fatal(err)
		}
		led := map[int32]int{}
		for _, a := range placed {
			led[a.replicas[0]]++
			sorted := slices.Sorted(slices.Values(a.replicas))
			if len(a.replicas) != row.factor || len(slices.Compact(sorted)) != row.factor {
				t.Errorf("%v: replicas %v", row.brokers, a.replicas)
			}
			racks := map[string]bool{}
			for i, id := range a.replicas {
				b := v.img.Broker(id)
				if b.Rack != nil {
					racks[*b.Rack] = true
				}
				if b.InControlledShutdown || len(b.CordonedLogDirs) > 0 || i == 0 && b.Fenced || a.directories[i] != b.LogDirs[0] {
					t.Errorf("%v: replica %d of %v in %x", row.brokers, id, a.replicas, a.directories[i])
				}
			}
			if len(racks) < row.differ && row.differ > 1 {
				t.Errorf("%v: replicas %v in racks %v", row.brokers, a.replicas, racks)
			}
		}
		for id, n := range led {
			if n > row.most || n < row.fewest {
				t.Errorf("%v: broker %d leads %d of %d", row.brokers, id, n, row.n)
			}
		}
	}
}

func TestPlacementErrors(t *testing.T) {
	for _, row := range []struct {
		brokers []string
		factor  int16
		want    string
	}{
		{[]string{"1/a"}, 0, "Invalid replication factor 0: the replication factor must be positive."},
		{nil, 1, "All brokers are currently fenced, or have all their log directories cordoned."},
		{[]string{"1/a-", "2/a!", "3/a#"}, 1, "All brokers are currently fenced, or have all their log directories cordoned."},
		{[]string{"1/a", "2/a-", "3/a!"}, 3, "The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some brokers have all their log directories cordoned."},
	} {
		_, err := brokersOf(t, row.brokers...).place(1, row.factor)
		if protocol.CodeOf(err) != protocol.InvalidReplicationFactor || *protocol.MessageOf(err) != row.want {
			t.Errorf("%v × %d: %v", row.brokers, row.factor, err)
		}
	}
}

func TestNewIDs(t *testing.T) {
	v := brokersOf(t)
	seen := map[metadata.UUID]bool{}
	for range 10_000 {
		id := v.newID()
		if reserved(id) || metadata.FormatUUID(id)[0] == '-' || seen[id] {
			t.Fatalf("%s", metadata.FormatUUID(id))
		}
		seen[id] = true
	}
	for i, want := range map[byte]bool{0: true, 99: true, 100: false} {
		if reserved(metadata.UUID{15: i}) != want {
			t.Errorf("id %d: reserved %v", i, !want)
		}
	}
}

func TestCollision(t *testing.T) {
	c, _ := oneNode(t)
	for _, name := range []string{"a.b_c", "ab", "a-b.c", "_x", "a.b.d"} {
		create(t, c, name, 1)
	}
	for name, want := range map[string]string{
		"a_b_c": "a.b_c", "a.b.c": "a.b_c", "a_b.d": "a.b.d", ".x": "_x", "ab": "", "a-b-c": "", "a.b": "", "a.b.c.d": "", "z.z": "",
	} {
		if got := collisionOf(c.Image(), name); got != want {
			t.Errorf("%s: collides with %q, want %q", name, got, want)
		}
	}
}
