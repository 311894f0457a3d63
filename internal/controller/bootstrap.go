package controller

import (
	"context"
	"errors"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// featureRange is a feature and the levels of it that Ottla serves: those of
// Apache Kafka 4.3.1. Initial is the level of a new cluster.
type featureRange struct {
	name          string
	min, max      int16
	initial       int16
	finalizedElse bool // not in the Image: kraft.version is the quorum's
}

// features is sorted by name, the order in which a new cluster gets them.
var features = []featureRange{
	{name: metadata.FeatureELRVersion, max: 1, initial: 1},
	{name: metadata.FeatureGroupVersion, max: 1, initial: 1},
	{name: metadata.FeatureKRaftVersion, max: 1, initial: 1, finalizedElse: true},
	{name: metadata.FeatureMetadataVersion, min: metadata.MinLevel, max: metadata.CurrentLevel, initial: metadata.CurrentLevel},
	{name: metadata.FeatureShareVersion, max: 1, initial: 1},
	{name: metadata.FeatureStreamsVersion, max: 1, initial: 1},
	{name: metadata.FeatureTransactionVersion, max: 2, initial: 2},
}

// bootstrapRecords are the first records of a new cluster, those of a Kafka
// cluster that was formatted at 4.3-IV0: metadata.version, which says how to
// read everything else, the other features, and the default of
// min.insync.replicas, which eligible leader replicas need to be the same
// everywhere.
func bootstrapRecords(v *view) []metadata.Message {
	records := []metadata.Message{&metadata.FeatureLevelRecord{Name: metadata.FeatureMetadataVersion, FeatureLevel: metadata.CurrentLevel}}
	for _, f := range features {
		if f.name != metadata.FeatureMetadataVersion && !f.finalizedElse {
			records = append(records, &metadata.FeatureLevelRecord{Name: f.name, FeatureLevel: f.initial})
		}
	}
	return append(records, defaultMinISR(v))
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
