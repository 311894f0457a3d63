package api

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// The kinds of resources, as clients write them.
const (
	aTopic   = kmsg.ConfigResourceTypeTopic
	aBroker  = kmsg.ConfigResourceTypeBroker
	aLogger  = kmsg.ConfigResourceTypeBrokerLogger
	aMetrics = kmsg.ConfigResourceType(16)
	aGroup   = kmsg.ConfigResourceType(32)
)

// describe asks for the configs of one resource; of all when names is empty.
func (x *fixture) describe(version int16, kind kmsg.ConfigResourceType, name string, names ...string) kmsg.DescribeConfigsResponseResource {
	x.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kind, name, names
	req.Resources = append(req.Resources, r)
	return ask[*kmsg.DescribeConfigsResponse](x, version, req).Resources[0]
}

// one is the single config of a resource.
func one(x *fixture, r kmsg.DescribeConfigsResponseResource) kmsg.DescribeConfigsResponseResourceConfig {
	x.Helper()
	if r.ErrorCode != 0 || len(r.Configs) != 1 {
		x.Fatalf("not one config: %+v", r)
	}
	return r.Configs[0]
}

// op is an operation of IncrementalAlterConfigs.
type op struct {
	kind  kmsg.ConfigResourceType
	name  string
	key   string
	op    kmsg.IncrementalAlterConfigOp
	value string // "-": null
}

func alterOf(ops ...op) *kmsg.IncrementalAlterConfigsRequest {
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, o := range ops {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = o.kind, o.name
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Op, c.Value = o.key, o.op, &o.value
		if o.value == "-" {
			c.Value = nil
		}
		r.Configs = append(r.Configs, c)
		req.Resources = append(req.Resources, r)
	}
	return req
}

// alter changes one config and returns the error.
func (x *fixture) alter(version int16, o op) (protocol.Code, string) {
	x.Helper()
	resp := ask[*kmsg.IncrementalAlterConfigsResponse](x, version, alterOf(o))
	if len(resp.Resources) != 1 || resp.Resources[0].ResourceType != o.kind || resp.Resources[0].ResourceName != o.name {
		x.Fatalf("%+v: answered for %+v", o, resp.Resources)
	}
	return protocol.Code(resp.Resources[0].ErrorCode), deref(resp.Resources[0].ErrorMessage)
}

func TestDescribeConfigsInEachVersion(t *testing.T) {
	story(t, map[string]string{"log.retention.ms": "86400000"}, func(t *testing.T, x *fixture) {
		x.topic("a", 1, "cleanup.policy", "compact")
		x.eachVersion(32, func(version int16) {
			r := x.describe(version, aTopic, "a")
			if r.ErrorCode != 0 || r.ErrorMessage == nil || *r.ErrorMessage != "" || len(r.Configs) < 30 || r.ResourceType != aTopic || r.ResourceName != "a" {
				t.Fatalf("version %d: %+v", version, r)
			}
			names := make([]string, 0, len(r.Configs))
			for _, c := range r.Configs {
				names = append(names, c.Name)
				if c.ReadOnly || c.IsSensitive || len(c.ConfigSynonyms) == 0 && c.Value != nil && c.Source != kmsg.ConfigSourceDefaultConfig {
					t.Errorf("version %d: %+v", version, c)
				}
				if documented := c.Documentation != nil && *c.Documentation != ""; documented != (version >= 3) || (c.ConfigType != 0) != (version >= 3) {
					t.Errorf("version %d: %s has documentation %v, type %v", version, c.Name, documented, c.ConfigType)
				}
			}
			if !slices.IsSorted(names) {
				t.Errorf("version %d: not by name: %v", version, names)
			}
			set := one(x, x.describe(version, aTopic, "a", "cleanup.policy"))
			if deref(set.Value) != "compact" || set.Source != kmsg.ConfigSourceDynamicTopicConfig || len(set.ConfigSynonyms) < 2 || set.ConfigSynonyms[0].Source != set.Source {
				t.Errorf("version %d: %+v", version, set)
			}
			from := one(x, x.describe(version, aTopic, "a", "retention.ms"))
			if deref(from.Value) != "86400000" || from.Source != kmsg.ConfigSourceStaticBrokerConfig {
				t.Errorf("version %d: %+v", version, from)
			}
		})
		// Nothing of synonyms and documentation unless asked for.
		req := kmsg.NewPtrDescribeConfigsRequest()
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = aTopic, "a"
		req.Resources = append(req.Resources, r)
		for _, c := range ask[*kmsg.DescribeConfigsResponse](x, 4, req).Resources[0].Configs {
			if len(c.ConfigSynonyms) > 0 || c.Documentation != nil {
				t.Errorf("%s has what was not asked for", c.Name)
			}
		}
	})
}

