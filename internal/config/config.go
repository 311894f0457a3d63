// Package config holds the configuration of a node and its topics.
//
// There is one table of all keys (Keys, Lookup). It contains Kafka's broker,
// topic and group configs of version 4.3.1 under Kafka's names, and Ottla's own
// keys, which begin with "ottla.". Parsing, validation, DescribeConfigs,
// docs/configuration.md and the console all use the table. No other package
// contains a default or a range.
//
// Start reading at Key, then Load. Load turns Sources (--set, flags, OTTLA_ and
// KAFKA_ environment, server.properties) into a Broker, the typed and immutable
// snapshot of a node's configuration. Broker.Topic makes the snapshot for one
// topic, Broker.With the one with alterations made at run time. The package
// does no I/O and keeps no state.
package config

// Type is the data type of a key. The numbers are those of the ConfigType
// field of DescribeConfigs responses.
type Type int8

// The data types of keys.
const (
	Boolean  Type = 1 // true or false, in any case
	String   Type = 2
	Int      Type = 3 // 32 bits
	Short    Type = 4 // 16 bits
	Long     Type = 5 // 64 bits
	Double   Type = 6
	List     Type = 7 // comma separated
	Class    Type = 8 // name of a Java class; a plain string for Ottla
	Password Type = 9 // never shown
)

// String returns Kafka's name of the type, such as "LONG".
func (t Type) String() string {
	switch t {
	case Boolean:
		return "BOOLEAN"
	case String:
		return "STRING"
	case Int:
		return "INT"
	case Short:
		return "SHORT"
	case Long:
		return "LONG"
	case Double:
		return "DOUBLE"
	case List:
		return "LIST"
	case Class:
		return "CLASS"
	case Password:
		return "PASSWORD"
	}
	return "UNKNOWN"
}

// Scope is what a key configures. The same name may exist in several scopes:
// compression.type is a broker's default and a topic's config.
type Scope uint8

// The scopes of keys.
const (
	ScopeBroker Scope = iota
	ScopeTopic
	ScopeGroup
)

// Dynamic says how a broker key can be altered while the node runs (Kafka:
// "update mode"). Topic and group keys can always be altered.
type Dynamic uint8

// The ways to alter a key at run time.
const (
	ReadOnly    Dynamic = iota // only with a restart
	PerBroker                  // for a single broker or listener, never cluster-wide
	ClusterWide                // for one broker or for all of them
)

// String returns the update mode in the wording of Kafka's documentation.
func (d Dynamic) String() string {
	switch d {
	case PerBroker:
		return "per-broker"
	case ClusterWide:
		return "cluster-wide"
	}
	return "read-only"
}

// Key is one row of the table.
type Key struct {
	Name    string
	Scope   Scope
	Subject string // heading in the documentation, such as "Log cleaner"
	Type    Type
	// Default is the value if nothing is set, in the text form of the type. It
	// is valid only if HasDefault is set: a key without a default is null.
	Default    string
	HasDefault bool
	// KafkaDefault is Apache Kafka's default if Ottla's differs on purpose
	// ("REQUIRED": Kafka does not start without a value), otherwise empty.
	KafkaDefault string
	// Valid restricts the values beyond their type; nil allows all of them.
	Valid Validator
	// Dynamic is how the key can be altered at run time.
	Dynamic Dynamic
	// Sensitive values are never shown, for example passwords and private keys.
	Sensitive bool
	// Internal keys are for tests and experts. They are accepted but not
	// documented.
	Internal bool
	// DynamicOnly keys can be set only by AlterConfigs; in a file they have no
	// effect.
	DynamicOnly bool
	// Used means that Ottla uses the key. Other keys are accepted and have no
	// effect.
	Used bool
	// BrokerSynonyms are the broker keys that are the fallback of a topic or
	// group key, highest priority first.
	BrokerSynonyms []Synonym
	// Doc describes the key in one or two sentences, with units.
	Doc string
}

// Synonym is a broker key that is the default of a topic key.
type Synonym struct {
	Name string
	// Scale converts the broker's number to the topic's unit (hours to
	// milliseconds: 3600000). 1 does not change the value.
	Scale int64
}
