package api

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// describeConfigs answers DescribeConfigs, versions 1–4, of topics, brokers
// (by id, or the cluster-wide defaults under the empty name), broker loggers,
// client metrics subscriptions and groups. Values of sensitive configs are
// null. Synonyms and documentation come when they are asked for.
//
// DescribeConfigs on the topic, the group, or the cluster.
func (h *Handler) describeConfigs(_ context.Context, _ *Request, req *kmsg.DescribeConfigsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		resource := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = resource.ResourceType, resource.ResourceName
		out.Configs = []kmsg.DescribeConfigsResponseResourceConfig{}
		entries, err := h.configEntries(int8(resource.ResourceType), resource.ResourceName)
		if err != nil {
			out.ErrorCode, out.ErrorMessage = int16(code(err)), message(err)
		}
		for _, e := range entries {
			if len(resource.ConfigNames) == 0 || slices.Contains(resource.ConfigNames, e.Name) {
				out.Configs = append(out.Configs, describedConfig(e, req))
			}
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

// configEntries lists the configs of one resource.
func (h *Handler) configEntries(kind int8, name string) ([]config.Entry, error) {
	img := h.Controller.Image()
	switch kind {
	case metadata.ResourceTopic:
		return h.topicEntries(img, name)
	case metadata.ResourceBroker:
		if name == "" {
			return h.Static.DescribeBrokerDefault(img.Configs(metadata.ResourceBroker, "")), nil
		}
		if err := h.thisBroker(name, " or empty string,"); err != nil {
			return nil, err
		}
		return h.Static.DescribeBroker(h.dynamic(img)), nil
	case metadata.ResourceBrokerLogger:
		if name == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Broker id must not be empty")
		}
		return h.loggerEntries(), h.thisBroker(name, "")
	case metadata.ResourceClientMetrics:
		if name == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Client metrics subscription name must not be empty")
		}
		return clientMetricsEntries(img.Configs(kind, name)), nil
	case metadata.ResourceGroup:
		if name == "" {
			return nil, protocol.Errorf(protocol.InvalidRequest, "Group name must not be empty")
		}
		return h.Config().DescribeGroup(img.Configs(kind, name)), nil
	}
	return nil, protocol.Errorf(protocol.InvalidRequest, "Unexpected resource type UNKNOWN for resource %s", name)
}

func (h *Handler) topicEntries(img *metadata.Image, name string) ([]config.Entry, error) {
	if err := validateTopicName(name); err != nil {
		return nil, err
	}
	if img.TopicByName(name) == nil {
		return nil, protocol.UnknownTopicOrPartition
	}
	return h.Static.DescribeTopic(img.Configs(metadata.ResourceTopic, name), h.dynamic(img)), nil
}

// dynamic is what was altered at run time for this broker.
func (h *Handler) dynamic(img *metadata.Image) config.DynamicValues {
	return config.DynamicValues{
		PerNode:     img.Configs(metadata.ResourceBroker, strconv.Itoa(int(h.Static.NodeID))),
		ClusterWide: img.Configs(metadata.ResourceBroker, ""),
	}
}

// thisBroker refuses a broker other than this one: clients ask each broker
// for its own configs.
func (h *Handler) thisBroker(name, orElse string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Broker id must be an integer, but it is: %s", name)
	}
	if int32(id) != h.Static.NodeID {
		return protocol.Errorf(protocol.InvalidRequest, "Unexpected broker id, expected %d%s but received %s", h.Static.NodeID, orElse, name)
	}
	return nil
}

// loggerEntries: Ottla has one logger, Kafka's root.
func (h *Handler) loggerEntries() []config.Entry {
	level := h.Static.LogLevel.String()
	return []config.Entry{{Name: "root", Value: &level, Source: config.SourceDynamicLogger}}
}

func clientMetricsEntries(values map[string]string) []config.Entry {
	var entries []config.Entry
	for name, value := range values {
		entries = append(entries, config.Entry{Name: name, Value: &value, Source: config.SourceClientMetrics})
	}
	slices.SortFunc(entries, func(a, b config.Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries
}

func describedConfig(e config.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value = e.Name, e.Value
	out.ReadOnly, out.IsDefault, out.IsSensitive = e.ReadOnly, e.IsDefault, e.Sensitive
	out.Source, out.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	out.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeSynonyms {
		for _, s := range e.Synonyms {
			synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			out.ConfigSynonyms = append(out.ConfigSynonyms, synonym)
		}
	}
	if req.IncludeDocumentation {
		out.Documentation = &e.Doc
	}
	return out
}