// TestDescribeConfigsOf has a row for each kind of resource, and each way of
// naming none.
func TestDescribeConfigsOf(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for _, c := range []struct {
			kind kmsg.ConfigResourceType
			name string
			want protocol.Code
			word string // of the message
			has  string // a config
		}{
			{aTopic, "a", 0, "", "retention.ms"},
			{aTopic, "u", protocol.UnknownTopicOrPartition, "", ""},
			{aTopic, "a b", protocol.InvalidTopicException, "a b", ""},
			{aTopic, "", protocol.InvalidTopicException, "empty", ""},
			{aBroker, "1", 0, "", "num.io.threads"},
			{aBroker, "", 0, "", "min.insync.replicas"},
			{aBroker, "2", protocol.InvalidRequest, "Unexpected broker id, expected 1 or empty string, but received 2", ""},
			{aBroker, "one", protocol.InvalidRequest, "Broker id must be an integer, but it is: one", ""},
			{aLogger, "1", 0, "", "root"},
			{aLogger, "2", protocol.InvalidRequest, "Unexpected broker id, expected 1 but received 2", ""},
			{aLogger, "", protocol.InvalidRequest, "Broker id must not be empty", ""},
			{aMetrics, "m", 0, "", "interval.ms"},
			{aMetrics, "", protocol.InvalidRequest, "Client metrics subscription name must not be empty", ""},
			{aGroup, "g", 0, "", "consumer.session.timeout.ms"},
			{aGroup, "", protocol.InvalidRequest, "Group name must not be empty", ""},
			{0, "x", protocol.InvalidRequest, "malformed", ""},
			{77, "x", protocol.InvalidRequest, "malformed", ""},
		} {
			r := x.describe(4, c.kind, c.name)
			what := fmt.Sprintf("%d %q", c.kind, c.name)
			wantCode(t, what, r.ErrorCode, c.want)
			has := slices.ContainsFunc(r.Configs, func(e kmsg.DescribeConfigsResponseResourceConfig) bool { return e.Name == c.has })
			if !strings.Contains(deref(r.ErrorMessage), c.word) || has != (c.has != "") || c.has == "" && len(r.Configs) > 0 {
				t.Errorf("%s: %q, %d configs", what, deref(r.ErrorMessage), len(r.Configs))
			}
		}
		if r := x.describe(4, aTopic, "a", "no.such.config"); r.ErrorCode != 0 || len(r.Configs) != 0 {
			t.Errorf("an unknown config: %+v", r)
		}
		for _, c := range x.describe(4, aBroker, "1").Configs {
			if strings.Contains(c.Name, "password") && (!c.IsSensitive || c.Value != nil) {
				t.Errorf("%s is shown: %+v", c.Name, c)
			}
		}
	})
}

// What is named twice is described once, and what would be too much ends the
// request.
func TestDescribeConfigsIsBounded(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms, req.IncludeDocumentation = true, true
		for range 5000 {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = aBroker, "1"
			req.Resources = append(req.Resources, r)
		}
		if resp := ask[*kmsg.DescribeConfigsResponse](x, 4, req); len(resp.Resources) != 1 {
			t.Errorf("one broker is described %d times", len(resp.Resources))
		}
		for i := range req.Resources {
			req.Resources[i].ResourceType, req.Resources[i].ResourceName = aGroup, fmt.Sprint(i)
		}
		r := x.request(req)
		r.Meter = meter.New(x.Context(), 1<<20, nil)
		if _, err := find(32).Handle(x.h, x.Context(), r); !errors.Is(err, meter.ErrTooLarge) {
			t.Errorf("5,000 groups within 1 MiB: %v", err)
		}
	})
}

