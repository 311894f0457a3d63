package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// sink is a handler with what it wrote, and the clock of the Handler before it.
type sink struct {
	*Handler
	text bytes.Buffer
	now  time.Duration
}

func newSink() *sink {
	s := new(sink)
	s.Handler = New(slog.NewTextHandler(&s.text, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}), func() time.Duration { return s.now })
	return s
}

// take returns the lines so far and forgets them.
func (s *sink) take() string {
	text := s.text.String()
	s.text.Reset()
	return text
}

// TestValues: texts of every kind are escaped, what is no text stays, and none is
// longer than it may be.
func TestValues(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"text", "plain", "v=plain"},
		{"number", 7, "v=7"},
		{"duration", time.Second, "v=1s"},
		{"other script", "日本 – ok", `v="日本 – ok"`},
		{"escape sequence", "a\x1b[2Jb", `v=a\x1b[2Jb`},
		{"a line of its own", "a\nlevel=ERROR", `v="a\\nlevel=ERROR"`},
		{"direction of text", "a\u202eb", `v=a\u202eb`},
		{"no UTF-8", "a\xff\xfe", `v=a\xff\xfe`},
		{"error", errors.New("bad\r"), `v=bad\r`},
		{"error in another", fmt.Errorf("a: %w", errors.New("b\x00")), `v="a: b\\x00"`},
		{"bytes", []byte("a\tb"), `v=a\tb`},
		{"stringer", netip.MustParseAddrPort("1.2.3.4:5"), "v=1.2.3.4:5"},
		{"list", []string{"a\n", "b"}, `v="[a\\n b]"`},
		{"nothing", nil, "v=<nil>"},
		{"reason", Reason{"kind", "bad\n"}, `v=bad\n`},
		{"group", slog.GroupValue(slog.String("w", "a\n")), `v.w=a\n`},
		{"long", long, "v=\"" + long[:mostText] + "…(3976 bytes more)\""},
		{"long in a group", slog.GroupValue(slog.String("w", long)), "v.w=\"" + long[:mostText] + "…(3976 bytes more)\""},
		{"long and strange", strings.Repeat("\x00", 5000), "v=\"" + strings.Repeat(`\\x00`, mostText/4) + "…(4744 bytes more)\""},
		{"cut before a rune", long[:mostText-1] + "日本", "v=\"" + long[:mostText-1] + "…(6 bytes more)\""},
		{"longest", long[:mostText], "v=" + long[:mostText]},
		{"trace", Trace("a:\n\tb"), `v="a:\n\tb"`},
		{"long trace", Trace(strings.Repeat(long, 4)), "v=\"" + strings.Repeat("x", mostTrace) + "…(3616 bytes more)\""},
	} {
		s := newSink()
		slog.New(s).Info("m", "v", c.value)
		slog.New(s).With("v", c.value).Info("m")
		if want := "level=INFO msg=m " + c.want + "\n"; s.take() != want+want {
			t.Errorf("%s: not %s", c.name, want)
		}
	}
	s := newSink()
	slog.New(s).WithGroup("g").Info("a\n"+long, "v", "\n")
	if got, want := s.take(), "level=INFO msg=\"a\\\\n"+long[:mostText-3]+"…(3979 bytes more)\" g.v=\\n\n"; got != want {
		t.Errorf("message: %s", got)
	}
}

// FuzzClean: whatever the text, what comes out prints and has a bound.
func FuzzClean(f *testing.F) {
	for _, text := range []string{"", "a", "a\x00", "\xff", "日本\u2028", strings.Repeat("é\n", 600)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := clean(text)
		if len(got) > mostText+40 || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\r\n\t\u2028\u202e") {
			t.Errorf("%q becomes %q", text, got)
		}
	})
}

// fault is a place that writes lines of a kind.
//
//go:noinline
func fault(log *slog.Logger, kind string, n int) {
	for range n {
		log.Warn("closed", "reason", Reason{kind, "?"})
	}
}

// TestRates: the lines of a reason are bounded, those of others are not touched,
// and all that were left out are counted in some line.
func TestRates(t *testing.T) {
	s := newSink()
	log := slog.New(s)
	say := func(kind string, n int) int {
		fault(log, kind, n)
		return strings.Count(s.take(), "\n")
	}
	if got := say("a", 5000); got != burst {
		t.Errorf("%d lines at once", got)
	}
	if got := say("b", 3); got != 3 {
		t.Errorf("%d lines of another kind", got)
	}
	log.Warn("another place")
	if got := s.take(); got != "level=WARN msg=\"another place\"\n" {
		t.Errorf("another place: %s", got)
	}
	if s.Suppressed() != 5000-burst {
		t.Errorf("%d left out", s.Suppressed())
	}
	s.Report(context.Background(), time.Time{})
	if got, want := s.take(), "level=WARN msg=\"log lines were left out\" line=closed suppressed=4900 kind=a\n"; got != want {
		t.Errorf("report: %s", got)
	}
	s.Report(context.Background(), time.Time{})
	if got := s.take(); got != "" {
		t.Errorf("a report of nothing: %s", got)
	}
}

// repeat is one place that writes lines; inlined, it would be several.
//
//go:noinline
func repeat(log *slog.Logger, n int) {
	for range n {
		log.Warn("m")
	}
}

// TestSuppressed: lines come again as time passes, and the first of them tells how
// many were left out.
func TestSuppressed(t *testing.T) {
	s := newSink()
	log := slog.New(s)
	say := func(n int) string {
		repeat(log, n)
		return s.take()
	}
	const plain = "level=WARN msg=m\n"
	say(burst + 7)
	s.now += 2*pause + pause/2
	if got, want := say(4), "level=WARN msg=m suppressed=7\n"+plain; got != want {
		t.Errorf("after a while: %s", got)
	}
	s.now += pause / 2
	if got, want := say(4), "level=WARN msg=m suppressed=2\n"; got != want {
		t.Errorf("a little later: %s", got)
	}
	s.now += 1000 * pause
	if got, want := say(1000), "level=WARN msg=m suppressed=3\n"+strings.Repeat(plain, burst-1); got != want {
		t.Errorf("after long: %d bytes", len(got))
	}
	for range 5000 {
		log.Error("m")
	}
	if n := strings.Count(s.take(), "\n"); n != burstError {
		t.Errorf("%d errors at once", n)
	}
}

// TestManyReasons: beyond mostReasons they are counted together.
func TestManyReasons(t *testing.T) {
	s := newSink()
	for i := range 10_000 {
		slog.New(s).Warn("m", "reason", Reason{fmt.Sprint(i), "?"})
	}
	if n := strings.Count(s.take(), "\n"); n != mostReasons+burst || len(s.lines.reasons) > mostReasons+1 {
		t.Errorf("%d lines, %d reasons", n, len(s.lines.reasons))
	}
}
