package controller

import (
	"context"
	"errors"
	"slices"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// bootstrapRecords are the first records of a new cluster, those of a Kafka
// cluster that was formatted at 4.3-IV0: metadata.version, which says how to
// read everything else, the other features, and the default of
// min.insync.replicas, which eligible leader replicas need to be the same
// everywhere. kraft.version is not among them: it is the quorum's own.
//
// When Kafka formatted the folder, the records are those of its format command.
func bootstrapRecords(v *view) []metadata.Message {
	if len(v.bootstrap) > 0 {
		return kafkaBootstrap(v)
	}
	records := []metadata.Message{&metadata.FeatureLevelRecord{Name: metadata.FeatureMetadataVersion, FeatureLevel: metadata.CurrentLevel}}
	for _, f := range metadata.SupportedFeatures() {
		if f.Name != metadata.FeatureMetadataVersion && f.Name != metadata.FeatureKRaftVersion {
			records = append(records, &metadata.FeatureLevelRecord{Name: f.Name, FeatureLevel: f.Max})
		}
	}
	return append(records, defaultMinISR(v))
}

// kafkaBootstrap adds to the records of Kafka's format command what its
// controller adds.
func kafkaBootstrap(v *view) []metadata.Message {
	records := slices.Clone(v.bootstrap)
	for _, m := range v.bootstrap {
		if f, ok := m.(*metadata.FeatureLevelRecord); ok && f.Name == metadata.FeatureELRVersion && f.FeatureLevel > 0 {
			return append(records, defaultMinISR(v))
		}
	}
	return records
}

// defaultMinISR makes the node's static min.insync.replicas that of the cluster.
func defaultMinISR(v *view) *metadata.ConfigRecord {
	value, _, ok := v.cfg.Value(minISRKey)
	if !ok {
		value = "1"
	}
	return &metadata.ConfigRecord{ResourceType: metadata.ResourceBroker, Name: minISRKey, Value: &value}
}

// bootstrap sees to it that a new cluster gets its first records without
// waiting for a request: any request, such as this empty one, makes them.
func (c *Controller) bootstrap() {
	_, err := submit(context.Background(), c, func(*view) (outcome[struct{}], error) {
		return outcome[struct{}]{}, nil
	})
	if err != nil && !errors.Is(err, protocol.NotController) {
		c.o.Log.Warn("the first metadata records wait for the next request", "error", err)
	}
}
