package config

import (
	"slices"
	"strings"
	"sync"
)

// section is a part of the table: the keys of one subject.
type section struct {
	title string
	scope Scope
	keys  []Key
}

// sections is the whole table, in the order of the documentation.
var sections = []section{
	{"Node", ScopeBroker, nodeKeys},
	{"Ottla", ScopeBroker, ottlaKeys},
	{"Listeners and connections", ScopeBroker, networkKeys},
	{"Log", ScopeBroker, logKeys},
	{"Log cleaner", ScopeBroker, cleanerKeys},
	{"Replication", ScopeBroker, replicationKeys},
	{"Metadata quorum", ScopeBroker, quorumKeys},
	{"Producers and transactions", ScopeBroker, txnKeys},
	{"Consumer groups", ScopeBroker, groupKeys},
	{"Share groups", ScopeBroker, shareKeys},
	{"Streams groups", ScopeBroker, streamsKeys},
	{"Quotas", ScopeBroker, quotaKeys},
	{"Metrics", ScopeBroker, metricsKeys},
	{"Tiered storage", ScopeBroker, remoteKeys},
	{"Security", ScopeBroker, securityKeys},
	{"TLS", ScopeBroker, sslKeys},
	{"SASL", ScopeBroker, saslKeys},
	{"Topic", ScopeTopic, topicKeys},
	{"Group", ScopeGroup, groupScopeKeys},
}

// index holds the table by scope: sorted, and by name.
type index struct {
	sorted [3][]Key
	byName [3]map[string]*Key
}

// theIndex is computed at the first use of the table and is then only read.
var theIndex = sync.OnceValue(func() *index {
	x := &index{}
	for _, s := range sections {
		for _, k := range s.keys {
			k.Scope, k.Subject = s.scope, s.title
			if k.Type == Password {
				k.Sensitive = true
			}
			x.sorted[s.scope] = append(x.sorted[s.scope], k)
		}
	}
	for scope := range x.sorted {
		keys := x.sorted[scope]
		slices.SortFunc(keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
		x.byName[scope] = make(map[string]*Key, len(keys))
		for i := range keys {
			x.byName[scope][keys[i].Name] = &keys[i]
		}
	}
	return x
})

// Keys returns all keys of a scope, sorted by name. The caller may change the
// slice.
func Keys(scope Scope) []Key { return slices.Clone(theIndex().sorted[scope]) }

// Lookup returns the key with the given name.
func Lookup(scope Scope, name string) (Key, bool) {
	if k := lookup(scope, name); k != nil {
		return *k, true
	}
	return Key{}, false
}

// lookup is Lookup without the copy. The caller must not change the key.
func lookup(scope Scope, name string) *Key { return theIndex().byName[scope][name] }

// null is the default of keys without a default.
const null = "\x00"

// key makes one row of the table.
func key(name string, t Type, def, doc string, traits ...trait) Key {
	k := Key{Name: name, Type: t, Doc: doc}
	if def != null {
		k.Default, k.HasDefault = def, true
	}
	for _, set := range traits {
		set(&k)
	}
	return k
}

// trait is a property of a row in addition to name, type, default and
// documentation.
type trait func(*Key)

func perBroker(k *Key)   { k.Dynamic = PerBroker }
func clusterWide(k *Key) { k.Dynamic = ClusterWide }
func internal(k *Key)    { k.Internal = true }
func used(k *Key)        { k.Used = true }

// dynamicOnly marks keys that exist only in the metadata, never in a file.
func dynamicOnly(k *Key) { k.Dynamic, k.DynamicOnly = ClusterWide, true }

// kafka sets Apache Kafka's default where Ottla's differs.
func kafka(def string) trait { return func(k *Key) { k.KafkaDefault = def } }

// from sets the broker keys that are the default of a topic or group key,
// highest priority first.
func from(synonyms ...Synonym) trait { return func(k *Key) { k.BrokerSynonyms = synonyms } }

func same(name string) Synonym    { return Synonym{Name: name, Scale: 1} }
func minutes(name string) Synonym { return Synonym{Name: name, Scale: 60_000} }
func hours(name string) Synonym   { return Synonym{Name: name, Scale: 3_600_000} }

func valid(v Validator) trait { return func(k *Key) { k.Valid = v } }

func atLeast(low int64) trait          { return valid(intRange{low: low}) }
func between(low, high int64) trait    { return valid(intRange{low: low, high: high, bounded: true}) }
func ratio(low, high float64) trait    { return valid(doubleRange{low, high}) }
func oneOf(values ...string) trait     { return valid(enum{values: values}) }
func oneOfFold(values ...string) trait { return valid(enum{values: values, fold: true}) }
func listOf(values ...string) trait    { return valid(listEnum{values: values, emptyOK: true}) }
func someOf(values ...string) trait    { return valid(listEnum{values: values}) }
func anyList(k *Key)                   { k.Valid = listEnum{emptyOK: true} }
func nonEmptyList(k *Key)              { k.Valid = listEnum{} }
func nonNull(k *Key)                   { k.Valid = anyString{} }
func nonEmpty(k *Key)                  { k.Valid = filledString{} }
func gzipLevel(k *Key)                 { k.Valid = gzipLevels{} }
func voterList(k *Key)                 { k.Valid = voters{} }
func serverList(k *Key)                { k.Valid = servers{} }
func replicaList(k *Key)               { k.Valid = throttled{} }
func offsetReset(k *Key)               { k.Valid = resetStrategy{} }
