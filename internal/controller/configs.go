package controller

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// IncrementalAlterConfigs changes single configs of topics, brokers, groups and
// client metrics subscriptions (KIP-339). Each resource succeeds or fails as a
// whole; all that succeed are one batch.
func (c *Controller) IncrementalAlterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) *kmsg.IncrementalAlterConfigsResponse {
	all := incrementalAlterations(req)
	checked := checkMatches(ctx, all)
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.IncrementalAlterConfigsResponse], error) {
		v.checked = checked
		records, resp, err := incrementalAlterConfigs(v, req, all)
		return outcome[*kmsg.IncrementalAlterConfigsResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i := range req.Resources {
		resp.Resources = append(resp.Resources, alteredResource(&req.Resources[i], err))
	}
	return resp
}

// incrementalAlterations are what a request asks for.
func incrementalAlterations(req *kmsg.IncrementalAlterConfigsRequest) []alteration {
	all := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		all[i].at = resourceOf(r.ResourceType, r.ResourceName)
		for _, c := range r.Configs {
			all[i].ops = append(all[i].ops, configOp{name: c.Name, op: c.Op, value: c.Value})
		}
	}
	return all
}

func incrementalAlterConfigs(v *view, req *kmsg.IncrementalAlterConfigsRequest, all []alteration) ([]metadata.Message, *kmsg.IncrementalAlterConfigsResponse, error) {
	records, errs := alterEach(v, all, false)
	resp := req.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i, err := range errs {
		resp.Resources = append(resp.Resources, alteredResource(&req.Resources[i], err))
	}
	return finishAlteration(v, records, req.ValidateOnly), resp, bounded(records)
}

