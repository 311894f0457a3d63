package config

import (
	"strconv"
	"strings"
	"time"
)

// ConsumerGroups is the configuration of all consumer groups (KIP-848).
type ConsumerGroups struct {
	MaxSize      int32         // group.consumer.max.size
	Assignors    []string      // group.consumer.assignors; the first is the default
	RegexRefresh time.Duration // group.consumer.regex.refresh.interval.ms
	// Enabled says whether group.coordinator.rebalance.protocols contains
	// consumer.
	Enabled bool
	// Upgrade says whether group.consumer.migration.policy allows a classic
	// group with members to become a consumer group.
	Upgrade bool
	// Downgrade is the same for the other direction.
	Downgrade bool
	// Default applies to groups without their own configs.
	Default ConsumerGroup
}

// ConsumerGroup is the configuration of one consumer group.
type ConsumerGroup struct {
	SessionTimeout     time.Duration // consumer.session.timeout.ms
	HeartbeatInterval  time.Duration // consumer.heartbeat.interval.ms
	AssignmentInterval time.Duration // consumer.assignment.interval.ms
}

// assignors are the supported assignors, under Kafka's names.
var assignors = map[string]string{
	"uniform": "uniform", "org.apache.kafka.coordinator.group.assignor.UniformAssignor": "uniform",
	"range": "range", "org.apache.kafka.coordinator.group.assignor.RangeAssignor": "range",
}

// consumerGroups refuses assignors that are the user's own classes.
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

// ConsumerGroup returns the configuration of a group. configs are the group's
// own configs and may be nil. The broker's bounds may have changed since the
// configs were checked: a value outside the bounds is replaced by the bound.
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
