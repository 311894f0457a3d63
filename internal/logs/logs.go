// Package logs keeps the log of a node within bounds, whatever clients send: the
// length of a value, the characters in it, and the number of lines.
package logs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"ottla/internal/xsync"
)

// The bounds of one line.
const (
	mostText  = 1 << 10  // bytes of a value or a message, escaped
	mostTrace = 16 << 10 // bytes of a Trace
)

// The bounds of the lines of one reason: so many at once, then one a second. An
// error has more lines at once, because each of them may name something else
// that is damaged.
const (
	burst      = 100
	burstError = 1000
	pause      = time.Second
)

// mostReasons is how many reasons are told apart; further ones are counted together.
const mostReasons = 1024

// Handler bounds what it passes to another slog.Handler:
//
//  1. A value is cut to 1 KiB, and control characters and invalid UTF-8 in it are
//     escaped, so that a value never begins a line of its own.
//  2. The lines of one reason are bounded: 100 at once (1,000 of level ERROR),
//     then one a second. A reason is a place in the program, a level and, where a
//     line has a Reason, its kind. None of them is chosen by clients.
//  3. The first line after some were left out has their number as "suppressed".
//     Report tells of those that no line followed.
type Handler struct {
	next  slog.Handler
	lines *lines // of all handlers that With made
}

// New returns a Handler in front of next. elapsed is a clock that never goes back.
func New(next slog.Handler, elapsed func() time.Duration) *Handler {
	return &Handler{next, &lines{elapsed: elapsed, reasons: map[reason]*bucket{}}}
}

// Reason is a value that says why something happened. Lines of different kinds are
// counted apart; a kind must be one of a few.
type Reason struct{ Kind, Text string }

// LogValue is the text.
func (r Reason) LogValue() slog.Value { return slog.StringValue(r.Text) }

// Trace is a long text that holds nothing clients chose, such as a stack. It is
// cut to 16 KiB and not escaped.
type Trace string

// Enabled asks the handler behind.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs bounds the values once.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	kept := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		kept[i] = bounded(a)
	}
	return &Handler{h.next.WithAttrs(kept), h.lines}
}

// WithGroup opens a group in the handler behind.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{h.next.WithGroup(name), h.lines}
}

// Handle passes the line on, unless there were too many of its reason.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	admitted, suppressed := h.lines.admit(reasonOf(r), r.Message)
	if !admitted {
		return nil
	}
	line := slog.NewRecord(r.Time, r.Level, clean(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		line.AddAttrs(bounded(a))
		return true
	})
	if suppressed > 0 {
		line.AddAttrs(slog.Int64("suppressed", suppressed))
	}
	return h.next.Handle(ctx, line)
}

// Report writes a line for each reason of which lines were left out that no other
// line has told of. Call it every few seconds, and at the end.
func (h *Handler) Report(ctx context.Context, now time.Time) {
	for _, s := range h.lines.take() {
		if !h.next.Enabled(ctx, s.reason.level) {
			continue
		}
		line := slog.NewRecord(now, s.reason.level, "log lines were left out", 0)
		line.AddAttrs(slog.String("line", clean(s.message)), slog.Int64("suppressed", s.count))
		if s.reason.kind != "" {
			line.AddAttrs(slog.String("kind", clean(s.reason.kind)))
		}
		_ = h.next.Handle(ctx, line) // slog.Logger has no use for an error either
	}
}

// Suppressed is how many lines were left out since the start.
func (h *Handler) Suppressed() int64 { return h.lines.suppressed.Load() }

// reason is what lines have in common that are counted together.
type reason struct {
	level slog.Level
	place uintptr // program counter of the call
	kind  string
}

func reasonOf(r slog.Record) reason {
	is := reason{level: r.Level, place: r.PC}
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() != slog.KindLogValuer {
			return true
		}
		why, ok := a.Value.Any().(Reason)
		if ok {
			is.kind = why.Kind
		}
		return !ok
	})
	return is
}

// lines counts the lines of each reason.
type lines struct {
	elapsed    func() time.Duration
	suppressed atomic.Int64

	mu      xsync.Mutex
	reasons map[reason]*bucket
}

// bucket is how many lines of a reason may still be written, and how many were
// left out since the last.
type bucket struct {
	room    int
	refill  time.Duration // when room last grew
	missed  int64
	message string // of the last line that was left out
}

// admit tells whether a line may be written, and how many were left out before
// it.
func (l *lines) admit(is reason, message string) (admitted bool, suppressed int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(is)
	if b.room == 0 {
		b.missed++
		b.message = message
		l.suppressed.Add(1)
		return false, 0
	}
	b.room--
	suppressed, b.missed = b.missed, 0
	return true, suppressed
}

// bucket finds the bucket of a reason, as full as it is now.
func (l *lines) bucket(is reason) *bucket {
	now, most := l.elapsed(), burst
	if is.level >= slog.LevelError {
		most = burstError
	}
	b := l.reasons[is]
	if b == nil && len(l.reasons) >= mostReasons {
		is = reason{level: is.level}
		b = l.reasons[is]
	}
	if b == nil {
		b = &bucket{room: most, refill: now}
		l.reasons[is] = b
	}
	more := (now - b.refill).Truncate(pause)
	b.room = int(min(int64(most), int64(b.room)+int64(more/pause)))
	b.refill += more
	return b
}

// missing is how many lines of a reason were left out.
type missing struct {
	reason  reason
	message string
	count   int64
}

// take returns what is missing, and counts anew.
func (l *lines) take() (all []missing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for is, b := range l.reasons {
		if b.missed > 0 {
			all = append(all, missing{is, b.message, b.missed})
			b.missed = 0
		}
	}
	slices.SortFunc(all, func(x, y missing) int {
		return cmp.Or(cmp.Compare(x.message, y.message), cmp.Compare(x.reason.kind, y.reason.kind), cmp.Compare(x.reason.place, y.reason.place))
	})
	return all
}

// bounded is an attribute whose texts are cut and escaped. Numbers, times and the
// like stay what they are.
func bounded(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		group := make([]slog.Attr, len(v.Group()))
		for i, inner := range v.Group() {
			group[i] = bounded(inner)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}
	case slog.KindString:
		return slog.String(a.Key, clean(v.String()))
	case slog.KindAny:
		return slog.String(a.Key, text(v.Any()))
	}
	return slog.Attr{Key: a.Key, Value: v}
}

// text is a value of any type as slog's text handler would write it.
func text(value any) string {
	switch v := value.(type) {
	case Trace:
		return cut(string(v), mostTrace)
	case []byte:
		return clean(string(v))
	}
	return clean(fmt.Sprintf("%+v", value))
}
