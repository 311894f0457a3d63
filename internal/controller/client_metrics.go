package controller

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/pattern"
	"ottla/internal/protocol"
)

// matchKey has the patterns of the clients that a subscription is for.
const matchKey = "match"

// The configs of a client metrics subscription (KIP-714).
var clientMetricsKeys = []config.Key{
	{Name: "interval.ms", Type: config.Int, Default: "300000", HasDefault: true},
	{Name: matchKey, Type: config.List, HasDefault: true},
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
func validateClientMetrics(v *view, name string, configs map[string]string) error {
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
	return v.checkMatch(configs[matchKey])
}

// checkMatch checks the patterns of the clients that a subscription is for.
func (v *view) checkMatch(value string) error {
	if err, ok := v.checked[value]; ok {
		return err
	}
	return validMatch(value)
}

// checkMatches checks the client patterns of a request before the controller's
// lock is taken: regular expressions may take long. It ends with ctx.
func checkMatches(ctx context.Context, all []alteration) map[string]error {
	checked := map[string]error{}
	for _, a := range all {
		if a.at.Type != metadata.ResourceClientMetrics {
			continue
		}
		for _, op := range a.ops {
			if op.name != matchKey || op.value == nil || ctx.Err() != nil {
				continue
			}
			if _, ok := checked[*op.value]; !ok {
				checked[*op.value] = validMatch(*op.value)
			}
		}
	}
	return checked
}

// validMatch checks a list of client patterns.
func validMatch(value string) error {
	for _, match := range strings.Split(value, ",") {
		if match = strings.TrimSpace(match); match != "" && !validClientMatch(match) {
			return protocol.Errorf(protocol.InvalidConfig, "Illegal client matching pattern: %s", match)
		}
	}
	return nil
}

// validClientMatch checks one name=pattern, where the pattern is a regular
// expression within the bounds of package pattern.
func validClientMatch(match string) bool {
	parts := strings.Split(match, "=")
	if len(parts) != 2 {
		return false
	}
	switch strings.TrimSpace(parts[0]) {
	case "client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port":
	default:
		return false
	}
	return pattern.Check(strings.TrimSpace(parts[1])) == nil
}
