package cli

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// properties are settings of a client under the names of Kafka's Java client.
type properties map[string]string

// synonyms maps the names that librdkafka gives a setting to those of the Java
// client, so that what works for kcat works here.
var synonyms = map[string]string{
	"metadata.broker.list":     "bootstrap.servers",
	"compression.codec":        "compression.type",
	"request.required.acks":    "acks",
	"queue.buffering.max.ms":   "linger.ms",
	"message.timeout.ms":       "delivery.timeout.ms",
	"message.max.bytes":        "max.request.size",
	"fetch.wait.max.ms":        "fetch.max.wait.ms",
	"fetch.message.max.bytes":  "max.partition.fetch.bytes",
	"api.version.request":      "",
	"max.in.flight":            "max.in.flight.requests.per.connection",
	"allow.auto.create.topics": "",
	"retries":                  "",
}

// property turns the value of one setting into an option of the client.
type property func(value string) (kgo.Opt, error)

// known are the settings that are understood. Those that a command line has a
// flag for are here too: -X comes from a file or a habit.
var known = map[string]property{
	"bootstrap.servers":         nil, // App.bootstrap
	"acks":                      nil, // produce
	"compression.type":          nil, // produce
	"enable.idempotence":        nil, // produce
	"client.id":                 func(v string) (kgo.Opt, error) { return kgo.ClientID(v), nil },
	"client.rack":               func(v string) (kgo.Opt, error) { return kgo.Rack(v), nil },
	"security.protocol":         plaintextOnly,
	"isolation.level":           isolation,
	"linger.ms":                 millis(func(d time.Duration) kgo.Opt { return kgo.ProducerLinger(d) }),
	"delivery.timeout.ms":       millis(func(d time.Duration) kgo.Opt { return kgo.RecordDeliveryTimeout(d) }),
	"request.timeout.ms":        millis(func(d time.Duration) kgo.Opt { return kgo.ProduceRequestTimeout(d) }),
	"max.request.size":          positive(func(n int32) kgo.Opt { return kgo.ProducerBatchMaxBytes(n) }),
	"fetch.max.wait.ms":         millis(func(d time.Duration) kgo.Opt { return kgo.FetchMaxWait(d) }),
	"fetch.min.bytes":           positive(func(n int32) kgo.Opt { return kgo.FetchMinBytes(n) }),
	"fetch.max.bytes":           positive(func(n int32) kgo.Opt { return kgo.FetchMaxBytes(n) }),
	"max.partition.fetch.bytes": positive(func(n int32) kgo.Opt { return kgo.FetchMaxPartitionBytes(n) }),
	"metadata.max.age.ms":       millis(func(d time.Duration) kgo.Opt { return kgo.MetadataMaxAge(d) }),
	"connections.max.idle.ms":   millis(func(d time.Duration) kgo.Opt { return kgo.ConnIdleTimeout(d) }),
	"group.id":                  nil, // consume
	"group.protocol":            nil, // consume
	"group.instance.id":         func(v string) (kgo.Opt, error) { return kgo.InstanceID(v), nil },
	"session.timeout.ms":        millis(func(d time.Duration) kgo.Opt { return kgo.SessionTimeout(d) }),
	"heartbeat.interval.ms":     millis(func(d time.Duration) kgo.Opt { return kgo.HeartbeatInterval(d) }),
	"max.poll.interval.ms":      millis(func(d time.Duration) kgo.Opt { return kgo.RebalanceTimeout(d) }),
	"max.in.flight.requests.per.connection": positive(func(n int32) kgo.Opt {
		return kgo.MaxProduceRequestsInflightPerBroker(int(n))
	}),
}

func millis(option func(time.Duration) kgo.Opt) property {
	return func(value string) (kgo.Opt, error) {
		ms, err := strconv.ParseInt(value, 10, 32)
		if err != nil || ms < 0 {
			return nil, fmt.Errorf("%q is not a number of milliseconds", value)
		}
		return option(time.Duration(ms) * time.Millisecond), nil
	}
}

func positive(option func(int32) kgo.Opt) property {
	return func(value string) (kgo.Opt, error) {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is not a positive number", value)
		}
		return option(int32(n)), nil
	}
}

// plaintextOnly refuses what would pretend safety.
func plaintextOnly(value string) (kgo.Opt, error) {
	if !strings.EqualFold(value, "plaintext") {
		return nil, fmt.Errorf("%q is not supported, only PLAINTEXT", value)
	}
	return nil, nil
}

const readCommitted = "read_committed"

func isolation(value string) (kgo.Opt, error) {
	switch value {
	case readCommitted:
		return kgo.FetchIsolationLevel(kgo.ReadCommitted()), nil
	case "read_uncommitted":
		return kgo.FetchIsolationLevel(kgo.ReadUncommitted()), nil
	}
	return nil, fmt.Errorf("%q is neither read_committed nor read_uncommitted", value)
}

// set adds one "name=value". Names of librdkafka become those of Java.
func (p properties) set(assignment string) error {
	name, value, ok := strings.Cut(assignment, "=")
	name = strings.TrimPrefix(strings.TrimSpace(name), "topic.")
	if !ok || name == "" {
		return fmt.Errorf("%q is not of the form property=value", assignment)
	}
	if java, ok := synonyms[name]; ok {
		if java == "" {
			return nil // means nothing to this client
		}
		name = java
	}
	if _, ok := known[name]; !ok {
		return fmt.Errorf("property %s is not known; known are %s", name,
			strings.Join(slices.Sorted(maps.Keys(known)), " "))
	}
	p[name] = strings.TrimSpace(value)
	return nil
}

// options are the options of the client for all settings that have one.
func (p properties) options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	for _, name := range slices.Sorted(maps.Keys(p)) {
		option := known[name]
		if option == nil {
			continue
		}
		opt, err := option(p[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if opt != nil {
			opts = append(opts, opt)
		}
	}
	return opts, nil
}

// readFile adds the settings of a file of "name=value" lines. What only a
// Java client understands (serializers and the like) is passed over, as it is
// by Java's own tools when they do not need it.
func (p properties) readFile(content string) error {
	for i, line := range strings.Split(content, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		name, _, _ := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		_, isKnown := known[name]
		_, isSynonym := synonyms[name]
		if isSecurity(name) {
			return fmt.Errorf("line %d: %s is not supported yet", i+1, name)
		}
		if !isKnown && !isSynonym {
			continue
		}
		if err := p.set(line); err != nil {
			return fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return nil
}

func isSecurity(name string) bool {
	return strings.HasPrefix(name, "sasl.") || strings.HasPrefix(name, "ssl.")
}
