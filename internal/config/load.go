package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sources are the sources of a node's configuration.
type Sources struct {
	// Set holds the arguments of --set, each "name=value". A duplicate name is
	// refused.
	Set []string
	// Flags maps key names to the values of explicit flags (--listen:
	// listeners, --data: log.dirs).
	Flags map[string]string
	// Env is the environment, each "NAME=value", as returned by os.Environ.
	Env []string
	// File is the content of server.properties. FileName is its name for
	// messages.
	File     string
	FileName string
	// Defaults is the content of a file with lower priority than the other
	// sources, such as the file of a container image. Its listeners and
	// advertised.listeners belong together: both are ignored if another source
	// sets one of them, as in the apache/kafka image.
	Defaults     string
	DefaultsName string
}

// Origin says which source set a node's value of a key.
type Origin uint8

// The origins, lowest priority first. A value of a higher origin hides values
// of lower ones for the same key or a synonym: log.retention.hours in the
// environment overrides log.retention.ms in the file.
const (
	FromDefault Origin = iota
	FromDefaultsFile
	FromFile
	FromKafkaEnv
	FromOttlaEnv
	FromFlag
	FromSet
)

// String returns a readable name of the origin.
func (o Origin) String() string {
	switch o {
	case FromDefaultsFile, FromFile:
		return "file"
	case FromKafkaEnv, FromOttlaEnv:
		return "environment"
	case FromFlag:
		return "flag"
	case FromSet:
		return "--set"
	}
	return "default"
}

// layer holds the settings of one source.
type layer struct {
	origin  Origin
	entries []entry
}

type entry struct{ name, value, where string }

func (l *layer) add(name, value, where string) {
	l.entries = append(l.entries, entry{name, value, where})
}

// Load makes the snapshot of a node's configuration from its sources. The error
// is an *Error: one line with key, value and source. Load does not access
// files. It has five steps:
//
//  1. Read each source.
//  2. Merge the sources by priority.
//  3. Refuse settings for protection or clusters that are not supported yet.
//  4. Check types and ranges.
//  5. Make the snapshot and check conditions over several keys.
func Load(s Sources) (*Broker, error) {
	static, fail := collect(s)
	if fail != nil {
		return nil, fail
	}
	v := newValues(static, nil, nil)
	if fail := v.refuse(); fail != nil {
		return nil, fail
	}
	if fail := v.checkTypes(); fail != nil {
		return nil, fail
	}
	b, fail := newBroker(v)
	if fail != nil {
		if set, ok := static[fail.Name]; ok && fail.Where == "" {
			fail.Where = set.where
		}
		return nil, fail
	}
	b.Warnings = append(v.unknown(), b.Warnings...)
	return b, nil
}

// collect reads the sources and merges them by priority.
func collect(s Sources) (map[string]setting, *Error) {
	defaults, fail := fromFile(FromDefaultsFile, s.DefaultsName, s.Defaults)
	if fail != nil {
		return nil, fail
	}
	file, fail := fromFile(FromFile, s.FileName, s.File)
	if fail != nil {
		return nil, fail
	}
	set, fail := fromSet(s.Set)
	if fail != nil {
		return nil, fail
	}
	kafkaEnv, ottlaEnv := fromEnv(s.Env)
	flags := layer{origin: FromFlag}
	for _, name := range slices.Sorted(maps.Keys(s.Flags)) {
		flags.add(name, s.Flags[name], "a flag")
	}
	layers := []layer{defaults, file, kafkaEnv, ottlaEnv, flags, set}
	if slices.ContainsFunc(layers[1:], layer.setsListeners) {
		layers[0].entries = slices.DeleteFunc(defaults.entries, entry.isListeners)
	}
	static := map[string]setting{}
	for _, l := range layers {
		if fail := l.over(static); fail != nil {
			return nil, fail
		}
	}
	if a, ok := static["advertised.listeners"]; ok && a.origin == FromKafkaEnv && a.value != "" {
		if _, ok := static["listeners"]; !ok {
			static["listeners"] = setting{value: listenersFromAdvertised(a.value), origin: FromKafkaEnv, where: a.where}
		}
	}
	if fail := sameID(static); fail != nil {
		return nil, fail
	}
	return static, nil
}

// isListeners reports whether the entry sets the addresses that the node binds
// or advertises.
func (e entry) isListeners() bool {
	return e.name == "listeners" || e.name == "advertised.listeners"
}

func (l layer) setsListeners() bool { return slices.ContainsFunc(l.entries, entry.isListeners) }

// over adds the layer on top of the lower layers.
func (l *layer) over(static map[string]setting) *Error {
	for _, e := range l.entries {
		for _, synonym := range synonymsOf(e.name) {
			if old, ok := static[synonym]; ok && old.origin < l.origin {
				delete(static, synonym)
			}
		}
		if old, twice := static[e.name]; twice {
			return &Error{Name: e.name, Where: e.where, Message: e.name + " is set a second time, first by " + old.where}
		}
		static[e.name] = setting{value: e.value, origin: l.origin, where: e.where}
	}
	return nil
}

// synonymsOf lists the synonyms of name, including name.
func synonymsOf(name string) []string {
	for _, group := range synonymGroups {
		if slices.Contains(group, name) {
			return group
		}
	}
	return []string{name}
}

// sameID makes node.id and broker.id equal.
func sameID(static map[string]setting) *Error {
	node, hasNode := static["node.id"]
	broker, hasBroker := static["broker.id"]
	switch {
	case hasNode && hasBroker && trim(node.value) != trim(broker.value):
		return &Error{Name: "node.id", Value: node.value, Where: node.where,
			Message: "You must set `node.id` to the same value as `broker.id`."}
	case hasNode && !hasBroker:
		node.echo = true
		static["broker.id"] = node
	case hasBroker && !hasNode:
		broker.echo = true
		static["node.id"] = broker
	}
	return nil
}

func fromFile(origin Origin, name, content string) (layer, *Error) {
	l := layer{origin: origin}
	if name == "" {
		name = "server.properties"
	}
	all, fail := parseProperties(content)
	if fail != nil {
		fail.Where = name
		return l, fail
	}
	for _, p := range all {
		l.add(p.Name, p.Value, fmt.Sprintf("%s:%d", name, p.Line))
	}
	return l, nil
}

func fromSet(args []string) (layer, *Error) {
	l := layer{origin: FromSet}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if name = trim(name); !ok || name == "" {
			return l, &Error{Message: fmt.Sprintf("--set wants name=value, not %q", arg)}
		}
		l.add(name, value, "--set")
	}
	return l, nil
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
