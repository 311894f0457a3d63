package config

import (
	"os"
	"testing"
)

// TestKafkaEnvNames compares with the results of the conversion in the
// apache/kafka image of Apache Kafka 4.3.1, except for two names that are not
// keys.
func TestKafkaEnvNames(t *testing.T) {
	for variable, want := range map[string]string{
		"KAFKA_NODE_ID":                         "node.id",
		"KAFKA_LOG_DIRS":                        "log.dirs",
		"KAFKA_LISTENER_NAME_MY___HOST_SSL_KEY": "listener.name.my-host.ssl.key",
		"KAFKA_A__B":                            "a_b",
		"KAFKA_A___B":                           "a-b",
		"KAFKA_A____B":                          "a-.b",
		"KAFKA_A_____B":                         "a-_b",
		"KAFKA_A______B":                        "a--b",
		"KAFKA_VALID___PROPERTY__ALL_CASES":     "valid-property_all.cases",
		"KAFKA__":                               ".",
		"KAFKA_KAFKA_METRICS_REPORTERS":         "kafka.metrics.reporters",
		"KAFKA_MY_KAFKA_THING":                  "my.kafka.thing",
		"KAFKA_Mixed_Case":                      "mixed.case",
		"KAFKA_VERSION":                         "",
		"KAFKA_HEAP_OPTS":                       "",
		"KAFKA_LOG4J_OPTS":                      "",
		"KAFKA_OPTS":                            "",
		"KAFKA_JMX_OPTS":                        "",
		"KAFKA_JVM_PERFORMANCE_OPTS":            "",
		"KAFKA_GC_LOG_OPTS":                     "",
		"KAFKA_LOG4J_ROOT_LOGLEVEL":             "",
		"KAFKA_LOG4J_LOGGERS":                   "",
		"KAFKA_TOOLS_LOG4J_LOGLEVEL":            "",
		"KAFKA_JMX_HOSTNAME":                    "",
		"kafka_node_id":                         "",
		"MY_KAFKA_X":                            "",
		"KAFKAX_Y":                              "",
		"KAFKA_":                                "", // in the image: a key without a name
		"KAFKA_JMX_PORT":                        "", // in the image: jmx.port, which is not a key
	} {
		name, ok := KafkaEnvName(variable)
		if name != want || ok != (want != "") {
			t.Errorf("%s sets %q, want %q", variable, name, want)
		}
	}
}

func TestOttlaEnvNames(t *testing.T) {
	for variable, want := range map[string]string{
		"OTTLA_FLUSH_METHOD": "ottla.flush.method", "OTTLA_A__B": "ottla.a_b", "OTTLA_A___B": "ottla.a-b",
		"OTTLA_": "", "OTTLA": "", "ottla_x": "", "KAFKA_NODE_ID": "",
	} {
		name, ok := OttlaEnvName(variable)
		if name != want || ok != (want != "") {
			t.Errorf("%s sets %q, want %q", variable, name, want)
		}
	}
}

func TestListenersFromAdvertised(t *testing.T) {
	for advertised, want := range map[string]string{
		"PLAINTEXT://example.org:9092": "PLAINTEXT://0.0.0.0:9092",
		"A://x:1,B://y.z:22":           "A://0.0.0.0:1,B://0.0.0.0:22",
		"A://:1":                       "A://0.0.0.0:1",
		"A://[::1]:9092,B://h:1":       "A://0.0.0.0:9092,B://0.0.0.0:1",
		"A://x":                        "A://x",
		"":                             "",
		"A://":                         "A://",
	} {
		if got := listenersFromAdvertised(advertised); got != want {
			t.Errorf("%s: %s, want %s", advertised, got, want)
		}
	}
}

// TestImageListeners: the listeners of the image's own file apply only if no
// other source sets the listeners or the advertised listeners, as in the
// apache/kafka image. The rest of the file always applies.
func TestImageListeners(t *testing.T) {
	image, err := os.ReadFile("../../docker/server.properties")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                       string
		s                          Sources
		host, advertisedHost, dirs string
		port, advertisedPort       int32
	}{
		{"the image alone", Sources{}, "", "localhost", "/var/lib/kafka/data", 9092, 9092},
		{"other keys", Sources{Env: []string{"KAFKA_NUM_PARTITIONS=3"}}, "", "localhost", "/var/lib/kafka/data", 9092, 9092},
		{"KAFKA_LISTENERS alone", Sources{Env: []string{"KAFKA_LISTENERS=PLAINTEXT://broker.example:9192"}}, "broker.example", "broker.example", "/var/lib/kafka/data", 9192, 9192},
		{"KAFKA_LISTENERS without a host", Sources{Env: []string{"KAFKA_LISTENERS=PLAINTEXT://:9192"}}, "", "", "/var/lib/kafka/data", 9192, 9192},
		{"KAFKA_ADVERTISED_LISTENERS alone", Sources{Env: []string{"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://broker.example:9192"}}, "0.0.0.0", "broker.example", "/var/lib/kafka/data", 9192, 9192},
		{"both", Sources{Env: []string{"KAFKA_LISTENERS=PLAINTEXT://:9192", "KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://a:1"}}, "", "a", "/var/lib/kafka/data", 9192, 1},
		{"the user's file", Sources{File: "listeners=PLAINTEXT://h:1\nlog.dirs=/d"}, "h", "h", "/d", 1, 1},
		{"the user's file and the environment", Sources{File: "advertised.listeners=PLAINTEXT://h:1", Env: []string{"KAFKA_LISTENERS=PLAINTEXT://:9192"}}, "", "h", "/var/lib/kafka/data", 9192, 1},
		{"a flag", Sources{Flags: map[string]string{"listeners": "PLAINTEXT://h:2"}}, "h", "h", "/var/lib/kafka/data", 2, 2},
	} {
		c.s.Defaults, c.s.DefaultsName = string(image), "docker/server.properties"
		b, err := Load(c.s)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if l, a := b.Listeners[0], b.Advertised[0]; len(b.Listeners) != 1 || len(b.Advertised) != 1 || l.Host != c.host || l.Port != c.port || a.Host != c.advertisedHost || a.Port != c.advertisedPort {
			t.Errorf("%s: %+v, advertised %+v", c.name, b.Listeners, b.Advertised)
		}
		if len(b.LogDirs) != 1 || b.LogDirs[0] != c.dirs {
			t.Errorf("%s: log dirs %q", c.name, b.LogDirs)
		}
	}
}