// AlterConfigs replaces all configs of topics, brokers, groups and client
// metrics subscriptions: what the request does not name is removed.
func (c *Controller) AlterConfigs(ctx context.Context, req *kmsg.AlterConfigsRequest) *kmsg.AlterConfigsResponse {
	all := replacingAlterations(req)
	checked := checkMatches(ctx, all)
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.AlterConfigsResponse], error) {
		v.checked = checked
		records, resp, err := alterConfigs(v, req, all)
		return outcome[*kmsg.AlterConfigsResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i := range req.Resources {
		resp.Resources = append(resp.Resources, replacedResource(&req.Resources[i], err))
	}
	return resp
}

// replacingAlterations are what a request asks for.
func replacingAlterations(req *kmsg.AlterConfigsRequest) []alteration {
	all := make([]alteration, len(req.Resources))
	for i, r := range req.Resources {
		all[i].at = resourceOf(r.ResourceType, r.ResourceName)
		for _, c := range r.Configs {
			all[i].ops = append(all[i].ops, configOp{name: c.Name, op: kmsg.IncrementalAlterConfigOpSet, value: c.Value})
		}
	}
	return all
}

func alterConfigs(v *view, req *kmsg.AlterConfigsRequest, all []alteration) ([]metadata.Message, *kmsg.AlterConfigsResponse, error) {
	records, errs := alterEach(v, all, true)
	resp := req.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i, err := range errs {
		resp.Resources = append(resp.Resources, replacedResource(&req.Resources[i], err))
	}
	return finishAlteration(v, records, req.ValidateOnly), resp, bounded(records)
}

func resourceOf(kind kmsg.ConfigResourceType, name string) metadata.ConfigResource {
	return metadata.ConfigResource{Type: int8(kind), Name: name}
}

// alteration is what a request asks for one resource.
type alteration struct {
	at  metadata.ConfigResource
	ops []configOp
}

// alterEach decides the resources of a request, each by itself: errs has one
// error, or nil, for each. With replace, what an alteration does not name is
// removed.
func alterEach(v *view, all []alteration, replace bool) (records []metadata.Message, errs []error) {
	times := map[metadata.ConfigResource]int{}
	for _, a := range all {
		times[a.at]++
	}
	unknown, missing := newResources(v.img), 0
	for _, a := range all {
		var made []metadata.Message
		err := v.gaveUp()
		if absent := checkExists(v, a.at); absent != nil && err == nil {
			if missing++; missing > mostMissing {
				err = absent
			}
		}
		if err == nil {
			err = checkAlteration(v, a.at, a.ops, times[a.at])
		}
		if err == nil {
			err = unknown.check(a.at)
		}
		if err == nil {
			if replace {
				a.ops = append(a.ops, removals(v, a)...)
			}
			made, err = alterResource(v, a.at, a.ops, false)
		}
		records, errs = append(records, made...), append(errs, err)
	}
	return records, errs
}

// mostMissing is how many topics that do not exist have their configs checked in
// one request, as Kafka checks them before it looks for the topic. A request of 8
// MiB can name 850,000, which took 5 s under the controller's lock.
const mostMissing = 1000

// maxNamedResources bounds the groups, and the client metrics subscriptions, that
// have configs: they need not exist, so that a client can make any number.
const maxNamedResources = 10_000

// namedResources counts the resources that exist only by their configs.
type namedResources struct {
	img   *metadata.Image
	count map[metadata.ResourceType]int // nil before the first new one
}

func newResources(img *metadata.Image) *namedResources { return &namedResources{img: img} }

// check refuses a new resource when there are maxNamedResources of its kind.
func (n *namedResources) check(at metadata.ConfigResource) error {
	if at.Type != metadata.ResourceGroup && at.Type != metadata.ResourceClientMetrics || len(n.img.Configs(at.Type, at.Name)) > 0 {
		return nil
	}
	if n.count == nil {
		n.count = map[metadata.ResourceType]int{}
		for resource := range n.img.AllConfigs() {
			n.count[resource.Type]++
		}
	}
	if n.count[at.Type] >= maxNamedResources {
		return protocol.Errorf(protocol.PolicyViolation, "At most %d groups, and as many client metrics subscriptions, can have configs.", maxNamedResources)
	}
	n.count[at.Type]++
	return nil
}

// removals are of the configs that are set now and that a does not name.
func removals(v *view, a alteration) (ops []configOp) {
	named := map[string]bool{}
	for _, op := range a.ops {
		named[op.name] = true
	}
	for _, name := range sortedKeys(v.img.Configs(a.at.Type, a.at.Name)) {
		if !named[name] {
			ops = append(ops, configOp{name: name, op: kmsg.IncrementalAlterConfigOpDelete})
		}
	}
	return ops
}

// checkAlteration refuses what Kafka refuses before it looks at any config. The
// resource stands in the request so many times.
func checkAlteration(v *view, at metadata.ConfigResource, ops []configOp, times int) error {
	if times > 1 {
		return protocol.Errorf(protocol.InvalidRequest, "Each resource must appear at most once.")
	}
	seen := map[string]bool{}
	var nulls []string
	for _, op := range ops {
		if seen[op.name] {
			return protocol.Errorf(protocol.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[op.name] = true
		if op.value == nil && op.op != kmsg.IncrementalAlterConfigOpDelete {
			nulls = append(nulls, op.name)
		}
	}
	if nulls != nil {
		return protocol.Errorf(protocol.InvalidRequest, "Null value not supported for : %s", strings.Join(nulls, ", "))
	}
	switch at.Type {
	case metadata.ResourceBroker:
		return checkBrokerName(v, at.Name)
	case metadata.ResourceTopic, metadata.ResourceClientMetrics, metadata.ResourceGroup:
		return nil
	}
	return protocol.Errorf(protocol.InvalidRequest, "Unknown resource type %d", at.Type)
}

// finishAlteration adds what follows from the altered configs: a changed
// min.insync.replicas empties the eligible leader replicas that the old one led
// to (KIP-966).
func finishAlteration(v *view, records []metadata.Message, validateOnly bool) []metadata.Message {
	if validateOnly {
		return nil
	}
	if !v.elrEnabled() {
		return records
	}
	for _, m := range records {
		c := m.(*metadata.ConfigRecord)
		if c.Name != minISRKey {
			continue
		}
		emptied := &metadata.ClearElrRecord{}
		if c.ResourceType == metadata.ResourceTopic {
			emptied.TopicName = c.ResourceName
		}
		records = append(records, emptied)
	}
	return records
}

func alteredResource(r *kmsg.IncrementalAlterConfigsRequestResource, err error) kmsg.IncrementalAlterConfigsResponseResource {
	out := kmsg.NewIncrementalAlterConfigsResponseResource()
	out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
	out.ErrorCode, out.ErrorMessage = code(err), text(err)
	return out
}

func replacedResource(r *kmsg.AlterConfigsRequestResource, err error) kmsg.AlterConfigsResponseResource {
	out := kmsg.NewAlterConfigsResponseResource()
	out.ResourceType, out.ResourceName = r.ResourceType, r.ResourceName
	out.ErrorCode, out.ErrorMessage = code(err), text(err)
	return out
}
