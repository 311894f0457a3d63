package groups

import (
	"testing"

	"ottla/interop/clients"
)

// Kind is a client as a member of a group.
type Kind struct {
	Name string
	// Command finds the program. If a peer is missing, it ends the test.
	Command  func(t testing.TB) clients.Command
	Protocol string
	Assignor string
	Static   bool   // members with an instance id
	Pattern  bool   // subscribes to a regular expression
	Slow     string // why it runs only in the long form; "" if it runs in both
}

// member is the configuration of the i-th member of a group.
func (k Kind) member(group, topic, name string) Member {
	m := Member{Group: group, Topics: []string{topic}, Protocol: k.Protocol, Assignor: k.Assignor, Session: sessionMillis, Interval: heartbeatMillis}
	if k.Static {
		m.Instance = name
	}
	if k.Pattern {
		m.Pattern = topic[:len(topic)-1] + ".*"
	}
	return m
}

const (
	eager       = "range"
	cooperative = "cooperative-sticky"
	classic     = "classic"
	consumer    = "consumer"
)

const (
	jvm     = "a JVM for each member"
	sibling = "another client of this type covers the same"
)

// Kinds are the clients, in all their forms of membership.
func Kinds() []Kind {
	goWorker := func(name string) func(testing.TB) clients.Command {
		return func(testing.TB) clients.Command { return goCommand(name) }
	}
	script := func(name string) func(testing.TB) clients.Command {
		return func(t testing.TB) clients.Command { return clients.Python(t, name) }
	}
	java := func(t testing.TB) clients.Command { return clients.Java(t, "GroupWorker") }
	return []Kind{
		{Name: "franz-go cooperative", Command: goWorker("franz-go"), Protocol: classic, Assignor: cooperative},
		{Name: "franz-go consumer", Command: goWorker("franz-go"), Protocol: consumer},
		{Name: "franz-go range", Command: goWorker("franz-go"), Protocol: classic, Assignor: eager, Slow: sibling},
		{Name: "sarama", Command: goWorker("sarama"), Protocol: classic, Assignor: eager},
		{Name: "kafka-go", Command: goWorker("kafka-go"), Protocol: classic, Assignor: eager, Slow: sibling},
		{Name: "java eager", Command: java, Protocol: classic, Assignor: eager, Slow: jvm},
		{Name: "java cooperative", Command: java, Protocol: classic, Assignor: cooperative, Slow: jvm},
		{Name: "java static", Command: java, Protocol: classic, Assignor: eager, Static: true, Slow: jvm},
		{Name: "java consumer", Command: java, Protocol: consumer},
		{Name: "java consumer regex", Command: java, Protocol: consumer, Pattern: true, Slow: jvm},
		{Name: "confluent-kafka cooperative", Command: script("group_confluent.py"), Protocol: classic, Assignor: cooperative, Slow: sibling},
		{Name: "confluent-kafka eager", Command: script("group_confluent.py"), Protocol: classic, Assignor: eager, Slow: sibling},
		{Name: "confluent-kafka consumer", Command: script("group_confluent.py"), Protocol: consumer},
		{Name: "kafka-python", Command: script("group_kafkapython.py"), Protocol: classic, Assignor: eager, Slow: sibling},
		{Name: "aiokafka", Command: script("group_aio.py"), Protocol: classic, Assignor: eager, Slow: sibling},
		{Name: "kafkajs", Command: func(t testing.TB) clients.Command { return clients.Node(t, "group_kafkajs.cjs") }, Protocol: classic, Assignor: eager, Slow: sibling},
	}
}
