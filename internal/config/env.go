package config

import (
	"slices"
	"strings"
)

// notConfigs are the variables of the apache/kafka image that configure the
// JVM, logging or scripts instead of the broker.
var notConfigs = []string{
	"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS",
	"KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS",
	"KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME", "KAFKA_JMX_PORT",
}

// KafkaEnvName returns the config key that a KAFKA_ variable sets, by the rules
// of the apache/kafka image: without the prefix, in lower case, "_" for ".",
// "__" for "_" and "___" for "-". ok is false for variables that do not
// configure the broker.
func KafkaEnvName(variable string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(variable, "KAFKA_")
	if !ok || rest == "" || slices.Contains(notConfigs, variable) {
		return "", false
	}
	return envToKey(rest), true
}

// OttlaEnvName returns the config key that an OTTLA_ variable sets:
// OTTLA_FLUSH_METHOD is ottla.flush.method. Repeated underscores are handled as
// in KafkaEnvName.
func OttlaEnvName(variable string) (name string, ok bool) {
	rest, ok := strings.CutPrefix(variable, "OTTLA_")
	if !ok || rest == "" {
		return "", false
	}
	return "ottla." + envToKey(rest), true
}

func envToKey(rest string) string {
	key := strings.ReplaceAll(strings.ToLower(rest), "_", ".")
	key = strings.ReplaceAll(key, "...", "-")
	return strings.ReplaceAll(key, "..", "_")
}

// fromEnv returns the keys that KAFKA_ and OTTLA_ variables set.
func fromEnv(env []string) (kafka, ottla layer) {
	kafka, ottla = layer{origin: FromKafkaEnv}, layer{origin: FromOttlaEnv}
	for _, entry := range slices.Sorted(slices.Values(env)) {
		variable, value, ok := strings.Cut(entry, "=")
		if !ok {
			continue
		}
		switch name, isKafka := KafkaEnvName(variable); {
		case isKafka:
			kafka.add(name, value, variable)
		case variable == "CLUSTER_ID" && value != "":
			kafka.add("ottla.cluster.id", value, variable)
		case variable == "KAFKA_LOG4J_ROOT_LOGLEVEL" && value != "":
			kafka.add("ottla.log.level", value, variable)
		}
		if name, isOttla := OttlaEnvName(variable); isOttla {
			ottla.add(name, value, variable)
		}
	}
	return kafka, ottla
}

// listenersFromAdvertised does what the image's start script does if only
// KAFKA_ADVERTISED_LISTENERS is set: it returns listeners on the same ports of
// all interfaces.
func listenersFromAdvertised(advertised string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(advertised, "://")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteString("://")
		// The host ends at the colon before the port. In [::1]:9092 this is the
		// colon after the bracket.
		host, port := after, ""
		end := strings.IndexByte(after, ':')
		if bracket := strings.Index(after, "]:"); strings.HasPrefix(after, "[") && bracket >= 0 {
			end = bracket + 1
		}
		if end >= 0 {
			host, port = after[:end], after[end:]
		}
		if port != "" {
			host = "0.0.0.0"
		}
		out.WriteString(host)
		advertised = port
	}
}
