package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/controller"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// metadata answers Metadata, versions 0–13.
//
// Topics are named (KIP-4) or given by id (KIP-516, v12). With
// auto.create.topics.enable a missing topic is created before the answer
// leaves, so that the first one already names its leader; Kafka answers
// UNKNOWN_TOPIC_OR_PARTITION and lets the client ask again.
//
// Describe on the topic; Create on the topic or the cluster to auto-create.
func (h *Handler) metadata(ctx context.Context, r *Request, req *kmsg.MetadataRequest) (kmsg.Response, error) {
	img := h.Controller.Image()
	resp := kmsg.NewPtrMetadataResponse()
	resp.ControllerID, resp.AuthorizedOperations = -1, noOperations
	if err := checkMetadataTopics(r.Header.Version, req.Topics); err != nil {
		return failMetadata(req, resp, err), nil
	}
	view := clusterView{img: img, listener: r.Listener, meter: r.Meter}
	resp.ClusterID = &h.ClusterID
	resp.ControllerID = view.anyBroker()
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	if wantsAllTopics(r.Header.Version, req.Topics) {
		for t := range img.Topics() {
			if view.charge(t) != nil {
				break
			}
			resp.Topics = append(resp.Topics, view.topic(t, r.Header.Version))
		}
	} else {
		// Before version 4 a client could not say that it does not want it.
		if (req.AllowAutoTopicCreation || r.Header.Version < 4) && h.Config().Topics.AutoCreate {
			h.autoCreate(ctx, req.Topics)
			view.img = h.Controller.Image()
		}
		resp.Topics = view.topics(req.Topics, r.Header.Version)
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			resp.Topics[i].AuthorizedOperations = topicOperations
		}
	}
	resp.Brokers = view.brokers(h.Static.NodeID)
	return resp, nil
}

// wantsAllTopics: version 0 has no null list and takes the empty one for it.
func wantsAllTopics(version int16, topics []kmsg.MetadataRequestTopic) bool {
	return topics == nil || version == 0 && len(topics) == 0
}

// checkMetadataTopics refuses what the request's version cannot mean: ids and
// null names exist from version 12, although 10 and 11 have the fields. A topic
// with neither name nor id is an UNKNOWN_SERVER_ERROR, as Kafka answers.
func checkMetadataTopics(version int16, topics []kmsg.MetadataRequestTopic) error {
	for _, t := range topics {
		if version >= 12 {
			if t.Topic == nil && t.TopicID == (metadata.UUID{}) {
				return protocol.UnknownServerError
			}
			continue
		}
		if t.Topic == nil {
			return protocol.Errorf(protocol.InvalidRequest, "Topic name can not be null for version %d", version)
		}
		if t.TopicID != (metadata.UUID{}) {
			return protocol.Errorf(protocol.InvalidRequest, "Topic IDs are not supported in requests for version %d", version)
		}
	}
	return nil
}

