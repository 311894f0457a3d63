package api

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/group"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// The kinds of coordinators.
const (
	coordinatesGroups       int8 = 0
	coordinatesTransactions int8 = 1
	coordinatesShares       int8 = 2
)

// findCoordinator answers FindCoordinator, versions 0–6: the leader of the
// partition of __consumer_offsets that a group belongs to. Version 4 and later
// ask for several at once (KIP-699).
//
// The topic is created when it is needed first, and before the answer leaves;
// Kafka answers COORDINATOR_NOT_AVAILABLE and lets the client ask again.
//
// Transactions are not served yet: see initProducerID. Nor are share groups,
// which get INVALID_REQUEST as from a Kafka that has them disabled.
//
// Describe on the group.
func (h *Handler) findCoordinator(ctx context.Context, r *Request, req *kmsg.FindCoordinatorRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	keys := req.CoordinatorKeys
	if r.Header.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	failed := refuseCoordinator(req.CoordinatorType)
	if failed == protocol.None && len(keys) > 0 {
		h.createOffsetsTopic(ctx)
	}
	view := clusterView{img: h.Controller.Image(), listener: r.Listener}
	for _, key := range keys {
		if err := r.Meter.Charge(meter.Lookup + meter.Size[kmsg.FindCoordinatorResponseCoordinator]()); err != nil {
			return nil, err
		}
		c := h.coordinator(view, key, failed)
		if req.CoordinatorType < coordinatesGroups || req.CoordinatorType > coordinatesShares {
			text := failed.Message()
			c.ErrorMessage = &text
		}
		resp.Coordinators = append(resp.Coordinators, c)
	}
	if r.Header.Version < 4 {
		only := resp.Coordinators[0]
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = only.ErrorCode, only.NodeID, only.Host, only.Port
		text := protocol.Code(only.ErrorCode).Message()
		if only.ErrorCode == 0 {
			text = "NONE"
		}
		resp.ErrorMessage, resp.Coordinators = &text, nil
	}
	return resp, nil
}

// refuseCoordinator is why no coordinator of a kind is there.
func refuseCoordinator(kind int8) protocol.Code {
	switch kind {
	case coordinatesGroups:
		return protocol.None
	case coordinatesTransactions:
		return protocol.TransactionalIDAuthorizationFailed
	}
	return protocol.InvalidRequest
}

// coordinator is the answer for one key.
func (h *Handler) coordinator(view clusterView, key string, failed protocol.Code) kmsg.FindCoordinatorResponseCoordinator {
	c := kmsg.NewFindCoordinatorResponseCoordinator()
	c.Key, c.NodeID, c.Port, c.ErrorMessage = key, -1, -1, new(string)
	if failed == protocol.None {
		failed = protocol.CoordinatorNotAvailable
		if t := view.img.TopicByName(group.Topic); t != nil {
			if p := t.Partition(h.Groups.Partition(key)); p != nil {
				if endpoint, ok := view.alive(p.Leader); ok {
					c.NodeID, c.Host, c.Port = p.Leader, endpoint.Host, int32(endpoint.Port)
					return c
				}
			}
		}
	}
	c.ErrorCode = int16(failed)
	return c
}

// createOffsetsTopic creates __consumer_offsets unless it is there. It gets as
// many replicas as there are brokers, if those are fewer than
// offsets.topic.replication.factor. What fails is left out: the client is told
// that there is no coordinator, and asks again.
func (h *Handler) createOffsetsTopic(ctx context.Context) {
	img := h.Controller.Image()
	if img.TopicByName(group.Topic) != nil {
		return
	}
	cfg := h.Config()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version = 7
	req.TimeoutMillis = int32(cfg.Network.RequestTimeout.Milliseconds())
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions = group.Topic, cfg.Offsets.Partitions
	t.ReplicationFactor = min(cfg.Offsets.ReplicationFactor, liveBrokers(img))
	for _, c := range [][2]string{
		{"cleanup.policy", "compact"},
		{"compression.type", "producer"},
		{"segment.bytes", strconv.Itoa(int(cfg.Offsets.SegmentBytes))},
	} {
		one := kmsg.NewCreateTopicsRequestTopicConfig()
		one.Name, one.Value = c[0], &c[1]
		t.Configs = append(t.Configs, one)
	}
	req.Topics = append(req.Topics, t)
	h.Controller.CreateTopics(ctx, req)
}

// liveBrokers is the number of brokers that are not fenced; at least one.
func liveBrokers(img *metadata.Image) int16 {
	n := int16(0)
	for b := range img.Brokers() {
		if !b.Fenced {
			n++
		}
	}
	return max(n, 1)
}