// TestAlterConfigsRoundTrip alters each kind of resource and reads it back.
func TestAlterConfigsRoundTrip(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		for _, c := range []struct {
			op     op
			want   protocol.Code
			value  string // afterwards
			source kmsg.ConfigSource
		}{
			{op{aTopic, "a", "retention.ms", opSet, "5000"}, 0, "5000", kmsg.ConfigSourceDynamicTopicConfig},
			{op{aTopic, "a", "retention.ms", opSet, "x"}, protocol.InvalidConfig, "5000", kmsg.ConfigSourceDynamicTopicConfig},
			{op{aTopic, "a", "retention.ms", opDelete, "-"}, 0, "604800000", kmsg.ConfigSourceDefaultConfig},
			{op{aTopic, "a", "cleanup.policy", 2, "compact"}, 0, "delete,compact", kmsg.ConfigSourceDynamicTopicConfig},
			{op{aTopic, "a", "cleanup.policy", 3, "delete"}, 0, "compact", kmsg.ConfigSourceDynamicTopicConfig},
			{op{aTopic, "a", "cleanup.policy", opDelete, "-"}, 0, "delete", kmsg.ConfigSourceDefaultConfig},
			{op{aBroker, "", "log.retention.ms", opSet, "86400000"}, 0, "-", 0},
			{op{aBroker, "1", "log.retention.ms", opSet, "77000"}, 0, "77000", kmsg.ConfigSourceDynamicBrokerConfig},
			{op{aBroker, "1", "log.retention.ms", opDelete, "-"}, 0, "86400000", kmsg.ConfigSourceDynamicDefaultBrokerConfig},
			{op{aBroker, "1", "node.id", opSet, "7"}, protocol.InvalidRequest, "1", kmsg.ConfigSourceDefaultConfig},
			{op{aMetrics, "m", "interval.ms", opSet, "60000"}, 0, "60000", 7},
			{op{aMetrics, "m", "interval.ms", opDelete, "-"}, 0, "300000", kmsg.ConfigSourceDefaultConfig},
			{op{aMetrics, "m", "match", 2, "client_id=a"}, protocol.InvalidConfig, "", kmsg.ConfigSourceDefaultConfig},
			{op{aGroup, "g", "consumer.session.timeout.ms", opSet, "50000"}, 0, "50000", 8},
		} {
			for version := range int16(2) {
				dry := alterOf(c.op)
				dry.ValidateOnly = true
				before := x.describe(4, c.op.kind, c.op.name, c.op.key)
				wantCode(t, fmt.Sprint("validate ", c.op), ask[*kmsg.IncrementalAlterConfigsResponse](x, version, dry).Resources[0].ErrorCode, c.want)
				if after := x.describe(4, c.op.kind, c.op.name, c.op.key); fmt.Sprint(valuesOf(before)) != fmt.Sprint(valuesOf(after)) {
					t.Errorf("%v: validation changed %v to %v", c.op, valuesOf(before), valuesOf(after))
				}
			}
			got, word := x.alter(1, c.op)
			if got != c.want || (word != "") != (c.want != 0) {
				t.Errorf("%v: %s %q, want %s", c.op, codeName(int16(got)), word, codeName(int16(c.want)))
			}
			if c.value == "-" {
				continue
			}
			after := one(x, x.describe(4, c.op.kind, c.op.name, c.op.key))
			if deref(after.Value) != c.value || after.Source != c.source {
				t.Errorf("%v: is %q of %v afterwards, want %q of %v", c.op, deref(after.Value), after.Source, c.value, c.source)
			}
			if s := after.ConfigSynonyms; c.source != kmsg.ConfigSourceDefaultConfig && (len(s) == 0 || deref(s[0].Value) != c.value || s[0].Source != c.source) {
				t.Errorf("%v: the synonyms are %+v", c.op, s)
			}
		}
		// The topic without an override takes the cluster's value.
		if got := one(x, x.describe(4, aTopic, "a", "retention.ms")); deref(got.Value) != "86400000" {
			t.Errorf("the topic's retention.ms is %q", deref(got.Value))
		}
	})
}

