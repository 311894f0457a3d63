package api

import (
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// listConfigResources answers ListConfigResources, versions 0–1 (KIP-1142):
// the resources whose configs can be described. Version 0 lists client metrics
// subscriptions only (KIP-714); version 1 any kinds, all of them when none is
// named. Topics and brokers are listed whether or not a config was set.
//
// DescribeConfigs on the cluster.
func (h *Handler) listConfigResources(_ context.Context, r *Request, req *kmsg.ListConfigResourcesRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrListConfigResourcesResponse()
	kinds := req.ResourceTypes
	switch {
	case r.Header.Version == 0:
		kinds = []int8{metadata.ResourceClientMetrics}
	case len(kinds) == 0:
		kinds = configurable
	}
	img := h.Controller.Image()
	for _, kind := range configurable {
		if slices.Contains(kinds, kind) {
			resp.ConfigResources = appendResources(r.Meter, resp.ConfigResources, img, kind)
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(configurable, kind) {
			resp.ErrorCode = int16(protocol.UnsupportedVersion)
			resp.ConfigResources = nil
		}
	}
	return resp, nil
}

// configurable are the kinds of resources that have configs.
var configurable = []int8{
	metadata.ResourceGroup, metadata.ResourceClientMetrics, metadata.ResourceBrokerLogger, metadata.ResourceBroker, metadata.ResourceTopic,
}

func appendResources(m *meter.Meter, list []kmsg.ListConfigResourcesResponseConfigResource, img *metadata.Image, kind int8) []kmsg.ListConfigResourcesResponseConfigResource {
	add := func(name string) {
		if m.Charge(meter.Size[kmsg.ListConfigResourcesResponseConfigResource]()+len(name)) != nil {
			return
		}
		resource := kmsg.NewListConfigResourcesResponseConfigResource()
		resource.Name, resource.Type = name, kind
		list = append(list, resource)
	}
	switch kind {
	case metadata.ResourceTopic:
		for t := range img.Topics() {
			add(t.Name)
		}
	case metadata.ResourceBroker, metadata.ResourceBrokerLogger:
		for b := range img.Brokers() {
			add(strconv.Itoa(int(b.ID)))
		}
	default:
		for resource := range img.AllConfigs() {
			if resource.Type == kind {
				add(resource.Name)
			}
		}
	}
	return list
}
