package config

import "slices"

// Source is the level at which a described value was set. The numbers are those
// of the ConfigSource field of DescribeConfigs responses.
type Source int8

// The sources of described values.
const (
	SourceDynamicTopic         Source = 1
	SourceDynamicBroker        Source = 2
	SourceDynamicDefaultBroker Source = 3
	SourceStaticBroker         Source = 4
	SourceDefault              Source = 5
	SourceDynamicLogger        Source = 6
	SourceClientMetrics        Source = 7
	SourceGroup                Source = 8
)

// Entry is one config of a DescribeConfigs response.
type Entry struct {
	Name string
	// Value is nil if it is null or sensitive.
	Value     *string
	Source    Source
	IsDefault bool // Source is SourceDefault
	ReadOnly  bool
	Sensitive bool
	Type      Type // 0 for unknown keys
	Doc       string
	// Synonyms are all candidate values of the key, highest priority (the one
	// in use) first.
	Synonyms []EntrySynonym
}

// EntrySynonym is one level of an Entry.
type EntrySynonym struct {
	Name   string
	Value  *string // nil if null or sensitive
	Source Source
}

// DynamicValues are the alterations made at run time, from the metadata image.
type DynamicValues struct {
	PerNode     map[string]string // of this broker
	ClusterWide map[string]string // of all brokers
}

// DescribeTopic lists a topic's configs, sorted by name.
func (b *Broker) DescribeTopic(overrides map[string]string, dyn DynamicValues) []Entry {
	altered, _ := b.With(dyn.PerNode, dyn.ClusterWide)
	v := altered.values
	var all []Entry
	for _, name := range described(ScopeTopic, overrides) {
		k := lookup(ScopeTopic, name)
		e := newEntry(name, k)
		if k != nil && len(k.BrokerSynonyms) > 0 {
			first := k.BrokerSynonyms[0].Name
			e.Synonyms = v.levels(first, brokerSynonyms(first, true), e.Sensitive)
		}
		if text, ok := overrides[name]; ok {
			e.override(k, text, SourceDynamicTopic)
		} else if text, ok := v.topicText(k); ok {
			e.set(k, text)
		}
		all = append(all, e.settled())
	}
	return all
}

// DescribeCreated lists a new topic's configs for the response of CreateTopics:
// effective values with their sources, without synonyms.
func (b *Broker) DescribeCreated(overrides map[string]string, dyn DynamicValues) []Entry {
	altered, _ := b.With(dyn.PerNode, dyn.ClusterWide)
	var all []Entry
	for _, k := range theIndex().sorted[ScopeTopic] {
		if _, set := overrides[k.Name]; k.Internal && !set {
			continue
		}
		e := newEntry(k.Name, &k)
		if text, ok := overrides[k.Name]; ok {
			e.Value, e.Source = &text, SourceDynamicTopic
		} else {
			e.Value, e.Source = altered.values.created(&k)
		}
		e.IsDefault = e.Source == SourceDefault
		all = append(all, e)
	}
	return all
}

// created is a topic's value from the highest level at which any synonym of the
// key is set.
func (v *values) created(k *Key) (*string, Source) {
	for _, level := range v.setLevels() {
		for _, synonym := range k.BrokerSynonyms {
			if text, ok := level.get(synonym.Name); ok {
				text = synonym.convert(k.Name, trim(text))
				return &text, level.source
			}
		}
	}
	if !k.HasDefault {
		return nil, SourceDefault
	}
	return &k.Default, SourceDefault
}

// DescribeBroker lists the configs of this broker, sorted by name.
func (b *Broker) DescribeBroker(dyn DynamicValues) []Entry {
	altered, _ := b.With(dyn.PerNode, dyn.ClusterWide)
	v := altered.values
	var all []Entry
	for _, name := range described(ScopeBroker, v.effective) {
		k := lookup(ScopeBroker, name)
		e := newBrokerEntry(name)
		e.Synonyms = v.levels(name, brokerSynonyms(name, true), e.Sensitive)
		if text, ok := v.text(name); ok {
			e.set(k, text)
		}
		all = append(all, e.settled())
	}
	return all
}

// DescribeBrokerDefault lists the cluster-wide alterations (the broker resource
// with the empty name), sorted by name. It lists only altered keys.
func (b *Broker) DescribeBrokerDefault(clusterWide map[string]string) []Entry {
	altered, _ := b.With(nil, clusterWide)
	var all []Entry
	for _, name := range sortedNames(altered.values.clusterWide) {
		e := newBrokerEntry(name)
		e.Synonyms = altered.values.levels(name, brokerSynonyms(name, true), e.Sensitive)
		e.Synonyms = slices.DeleteFunc(e.Synonyms, func(s EntrySynonym) bool { return s.Source != SourceDynamicDefaultBroker })
		if text := clusterWide[name]; !e.Sensitive {
			e.Value = &text
		}
		all = append(all, e.settled())
	}
	return all
}

