package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// With returns the snapshot with alterations made at run time, on top of the
// values set at the start. Earlier alterations are discarded. perNode are the
// alterations of this broker, clusterWide those of all brokers (the resource
// with the empty name). Values that are invalid or cannot be altered are
// ignored and listed in the second result, one line each, as Kafka does at the
// start. If the other values are not valid together, all alterations are
// ignored.
func (b *Broker) With(perNode, clusterWide map[string]string) (*Broker, []string) {
	if maps.Equal(perNode, b.values.perNode) && maps.Equal(clusterWide, b.values.clusterWide) {
		return b, nil
	}
	node, problems := usable(perNode, true)
	all, more := usable(clusterWide, false)
	problems = append(problems, more...)
	next, fail := newBroker(newValues(b.values.static, node, all))
	if fail != nil {
		problems = append(problems, "dynamic configs are ignored: "+fail.Error())
		if next, fail = newBroker(newValues(b.values.static, nil, nil)); fail != nil {
			next = b
		}
	}
	next.Warnings = b.Warnings
	return next, problems
}

// usable removes the alterations that must not take effect.
func usable(changes map[string]string, perBroker bool) (map[string]string, []string) {
	kept := make(map[string]string, len(changes))
	var problems []string
	for _, name := range sortedNames(changes) {
		if fail := checkAlterations(map[string]string{name: changes[name]}, perBroker); fail != nil {
			problems = append(problems, "dynamic config is ignored: "+fail.Error())
			continue
		}
		kept[name] = changes[name]
	}
	return kept, problems
}

// ValidateBroker checks alterations of a broker's configs, in Kafka's order and
// wording. perBroker says whether they are for one broker or cluster-wide.
// changes is the complete set of alterations at that level; b contains the
// alterations of the other level (With). The error is an *Error of kind
// InvalidRequest, which is Kafka's error code in this case.
func (b *Broker) ValidateBroker(changes map[string]string, perBroker bool) error {
	fail := checkAlterations(changes, perBroker)
	if fail == nil {
		fail = b.checkTogether(changes, perBroker)
	}
	if fail == nil {
		return nil
	}
	fail.Kind = InvalidRequest
	if fail.required {
		fail.Message = "requirement failed: " + fail.Message
	}
	return fail
}

// checkAlterations checks names, types and ranges of alterations.
func checkAlterations(changes map[string]string, perBroker bool) *Error {
	names := sortedNames(changes)
	if fail := noneOf(names, isReadOnly, "Cannot update these configs dynamically"); fail != nil {
		return fail
	}
	if fail := noneOf(names, needsListener, "These security configs can be dynamically updated only per-listener "+
		"using the listener prefix"); fail != nil {
		return fail
	}
	for _, name := range names {
		if fail := checkBrokerType(name, changes[name]); fail != nil {
			fail.Name = name
			return fail
		}
	}
	if !perBroker {
		if fail := noneOf(names, isPerBroker, "Cannot update these configs at default cluster level, "+
			"broker id must be specified"); fail != nil {
			return fail
		}
	}
	for _, name := range names {
		if what := promises(name, trim(changes[name])); what != "" {
			return refusal(name, name+" asks for "+what+", which Ottla does not serve yet")
		}
	}
	return nil
}

// noneOf refuses all names of a kind in one message.
func noneOf(names []string, kind func(name string) bool, message string) *Error {
	found := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !kind(name) })
	if len(found) == 0 {
		return nil
	}
	return &Error{Name: found[0], Message: message + ": " + show(found)}
}

func isReadOnly(name string) bool {
	k := lookup(ScopeBroker, name)
	return k != nil && k.Dynamic == ReadOnly
}

// needsListener reports whether a key is about key or trust stores, which can
// be altered only for single listeners.
func needsListener(name string) bool {
	return strings.HasPrefix(name, "ssl.key.") || strings.HasPrefix(name, "ssl.keystore.") || strings.HasPrefix(name, "ssl.truststore.")
}

// isPerBroker reports whether a key cannot be altered for all brokers at once.
func isPerBroker(name string) bool {
	base := listenerBase(name)
	if base != name {
		return base != "max.connections" && base != "max.connection.creation.rate" && base != "num.network.threads"
	}
	k := lookup(ScopeBroker, name)
	return k != nil && k.Dynamic == PerBroker
}

// checkTogether checks the snapshot with the alterations.
func (b *Broker) checkTogether(changes map[string]string, perBroker bool) *Error {
	node, all := changes, b.values.clusterWide
	if !perBroker {
		node, all = b.values.perNode, changes
	}
	next, fail := newBroker(newValues(b.values.static, node, all))
	if fail != nil {
		return fail
	}
	for _, name := range threadPools {
		if fail := checkThreads(name, b.values.int64(name), next.values.int64(name)); fail != nil {
			return fail
		}
	}
	if !slices.Equal(b.Advertised, next.Advertised) || !slices.Equal(b.Listeners, next.Listeners) {
		return notApplied("listeners", "Advertised listeners cannot be altered when using a Raft-based metadata quorum.")
	}
	return nil
}

// threadPools are the thread counts that Kafka lets grow at most to double and
// shrink at most to half in one step.
var threadPools = []string{
	"background.threads", "log.cleaner.threads", "num.io.threads", "num.network.threads",
	"num.recovery.threads.per.data.dir", "num.replica.fetchers",
}

func checkThreads(name string, current, wanted int64) *Error {
	number := strconv.FormatInt(current, 10)
	if name == "log.cleaner.threads" {
		switch {
		case wanted < 1:
			return notApplied(name, "Log cleaner threads should be at least 1")
		case wanted < current/2:
			return notApplied(name, "Log cleaner threads cannot be reduced to less than half the current value "+number)
		case wanted > current*2:
			return notApplied(name, "Log cleaner threads cannot be increased to more than double the current value "+number)
		}
		return nil
	}
	prefix := "Dynamic thread count update validation failed for " + name + "=" + strconv.FormatInt(wanted, 10)
	switch {
	case wanted < current/2:
		return notApplied(name, prefix+", value should be at least half the current value "+number)
	case wanted > current*2:
		return notApplied(name, prefix+", value should not be greater than double the current value "+number)
	}
	return nil
}

// notApplied is Kafka's message when a part of the broker refuses a new value.
// The message contains an exception instead of the value.
func notApplied(name, reason string) *Error {
	return &Error{Name: name, Message: "Invalid value org.apache.kafka.common.config.ConfigException: " + reason +
		" for configuration Invalid dynamic configuration"}
}

// brokerSynonyms lists the keys that are alternatives to a broker key, highest
// priority first. With overrides it includes the fallback of a listener's key.
func brokerSynonyms(name string, overrides bool) []string {
	switch {
	case name == "log.flush.interval.ms":
		return []string{name, "log.flush.scheduler.interval.ms"}
	case name == "node.id", name == "broker.id", name == "log.dir", name == "log.dirs":
		return []string{name} // not for Kafka's describe
	case overrides && listenerBase(name) != name:
		return []string{name, listenerBase(name)}
	}
	return synonymsOf(name)
}
