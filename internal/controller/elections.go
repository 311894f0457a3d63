package controller

import (
	"context"
	"errors"
	"iter"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// ElectLeaders elects the preferred leaders of partitions, or any live replica
// of those without a leader (KIP-460).
func (c *Controller) ElectLeaders(ctx context.Context, req *kmsg.ElectLeadersRequest) *kmsg.ElectLeadersResponse {
	resp, err := submitWithin(ctx, c, req.TimeoutMillis, func(v *view) (outcome[*kmsg.ElectLeadersResponse], error) {
		records, resp, err := electLeaders(v, req)
		return outcome[*kmsg.ElectLeadersResponse]{records: records, reply: resp}, err
	})
	if err == nil {
		return resp
	}
	resp = req.ResponseKind().(*kmsg.ElectLeadersResponse)
	resp.ErrorCode = code(err)
	for i := range req.Topics {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, p := range req.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, electedPartition(p, err))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func electLeaders(v *view, req *kmsg.ElectLeadersRequest) ([]metadata.Message, *kmsg.ElectLeadersResponse, error) {
	kind := electPreferred
	switch {
	case req.Version == 0, req.ElectionType == 0:
	case req.ElectionType == 1:
		kind = electUnclean
	default:
		return nil, nil, protocol.Errorf(protocol.InvalidRequest, "Unknown election type %d", req.ElectionType)
	}
	resp := req.ResponseKind().(*kmsg.ElectLeadersResponse)
	var records []metadata.Message
	for name, partitions := range electionsAsked(v, req) {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = name
		for p := range partitions {
			m, err := electLeader(v, name, p, kind)
			if m != nil {
				records = append(records, m)
			}
			// When all partitions were asked for, those that need none are left out.
			if req.Topics != nil || !errors.Is(err, protocol.ElectionNotNeeded) {
				t.Partitions = append(t.Partitions, electedPartition(p, err))
			}
		}
		resp.Topics = append(resp.Topics, t)
	}
	return records, resp, bounded(records)
}

// electionsAsked are the partitions of a request by topic; no topics at all
// mean every partition there is.
func electionsAsked(v *view, req *kmsg.ElectLeadersRequest) iter.Seq2[string, iter.Seq[int32]] {
	return func(yield func(string, iter.Seq[int32]) bool) {
		for i := range req.Topics {
			t := &req.Topics[i]
			if !yield(t.Topic, func(one func(int32) bool) {
				for _, p := range t.Partitions {
					if !one(p) {
						return
					}
				}
			}) {
				return
			}
		}
		if req.Topics != nil {
			return
		}
		for t := range v.img.Topics() {
			if !yield(t.Name, func(one func(int32) bool) {
				for p := range t.Partitions() {
					if !one(p.ID) {
						return
					}
				}
			}) {
				return
			}
		}
	}
}

// electLeader decides one partition; the message is nil when there is an error.
func electLeader(v *view, name string, index int32, kind election) (metadata.Message, error) {
	t := v.img.TopicByName(name)
	if t == nil {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "No such topic as %s", name)
	}
	p := t.Partition(index)
	if p == nil {
		return nil, protocol.Errorf(protocol.UnknownTopicOrPartition, "No such partition as %s-%d", name, index)
	}
	if kind == electPreferred && p.Leader == p.Replicas[0] || kind == electUnclean && p.Leader != metadata.NoLeader {
		return nil, withText(protocol.ElectionNotNeeded)
	}
	change := v.change(t, p)
	change.election = kind
	m := change.build()
	switch {
	case m != nil:
		return m, nil
	case kind == electPreferred:
		return nil, withText(protocol.PreferredLeaderNotAvailable)
	}
	return nil, withText(protocol.EligibleLeadersNotAvailable)
}

func electedPartition(p int32, err error) kmsg.ElectLeadersResponseTopicPartition {
	out := kmsg.NewElectLeadersResponseTopicPartition()
	out.Partition, out.ErrorCode, out.ErrorMessage = p, code(err), text(err)
	return out
}

// leaderChanges are the records that follow for partitions when a broker comes
// or goes. remove leaves ISR and leadership, unclean the ELR too; NoLeader
// stands for no broker. v must show the brokers as they will be.
func leaderChanges(v *view, remove, unclean int32, affected func(*metadata.Partition) bool) (records []metadata.Message) {
	for t := range v.img.Topics() {
		for p := range t.Partitions() {
			if !affected(p) {
				continue
			}
			change := v.change(t, p)
			if v.uncleanElections(t.Name) {
				change.election = electUnclean
			}
			change.uncleanShutdown = unclean
			change.isr = without(p.ISR, []int32{remove, unclean})
			live := change.acceptable
			change.acceptable = func(broker int32) bool { return broker != remove && broker != unclean && live(broker) }
			if m := change.build(); m != nil {
				records = append(records, m)
			}
		}
	}
	return records
}
