package monitoring

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// logs is a FirstRecord over partitions whose record at offset n has the
// timestamp 1000 n.
type logs struct {
	asked []string
	fails bool
	empty bool
}

func (l *logs) firstRecord(topic string, partition int32, from, _ int64) (int64, bool, error) {
	l.asked = append(l.asked, fmt.Sprintf("%s-%d@%d", topic, partition, from))
	if l.fails {
		return 0, false, errors.New("the disk is gone")
	}
	return 1000 * from, !l.empty, nil
}

// TestLagTimes: what a group waits for is looked up once for each place where it
// stands, in each leader epoch; what lies below the start counts as lost; what
// compaction may take is looked up each time.
func TestLagTimes(t *testing.T) {
	var times lagTimes
	var l logs
	for i, c := range []struct {
		lag     GroupLag
		asked   int
		seconds float64
		known   bool
	}{
		{GroupLag{Committed: 3, End: 9}, 1, 97, true},
		{GroupLag{Committed: 3, End: 12}, 0, 97, true},
		{GroupLag{Committed: 4, End: 12}, 1, 96, true},
		{GroupLag{Committed: 4, Start: 6, End: 12}, 1, 94, true},
		{GroupLag{Committed: 4, Start: 6, End: 12, Epoch: 2}, 1, 94, true},
		{GroupLag{Committed: 12, Start: 6, End: 12, Epoch: 2}, 0, 0, true},
		{GroupLag{Committed: 13, Start: 6, End: 12, Epoch: 2}, 0, 0, true},
		{GroupLag{Committed: 4, Start: 6, End: 12, Epoch: 2}, 1, 94, true}, // forgotten, for nobody asked
		{GroupLag{Committed: 4, End: -1}, 0, 0, false},
		{GroupLag{Committed: 7, End: 9}, 1, 93, true},
		{GroupLag{Committed: 7, End: 9, Compacted: true}, 1, 93, true},
		{GroupLag{Committed: 7, End: 9, Compacted: true}, 1, 93, true},
		{GroupLag{Committed: 200, End: 209}, 1, 0, true}, // of the future
	} {
		l.asked = nil
		groups := []Group{{ID: "g", Partitions: []GroupLag{c.lag}}, {ID: "h", Partitions: []GroupLag{c.lag}}}
		times.fill(t.Context(), groups, l.firstRecord)
		for k := range groups {
			seconds, known := groups[k].Partitions[0].seconds(time.UnixMilli(100_000))
			if seconds != c.seconds || known != c.known {
				t.Errorf("row %d, group %d: %v %t", i, k, seconds, known)
			}
		}
		if want := c.asked; c.lag.Compacted && len(l.asked) != 2*want || !c.lag.Compacted && len(l.asked) != want {
			t.Errorf("row %d: asked %v", i, l.asked)
		}
	}
	// Control records alone are nothing to wait for; what fails has no figure.
	for _, c := range []struct {
		logs  logs
		known bool
	}{{logs{empty: true}, true}, {logs{fails: true}, false}} {
		groups := []Group{{Partitions: []GroupLag{{Committed: 50, End: 60}}}}
		times.fill(t.Context(), groups, c.logs.firstRecord)
		if seconds, known := groups[0].Partitions[0].seconds(time.UnixMilli(100_000)); seconds != 0 || known != c.known {
			t.Errorf("%+v: %v %t", c.logs, seconds, known)
		}
	}
}

// TestLagTimesBounded: a scrape looks up no more than it may, and those that are
// left come first the next time, however often all of them move.
func TestLagTimesBounded(t *testing.T) {
	var times lagTimes
	const partitions = 2*lookUpsMost + lookUpsMost/2
	seen := map[int32]int{}
	for round := range int64(5) {
		var l logs
		list := make([]GroupLag, partitions)
		for i := range list {
			list[i] = GroupLag{Topic: "t", Partition: int32(i), Committed: 10 + round, End: 1000}
		}
		times.fill(t.Context(), []Group{{Partitions: list}}, l.firstRecord)
		if len(l.asked) > lookUpsMost || len(times.known) > lookUpsMost {
			t.Fatalf("round %d: %d looked up, %d kept", round, len(l.asked), len(times.known))
		}
		for i := range list {
			if _, ok := list[i].seconds(time.UnixMilli(100_000)); ok {
				seen[list[i].Partition]++
			}
		}
	}
	for p := range int32(partitions) {
		if n := seen[p]; n != 2 {
			t.Fatalf("partition %d was told %d times of 5, want 2", p, n)
		}
	}
}
