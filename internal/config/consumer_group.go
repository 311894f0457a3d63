package config

import (
	"strconv"
	"strings"
	"time"
)

// ConsumerGroups is what holds for all consumer groups of KIP-848.
type ConsumerGroups struct {
	MaxSize      int32         // group.consumer.max.size
	Assignors    []string      // group.consumer.assignors; the first is the default
	RegexRefresh time.Duration // group.consumer.regex.refresh.interval.ms
	// Enabled is whether group.coordinator.rebalance.protocols has consumer.
	Enabled bool
	// Upgrade is whether group.consumer.migration.policy lets a classic group
	// become a consumer group while it has members.
	Upgrade bool
	// Downgrade is the same for the other way.
	Downgrade bool
	// Default holds for groups without configs of their own.
	Default ConsumerGroup
}

// ConsumerGroup is what holds for one consumer group.
type ConsumerGroup struct {
	SessionTimeout     time.Duration // consumer.session.timeout.ms
	HeartbeatInterval  time.Duration // consumer.heartbeat.interval.ms
	AssignmentInterval time.Duration // consumer.assignment.interval.ms
}

// assignors are the assignors that there are, by Kafka's names for them.
var assignors = map[string]string{
	"uniform": "uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor": "uniform",
	"range": "range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor": "range",
}

// consumerGroups refuses assignors that are classes of the user's own.
func (v *values) consumerGroups() (ConsumerGroups, *Error) {
	policy := strings.ToUpper(v.str("group.consumer.migration.policy"))
	g := ConsumerGroups{
		MaxSize:      v.int32("group.consumer.max.size"),
		RegexRefresh: v.ms("group.consumer.regex.refresh.interval.ms"),
		Upgrade:      policy == "UPGRADE" || policy == "BIDIRECTIONAL",
		Downgrade:    policy == "DOWNGRADE" || policy == "BIDIRECTIONAL",
		Default: ConsumerGroup{
			SessionTimeout:     v.ms("group.consumer.session.timeout.ms"),
			HeartbeatInterval:  v.ms("group.consumer.heartbeat.interval.ms"),
			AssignmentInterval: v.ms("group.consumer.assignment.interval.ms"),
		},
	}
	for _, protocol := range v.list("group.coordinator.rebalance.protocols") {
		g.Enabled = g.Enabled || strings.EqualFold(protocol, "consumer")
	}
	for _, name := range v.list("group.consumer.assignors") {
		known, ok := assignors[name]
		if !ok {
			return g, refusal("group.consumer.assignors", "group.consumer.assignors names "+name+", which Ottla does not have: it has uniform and range")
		}
		g.Assignors = append(g.Assignors, known)
	}
	return g, nil
}

// ConsumerGroup returns what holds for a group with configs of its own, which
// may be nil. The broker's bounds may have changed since the configs were
// checked: a value outside of them counts as the bound.
func (b *Broker) ConsumerGroup(configs map[string]string) ConsumerGroup {
	g := b.ConsumerGroups.Default
	if len(configs) == 0 {
		return g
	}
	for _, k := range []struct {
		name string
		to   *time.Duration
	}{
		{"session.timeout.ms", &g.SessionTimeout},
		{"heartbeat.interval.ms", &g.HeartbeatInterval},
		{"assignment.interval.ms", &g.AssignmentInterval},
	} {
		rule := ruleOf("consumer.", k.name)
		text, ok := configs[rule.key]
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		if ok && err == nil {
			n = min(max(n, b.values.int64(rule.min)), b.values.int64(rule.max))
			*k.to = time.Duration(n) * time.Millisecond
		}
	}
	return g
}
