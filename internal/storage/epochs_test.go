package storage

import (
	"fmt"
	"testing"
)

// TestEpochEnd is the table of KIP-279 and KIP-101: what a leader answers to
// OffsetForLeaderEpoch.
func TestEpochEnd(t *testing.T) {
	var e epochs
	e.assign(2, 10)
	e.assign(4, 20)
	e.assign(7, 35)
	for _, c := range []struct {
		ask   int32
		epoch int32
		end   int64
		why   string
	}{
		{-1, -1, -1, "no epoch"},
		{0, 0, 10, "below all: itself, up to the first"},
		{1, 1, 10, "below all"},
		{2, 2, 20, "the first"},
		{3, 2, 20, "between: the one below"},
		{4, 4, 35, "in the middle"},
		{6, 4, 35, "between"},
		{7, 7, 50, "the latest ends with the log"},
		{8, -1, -1, "above all"},
	} {
		if epoch, end := e.end(c.ask, 50); epoch != c.epoch || end != c.end {
			t.Errorf("epoch %d (%s): %d %d, want %d %d", c.ask, c.why, epoch, end, c.epoch, c.end)
		}
	}
	if epoch, end := new(epochs).end(0, 5); epoch != NoEpoch || end != -1 {
		t.Error(epoch, end)
	}
}

func TestEpochsAt(t *testing.T) {
	e := epochs{entries: []epochEntry{{2, 10}, {4, 20}}}
	for offset, want := range map[int64]int32{0: NoEpoch, 9: NoEpoch, 10: 2, 19: 2, 20: 4, 1000: 4} {
		if got := e.at(offset); got != want {
			t.Errorf("offset %d: %d", offset, got)
		}
	}
}

// TestEpochsChange: entries stay strictly ascending in both fields (P4).
func TestEpochsChange(t *testing.T) {
	for _, c := range []struct {
		name    string
		do      func(*epochs)
		want    string
		changed bool
	}{
		{"a new epoch", func(e *epochs) { e.assign(5, 30) }, "[{2 10} {4 20} {5 30}]", true},
		{"the same epoch, later", func(e *epochs) { e.assign(4, 25) }, "[{2 10} {4 20}]", false},
		{"the same epoch, earlier", func(e *epochs) { e.assign(4, 15) }, "[{2 10} {4 15}]", true},
		{"an epoch that takes the place of one", func(e *epochs) { e.assign(5, 20) }, "[{2 10} {5 20}]", true},
		{"an older epoch contradicts", func(e *epochs) { e.assign(3, 40) }, "[{2 10} {3 40}]", true},
		{"an epoch before all", func(e *epochs) { e.assign(9, 5) }, "[{9 5}]", true},
		{"no epoch", func(e *epochs) { e.assign(NoEpoch, 5) }, "[{2 10} {4 20}]", false},
		{"of a batch: older is ignored", func(e *epochs) { e.assignNewer(3, 40) }, "[{2 10} {4 20}]", false},
		{"of a batch: newer", func(e *epochs) { e.assignNewer(6, 40) }, "[{2 10} {4 20} {6 40}]", true},
		{"truncated inside", func(e *epochs) { e.truncateEnd(15) }, "[{2 10}]", true},
		{"truncated at a border", func(e *epochs) { e.truncateEnd(20) }, "[{2 10}]", true},
		{"truncated to nothing", func(e *epochs) { e.truncateEnd(10) }, "[]", true},
		{"truncated above", func(e *epochs) { e.truncateEnd(21) }, "[{2 10} {4 20}]", false},
		{"start moves inside", func(e *epochs) { e.truncateStart(15) }, "[{2 15} {4 20}]", true},
		{"start moves to a border", func(e *epochs) { e.truncateStart(20) }, "[{4 20}]", true},
		{"start moves above", func(e *epochs) { e.truncateStart(30) }, "[{4 30}]", true},
		{"start below", func(e *epochs) { e.truncateStart(5) }, "[{2 10} {4 20}]", false},
		{"start is the first", func(e *epochs) { e.truncateStart(10) }, "[{2 10} {4 20}]", false},
		{"cleared", func(e *epochs) { e.clear() }, "[]", true},
	} {
		e := epochs{entries: []epochEntry{{2, 10}, {4, 20}}}
		c.do(&e)
		if got := fmt.Sprint(e.entries); got != c.want || e.changed != c.changed {
			t.Errorf("%s: %s, changed %t", c.name, got, e.changed)
		}
	}
}