// DescribeGroup lists a group's configs, sorted by name. b should include the
// alterations made at run time (With), because the group.* keys are the
// defaults.
func (b *Broker) DescribeGroup(overrides map[string]string) []Entry {
	v := b.values
	var all []Entry
	for _, name := range described(ScopeGroup, overrides) {
		k := lookup(ScopeGroup, name)
		e := newEntry(name, k)
		switch {
		case k == nil:
		case len(k.BrokerSynonyms) > 0:
			first := k.BrokerSynonyms[0].Name
			e.Synonyms = v.levels(first, []string{first}, e.Sensitive)
		default:
			e.Synonyms = []EntrySynonym{{Name: name, Value: &k.Default, Source: SourceDefault}}
		}
		if text, ok := overrides[name]; ok {
			e.override(k, text, SourceGroup)
		} else if text, ok := v.topicText(k); ok {
			e.set(k, text)
		}
		all = append(all, e.settled())
	}
	return all
}

// described lists the names shown for a scope, sorted: all keys of the table
// except internal ones, and all keys that are set.
func described(scope Scope, set map[string]string) []string {
	names := sortedNames(set)
	for _, k := range theIndex().sorted[scope] {
		if !k.Internal && !k.DynamicOnly {
			names = append(names, k.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// newEntry makes an entry without a value. k is nil for unknown keys, which
// count as sensitive.
func newEntry(name string, k *Key) Entry {
	if k == nil {
		return Entry{Name: name, Sensitive: true}
	}
	return Entry{Name: name, Sensitive: k.Sensitive, Type: k.Type, Doc: k.Doc}
}

// newBrokerEntry makes the entry of a broker key or of a listener's override of
// one. A name that is not in the table itself cannot be altered.
func newBrokerEntry(name string) Entry {
	e := newEntry(name, lookup(ScopeBroker, listenerBase(name)))
	k := lookup(ScopeBroker, name)
	e.ReadOnly = k == nil || k.Dynamic == ReadOnly
	return e
}

// set sets the value of the entry. The value is normalized if the table
// contains the key and shows it by default. Otherwise it stays as written.
func (e *Entry) set(k *Key, text string) {
	if e.Sensitive {
		return
	}
	if k != nil && !k.Internal && !k.DynamicOnly {
		if value, why := k.parse(text); why == "" {
			text = format(value)
		}
	}
	e.Value = &text
}

// override inserts the resource's own value before all synonyms.
func (e *Entry) override(k *Key, text string, source Source) {
	e.set(k, text)
	e.Synonyms = slices.Insert(e.Synonyms, 0, EntrySynonym{Name: e.Name, Value: e.Value, Source: source})
}

// settled sets the source from the first synonym.
func (e Entry) settled() Entry {
	e.Source = SourceDefault
	if len(e.Synonyms) > 0 {
		e.Source = e.Synonyms[0].Source
	}
	e.IsDefault = e.Source == SourceDefault
	return e
}

// level is one source of values.
type level struct {
	source Source
	get    func(name string) (string, bool)
}

// setLevels are the levels at which values can be set, highest priority first.
func (v *values) setLevels() []level {
	of := func(m map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			text, ok := m[name]
			return text, ok
		}
	}
	return []level{
		{SourceDynamicBroker, of(v.perNode)},
		{SourceDynamicDefaultBroker, of(v.clusterWide)},
		{SourceStaticBroker, func(name string) (string, bool) {
			s, ok := v.static[name]
			return s.value, ok
		}},
	}
}

// levels lists the values of a key's synonyms at each level, highest priority
// first. Values before the first one of the key itself are dropped, as in
// Kafka. (So retention.ms of a topic shows no synonym if only
// log.retention.hours is set.)
func (v *values) levels(name string, synonyms []string, sensitive bool) []EntrySynonym {
	var all []EntrySynonym
	defaults := level{SourceDefault, func(name string) (string, bool) {
		if text, ok := v.derived[name]; ok {
			return text, true
		}
		if k := lookup(ScopeBroker, name); k != nil && k.HasDefault && !k.DynamicOnly {
			return k.Default, true
		}
		return "", false
	}}
	for _, level := range append(v.setLevels(), defaults) {
		for _, synonym := range synonyms {
			text, ok := level.get(synonym)
			if !ok || len(all) == 0 && synonym != name {
				continue
			}
			s := EntrySynonym{Name: synonym, Source: level.source}
			if !sensitive {
				s.Value = &text
			}
			all = append(all, s)
		}
	}
	return all
}
