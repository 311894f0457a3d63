package metadata

import (
	"iter"
	"maps"
	"slices"
)

// Records returns the records that rebuild img from Empty, in the order of
// Kafka's snapshots: metadata.version first, because it determines how the rest
// is read, then features, brokers, controllers, topics, configs, quotas,
// producer ids, ACLs, SCRAM credentials and delegation tokens. Equal Images
// give equal records (M5, M8).
//
// An open transaction comes last, as in the log.
func (img *Image) Records() iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for _, part := range []iter.Seq[Message]{
			img.featureRecords, img.clusterRecords, img.topicRecords, img.configRecords,
			img.quotaRecords, img.producerIDRecords, img.securityRecords, img.openRecords,
		} {
			for m := range part {
				if !yield(m) {
					return
				}
			}
		}
	}
}

func (img *Image) featureRecords(yield func(Message) bool) {
	if level, ok := img.features.Get(FeatureMetadataVersion); ok {
		if !yield(&FeatureLevelRecord{Name: FeatureMetadataVersion, FeatureLevel: level}) {
			return
		}
	}
	for name, level := range img.features.All() {
		if name != FeatureMetadataVersion && !yield(&FeatureLevelRecord{Name: name, FeatureLevel: level}) {
			return
		}
	}
}

func (img *Image) clusterRecords(yield func(Message) bool) {
	for _, b := range img.brokers.All() {
		if !yield(b.record()) {
			return
		}
	}
	for _, c := range img.controllers.All() {
		if !yield(c) {
			return
		}
	}
}

func (img *Image) topicRecords(yield func(Message) bool) {
	for _, t := range img.topics.All() {
		if !yield(&TopicRecord{Name: t.Name, TopicID: t.ID}) {
			return
		}
		for _, p := range t.partitions.All() {
			if !yield(p.record(t.ID)) {
				return
			}
		}
	}
}

func (p *Partition) record(topic UUID) *PartitionRecord {
	m := &PartitionRecord{
		PartitionID: p.ID, TopicID: topic, Replicas: p.Replicas, ISR: p.ISR, RemovingReplicas: p.Removing,
		AddingReplicas: p.Adding, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
		Directories: p.Directories, EligibleLeaderReplicas: p.ELR, LastKnownELR: p.LastKnownELR,
	}
	if p.Recovering {
		m.LeaderRecoveryState = 1
	}
	return m
}

func (img *Image) configRecords(yield func(Message) bool) {
	for at, configs := range img.AllConfigs() {
		for _, name := range slices.Sorted(maps.Keys(configs)) {
			value := configs[name]
			if !yield(&ConfigRecord{ResourceType: at.Type, ResourceName: at.Name, Name: name, Value: &value}) {
				return
			}
		}
	}
}

func (img *Image) quotaRecords(yield func(Message) bool) {
	for _, q := range img.quotas.All() {
		for _, key := range slices.Sorted(maps.Keys(q.Values)) {
			if !yield(&ClientQuotaRecord{Entity: q.Entity, Key: key, Value: q.Values[key]}) {
				return
			}
		}
	}
}

func (img *Image) producerIDRecords(yield func(Message) bool) {
	if img.nextProducerID >= 0 {
		yield(&ProducerIdsRecord{BrokerID: -1, BrokerEpoch: -1, NextProducerID: img.nextProducerID})
	}
}

func (img *Image) securityRecords(yield func(Message) bool) {
	for _, a := range img.acls.All() {
		if !yield(a) {
			return
		}
	}
	for _, c := range img.scram.All() {
		if !yield(c) {
			return
		}
	}
	for _, t := range img.tokens.All() {
		if !yield(t) {
			return
		}
	}
}

func (img *Image) openRecords(yield func(Message) bool) {
	if img.zkMigration != nil && !yield(img.zkMigration) {
		return
	}
	if img.open == nil || !yield(img.open.begin) {
		return
	}
	for _, m := range img.open.records {
		if !yield(m) {
			return
		}
	}
}
