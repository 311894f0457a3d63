package api

import (
	"context"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// The kinds of match of a component (KIP-546).
const (
	matchExact   = 0
	matchDefault = 1
	matchAny     = 2
)

// describeClientQuotas answers DescribeClientQuotas, versions 0–1 (KIP-546).
//
// DescribeConfigs on the cluster.
func (h *Handler) describeClientQuotas(_ context.Context, _ *Request, req *kmsg.DescribeClientQuotasRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	resp.ErrorMessage = new(string)
	if err := checkQuotaFilter(req.Components); err != nil {
		resp.ErrorCode, resp.ErrorMessage = int16(code(err)), message(err)
		return resp, nil
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	for quota := range h.Controller.Image().ClientQuotas() {
		if quotaMatches(quota.Entity, req) {
			resp.Entries = append(resp.Entries, describedQuota(quota))
		}
	}
	return resp, nil
}

// checkQuotaFilter refuses components that name no known or a doubled entity
// type, or whose kind of match does not fit what they match.
func checkQuotaFilter(components []kmsg.DescribeClientQuotasRequestComponent) error {
	seen := map[string]bool{}
	for _, c := range components {
		switch {
		case c.EntityType == "":
			return protocol.Errorf(protocol.InvalidRequest, "Invalid empty entity type.")
		case c.EntityType != "user" && c.EntityType != "client-id" && c.EntityType != "ip":
			return protocol.Errorf(protocol.UnsupportedVersion, "Unsupported entity type %s", c.EntityType)
		case seen[c.EntityType]:
			return protocol.Errorf(protocol.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.EntityType)
		case c.MatchType == matchExact && c.Match == nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
		case c.MatchType == matchDefault && c.Match != nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
		case c.MatchType == matchAny && c.Match != nil:
			return protocol.Errorf(protocol.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
		case c.MatchType < matchExact || c.MatchType > matchAny:
			return protocol.Errorf(protocol.InvalidRequest, "Unknown match type %d", c.MatchType)
		}
		seen[c.EntityType] = true
	}
	if seen["ip"] && (seen["user"] || seen["client-id"]) {
		return protocol.Errorf(protocol.InvalidRequest, "Invalid entity filter component combination, IP filter component should not be used with user or clientId filter component.")
	}
	return nil
}

// quotaMatches: each component must find its part of the entity; strict, the
// entity has no other parts.
func quotaMatches(entity []metadata.QuotaEntity, req *kmsg.DescribeClientQuotasRequest) bool {
	if req.Strict && len(entity) != len(req.Components) {
		return false
	}
	for _, c := range req.Components {
		i := slices.IndexFunc(entity, func(e metadata.QuotaEntity) bool { return e.EntityType == c.EntityType })
		if i < 0 || !componentMatches(c, entity[i].EntityName) {
			return false
		}
	}
	return true
}

func componentMatches(c kmsg.DescribeClientQuotasRequestComponent, name *string) bool {
	switch c.MatchType {
	case matchExact:
		return name != nil && *name == *c.Match
	case matchDefault:
		return name == nil
	default:
		return true
	}
}

func describedQuota(quota *metadata.ClientQuota) kmsg.DescribeClientQuotasResponseEntry {
	entry := kmsg.NewDescribeClientQuotasResponseEntry()
	for _, e := range quota.Entity {
		part := kmsg.NewDescribeClientQuotasResponseEntryEntity()
		part.Type, part.Name = e.EntityType, e.EntityName
		entry.Entity = append(entry.Entity, part)
	}
	for _, key := range slices.Sorted(maps.Keys(quota.Values)) {
		value := kmsg.NewDescribeClientQuotasResponseEntryValue()
		value.Key, value.Value = key, quota.Values[key]
		entry.Values = append(entry.Values, value)
	}
	return entry
}
