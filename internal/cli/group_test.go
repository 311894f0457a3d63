package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

func TestRanges(t *testing.T) {
	for want, in := range map[string][]int32{
		"": nil, "3": {3}, "0-2": {0, 1, 2}, "0-1,3,5-7": {0, 1, 3, 5, 6, 7}, "1,3": {1, 3},
	} {
		if got := ranges(in); got != want {
			t.Errorf("%v: %q, want %q", in, got, want)
		}
	}
	if got := partitionText([]topicPartitions{{"a", []int32{0, 1}}, {"b", []int32{4}}}); got != "a:0-1 b:4" {
		t.Error(got)
	}
}

func TestParseTopics(t *testing.T) {
	got, err := parseTopics([]string{"a", "b:0,3", "b:5"})
	if err != nil || fmt.Sprint(got) != "map[a:[] b:[0 3 5]]" || got["a"] != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range [][]string{{""}, {":1"}, {"a:"}, {"a:-1"}, {"a:x"}, {"a", "a"}, {"a:1", "a"}, {"a", "a:1"}} {
		if got, err := parseTopics(bad); err == nil {
			t.Errorf("%q became %v", bad, got)
		}
	}
}

func TestParseAgo(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90s": 90 * time.Second, "7d": 7 * 24 * time.Hour, "1d2h": 26 * time.Hour,
		"P7D": 7 * 24 * time.Hour, "PT1H30M": 90 * time.Minute, "P1DT2H": 26 * time.Hour, "PT0.5S": 500 * time.Millisecond,
	} {
		if got, err := parseAgo(text); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "P", "PT", "P7", "P1Y", "P1H", "PT1D", "x", "7"} {
		if got, err := parseAgo(bad); err == nil {
			t.Errorf("%q became %v", bad, got)
		}
	}
}

func TestImportOffsets(t *testing.T) {
	got, err := importOffsets([]byte("t,0,5\n\"t\", 1, 7\nother,t,0,9\ng,u,2,3\n"), "g")
	want := map[partition]int64{{"t", 0}: 5, {"t", 1}: 7, {"u", 2}: 3}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "t,0", "t,x,1", "t,-1,1", "t,0,x", "t,0,-1", "other,t,0,1", "a,b,c,d,e"} {
		if got, err := importOffsets([]byte(bad), "g"); err == nil {
			t.Errorf("%q became %v", bad, got)
		}
	}
}

// TestResetChange: where a partition of the offsets 10 to 20 goes, with 15 or
// nothing committed.
func TestResetChange(t *testing.T) {
	p := partition{"t", 0}
	ends := bounds{start: 10, end: 20, at: map[int64]int64{1000: 17}}
	for _, c := range []struct {
		name           string
		r              reset
		known, unknown int64 // the new offset; -1: refused
	}{
		{"earliest", reset{goal: resetGoal{to: atStart}}, 10, 10},
		{"latest", reset{goal: resetGoal{to: atEnd}}, 20, 20},
		{"offset", reset{goal: resetGoal{to: position{absolute, 12}}}, 12, 12},
		{"offset below", reset{goal: resetGoal{to: position{absolute, 2}}}, 10, 10},
		{"offset above", reset{goal: resetGoal{to: position{absolute, 99}}}, 20, 20},
		{"time", reset{goal: resetGoal{to: position{byTime, 1000}}}, 17, 17},
		{"current", reset{goal: resetGoal{to: atEnd, current: true}}, 15, 20},
		{"back", reset{goal: resetGoal{to: position{n: -2}, relative: true}}, 13, -1},
		{"forward", reset{goal: resetGoal{to: position{n: 2}, relative: true}}, 17, -1},
		{"far back", reset{goal: resetGoal{to: position{n: -1 << 63}, relative: true}}, 10, -1},
		{"far forward", reset{goal: resetGoal{to: position{n: 1<<63 - 1}, relative: true}}, 20, -1},
		{"file", reset{fixed: map[partition]int64{p: 11}}, 11, 11},
	} {
		for i, want := range []int64{c.known, c.unknown} {
			committed := []map[partition]int64{{p: 15}, {}}[i]
			change, err := c.r.change(p, ends, committed)
			if (err != nil) != (want == -1) || err == nil && change.New != want {
				t.Errorf("%s with %v: %+v, %v; want %d", c.name, committed, change, err, want)
			}
			if err == nil && len(committed) > 0 && *change.Records != 15-want {
				t.Errorf("%s: %d records", c.name, *change.Records)
			}
		}
	}
}

// TestChoose: which partitions a reset means.
func TestChoose(t *testing.T) {
	ends := map[partition]*bounds{}
	for _, p := range []partition{{"a", 0}, {"a", 1}, {"b", 0}, {"b", 1}} {
		ends[p] = &bounds{}
	}
	committed := map[partition]int64{{"b", 1}: 3}
	for want, r := range map[string]reset{
		"[{b 1}]":       {},
		"[{a 0} {a 1}]": {topics: map[string][]int32{"a": nil}},
		"[{a 1} {b 0}]": {topics: map[string][]int32{"a": {1, 1}, "b": {0}}},
		"[{a 0} {b 1}]": {fixed: map[partition]int64{{"b", 1}: 1, {"a", 0}: 1}},
	} {
		if got, err := r.choose(ends, committed); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%v, %v; want %s", got, err, want)
		}
	}
	r := reset{topics: map[string][]int32{"a": {7}}}
	if _, err := r.choose(ends, committed); err == nil || !strings.Contains(err.Error(), "no partition 7") {
		t.Error(err)
	}
}

// TestLagRows: a row for what is owned and for what is committed, once.
func TestLagRows(t *testing.T) {
	g := describedGroup{Members: []groupMember{{ID: "m", Assignment: []topicPartitions{{"t", []int32{0, 1}}}}}}
	rows := lagRows(g, kadm.OffsetResponses{"t": {
		1: {Offset: kadm.Offset{Topic: "t", Partition: 1, At: 5}},
		2: {Offset: kadm.Offset{Topic: "t", Partition: 2, At: 6}},
		3: {Offset: kadm.Offset{Topic: "t", Partition: 3, At: -1}},
	}})
	var got []string
	for _, p := range slices.SortedFunc(maps.Keys(rows), comparePartitions) {
		got = append(got, fmt.Sprintf("%d %s %s", p.number, rows[p].Member, orNothing(rows[p].Committed)))
	}
	if text := strings.Join(got, "|"); text != "0 m |1 m 5|2  6" {
		t.Error(text)
	}
}

func TestAge(t *testing.T) {
	for want, s := range map[string]float64{"0s": 0, "300ms": 0.34, "59.9s": 59.94, "1m1s": 61.5, "2h0m0s": 7200} {
		if got := age(&s); got != want {
			t.Errorf("%v: %s, want %s", s, got, want)
		}
	}
	if age(nil) != "" {
		t.Error("an age of nothing")
	}
}
