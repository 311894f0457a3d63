package cli

import (
	"math"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestParseOffsets(t *testing.T) {
	ms := noon.UnixMilli()
	at := func(n int64) position { return position{byTime, n} }
	cases := []struct {
		in    []string
		from  position
		until position
	}{
		{nil, atStart, position{}},
		{[]string{"beginning"}, atStart, position{}},
		{[]string{"oldest"}, atStart, position{}},
		{[]string{"earliest"}, atStart, position{}},
		{[]string{"start"}, atStart, position{}},
		{[]string{"end"}, atEnd, position{}},
		{[]string{"newest"}, atEnd, position{}},
		{[]string{"latest"}, atEnd, position{}},
		{[]string{"0"}, position{absolute, 0}, position{}},
		{[]string{"42"}, position{absolute, 42}, position{}},
		{[]string{"-10"}, position{fromEnd, 10}, position{}},
		{[]string{"+10"}, position{fromStart, 10}, position{}},
		{[]string{"5:15"}, position{absolute, 5}, position{absolute, 15}},
		{[]string{":15"}, atStart, position{absolute, 15}},
		{[]string{":end"}, atStart, atEnd},
		{[]string{"5:"}, position{absolute, 5}, position{}},
		{[]string{"-10:-5"}, position{fromEnd, 10}, position{fromEnd, 5}},
		{[]string{"+1:end"}, position{fromStart, 1}, atEnd},
		{[]string{"@now"}, at(ms), position{}},
		{[]string{"@1700000000123"}, at(1700000000123), position{}},
		{[]string{"@1700000000"}, at(1700000000000), position{}},
		{[]string{"@0"}, at(0), position{}},
		{[]string{"@-1h"}, at(ms - 3600_000), position{}},
		{[]string{"@-1h30m"}, at(ms - 5400_000), position{}},
		{[]string{"@-7d"}, at(ms - 7*86400_000), position{}},
		{[]string{"@-1d12h"}, at(ms - 36*3600_000), position{}},
		{[]string{"@2026-01-31"}, at(ms - 12*3600_000), position{}},
		{[]string{"@2026-01-31T12:00:00Z"}, at(ms), position{}},
		{[]string{"@2026-01-31T13:00:00+01:00"}, at(ms), position{}},
		{[]string{"@2026-01-31T12:00"}, at(ms), position{}},
		{[]string{"@2026-01-31T12:00:00.5Z:@now"}, at(ms + 500), at(ms)},
		{[]string{"@2026-01-31T11:00:00Z:2026-01-31T12:00:00Z"}, at(ms - 3600_000), at(ms)},
		{[]string{"@-2h:-1h"}, at(ms - 7200_000), at(ms - 3600_000)},
		{[]string{"@-2h:@-1h"}, at(ms - 7200_000), at(ms - 3600_000)},
		{[]string{"@-1h:end"}, at(ms - 3600_000), atEnd},
		{[]string{"5:@now"}, position{absolute, 5}, at(ms)},
		{[]string{"s@100"}, at(100), position{}},
		{[]string{"e@200"}, atStart, at(200)},
		{[]string{"s@100", "e@200"}, at(100), at(200)},
		{[]string{"e@200", "s@100"}, at(100), at(200)},
		{[]string{"-5", "e@now"}, position{fromEnd, 5}, at(ms)},
	}
	for _, c := range cases {
		got, err := parseOffsets(c.in, noon)
		if err != nil || got.from != c.from || got.until != c.until {
			t.Errorf("%q = %+v, %v; want %+v %+v", c.in, got, err, c.from, c.until)
		}
	}
}

func TestParseOffsetsRefuses(t *testing.T) {
	for _, in := range [][]string{
		{""}, {":"}, {"x"}, {":stored"}, {"--5"}, {"+-5"}, {"5-"}, {"5:x"}, {"x:5"}, {"1:2:3"}, {"@"}, {"@x"}, {"@-x"}, {"@-1"},
		{"@5d"}, {"@-99999999999d"}, {"99999999999999999999"}, {"s@"}, {"e@x"}, {"1", "2"}, {"s@1", "5"}, {"1:2", "e@5"}, {"@2026-13-01"},
	} {
		if got, err := parseOffsets(in, noon); err == nil {
			t.Errorf("%q = %+v, want an error", in, got)
		}
	}
}

// FuzzParseOffsets: whatever is typed, there is an error or a span that
// resolves to offsets inside the partition.
func FuzzParseOffsets(f *testing.F) {
	for _, seed := range []string{"5:15", "@2026-01-31T12:00:00Z:@now", "-10:end", "s@5", "+9223372036854775807", "@-1d2h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseOffsets([]string{text}, noon)
		if err != nil {
			return
		}
		from, until := s.resolve(bounds{start: 3, end: 9, at: map[int64]int64{}})
		if from < 3 || from > 9 || until != -1 && (until < from || until > 9) {
			t.Errorf("%q reads from %d until %d of 3…9", text, from, until)
		}
	})
}

func TestResolve(t *testing.T) {
	b := bounds{start: 100, end: 200, at: map[int64]int64{7: 150, 8: 200}}
	cases := []struct {
		in          string
		from, until int64
	}{
		{"start", 100, -1},
		{"end", 200, -1},
		{":end", 100, 200},
		{"150", 150, -1},
		{"50", 100, -1},
		{"500", 200, -1},
		{"-10", 190, -1},
		{"-1000", 100, -1},
		{"+10", 110, -1},
		{"+1000", 200, -1},
		{"+9223372036854775807", 200, -1},
		{"120:130", 120, 130},
		{"130:120", 130, 130},
		{"120:5000", 120, 200},
		{"@7", 150, -1},
		{"@7:@8", 150, 200},
		{"-10:-5", 190, 195},
	}
	for _, c := range cases {
		s, err := parseOffsets([]string{c.in}, noon)
		if err != nil {
			t.Fatal(err)
		}
		if from, until := s.resolve(b); from != c.from || until != c.until {
			t.Errorf("%s resolves to %d, %d; want %d, %d", c.in, from, until, c.from, c.until)
		}
	}
	if got := saturated(1, math.MaxInt64); got != math.MaxInt64 {
		t.Errorf("saturated = %d", got)
	}
}