func valuesOf(r kmsg.DescribeConfigsResponseResource) []string {
	var out []string
	for _, c := range r.Configs {
		out = append(out, c.Name+"="+deref(c.Value))
	}
	return out
}

// AlterConfigs, the old way, replaces all that a resource has.
func TestAlterConfigsReplaces(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1, "retention.ms", "1", "segment.ms", "2")
		x.eachVersion(33, func(version int16) {
			req := kmsg.NewPtrAlterConfigsRequest()
			for _, name := range []string{"a", "u"} {
				r := kmsg.NewAlterConfigsRequestResource()
				r.ResourceType, r.ResourceName = aTopic, name
				c := kmsg.NewAlterConfigsRequestResourceConfig()
				c.Name, c.Value = "retention.ms", ptr(fmt.Sprint(1000+int(version)))
				r.Configs = append(r.Configs, c)
				req.Resources = append(req.Resources, r)
			}
			resp := ask[*kmsg.AlterConfigsResponse](x, version, req)
			wantCode(t, "a", resp.Resources[0].ErrorCode, protocol.None)
			wantCode(t, "u", resp.Resources[1].ErrorCode, protocol.UnknownTopicOrPartition)
			if got := one(x, x.describe(4, aTopic, "a", "retention.ms")); deref(got.Value) != fmt.Sprint(1000+int(version)) {
				t.Errorf("version %d: retention.ms=%s", version, deref(got.Value))
			}
			if got := one(x, x.describe(4, aTopic, "a", "segment.ms")); got.Source != kmsg.ConfigSourceDefaultConfig {
				t.Errorf("version %d: segment.ms is left over: %+v", version, got)
			}
		})
	})
}

// The level of the broker's logger is altered at run time, and read back
// (KIP-412).
func TestAlterBrokerLogger(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		for _, c := range []struct {
			op    op
			want  protocol.Code
			level slog.Level // afterwards
			word  string
		}{
			{op{aLogger, "1", "root", opSet, "DEBUG"}, 0, slog.LevelDebug, ""},
			{op{aLogger, "1", "root", opSet, "loud"}, protocol.InvalidConfig, slog.LevelDebug, "loud"},
			{op{aLogger, "1", "root", opSet, "-"}, protocol.InvalidConfig, slog.LevelDebug, "not a supported log level"},
			{op{aLogger, "1", "root", opSet, "warn"}, 0, slog.LevelWarn, ""},
			{op{aLogger, "1", "root", opSet, "FATAL"}, 0, slog.LevelError, ""},
			{op{aLogger, "1", "root", opDelete, "-"}, 0, slog.LevelInfo, ""},
			{op{aLogger, "1", "root", opSet, "TRACE"}, 0, slog.LevelDebug, ""},
			{op{aLogger, "1", "root", 2, "INFO"}, protocol.InvalidRequest, slog.LevelDebug, "APPEND"},
			{op{aLogger, "1", "no.such.logger", opSet, "INFO"}, protocol.InvalidConfig, slog.LevelDebug, "Logger no.such.logger does not exist!"},
			{op{aLogger, "7", "root", opSet, "INFO"}, protocol.InvalidRequest, slog.LevelDebug, "Unexpected node id. Expected 1, but received 7"},
			{op{aLogger, "", "root", opSet, "INFO"}, protocol.InvalidRequest, slog.LevelDebug, "must be an integer"},
			{op{aLogger, "x", "root", opSet, "INFO"}, protocol.InvalidRequest, slog.LevelDebug, "must be an integer"},
		} {
			got, word := x.alter(1, c.op)
			if got != c.want || !strings.Contains(word, c.word) || x.h.LogLevel.Level() != c.level {
				t.Errorf("%v: %s %q, level %v; want %s, %v", c.op, codeName(int16(got)), word, x.h.LogLevel.Level(), codeName(int16(c.want)), c.level)
			}
			if shown := one(x, x.describe(4, aLogger, "1", "root")); deref(shown.Value) != c.level.String() || shown.Source != kmsg.ConfigSourceDynamicBrokerLoggerConfig {
				t.Errorf("%v: shown as %q of %v", c.op, deref(shown.Value), shown.Source)
			}
		}
		dry := alterOf(op{aLogger, "1", "root", opSet, "ERROR"})
		dry.ValidateOnly = true
		wantCode(t, "validate", ask[*kmsg.IncrementalAlterConfigsResponse](x, 1, dry).Resources[0].ErrorCode, protocol.None)
		// All of a resource or nothing.
		both := alterOf(op{aLogger, "1", "root", opSet, "ERROR"}, op{aLogger, "1", "other", opSet, "ERROR"})
		both.Resources[0].Configs = append(both.Resources[0].Configs, both.Resources[1].Configs...)
		both.Resources = both.Resources[:1]
		wantCode(t, "one right, one wrong", ask[*kmsg.IncrementalAlterConfigsResponse](x, 1, both).Resources[0].ErrorCode, protocol.InvalidConfig)
		if got := x.h.LogLevel.Level(); got != slog.LevelDebug {
			t.Errorf("the level is %v, as if both were done", got)
		}
	})
}

