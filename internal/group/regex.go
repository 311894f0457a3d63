package group

import (
	"errors"
	"maps"
	"regexp"
	"regexp/syntax"
	"slices"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// regexPause is the least time, in ms, between two matchings of a group's
// regular expressions against new metadata.
const regexPause = 10_000

// updateRegexes resolves the regular expressions that members subscribe to,
// which are RE2's, as Go's are, and match whole names:
//
//  1. One that nobody subscribes to any more is forgotten.
//  2. A new one is matched at once, so that its first subscriber gets its
//     partitions with the first reply.
//  3. All of the group are matched again when the metadata is another one and
//     the last time is regexPause ago, and after
//     group.consumer.regex.refresh.interval.ms.
//  4. What changed is recorded, and the group epoch grows.
//
// Rejected: Kafka's way, which matches in the background and lets the members
// wait for their next heartbeat. Matching 10,000 topics takes milliseconds.
func (h *heartbeat) updateRegexes() *refusal {
	g := h.group
	old, now := h.found.regex(), h.member.regex()
	after := maps.Clone(g.regexUse)
	if h.before != nil && old != "" {
		add(after, old, -1)
	}
	if now != "" {
		add(after, now, 1)
	}
	if old != now {
		h.changed, h.grows = true, true
		if _, ok := g.regexes[old]; ok && after[old] == 0 {
			h.setRegex(old, nil)
		}
	}
	all := h.regexesDue()
	for _, regex := range slices.Sorted(maps.Keys(after)) {
		if _, ok := g.regexes[regex]; ok && !all {
			continue
		}
		compiled, err := compileRegex(regex)
		switch {
		case err != nil && regex == now && old != now:
			return refuse(protocol.InvalidRegularExpression, "SubscribedTopicRegex `%s` is not a valid regular expression: %s.", regex, flaw(err))
		case err != nil:
			continue // another engine accepted it: it matches nothing
		}
		h.resolve(regex, compiled)
	}
	if all && h.regexes == nil { // what is yet to be written may fail: then it is looked at once more
		g.resolved, g.resolvedAt = h.at.Image, h.at.Wall
	}
	return nil
}

// regexesDue is step 3 of updateRegexes.
func (h *heartbeat) regexesDue() bool {
	g := h.group
	since := h.at.Wall - g.resolvedAt
	return g.resolved == nil || since < 0 || g.resolved != h.at.Image && since > regexPause || since > h.all.RegexRefresh.Milliseconds()
}

// compileRegex compiles a regular expression that matches whole names.
func compileRegex(regex string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(regex); err != nil {
		return nil, err
	}
	return regexp.Compile(`\A(?:` + regex + `)\z`)
}

// flaw is what is wrong with a regular expression, in RE2's words.
func flaw(err error) string {
	if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
		return wrong.Code.String()
	}
	return err.Error()
}

// resolve matches a regular expression against all topics.
func (h *heartbeat) resolve(regex string, compiled *regexp.Regexp) {
	topics := matchTopics(h.at.Image, compiled)
	if known, ok := h.group.regexes[regex]; ok && slices.Equal(known.Topics, topics) {
		return
	}
	h.setRegex(regex, &ConsumerGroupRegularExpressionValue{Topics: topics, Version: h.at.Image.Offset, Timestamp: h.at.Wall})
	h.grows = true
}

// matchTopics are the names of the topics that match, ascending.
func matchTopics(image *metadata.Image, compiled *regexp.Regexp) []string {
	var names []string
	for t := range image.Topics() {
		if compiled.MatchString(t.Name) {
			names = append(names, t.Name)
		}
	}
	return names
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
