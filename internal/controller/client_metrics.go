package controller

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"ottla/internal/config"
	"ottla/internal/protocol"
)

// The configs of a client metrics subscription (KIP-714).
var clientMetricsKeys = []config.Key{
	{Name: "interval.ms", Type: config.Int, Default: "300000", HasDefault: true},
	{Name: "match", Type: config.List, HasDefault: true},
	{Name: "metrics", Type: config.List, HasDefault: true},
}

// ClientMetricsKeys are the configs of a client metrics subscription, by name.
func ClientMetricsKeys() []config.Key { return slices.Clone(clientMetricsKeys) }

func clientMetricsKey(name string) (config.Key, bool) {
	for _, k := range clientMetricsKeys {
		if k.Name == name {
			return k, true
		}
	}
	return config.Key{}, false
}

// validateClientMetrics checks a subscription: its name, its interval of 100 ms
// to an hour, and the patterns of the clients that it is for.
func validateClientMetrics(name string, configs map[string]string) error {
	if name == "" {
		return protocol.Errorf(protocol.InvalidRequest, "Subscription name can't be empty")
	}
	for _, key := range sortedKeys(configs) {
		if _, ok := clientMetricsKey(key); !ok {
			return protocol.Errorf(protocol.InvalidRequest, "Unknown client metrics configuration: %s", key)
		}
	}
	if value, ok := configs["interval.ms"]; ok {
		ms, err := strconv.ParseInt(strings.TrimSpace(value), 10, 32)
		if err != nil {
			return protocol.Errorf(protocol.InvalidConfig, "Invalid value %s for configuration interval.ms: Not a number of type INT", value)
		}
		if ms < 100 || ms > 3_600_000 {
			return protocol.Errorf(protocol.InvalidRequest, "Invalid value %d for interval.ms, interval must be between 100 and 3600000 (1 hour)", ms)
		}
	}
	for _, pattern := range strings.Split(configs["match"], ",") {
		if pattern = strings.TrimSpace(pattern); pattern != "" && !validClientMatch(pattern) {
			return protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s", pattern)
		}
	}
	return nil
}

// validClientMatch checks one name=pattern, where the pattern is a regular
// expression.
func validClientMatch(pattern string) bool {
	parts := strings.Split(pattern, "=")
	if len(parts) != 2 {
		return false
	}
	switch strings.TrimSpace(parts[0]) {
	case "client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port":
	default:
		return false
	}
	_, err := regexp.Compile(strings.TrimSpace(parts[1]))
	return err == nil
}