// Answers stand in the order of the request, whoever gives them.
func TestAlterConfigsKeepsTheOrder(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		resp := ask[*kmsg.IncrementalAlterConfigsResponse](x, 1, alterOf(
			op{aLogger, "1", "root", opSet, "WARN"}, op{aTopic, "u", "retention.ms", opSet, "5"},
			op{aLogger, "9", "root", opSet, "WARN"}, op{aTopic, "a", "retention.ms", opSet, "5"},
		))
		for i, want := range []struct {
			name string
			code protocol.Code
		}{{"1", 0}, {"u", protocol.UnknownTopicOrPartition}, {"9", protocol.InvalidRequest}, {"a", 0}} {
			if got := resp.Resources[i]; got.ResourceName != want.name || protocol.Code(got.ErrorCode) != want.code {
				t.Errorf("resource %d: %+v, want %s %s", i, got, want.name, codeName(int16(want.code)))
			}
		}
	})
}

func TestListConfigResources(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.alter(1, op{aMetrics, "m", "interval.ms", opSet, "60000"})
		x.alter(1, op{aGroup, "g", "consumer.session.timeout.ms", opSet, "50000"})
		for _, c := range []struct {
			version int16
			kinds   []int8
			want    string
			code    protocol.Code
		}{
			{0, nil, "16:m", 0},
			{1, nil, "32:g 16:m 8:1 4:1 2:a", 0},
			{1, []int8{2, 4}, "4:1 2:a", 0},
			{1, []int8{16}, "16:m", 0},
			{1, []int8{2, 77}, "", protocol.UnsupportedVersion},
		} {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.ResourceTypes = c.kinds
			resp := ask[*kmsg.ListConfigResourcesResponse](x, c.version, req)
			var got []string
			for _, r := range resp.ConfigResources {
				kind := r.Type
				if c.version == 0 {
					kind = 16
				}
				got = append(got, fmt.Sprintf("%d:%s", kind, r.Name))
			}
			wantCode(t, fmt.Sprint(c.kinds), resp.ErrorCode, c.code)
			if strings.Join(got, " ") != c.want {
				t.Errorf("version %d, kinds %v: %q, want %q", c.version, c.kinds, strings.Join(got, " "), c.want)
			}
		}
	})
}

// UpdateFeatures reaches the controller in each version.
func TestUpdateFeatures(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.eachVersion(57, func(version int16) {
			req := kmsg.NewPtrUpdateFeaturesRequest()
			req.TimeoutMillis = 1000
			f := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
			f.Feature, f.MaxVersionLevel, f.UpgradeType = "no.such.feature", 1, 1
			req.FeatureUpdates = append(req.FeatureUpdates, f)
			resp := ask[*kmsg.UpdateFeaturesResponse](x, version, req)
			code := resp.ErrorCode
			if version < 2 && code == 0 {
				code = resp.Results[0].ErrorCode
			}
			wantCode(t, fmt.Sprint("version ", version), code, protocol.InvalidUpdateVersion)
		})
	})
}
