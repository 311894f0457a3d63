// Package config holds what a node and its topics can be configured with.
//
// There is ONE table of every key (Keys, Lookup): Kafka's broker, topic and
// group configs of version 4.3.1 under Kafka's names, and Ottla's own, which
// begin with "ottla.". The table feeds parsing and validation, DescribeConfigs,
// docs/configuration.md and the console; nothing else in the module knows a
// default or a range.
//
// Start reading at Key, then Load, which turns Sources (--set, flags, OTTLA_
// and KAFKA_ environment, server.properties) into a Broker, the typed and
// immutable snapshot of a node's configuration; Broker.Topic makes the same
// snapshot for one topic, Broker.With for alterations made at run time. The
// package does no I/O and keeps no state.
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
	Class    Type = 8 // name of a Java class; kept as text
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

// Scope tells what a key configures. The same name may occur in several
// scopes: compression.type is a broker's default and a topic's choice.
type Scope uint8

// The scopes of keys.
const (
	ScopeBroker Scope = iota
	ScopeTopic
	ScopeGroup
)

// Dynamic tells how a broker key can be altered while the node runs
// (Kafka: "update mode"). Topic and group keys are always alterable.
type Dynamic uint8

// The ways to alter a key at run time.
const (
	ReadOnly    Dynamic = iota // only by a restart
	PerBroker                  // for a single broker or listener, never cluster-wide
	ClusterWide                // for one broker or for all of them
)

// String returns the update mode as Kafka's documentation words it.
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
	Subject string // heading of the documentation, such as "Log cleaner"
	Type    Type
	// Default is what holds when nothing is set, in the text form of the type.
	// It means nothing unless HasDefault: a key without a default is null.
	Default    string
	HasDefault bool
	// KafkaDefault is Apache Kafka's default where Ottla's differs on purpose
	// ("REQUIRED": Kafka refuses to start without a value), else empty.
	KafkaDefault string
	// Valid restricts the values beyond their type; nil allows all of them.
	Valid Validator
	// Dynamic is how the key can be altered at run time.
	Dynamic Dynamic
	// Sensitive values are never shown: passwords and private keys.
	Sensitive bool
	// Internal keys are for tests and experts: accepted, but hidden from docs.
	Internal bool
	// DynamicOnly keys are set by AlterConfigs alone; in a file they mean nothing.
	DynamicOnly bool
	// Used tells that Ottla acts on the key. Others are accepted and do nothing.
	Used bool
	// BrokerSynonyms are the broker keys that a topic or group key falls back
	// to, the strongest first.
	BrokerSynonyms []Synonym
	// Doc says in one or two sentences what the key does, with units.
	Doc string
}

// Synonym is a broker key from which a topic key takes its default.
type Synonym struct {
	Name string
	// Scale converts the broker's number into the topic's unit (hours to
	// milliseconds: 3600000); 1 leaves the value alone.
	Scale int64
}
