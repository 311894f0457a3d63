package cli

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// place is a kind of position in a partition.
type place uint8

const (
	nowhere   place = iota // not given
	stored                 // what the group has committed
	absolute               // offset n
	fromStart              // n records after the first
	fromEnd                // n records before the end
	byTime                 // the first record at or after n, in ms since 1970
)

// position is one end of what is to be read of a partition.
type position struct {
	at place
	n  int64
}

var (
	atStart = position{at: fromStart}
	atEnd   = position{at: fromEnd}
)

// span is what is to be read: from, and up to but without until. until is
// nowhere when reading goes on for ever.
type span struct{ from, until position }

// offsetGrammar is the grammar as the help of consume tells it.
const offsetGrammar = `Offsets (-o), each also as FROM:UNTIL; the record at UNTIL is not read:
  beginning, oldest, earliest, start    the first record
  end, newest, latest                   after the last record
  stored                                the committed offset of the group of -g, else the first record
  N                                     offset N
  -N                                    N records before the end
  +N                                    N records after the first one
  @TIME                                 the first record at or after TIME
  s@TIME, e@TIME                        kcat's form of @TIME: and :@TIME
  :UNTIL                                from the first record
TIME is a date (2026-01-31), a date and time (2026-01-31T12:00:00Z), milliseconds
since 1970, now, or a time before now: -90s, -15m, -1h30m, -7d. UNTIL is determined
when the command starts.`

// parseOffsets reads the values of -o; a later one adds the end that an earlier
// one left open, as in kcat's -o s@1 -o e@2. Without any, reading begins at the
// first record.
func parseOffsets(values []string, now time.Time) (span, error) {
	var all span
	for _, v := range values {
		s, err := parseSpan(v, now)
		if err != nil {
			return span{}, fmt.Errorf("offset %q: %w", v, err)
		}
		if s.from != (position{}) && all.from != (position{}) || s.until != (position{}) && all.until != (position{}) {
			return span{}, fmt.Errorf("offset %q: given twice", v)
		}
		if s.from != (position{}) {
			all.from = s.from
		}
		if s.until != (position{}) {
			all.until = s.until
		}
	}
	if all.from == (position{}) {
		all.from = atStart
	}
	return all, nil
}

// parseSpan reads one value. A time may hold colons itself, so every colon is
// tried as the one between the two ends.
func parseSpan(text string, now time.Time) (span, error) {
	if rest, ok := strings.CutPrefix(text, "s@"); ok {
		at, err := parseTime(rest, now)
		return span{from: at}, err
	}
	if rest, ok := strings.CutPrefix(text, "e@"); ok {
		at, err := parseTime(rest, now)
		return span{until: at}, err
	}
	from, first := parsePosition(text, now)
	if first == nil {
		return span{from: from}, nil
	}
	for i := range len(text) {
		if text[i] != ':' {
			continue
		}
		if s, err := parseEnds(text[:i], text[i+1:], now); err == nil {
			return s, nil
		}
	}
	return span{}, first
}

// parseEnds reads FROM:UNTIL, each of which may be empty but not both. After a
// time, UNTIL may be a time without @.
func parseEnds(left, right string, now time.Time) (s span, err error) {
	if left == "" && right == "" {
		return s, errors.New("no offset")
	}
	s.from = atStart
	if left != "" {
		if s.from, err = parsePosition(left, now); err != nil {
			return s, err
		}
	}
	if right == "" {
		return s, nil
	}
	if right == "stored" {
		return s, errors.New("reading cannot end at a stored offset")
	}
	if s.from.at == byTime && !strings.HasPrefix(right, "@") {
		if s.until, err = parseTime(right, now); err == nil {
			return s, nil
		}
	}
	s.until, err = parsePosition(right, now)
	return s, err
}

// parsePosition reads one end.
func parsePosition(text string, now time.Time) (position, error) {
	switch text {
	case "beginning", "oldest", "earliest", "start":
		return atStart, nil
	case "end", "newest", "latest":
		return atEnd, nil
	case "stored":
		return position{at: stored}, nil
	}
	if rest, ok := strings.CutPrefix(text, "@"); ok {
		return parseTime(rest, now)
	}
	digits := strings.TrimLeft(text, "+-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || len(text)-len(digits) > 1 {
		return position{}, errors.New("neither a word, nor N, -N, +N, @TIME, or two of them with a colon between")
	}
	switch text[0] {
	case '-':
		return position{fromEnd, n}, nil
	case '+':
		return position{fromStart, n}, nil
	}
	return position{absolute, n}, nil
}

// secondsBelow tells seconds from milliseconds since 1970: as milliseconds the
// numbers below it lie before April 1970, as seconds in this age.
const secondsBelow = 10_000_000_000

// parseTime reads a TIME.
func parseTime(text string, now time.Time) (position, error) {
	if text == "now" {
		return position{byTime, now.UnixMilli()}, nil
	}
	if ago, ok := strings.CutPrefix(text, "-"); ok {
		d, err := parseDuration(ago)
		if err != nil {
			return position{}, err
		}
		return position{byTime, now.Add(-d).UnixMilli()}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n > 0 && n < secondsBelow && len(text) == 10 {
			n *= 1000 // seconds, as date +%s prints them
		}
		return position{byTime, n}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return position{byTime, t.UnixMilli()}, nil
		}
	}
	return position{}, fmt.Errorf("%q is not a time", text)
}

// parseDuration is time.ParseDuration with days in front.
func parseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > math.MaxInt64/uint64(24*time.Hour) {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	return d + more, err
}

// times are the points in time whose offsets must be asked for.
func (s span) times() []int64 {
	var list []int64
	for _, p := range []position{s.from, s.until} {
		if p.at == byTime {
			list = append(list, p.n)
		}
	}
	return list
}

// bounds are the ends of a partition as the cluster tells them. at gives the
// offset of a time.
type bounds struct {
	start, end int64
	at         map[int64]int64
}

// resolve turns the span into offsets of one partition. until is -1 when
// reading goes on for ever.
func (s span) resolve(b bounds) (from, until int64) {
	from = clamp(b.offset(s.from), b.start, b.end)
	if s.until.at == nowhere {
		return from, -1
	}
	return from, max(from, clamp(b.offset(s.until), b.start, b.end))
}

func (b bounds) offset(p position) int64 {
	switch p.at {
	case fromStart:
		return saturated(b.start, p.n)
	case fromEnd:
		return b.end - p.n
	case byTime:
		return b.at[p.n]
	default:
		return p.n
	}
}

// saturated is a+b for b ≥ 0 without overflow.
func saturated(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

func clamp(n, low, high int64) int64 { return max(low, min(n, high)) }