// failMetadata gives every topic of the request the same error.
func failMetadata(req *kmsg.MetadataRequest, resp *kmsg.MetadataResponse, err error) *kmsg.MetadataResponse {
	for _, t := range req.Topics {
		topic := newMetadataTopic(t.Topic, t.TopicID, code(err))
		if topic.Topic == nil {
			topic.Topic = new(string)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	if req.Version >= 13 {
		resp.ErrorCode = int16(code(err))
	}
	return resp
}

// autoCreate creates the topics that are named and missing, with the broker's
// defaults. What fails is left out: the answer then says that the topic is
// unknown or its name is invalid. Internal topics are not a client's to create.
func (h *Handler) autoCreate(ctx context.Context, topics []kmsg.MetadataRequestTopic) {
	img := h.Controller.Image()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 7
	create.TimeoutMillis = int32(h.Config().Network.RequestTimeout.Milliseconds())
	seen := map[string]bool{}
	for _, t := range topics {
		if t.Topic == nil || seen[*t.Topic] || img.TopicByName(*t.Topic) != nil || controller.ValidTopicName(*t.Topic) != nil || isInternalTopic(*t.Topic) {
			continue
		}
		seen[*t.Topic] = true
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = *t.Topic, -1, -1
		create.Topics = append(create.Topics, topic)
	}
	if len(create.Topics) > 0 {
		h.Controller.CreateTopics(ctx, create)
	}
}

// clusterView is the cluster as a client of one listener sees it.
type clusterView struct {
	img      *metadata.Image
	listener string
	meter    *meter.Meter
}

// charge charges a topic of the answer before it is built.
func (v clusterView) charge(t *metadata.Topic) error {
	return v.meter.Charge(meter.Size[kmsg.MetadataResponseTopic]() + len(t.Name) + t.NumPartitions()*metadataPartition)
}

// metadataPartition is what a partition takes in Metadata or
// DescribeTopicPartitions, with its offline replicas.
var metadataPartition = 16 + max(
	meter.Size[kmsg.MetadataResponseTopicPartition](), meter.Size[kmsg.DescribeTopicPartitionsResponseTopicPartition](),
)

// alive tells where a broker is reached that is registered and not fenced.
func (v clusterView) alive(id int32) (metadata.BrokerEndpoint, bool) {
	b := v.img.Broker(id)
	if b == nil || b.Fenced {
		return metadata.BrokerEndpoint{}, false
	}
	return b.Listener(v.listener)
}

// anyBroker is the broker named as controller: clients may send controller
// requests to any, for it forwards them.
func (v clusterView) anyBroker() int32 {
	for b := range v.img.Brokers() {
		if _, ok := v.alive(b.ID); ok {
			return b.ID
		}
	}
	return -1
}

// brokers lists those that are alive, and the one that answers: a broker that stops
// is fenced before its connections close. A cluster without any broker is more than
// some clients can bear: they let go of the last address that they know (librdkafka
// 2.16 then hangs).
func (v clusterView) brokers(self int32) []kmsg.MetadataResponseBroker {
	var brokers []kmsg.MetadataResponseBroker
	for b := range v.img.Brokers() {
		endpoint, ok := v.alive(b.ID)
		if b.ID == self {
			endpoint, ok = b.Listener(v.listener)
		}
		if !ok {
			continue
		}
		broker := kmsg.NewMetadataResponseBroker()
		broker.NodeID, broker.Rack = b.ID, b.Rack
		broker.Host, broker.Port = endpoint.Host, int32(endpoint.Port)
		brokers = append(brokers, broker)
	}
	return brokers
}

// topics answers the topics of a request, each once, unknown ids first as
// Kafka does. When ids are used, names without an id are passed over.
func (v clusterView) topics(asked []kmsg.MetadataRequestTopic, version int16) []kmsg.MetadataResponseTopic {
	var unknown, found, missing []kmsg.MetadataResponseTopic
	byID := usesIDs(asked)
	seen := map[string]bool{}
	for _, t := range asked {
		key := string(t.TopicID[:])
		if !byID {
			key = *t.Topic
		}
		if seen[key] || byID && t.TopicID == (metadata.UUID{}) {
			continue
		}
		seen[key] = true
		if v.meter.Charge(meter.Lookup) != nil {
			break
		}
		switch topic := v.find(t, byID); {
		case topic != nil && v.charge(topic) != nil:
			return nil
		case topic != nil:
			found = append(found, v.topic(topic, version))
		case byID:
			unknown = append(unknown, newMetadataTopic(nil, t.TopicID, protocol.UnknownTopicID))
		default:
			missing = append(missing, newMetadataTopic(t.Topic, t.TopicID, missingTopic(*t.Topic)))
		}
	}
	return append(append(unknown, found...), missing...)
}

func usesIDs(asked []kmsg.MetadataRequestTopic) bool {
	for _, t := range asked {
		if t.TopicID != (metadata.UUID{}) || t.Topic == nil {
			return true
		}
	}
	return false
}

func (v clusterView) find(t kmsg.MetadataRequestTopic, byID bool) *metadata.Topic {
	if byID {
		return v.img.TopicByID(t.TopicID)
	}
	return v.img.TopicByName(*t.Topic)
}

// missingTopic is the error of a topic that does not exist.
func missingTopic(name string) protocol.Code {
	if controller.ValidTopicName(name) != nil {
		return protocol.InvalidTopicException
	}
	return protocol.UnknownTopicOrPartition
}

func newMetadataTopic(name *string, id metadata.UUID, err protocol.Code) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.ErrorCode, t.Topic, t.TopicID = int16(err), name, id
	t.IsInternal = name != nil && isInternalTopic(*name)
	t.Partitions = []kmsg.MetadataResponseTopicPartition{}
	return t
}

func (v clusterView) topic(t *metadata.Topic, version int16) kmsg.MetadataResponseTopic {
	topic := newMetadataTopic(&t.Name, t.ID, protocol.None)
	topic.Partitions = make([]kmsg.MetadataResponseTopicPartition, 0, t.NumPartitions())
	for p := range t.Partitions() {
		topic.Partitions = append(topic.Partitions, v.partition(p, version))
	}
	return topic
}

func (v clusterView) partition(p *metadata.Partition, version int16) kmsg.MetadataResponseTopicPartition {
	out := kmsg.NewMetadataResponseTopicPartition()
	out.Partition, out.LeaderEpoch = p.ID, p.LeaderEpoch
	out.Replicas, out.ISR = p.Replicas, p.ISR
	out.OfflineReplicas = v.offline(p)
	if version == 0 {
		out.Replicas, out.ISR = v.onlyAlive(p.Replicas), v.onlyAlive(p.ISR)
	}
	if _, ok := v.alive(p.Leader); !ok {
		out.Leader = metadata.NoLeader
		out.ErrorCode = int16(v.unreachable(p.Leader, version))
		return out
	}
	out.Leader = p.Leader
	if len(out.Replicas) < len(p.Replicas) || len(out.ISR) < len(p.ISR) {
		out.ErrorCode = int16(protocol.ReplicaNotAvailable)
	}
	return out
}

// unreachable is why a leader has no address on the client's listener: from
// version 6 a registered leader without that listener is told apart.
func (v clusterView) unreachable(leader int32, version int16) protocol.Code {
	if v.img.Broker(leader) != nil && version >= 6 {
		return protocol.ListenerNotFound
	}
	return protocol.LeaderNotAvailable
}

func (v clusterView) onlyAlive(ids []int32) []int32 {
	out := make([]int32, 0, len(ids))
	for _, id := range ids {
		if _, ok := v.alive(id); ok {
			out = append(out, id)
		}
	}
	return out
}

// offline lists the replicas whose broker is not there, or whose log dir is
// not online.
func (v clusterView) offline(p *metadata.Partition) []int32 {
	offline := []int32{}
	for i, id := range p.Replicas {
		_, ok := v.alive(id)
		if !ok || i < len(p.Directories) && isLostDir(v.img.Broker(id), p.Directories[i]) {
			offline = append(offline, id)
		}
	}
	return offline
}

// isLostDir tells whether a log dir is known to be gone. The reserved ids
// "migrating" and "unassigned" stand for a dir that the broker will name.
func isLostDir(b *metadata.Broker, dir metadata.UUID) bool {
	switch dir {
	case metadata.DirMigrating, metadata.DirUnassigned:
		return false
	case metadata.DirLost:
		return true
	}
	return !b.HasLogDir(dir)
}

// isInternalTopic names the topics that Kafka keeps for itself.
func isInternalTopic(name string) bool {
	return name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state"
}

// Without an authorizer everybody may do everything that a kind of resource
// has: the bits are Kafka's AclOperation ids.
const (
	groupOperations   int32 = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11
	topicOperations   int32 = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations int32 = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)
