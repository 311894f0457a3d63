package group

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/pattern"
	"ottla/internal/protocol"
)

// regexPause is the least time, in ms, between two matchings of a group's
// regular expressions against new metadata.
const regexPause = 10_000

// rematchMost is how long a group waits for the matching that it asked for: it may
// be lost.
const rematchMost = time.Minute

// matches is which topics regular expressions match.
type matches struct {
	image *metadata.Image
	found map[string]matched
}

// matched has the names of the topics that match, ascending, or why the
// expression cannot be matched.
type matched struct {
	topics []string
	err    error
}

// unresolved is what a shard answers a heartbeat with when the Coordinator has to
// match regular expressions. No client gets it.
type unresolved struct {
	// The answer to the heartbeat. Without one the heartbeat is to be decided
	// again, with the matches.
	*kmsg.ConsumerGroupHeartbeatResponse
	image *metadata.Image
	exprs []string
}

// notMatched says that a heartbeat cannot be decided without matches.
var notMatched = &refusal{}

// updateRegexes resolves the regular expressions that members subscribe to. The
// shard does not match them, for that may take long: its other groups would wait.
//
//  1. One that nobody subscribes to any more is forgotten.
//  2. A new one is matched before the heartbeat is decided, so that its first
//     subscriber gets its partitions with the first reply.
//  3. All of the group are matched again when the metadata is another one and
//     the last time is regexPause ago, and after
//     group.consumer.regex.refresh.interval.ms. The heartbeat that finds that is
//     answered; the next one finds the matches.
//  4. What changed is recorded, and the group epoch grows.
//
// Rejected: to match new ones, too, as 3 says, which is Kafka's way. A consumer
// would wait a heartbeat interval for its first partitions.
func (h *heartbeat) updateRegexes() *refusal {
	g := h.group
	old, now := h.found.regex(), h.member.regex()
	if old != now {
		h.changed, h.grows = true, true
		if h.before != nil && g.regexUse[old] == 1 && g.regexes[old] != nil {
			h.setRegex(old, nil)
		}
		if now != "" && g.regexes[now] == nil {
			if fail := h.resolveNew(now); fail != nil {
				return fail
			}
		}
	}
	h.takeMatches()
	if len(g.regexUse) > 0 && h.regexesDue() {
		g.matchingUntil = h.at.Mono + rematchMost
		h.due = slices.Sorted(maps.Keys(g.regexUse))
	}
	return nil
}

// resolveNew is step 2 of updateRegexes.
func (h *heartbeat) resolveNew(regex string) *refusal {
	if h.matches == nil {
		if h.before != nil { // it may take its time
			h.timers.Set(timerKey{h.group.groupID, h.before.id, sessionTimeout}, h.at.Mono+h.own.SessionTimeout)
		}
		return notMatched
	}
	one := h.matches.found[regex]
	if one.err != nil {
		return refuse(protocol.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", shortened(regex), flaw(one.err))
	}
	h.resolve(regex, h.matches.image, one.topics)
	return nil
}

// takeMatches takes what was matched since the last heartbeat. What cannot be
// matched stays as it is: another engine accepted it.
func (h *heartbeat) takeMatches() {
	g := h.group
	if g.matches == nil {
		return
	}
	before := h.regexes
	for _, regex := range slices.Sorted(maps.Keys(g.regexUse)) {
		one, ok := g.matches.found[regex]
		if gone := g.regexes[regex] != nil && h.regexesAfter()[regex] == nil; ok && one.err == nil && !gone {
			h.resolve(regex, g.matches.image, one.topics)
		}
	}
	if before == nil && h.regexes == nil { // what is yet to be written may fail: then it is taken once more
		g.matches = nil
	}
}

// regexesDue is step 3 of updateRegexes.
func (h *heartbeat) regexesDue() bool {
	g := h.group
	if g.matches != nil || h.at.Mono < g.matchingUntil {
		return false
	}
	since := h.at.Wall - g.resolvedAt
	return g.resolved == nil || since < 0 || g.resolved != h.at.Image && since > regexPause || since > h.all.RegexRefresh.Milliseconds()
}

// regexesMatched takes the matches that a heartbeat asked for. The next heartbeat
// finds them.
func (m *Machine) regexesMatched(at coordinator.Moment, group string, found *matches) {
	if g, ok := m.groups[group].(*consumerGroup); ok {
		g.matches, g.matchingUntil = found, 0
		g.resolved, g.resolvedAt = found.image, at.Wall
	}
}

// shownRegex is how much of a regular expression an error message shows, in bytes.
const shownRegex = 256

func shortened(regex string) string {
	if len(regex) <= shownRegex {
		return regex
	}
	return strings.ToValidUTF8(regex[:shownRegex], "") + "…"
}

// flaw is what is wrong with a regular expression, in RE2's words.
func flaw(err error) string {
	if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
		return wrong.Code.String()
	}
	return err.Error()
}

