package config

import (
	"maps"
	"math"
	"time"
)

// setting is a value that was set at the start.
type setting struct {
	value  string
	origin Origin
	where  string // "server.properties:12", "KAFKA_NODE_ID"
	echo   bool   // set under the key's synonym
}

// values is the configuration of a node as text: the values set at the start,
// those altered at run time, and the derived ones. The values must have been
// checked before (checkTypes), so that the typed getters cannot fail.
type values struct {
	static      map[string]setting
	perNode     map[string]string
	clusterWide map[string]string
	// effective holds the values that are set at any level: alterations of the
	// node have priority over those of the cluster, and those over values set
	// at the start. An altered key hides its synonyms at lower levels.
	effective map[string]string
	// derived holds the defaults that depend on other keys.
	derived map[string]string
}

func newValues(static map[string]setting, perNode, clusterWide map[string]string) *values {
	v := &values{static: static, perNode: perNode, clusterWide: clusterWide,
		effective: make(map[string]string, len(static)), derived: map[string]string{}}
	for name, s := range static {
		v.effective[name] = s.value
	}
	for _, level := range []map[string]string{clusterWide, perNode} {
		// Two passes, so that an alteration does not delete a synonym of the
		// same level.
		for name := range level {
			for _, synonym := range brokerSynonyms(name, false) {
				delete(v.effective, synonym)
			}
		}
		maps.Copy(v.effective, level)
	}
	return v
}

// synonymGroups are groups of synonyms, highest priority first.
var synonymGroups = [][]string{
	{"node.id", "broker.id"},
	{"log.dirs", "log.dir"},
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
}

// isSet reports whether the key was set at any level.
func (v *values) isSet(name string) bool {
	_, ok := v.effective[name]
	return ok
}

// text returns the key's value or default as text. ok is false if it is null.
func (v *values) text(name string) (text string, ok bool) {
	if text, ok := v.effective[name]; ok {
		return text, true
	}
	if text, ok := v.derived[name]; ok {
		return text, true
	}
	k := lookup(ScopeBroker, name)
	if k == nil || !k.HasDefault {
		return "", false
	}
	return k.Default, true
}

// has reports whether the key's value is not null.
func (v *values) has(name string) bool {
	_, ok := v.text(name)
	return ok
}

// get returns the parsed value; nil if it is null.
func (v *values) get(name string) any {
	text, ok := v.text(name)
	if !ok {
		return nil
	}
	parsed, _ := lookup(ScopeBroker, name).parse(text)
	return parsed
}

func (v *values) str(name string) string {
	s, _ := v.get(name).(string)
	return s
}

func (v *values) bool(name string) bool {
	b, _ := v.get(name).(bool)
	return b
}

func (v *values) list(name string) []string {
	l, _ := v.get(name).([]string)
	return l
}

func (v *values) double(name string) float64 {
	x, _ := v.get(name).(float64)
	return x
}

func (v *values) int64(name string) int64 {
	n, _ := v.get(name).(int64)
	return n
}

func (v *values) int32(name string) int32 { return int32(v.int64(name)) }
func (v *values) int16(name string) int16 { return int16(v.int64(name)) }

func (v *values) ms(name string) time.Duration { return inUnits(v.int64(name), time.Millisecond) }

func (v *values) seconds(name string) time.Duration { return inUnits(v.int64(name), time.Second) }

// inUnits multiplies without overflow. A product beyond the maximum of a
// Duration (292 years) becomes the maximum.
func inUnits(n int64, unit time.Duration) time.Duration {
	switch {
	case n > math.MaxInt64/int64(unit):
		return math.MaxInt64
	case n < math.MinInt64/int64(unit):
		return math.MinInt64
	}
	return time.Duration(n) * unit
}

// checkTypes checks type and range of all values set at the start.
func (v *values) checkTypes() *Error {
	for _, name := range sortedNames(v.static) {
		s := v.static[name]
		if s.echo {
			continue
		}
		if fail := checkBrokerType(name, s.value); fail != nil {
			fail.Where = s.where
			return fail
		}
	}
	return nil
}

// checkBrokerType checks one value of a broker key, of a listener's override of
// one ("listener.name.internal.max.connections") or of an unknown key, which is
// always accepted.
func checkBrokerType(name, value string) *Error {
	k := lookup(ScopeBroker, listenerBase(name))
	if k == nil {
		return nil
	}
	if _, why := k.parse(value); why != "" {
		return &Error{Name: name, Value: value, Message: why}
	}
	return nil
}

// refusal is an error about a key that is not about its type or range.
func refusal(name, message string) *Error { return &Error{Name: name, Message: message} }
