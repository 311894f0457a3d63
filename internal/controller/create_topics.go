package controller

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// CreateTopics creates topics (KIP-4; configs in the reply KIP-525, ids KIP-516).
// Each topic succeeds or fails by itself; all that succeed are one batch.
func (c *Controller) CreateTopics(ctx context.Context, req *kmsg.CreateTopicsRequest) *kmsg.CreateTopicsResponse {
	resp, err := submitWithin(ctx, c, req.TimeoutMillis, func(v *view) (outcome[*kmsg.CreateTopicsResponse], error) {
		records, resp, err := createTopics(v, req)
		return outcome[*kmsg.CreateTopicsResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, failedTopic(req.Topics[i].Topic, err))
	}
	return resp
}

// createTopics decides CreateTopics. Topics that are named twice fail, and
// stand at the end of the reply, as does the name of the metadata log.
func createTopics(v *view, req *kmsg.CreateTopicsRequest) ([]metadata.Message, *kmsg.CreateTopicsResponse, error) {
	topics, duplicates := splitDuplicates(req.Topics)
	if totalPartitions(v, topics) > maxRecordsPerBatch {
		return nil, nil, protocol.Errorf(protocol.PolicyViolation, "Excessively large number of partitions per request.")
	}
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	var records []metadata.Message
	v.collides = collisions(v.img, topics)
	for _, t := range topics {
		if err := v.gaveUp(); err != nil {
			return nil, nil, err
		}
		made, result, err := createTopic(v, t)
		if err != nil {
			result = failedTopic(t.Topic, err)
		}
		resp.Topics = append(resp.Topics, result)
		records = append(records, made...)
		if err := bounded(records); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range duplicates {
		err := protocol.Errorf(protocol.InvalidRequest, "Duplicate topic name.")
		if name == clusterMetadataTopic {
			err = protocol.Errorf(protocol.InvalidRequest, "Creation of internal topic %s is prohibited.", name)
		}
		resp.Topics = append(resp.Topics, failedTopic(name, err))
	}
	if req.ValidateOnly {
		records = nil
	}
	return records, resp, nil
}

// splitDuplicates takes out the topics that may not be created whatever they
// are, once each: those named more than once, and the metadata log.
func splitDuplicates(all []kmsg.CreateTopicsRequestTopic) (topics []*kmsg.CreateTopicsRequestTopic, refused []string) {
	count := map[string]int{}
	for i := range all {
		count[all[i].Topic]++
	}
	for i := range all {
		name := all[i].Topic
		switch {
		case count[name] == 1 && name != clusterMetadataTopic:
			topics = append(topics, &all[i])
		case count[name] > 0:
			refused = append(refused, name)
			count[name] = 0
		}
	}
	return topics, refused
}

func totalPartitions(v *view, topics []*kmsg.CreateTopicsRequestTopic) (n int64) {
	for _, t := range topics {
		switch {
		case len(t.ReplicaAssignment) > 0:
			n += int64(len(t.ReplicaAssignment))
		case t.NumPartitions == -1:
			n += int64(v.cfg.Topics.Partitions)
		case t.NumPartitions > 0:
			n += int64(t.NumPartitions)
		}
	}
	return n
}

// createTopic decides one topic. Its checks come in Kafka's order, which shows
// when several things are wrong.
func createTopic(v *view, t *kmsg.CreateTopicsRequestTopic) ([]metadata.Message, kmsg.CreateTopicsResponseTopic, error) {
	none := kmsg.CreateTopicsResponseTopic{}
	if err := checkNewTopicName(v, t.Topic); err != nil {
		return nil, none, err
	}
	configs, configRecords, err := newTopicConfigs(v, t)
	if err != nil {
		return nil, none, err
	}
	partitions, err := newPartitions(v, t)
	if err != nil {
		return nil, none, err
	}
	id := v.newID()
	records := []metadata.Message{&metadata.TopicRecord{Name: t.Topic, TopicID: id}}
	records = append(records, configRecords...)
	for i, a := range partitions {
		records = append(records, v.partitionRecord(id, int32(i), a))
	}
	result := kmsg.NewCreateTopicsResponseTopic()
	result.Topic, result.TopicID = t.Topic, id
	result.NumPartitions, result.ReplicationFactor = int32(len(partitions)), int16(len(partitions[0].replicas))
	result.Configs = describeNewTopic(v, configs)
	return records, result, nil
}

func checkNewTopicName(v *view, name string) error {
	if v.img.TopicByName(name) != nil {
		return protocol.Errorf(protocol.TopicAlreadyExists, "Topic '%s' already exists.", name)
	}
	if err := ValidTopicName(name); err != nil {
		return err
	}
	if other := v.collides(name); other != "" {
		return protocol.Errorf(protocol.InvalidTopicException, "Topic '%s' collides with existing topic: %s", name, other)
	}
	return nil
}

// newTopicConfigs checks the configs that a topic is created with. Of several
// values for one config the last counts.
func newTopicConfigs(v *view, t *kmsg.CreateTopicsRequestTopic) (map[string]string, []metadata.Message, error) {
	var ops []configOp
	var nulls []string
	configs := map[string]string{}
	last := make(map[string]int, len(t.Configs))
	for i, c := range t.Configs {
		last[c.Name] = i
	}
	for i, c := range t.Configs {
		switch {
		case c.Value == nil:
			nulls = append(nulls, c.Name)
		case last[c.Name] == i:
			configs[c.Name] = *c.Value
			ops = append(ops, configOp{name: c.Name, op: kmsg.IncrementalAlterConfigOpSet, value: c.Value})
		}
	}
	if nulls != nil {
		return nil, nil, protocol.Errorf(protocol.InvalidConfig, "Null value not supported for topic configs: %s", strings.Join(nulls, ","))
	}
	records, err := alterResource(v, metadata.ConfigResource{Type: metadata.ResourceTopic, Name: t.Topic}, ops, true)
	return configs, records, err
}

// newPartitions decides how many partitions a topic gets, and where they are.
func newPartitions(v *view, t *kmsg.CreateTopicsRequestTopic) ([]assignment, error) {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return manualPartitions(v, t)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return nil, protocol.Errorf(protocol.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case t.NumPartitions < -1 || t.NumPartitions == 0:
		return nil, protocol.Errorf(protocol.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	partitions, factor := t.NumPartitions, t.ReplicationFactor
	if partitions == -1 {
		partitions = v.cfg.Topics.Partitions
	}
	if factor == -1 {
		factor = v.cfg.Topics.ReplicationFactor
	}
	placed, err := v.place(int(partitions), factor)
	if err != nil {
		return nil, protocol.Errorf(protocol.CodeOf(err), "Unable to replicate the partition %d time(s): %s", factor, *protocol.MessageOf(err))
	}
	return placed, nil
}

func manualPartitions(v *view, t *kmsg.CreateTopicsRequestTopic) ([]assignment, error) {
	if t.ReplicationFactor != -1 {
		return nil, protocol.Errorf(protocol.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if t.NumPartitions != -1 {
		return nil, protocol.Errorf(protocol.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	byIndex := map[int32]assignment{}
	factor := -1
	for _, a := range t.ReplicaAssignment {
		if _, ok := byIndex[a.Partition]; ok {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, "Found multiple manual partition assignments for partition %d", a.Partition)
		}
		if err := v.checkReplicas(a.Replicas, factor); err != nil {
			return nil, err
		}
		factor = len(a.Replicas)
		if !slices.ContainsFunc(a.Replicas, v.active) {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment,
				"All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", a.Partition)
		}
		byIndex[a.Partition] = v.assign(a.Replicas)
	}
	out := make([]assignment, len(byIndex))
	for i := range out {
		a, ok := byIndex[int32(i)]
		if !ok {
			return nil, protocol.Errorf(protocol.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
		out[i] = a
	}
	return out, nil
}

// checkReplicas checks a manual assignment. factor is the number of replicas
// that it must have, -1 for any.
func (v *view) checkReplicas(replicas []int32, factor int) error {
	if len(replicas) == 0 {
		return protocol.Errorf(protocol.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(replicas))
	for i, id := range sorted {
		if v.img.Broker(id) == nil {
			return protocol.Errorf(protocol.InvalidReplicaAssignment,
				"The manual partition assignment includes broker %d, but no such broker is registered.", id)
		}
		if i > 0 && id == sorted[i-1] {
			return protocol.Errorf(protocol.InvalidReplicaAssignment, "The manual partition assignment includes the broker %d more than once.", id)
		}
	}
	if factor >= 0 && len(replicas) != factor {
		return protocol.Errorf(protocol.InvalidReplicaAssignment,
			"The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).",
			len(replicas), factor)
	}
	return nil
}

// partitionRecord is a new partition: its ISR are the replicas that may lead,
// and the first of them does.
func (v *view) partitionRecord(topic metadata.UUID, index int32, a assignment) *metadata.PartitionRecord {
	m := metadata.NewPartitionRecord()
	m.TopicID, m.PartitionID = topic, index
	m.Replicas, m.Directories = a.replicas, a.directories
	for _, id := range a.replicas {
		if v.active(id) {
			m.ISR = append(m.ISR, id)
		}
	}
	m.Leader = m.ISR[0]
	m.LeaderEpoch, m.PartitionEpoch = 0, 0
	return m
}

// describeNewTopic lists the configs in force for a topic with these of its own.
func describeNewTopic(v *view, configs map[string]string) []kmsg.CreateTopicsResponseTopicConfig {
	out := []kmsg.CreateTopicsResponseTopicConfig{}
	for _, e := range v.cfg.DescribeCreated(configs, v.dynamic()) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source, c.IsSensitive = e.Name, e.Value, int8(e.Source), e.Sensitive
		out = append(out, c)
	}
	return out
}

// failedTopic is the result of a topic that was not created.
func failedTopic(name string, err error) kmsg.CreateTopicsResponseTopic {
	t := kmsg.NewCreateTopicsResponseTopic()
	t.Topic, t.ErrorCode, t.ErrorMessage = name, code(err), text(err)
	t.NumPartitions, t.ReplicationFactor = -1, -1
	t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	return t
}
