package controller

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// UpdateFeatures changes the finalized levels of features (KIP-584, KIP-778,
// KIP-1022). All updates succeed or none does.
func (c *Controller) UpdateFeatures(ctx context.Context, req *kmsg.UpdateFeaturesRequest) *kmsg.UpdateFeaturesResponse {
	resp, err := submit(ctx, c, func(v *view) (outcome[*kmsg.UpdateFeaturesResponse], error) {
		records, resp := updateFeatures(v, req)
		return outcome[*kmsg.UpdateFeaturesResponse]{records: records, reply: resp}, nil
	})
	if err != nil {
		resp = req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
		resp.ErrorCode, resp.ErrorMessage = code(err), text(err)
	}
	return resp
}

// The upgrade types of UpdateFeatures.
const (
	upgrade         int8 = 1
	safeDowngrade   int8 = 2
	unsafeDowngrade int8 = 3
)

func updateFeatures(v *view, req *kmsg.UpdateFeaturesRequest) ([]metadata.Message, *kmsg.UpdateFeaturesResponse) {
	resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	var records []metadata.Message
	enableELR := false
	for _, u := range req.FeatureUpdates {
		kind := u.UpgradeType
		if req.Version == 0 { // which has no upgrade type
			kind = upgrade
		}
		made, err := updateFeature(v, u.Feature, u.MaxVersionLevel, kind)
		if err != nil {
			resp.ErrorCode = code(err)
			message := "The update failed for all features since the following feature had an error: " + *text(err)
			resp.ErrorMessage = &message
			return nil, resp
		}
		records = append(records, made...)
		enableELR = enableELR || u.Feature == metadata.FeatureELRVersion && u.MaxVersionLevel > 0
	}
	if req.Version <= 1 {
		for _, u := range req.FeatureUpdates {
			result := kmsg.NewUpdateFeaturesResponseResult()
			result.Feature = u.Feature
			result.ErrorMessage = kmsg.StringPtr("NONE") // as Kafka has it
			resp.Results = append(resp.Results, result)
		}
	}
	if req.ValidateOnly {
		return nil, resp
	}
	if enableELR {
		records = append(elrSafety(v), records...)
	}
	return records, resp
}

// updateFeature decides one feature.
func updateFeature(v *view, name string, level int16, kind int8) ([]metadata.Message, error) {
	invalid := func(format string, args ...any) error {
		return protocol.Errorf(protocol.InvalidUpdateVersion, "Invalid update version %d for feature %s. %s", level, name, fmt.Sprintf(format, args...))
	}
	if kind < upgrade || kind > unsafeDowngrade {
		return nil, invalid("The controller does not support the given upgrade type.")
	}
	if level < 0 {
		return nil, invalid("A feature version cannot be less than 0.")
	}
	if reason := unsupported(v, name, level); reason != "" {
		return nil, invalid("%s", reason)
	}
	current := v.img.Feature(name)
	if name == metadata.FeatureKRaftVersion {
		current = v.kraftVersion
	}
	switch {
	case level < current && kind == upgrade:
		return nil, invalid("Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade.")
	case level > current && kind != upgrade:
		return nil, invalid("Can't downgrade to a newer version.")
	case name == metadata.FeatureMetadataVersion:
		if err := checkMetadataDowngrade(current, level, kind); err != nil {
			return nil, err
		}
	case name == metadata.FeatureKRaftVersion && level > current:
		return nil, invalid("Ottla does not move the voters of controller.quorum.voters into the metadata log yet. Let Apache Kafka do it.")
	case name == metadata.FeatureKRaftVersion && level != current:
		return nil, invalid("Can't downgrade the version of this feature.")
	case name == metadata.FeatureKRaftVersion && kind == upgrade:
		return []metadata.Message{&metadata.NoOpRecord{}}, nil
	case name == metadata.FeatureKRaftVersion:
		return nil, nil
	}
	return []metadata.Message{&metadata.FeatureLevelRecord{Name: name, FeatureLevel: level}}, nil
}

// newestKRaftVersion is the level at which every quorum of Ottla's is formed;
// there is none above, and Kafka has no way down either. One that Kafka formed
// for controller.quorum.voters has level 0.
const newestKRaftVersion int16 = 1

// changedLevels are the levels of metadata.version that brought new records or
// fields: going below one may lose metadata.
var changedLevels = []int16{7, 8, 11, 13, 14, 15, 17, 23, 30}

// checkMetadataDowngrade refuses to go below a level that changed the metadata,
// as Kafka does, even when an unsafe downgrade is asked for.
func checkMetadataDowngrade(current, level int16, kind int8) error {
	lossy := slices.ContainsFunc(changedLevels, func(l int16) bool { return level < l && l <= current })
	if !lossy {
		return nil
	}
	why := "Refusing to perform the requested downgrade because it might delete metadata information."
	if kind == unsafeDowngrade {
		why = "Unsafe metadata downgrade is not supported in this version."
	}
	return protocol.Errorf(protocol.InvalidUpdateVersion, "Unsupported metadata.version downgrade from %d to %d. %s", current, level, why)
}

// unsupported says who in the cluster does not serve a level, "" when all do.
func unsupported(v *view, name string, level int16) string {
	lowest, highest := int16(0), int16(0)
	for _, f := range metadata.SupportedFeatures() {
		if f.Name == name {
			lowest, highest = f.Min, f.Max
		}
	}
	if reason := outside(fmt.Sprintf("Local controller %d", v.nodeID), level, lowest, highest); reason != "" {
		return reason
	}
	for b := range v.img.Brokers() {
		lowest, highest = 0, 0
		for _, f := range b.Features {
			if f.Name == name {
				lowest, highest = f.MinSupportedVersion, f.MaxSupportedVersion
			}
		}
		if reason := outside(fmt.Sprintf("Broker %d", b.ID), level, lowest, highest); reason != "" {
			return reason
		}
	}
	for id, c := range v.img.Controllers() {
		if id == v.nodeID {
			continue
		}
		lowest, highest = 0, 0
		for _, f := range c.Features {
			if f.Name == name {
				lowest, highest = f.MinSupportedVersion, f.MaxSupportedVersion
			}
		}
		if reason := outside(fmt.Sprintf("Controller %d", id), level, lowest, highest); reason != "" {
			return reason
		}
	}
	return ""
}

func outside(who string, level, lowest, highest int16) string {
	switch {
	case lowest <= level && level <= highest:
		return ""
	case highest == 0:
		return who + " does not support this feature."
	case lowest == highest:
		return fmt.Sprintf("%s only supports versions %d", who, lowest)
	}
	return fmt.Sprintf("%s only supports versions %d-%d", who, lowest, highest)
}

// elrSafety are the records that must come before eligible leader replicas are
// switched on: one min.insync.replicas for all brokers.
func elrSafety(v *view) (records []metadata.Message) {
	if _, ok := v.img.Config(metadata.ResourceBroker, "", minISRKey); !ok {
		records = append(records, defaultMinISR(v))
	}
	for at, configs := range v.img.AllConfigs() {
		if _, ok := configs[minISRKey]; ok && at.Type == metadata.ResourceBroker && at.Name != "" {
			records = append(records, &metadata.ConfigRecord{ResourceType: at.Type, ResourceName: at.Name, Name: minISRKey})
		}
	}
	return records
}
