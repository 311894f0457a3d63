package groups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// event is a line of a worker.
type event struct {
	member string
	time   int64 // µs
	kind   string
	gen    int32
	at     []string // topic/partition
	offset int64    // of a record, or what was committed
	value  string
}

// History contains the events of the members of one group.
type History struct {
	mu      sync.Mutex
	events  []event
	bad     []string
	changed chan struct{} // closed and replaced at every event
}

// NewHistory returns an empty history.
func NewHistory() *History { return &History{changed: make(chan struct{})} }

func (h *History) note(member, line string) {
	e, err := parseEvent(member, line)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil {
		h.bad = append(h.bad, fmt.Sprintf("%s printed %q: %v", member, line, err))
	} else {
		h.events = append(h.events, e)
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// noteKilled ends everything that a member owned, unless it has left the group
// before.
func (h *History) noteKilled(member string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event{member: member, time: time.Now().UnixMicro(), kind: "killed"})
}

func parseEvent(member, line string) (event, error) {
	f := strings.Fields(line)
	if len(f) < 3 {
		return event{}, fmt.Errorf("%d fields", len(f))
	}
	at, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return event{}, err
	}
	gen, err := strconv.ParseInt(f[2], 10, 32)
	if err != nil {
		return event{}, err
	}
	e := event{member: member, time: at, kind: f[1], gen: int32(gen)}
	switch rest := f[3:]; {
	case e.kind == "assigned" || e.kind == "revoked" || e.kind == "lost":
		e.at = rest
	case e.kind == "record" && len(rest) == 3, e.kind == "committed" && len(rest) == 2:
		e.at, e.value = rest[:1], strings.Join(rest[2:], "")
		if e.offset, err = strconv.ParseInt(rest[1], 10, 64); err != nil {
			return event{}, err
		}
	case e.kind == "failed", e.kind == "left":
		e.value = strings.Join(rest, " ")
	default:
		return event{}, errors.New("unknown event")
	}
	return e, nil
}

// Await returns when done is true for the events so far. If the wait fails, the
// error contains the awaited condition.
func (h *History) Await(ctx context.Context, what string, done func([]event) bool) error {
	for {
		h.mu.Lock()
		ok, changed, bad := done(h.events), h.changed, slices.Clone(h.bad)
		h.mu.Unlock()
		if len(bad) > 0 {
			return fmt.Errorf("waiting until %s: %s", what, strings.Join(bad, "; "))
		}
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w\n%s", what, ctx.Err(), h.summary())
		}
	}
}

// owners returns the owner of each partition after the events, as reported by
// the members.
func owners(events []event) map[string][]string {
	own := map[string][]string{}
	drop := func(p, member string) {
		if own[p] = slices.DeleteFunc(own[p], func(m string) bool { return m == member }); len(own[p]) == 0 {
			delete(own, p)
		}
	}
	for _, e := range events {
		switch e.kind {
		case "assigned":
			for _, p := range e.at {
				if !slices.Contains(own[p], e.member) {
					own[p] = append(own[p], e.member)
				}
			}
		case "revoked", "lost":
			for _, p := range e.at {
				drop(p, e.member)
			}
		case "left", "killed":
			for p := range own {
				drop(p, e.member)
			}
		}
	}
	return own
}

// stable reports whether count partitions have one owner each, and the owners
// are exactly the members.
func stable(count int, members ...string) func([]event) bool {
	return func(events []event) bool {
		own := owners(events)
		seen := map[string]bool{}
		for _, who := range own {
			if len(who) != 1 || !slices.Contains(members, who[0]) {
				return false
			}
			seen[who[0]] = true
		}
		return len(own) == count && len(seen) == len(members)
	}
}

// read reports whether every offset below the end of each partition was
// printed.
func read(ends map[string]int64) func([]event) bool {
	return func(events []event) bool { return len(missing(events, ends)) == 0 }
}

func missing(events []event, ends map[string]int64) []string {
	seen := map[string]map[int64]bool{}
	for _, e := range events {
		if e.kind == "record" {
			if seen[e.at[0]] == nil {
				seen[e.at[0]] = map[int64]bool{}
			}
			seen[e.at[0]][e.offset] = true
		}
	}
	var out []string
	for p, end := range ends {
		for offset := range end {
			if !seen[p][offset] {
				out = append(out, fmt.Sprintf("%s offset %d", p, offset))
			}
		}
	}
	slices.Sort(out)
	return out
}

// summary returns the last lines of each member, for a failed test.
func (h *History) summary() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "owners %v; the last events:\n", owners(h.events))
	others := slices.DeleteFunc(slices.Clone(h.events), func(e event) bool { return e.kind == "record" || e.kind == "committed" })
	for _, e := range others[max(0, len(others)-30):] {
		fmt.Fprintf(&b, "%s\n", e)
	}
	return b.String()
}

func (e event) String() string {
	return fmt.Sprintf("%d %s %s gen %d %s %d %s", e.time, e.member, e.kind, e.gen, strings.Join(e.at, " "), e.offset, e.value)
}
