package config

import "strings"

// groupRule defines the bounds of a group's key by keys of the broker.
type groupRule struct {
	key      string // of the group; the broker's key is group.<key>
	min, max string // of the broker; "" if there is none
}

// groupRules lists the keys of groups in the order of the checks.
var groupRules = []groupRule{
	ruleOf("consumer.", "heartbeat.interval.ms"),
	ruleOf("consumer.", "session.timeout.ms"),
	ruleOf("consumer.", "assignment.interval.ms"),
	ruleOf("share.", "heartbeat.interval.ms"),
	ruleOf("share.", "session.timeout.ms"),
	ruleOf("share.", "record.lock.duration.ms"),
	ruleOf("share.", "delivery.count.limit"),
	ruleOf("share.", "partition.max.record.locks"),
	ruleOf("share.", "assignment.interval.ms"),
	ruleOf("streams.", "heartbeat.interval.ms"),
	ruleOf("streams.", "session.timeout.ms"),
	{key: "streams.num.standby.replicas", max: "group.streams.max.standby.replicas"},
	ruleOf("streams.", "assignment.interval.ms"),
}

func ruleOf(kind, name string) groupRule {
	return groupRule{kind + name, "group." + kind + "min." + name, "group." + kind + "max." + name}
}

// ValidateGroup checks all configs of a group: names, types, ranges, and the
// bounds that the broker's group.* keys set. The error is an *Error.
func (b *Broker) ValidateGroup(configs map[string]string) error {
	for _, name := range sortedNames(configs) {
		if lookup(ScopeGroup, name) == nil {
			return &Error{Name: name, Message: "Unknown group config name: " + name}
		}
	}
	for _, name := range sortedNames(configs) {
		if _, why := lookup(ScopeGroup, name).parse(configs[name]); why != "" {
			return &Error{Name: name, Value: configs[name], Message: why}
		}
	}
	value := func(name string) int64 {
		k := lookup(ScopeGroup, name)
		text, ok := configs[name]
		if !ok {
			text, _ = b.values.topicText(k)
		}
		parsed, _ := k.parse(text)
		n, _ := parsed.(int64)
		return n
	}
	if fail := b.values.checkBounds(value, ""); fail != nil {
		return fail
	}
	return nil
}

// checkGroups checks the broker's defaults for groups, and that each lower
// bound is not above the upper bound.
func (v *values) checkGroups() *Error {
	for _, r := range groupRules {
		if r.min != "" && v.int64(r.max) < v.int64(r.min) {
			return &Error{Name: r.max, Value: v.show(r.max), Message: r.max + " must be greater than or equal to " + r.min}
		}
	}
	return v.checkBounds(func(name string) int64 { return v.int64("group." + name) }, "group.")
}

// checkBounds checks values of group keys against the broker's bounds. It also
// checks that a member's session timeout is longer than its heartbeat interval.
// prefix is the prefix of the keys in messages.
func (v *values) checkBounds(value func(name string) int64, prefix string) *Error {
	for _, r := range groupRules {
		name, n := prefix+r.key, value(r.key)
		if r.min != "" && n < v.int64(r.min) {
			return &Error{Name: name, Message: name + " must be greater than or equal to " + r.min}
		}
		if n > v.int64(r.max) {
			return &Error{Name: name, Message: name + " must be less than or equal to " + r.max}
		}
	}
	for _, r := range groupRules {
		kind, ok := strings.CutSuffix(r.key, "session.timeout.ms")
		if ok && value(r.key) <= value(kind+"heartbeat.interval.ms") {
			return &Error{Name: prefix + r.key,
				Message: prefix + r.key + " must be greater than " + prefix + kind + "heartbeat.interval.ms"}
		}
	}
	return nil
}
