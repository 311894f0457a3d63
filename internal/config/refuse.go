package config

import (
	"slices"
	"strconv"
	"strings"
)

// guards are keys that request a protection which Ottla does not have yet. The
// values are the name of the protection and the harmless values, which request
// none.
var guards = map[string]struct {
	what     string
	harmless []string
}{
	"authorizer.class.name":          {"authorization", nil},
	"delegation.token.secret.key":    {"delegation tokens", nil},
	"security.providers":             {"security providers", nil},
	"principal.builder.class":        {"other principals", []string{"org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"}},
	"connections.max.reauth.ms":      {"re-authentication", []string{"0"}},
	"create.topic.policy.class.name": {"policies on new topics", nil},
	"alter.config.policy.class.name": {"policies on configs", nil},
}

// refuse refuses configurations that request something important which Ottla
// does not support yet: protection (a value of sasl.*, ssl.* and the guards,
// for all listeners or one), and clusters of several nodes. Other unsupported
// keys are listed by Unused.
func (v *values) refuse() *Error {
	for _, name := range sortedNames(v.static) {
		s := v.static[name]
		if what := promises(name, trim(s.value)); what != "" {
			return &Error{Name: name, Where: s.where, Message: name + " asks for " + what +
				", which Ottla does not serve yet; it does not start without the protection"}
		}
		if strings.Contains(s.value, "${") && v.isSet("config.providers") {
			return &Error{Name: name, Where: s.where, Message: name +
				" refers to a config provider, which Ottla does not have"}
		}
	}
	return nil
}

// promises returns the unsupported protection that a value requests, or "".
func promises(name, value string) string {
	base := listenerBase(name)
	switch guard, ok := guards[base]; {
	case value == "":
		return ""
	case strings.HasPrefix(base, "ssl."):
		return "TLS"
	case strings.HasPrefix(base, "sasl."):
		return "SASL"
	case ok && !slices.Contains(guard.harmless, value):
		return guard.what
	}
	return ""
}

// listenerBase returns the KEY of a name of the form listener.name.NAME.KEY or
// listener.name.NAME.MECHANISM.KEY. Other names are returned unchanged.
func listenerBase(name string) string {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return name
	}
	_, base, ok := strings.Cut(rest, ".")
	if !ok {
		return name
	}
	if lookup(ScopeBroker, base) == nil {
		if _, inner, ok := strings.Cut(base, "."); ok && lookup(ScopeBroker, inner) != nil {
			return inner
		}
	}
	return base
}

// roles is process.roles.
type roles struct{ broker, controller bool }

// soleNode refuses configurations that need more than this node.
func (v *values) soleNode(r roles, quorum []Voter) *Error {
	id := v.int32("node.id")
	switch servers := v.list("controller.quorum.bootstrap.servers"); {
	case !r.broker || !r.controller:
		return refusal("process.roles", "process.roles="+strings.Join(v.list("process.roles"), ",")+
			" needs other nodes: Ottla runs as broker,controller on a single node so far")
	case len(quorum) > 1:
		return refusal("controller.quorum.voters", "controller.quorum.voters names "+strconv.Itoa(len(quorum))+
			" voters: Ottla runs on a single node so far")
	case len(quorum) == 1 && quorum[0].ID != id:
		return refusal("controller.quorum.voters", "If process.roles contains the 'controller' role, the node id "+
			strconv.Itoa(int(id))+" must be included in the set of voters controller.quorum.voters="+
			strings.Join(v.list("controller.quorum.voters"), ","))
	case len(servers) > 1:
		return refusal("controller.quorum.bootstrap.servers", "controller.quorum.bootstrap.servers names "+
			strconv.Itoa(len(servers))+" controllers: Ottla runs on a single node so far")
	}
	return nil
}

// customPrefixes are the prefixes of keys for plugins.
var customPrefixes = []string{"rsm.config.", "rlmm.config.", "config.providers."}

// isKnown reports whether a key is known: it is in the table, a listener's
// override of such a key, or a plugin's key.
func isKnown(name string) bool {
	if k := lookup(ScopeBroker, listenerBase(name)); k != nil {
		return !k.DynamicOnly
	}
	return slices.ContainsFunc(customPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// unknown returns warnings about unknown keys that were set. Kafka ignores them
// too, but a key with a typing error should be noticed.
func (v *values) unknown() []string {
	var warnings []string
	for _, name := range sortedNames(v.static) {
		if isKnown(name) {
			continue
		}
		warning := "unknown configuration " + name + " (set by " + v.static[name].where + ") is ignored"
		if hint := resembles(name); hint != "" {
			warning += "; " + hint
		}
		warnings = append(warnings, warning)
	}
	return warnings
}

// resembles guesses which key the user meant by an unknown key.
func resembles(name string) string {
	if k := lookup(ScopeTopic, name); k != nil && len(k.BrokerSynonyms) > 0 {
		return "it configures a topic, and its default is " + k.BrokerSynonyms[0].Name
	}
	if k := lookup(ScopeBroker, name); k != nil {
		return "it can only be set at run time"
	}
	best, near := "", 3
	for _, k := range theIndex().sorted[ScopeBroker] {
		if d := distance(name, k.Name, near); d < near {
			best, near = k.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return "is " + best + " meant?"
}

// distance is the number of single-byte edits between two strings; at most
// limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}