// resolve records which topics a regular expression matches in an image, unless
// they are the same as before.
func (h *heartbeat) resolve(regex string, image *metadata.Image, topics []string) {
	if known, ok := h.group.regexes[regex]; ok && slices.Equal(known.Topics, topics) {
		return
	}
	h.setRegex(regex, &ConsumerGroupRegularExpressionValue{Topics: topics, Version: image.Offset, Timestamp: h.at.Wall})
	h.grows = true
}

// setRegex records what a regular expression matches; nil forgets it.
func (h *heartbeat) setRegex(regex string, value *ConsumerGroupRegularExpressionValue) {
	if h.regexes == nil {
		h.regexes = maps.Clone(h.group.regexes)
	}
	key := &ConsumerGroupRegularExpressionKey{h.group.groupID, regex}
	var r coordinator.Record
	if value == nil {
		delete(h.regexes, regex)
		r = newRecord(key, nil)
	} else {
		h.regexes[regex] = value
		r = newRecord(key, value)
	}
	h.records = append(h.records, r)
}

// regexesAfter are the group's regular expressions after this heartbeat.
func (h *heartbeat) regexesAfter() map[string]*ConsumerGroupRegularExpressionValue {
	if h.regexes != nil {
		return h.regexes
	}
	return h.group.regexes
}

// matched are the topics that a member's regular expression matches, ascending.
func (h *heartbeat) matched(m *consumerMember) []string {
	if r := h.regexesAfter()[m.regex()]; r != nil {
		return r.Topics
	}
	return nil
}

// matcher matches regular expressions against the names of all topics. One
// goroutine does so at a time, for a turn; then comes the one that has waited
// longest. So the matchings of all groups take one processor at most, and a small
// one does not wait for the end of a large one.
type matcher struct {
	turn chan struct{} // holds a token while somebody matches
	// places has a token for each matching that no heartbeat waits for.
	places chan struct{}
	// begun, if set, is told of each turn.
	begun func()

	running    context.Context //nolint:containedctx // ends the matchings that no heartbeat waits for
	stop       context.CancelFunc
	mu         sync.Mutex
	closed     bool
	background sync.WaitGroup
}

// The bounds of matchings, in steps of pattern.Pattern.Cost. One of matchMost takes
// some 20 s of a processor at worst, and much less with expressions that people
// write.
const (
	turnSteps     = 1 << 20
	matchMost     = 1 << 30
	matchedAtOnce = 16 // groups that are matched and no heartbeat waits for that
)

func newMatcher() *matcher {
	m := &matcher{turn: make(chan struct{}, 1), places: make(chan struct{}, matchedAtOnce)}
	m.running, m.stop = context.WithCancel(context.Background())
	return m
}

// close ends the matchings that no heartbeat waits for.
func (m *matcher) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.stop()
	m.background.Wait()
}

// later runs f, unless enough run already.
func (m *matcher) later(f func(ctx context.Context)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	select {
	case m.places <- struct{}{}:
		m.background.Go(func() {
			defer func() { <-m.places }()
			f(m.running)
		})
	default: // the group asks again
	}
}

// inTurn runs f when it is its turn; the error is ctx's cause.
func (m *matcher) inTurn(ctx context.Context, f func()) error {
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-m.turn }()
	if m.begun != nil {
		m.begun()
	}
	if ctx.Err() != nil { // the turn was free, too
		return context.Cause(ctx)
	}
	f()
	return nil
}

// match matches expressions against the topics of an image. The error is ctx's
// cause.
func (m *matcher) match(ctx context.Context, image *metadata.Image, exprs []string) (*matches, error) {
	all := &matches{image: image, found: make(map[string]matched, len(exprs))}
	for _, expr := range exprs {
		topics, err := m.matchOne(ctx, image, expr)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all.found[expr] = matched{topics, err}
	}
	return all, nil
}

// matchOne returns the names that match, ascending. The error is that of
// pattern.Compile, or ctx's cause.
func (m *matcher) matchOne(ctx context.Context, image *metadata.Image, expr string) (matching []string, err error) {
	var compiled *pattern.Pattern
	var flawed error
	if err := m.inTurn(ctx, func() { compiled, flawed = pattern.Compile(expr) }); err != nil || flawed != nil {
		return nil, errors.Join(err, flawed)
	}
	var names []string
	all := int64(0)
	for t := range image.Topics() {
		names = append(names, t.Name)
		all += compiled.Cost(t.Name)
	}
	if all > matchMost {
		return nil, fmt.Errorf("%w for the topics of this cluster", pattern.ErrTooLarge)
	}
	for len(names) > 0 {
		err := m.inTurn(ctx, func() {
			for steps := int64(0); len(names) > 0 && steps < turnSteps; names = names[1:] {
				steps += compiled.Cost(names[0])
				if compiled.Match(names[0]) {
					matching = append(matching, names[0])
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return matching, nil
}
