package api

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/controller"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// describeConfigs answers DescribeConfigs, versions 1–4, of topics, brokers
// (by id, or the cluster-wide defaults under the empty name), broker loggers,
// client metrics subscriptions and groups. Values of sensitive configs are
// null. Synonyms and documentation come when they are asked for.
//
// DescribeConfigs on the topic, the group, or the cluster.
func (h *Handler) describeConfigs(_ context.Context, r *Request, req *kmsg.DescribeConfigsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeConfigsResponse()
	for i := range req.Resources {
		resource := &req.Resources[i]
		out := kmsg.NewDescribeConfigsResponseResource()
		out.ResourceType, out.ResourceName = resource.ResourceType, resource.ResourceName
		out.Configs, out.ErrorMessage = []kmsg.DescribeConfigsResponseResourceConfig{}, new(string)
		// What is listed counts, though few of it is asked for.
		if err := r.Meter.Charge(listedConfigs(resource.ResourceType) * meter.Size[config.Entry]()); err != nil {
			return nil, err
		}
		entries, err := h.configEntries(int8(resource.ResourceType), resource.ResourceName)
		if err != nil {
			out.ErrorCode = int16(code(err))
		}
		if err != nil && !errors.Is(err, protocol.UnknownTopicOrPartition) { // without a message, as Kafka
			out.ErrorMessage = message(err)
		}
		if out.Configs = describedConfigs(r.Meter, entries, resource.ConfigNames, req); out.Configs == nil {
			return nil, r.Meter.Err()
		}
		resp.Resources = append(resp.Resources, out)
	}
	return resp, nil
}

// listedConfigs is about how many configs a kind of resource has.
func listedConfigs(kind kmsg.ConfigResourceType) int {
	switch int8(kind) {
	case metadata.ResourceBroker:
		return 400
	case metadata.ResourceTopic:
		return 40
	}
	return 10
}

// describedConfigs are those entries that names asks for, all if it is empty; nil
// when the meter fails.
func describedConfigs(m *meter.Meter, entries []config.Entry, names []string, req *kmsg.DescribeConfigsRequest) []kmsg.DescribeConfigsResponseResourceConfig {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
	}
	configs := []kmsg.DescribeConfigsResponseResourceConfig{}
	for _, e := range entries {
		if len(names) > 0 && !wanted[e.Name] {
			continue
		}
		if m.Charge(describedSize(&e, req)) != nil {
			return nil
		}
		configs = append(configs, describedConfig(e, req))
	}
	return configs
}

// describedSize is what a config takes in the response.
func describedSize(e *config.Entry, req *kmsg.DescribeConfigsRequest) int {
	size := meter.Size[kmsg.DescribeConfigsResponseResourceConfig]() + len(e.Name) + len(deref(e.Value))
	if req.IncludeDocumentation {
		size += len(e.Doc)
	}
	if !req.IncludeSynonyms {
		return size
	}
	for i := range e.Synonyms {
		s := &e.Synonyms[i]
		size += meter.Size[kmsg.DescribeConfigsResponseResourceConfigConfigSynonym]() + len(s.Name) + len(deref(s.Value))
	}
	return size
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
		if err := h.thisBroker(name, ""); err != nil {
			return nil, err
		}
		return h.loggerEntries(), nil
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
	return nil, protocol.InvalidRequest
}

func (h *Handler) topicEntries(img *metadata.Image, name string) ([]config.Entry, error) {
	if err := controller.ValidTopicName(name); err != nil {
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

// loggerEntries: Ottla has one logger, Kafka's root, at the level that it has
// now.
func (h *Handler) loggerEntries() []config.Entry {
	level := h.LogLevel.Level().String()
	return []config.Entry{{Name: "root", Value: &level, Source: config.SourceDynamicLogger}}
}

// clientMetricsEntries are the configs of a subscription that has these values.
func clientMetricsEntries(values map[string]string) []config.Entry {
	var entries []config.Entry
	for _, key := range controller.ClientMetricsKeys() {
		e := config.Entry{Name: key.Name, Value: &key.Default, Type: key.Type, Source: config.SourceDefault, IsDefault: true}
		if value, ok := values[key.Name]; ok {
			e.Value, e.Source, e.IsDefault = &value, config.SourceClientMetrics, false
			e.Synonyms = []config.EntrySynonym{{Name: key.Name, Value: &value, Source: e.Source}}
		}
		entries = append(entries, e)
	}
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
