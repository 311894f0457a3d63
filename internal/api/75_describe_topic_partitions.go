package api

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// describeTopicPartitions answers DescribeTopicPartitions, version 0
// (KIP-966): topics by name ascending, a page at a time. A page holds at most
// ResponsePartitionLimit partitions, and max.request.partition.size.limit;
// the cursor names the topic and partition that the next page begins with.
//
// Describe on the topic.
func (h *Handler) describeTopicPartitions(_ context.Context, r *Request, req *kmsg.DescribeTopicPartitionsRequest) (kmsg.Response, error) {
	resp := kmsg.NewPtrDescribeTopicPartitionsResponse()
	view := clusterView{img: h.Controller.Image(), listener: r.Listener, meter: r.Meter}
	most := max(1, min(int(h.Config().Network.MaxRequestPartitions), int(req.ResponsePartitionLimit)))
	names, err := pageTopics(view.img, req, most)
	if err != nil {
		return failTopicPartitions(req, resp, err), nil
	}
	page := topicPage{
		view: view, resp: resp, all: len(req.Topics) == 0, cursor: req.Cursor,
		left: most,
	}
	for _, name := range names {
		if err := r.Meter.Charge(meter.Lookup + meter.Size[kmsg.DescribeTopicPartitionsResponseTopic]()); err != nil {
			return nil, err
		}
		if !page.add(name) {
			break
		}
	}
	return resp, nil
}

// pageTopics lists the names that a page of most partitions may hold, from the
// cursor on, and one more for the next cursor.
func pageTopics(img *metadata.Image, req *kmsg.DescribeTopicPartitionsRequest, most int) ([]string, error) {
	from := ""
	if req.Cursor != nil {
		from = req.Cursor.Topic
		if req.Cursor.Partition < 0 {
			return nil, protocol.Errorf(protocol.InvalidRequest, "DescribeTopicPartitionsRequest cursor partition must be valid: %d", req.Cursor.Partition)
		}
	}
	var names []string
	if len(req.Topics) == 0 {
		for t := range img.TopicsFrom(from) {
			if names = append(names, t.Name); len(names) > most {
				break
			}
		}
		return names, nil
	}
	for _, t := range req.Topics {
		if t.Topic >= from {
			names = append(names, t.Topic)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if req.Cursor != nil && !slices.Contains(names, from) {
		return nil, protocol.Errorf(protocol.InvalidRequest, "DescribeTopicPartitionsRequest topic list should contain the cursor topic: %s", from)
	}
	return names, nil
}

func failTopicPartitions(req *kmsg.DescribeTopicPartitionsRequest, resp *kmsg.DescribeTopicPartitionsResponse, err error) kmsg.Response {
	for _, t := range req.Topics {
		topic := newPageTopic(t.Topic, metadata.UUID{}, code(err))
		topic.AuthorizedOperations, topic.IsInternal = noOperations, false
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}

// topicPage fills one page.
type topicPage struct {
	view   clusterView
	resp   *kmsg.DescribeTopicPartitionsResponse
	all    bool
	cursor *kmsg.DescribeTopicPartitionsRequestCursor
	left   int // partitions that the page still holds
}

// add puts a topic on the page; false: the page is full and the cursor set.
func (p *topicPage) add(name string) bool {
	if p.left == 0 {
		p.next(name, 0)
		return false
	}
	topic := p.view.img.TopicByName(name)
	if topic == nil {
		if !p.all {
			p.resp.Topics = append(p.resp.Topics, newPageTopic(name, metadata.UUID{}, missingTopic(name)))
		}
		return true
	}
	from := int32(0)
	if p.cursor != nil && p.cursor.Topic == name {
		from = p.cursor.Partition
	}
	out := newPageTopic(name, topic.ID, protocol.None)
	most := min(p.left, topic.NumPartitions())
	if p.view.meter.Charge(most*metadataPartition) != nil {
		return false
	}
	out.Partitions = make([]kmsg.DescribeTopicPartitionsResponseTopicPartition, 0, most)
	for partition := range topic.PartitionsFrom(from) {
		if len(out.Partitions) == p.left {
			p.resp.Topics = append(p.resp.Topics, out)
			p.next(name, partition.ID)
			return false
		}
		out.Partitions = append(out.Partitions, p.partition(partition))
	}
	p.left -= len(out.Partitions)
	p.resp.Topics = append(p.resp.Topics, out)
	return true
}

func (p *topicPage) next(topic string, partition int32) {
	cursor := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	cursor.Topic, cursor.Partition = topic, partition
	p.resp.NextCursor = &cursor
}

func newPageTopic(name string, id metadata.UUID, err protocol.Code) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode = &name, id, int16(err)
	t.IsInternal = isInternalTopic(name)
	t.AuthorizedOperations = topicOperations
	t.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
	return t
}

func (p *topicPage) partition(from *metadata.Partition) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	out := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	out.Partition, out.LeaderEpoch = from.ID, from.LeaderEpoch
	out.Replicas, out.ISR = from.Replicas, from.ISR
	out.EligibleLeaderReplicas, out.LastKnownELR = notNull(from.ELR), notNull(from.LastKnownELR)
	out.OfflineReplicas = p.view.offline(from)
	out.LeaderID = from.Leader
	if _, ok := p.view.alive(from.Leader); !ok {
		out.LeaderID = metadata.NoLeader
		out.ErrorCode = int16(p.view.unreachable(from.Leader, 6))
	}
	return out
}

// notNull makes a list that the schema lets be null an empty one, as Kafka
// answers.
func notNull(ids []int32) []int32 {
	if ids == nil {
		return []int32{}
	}
	return ids
}

// noOperations is the schema's default: the operations were not asked for.
const noOperations = -1 << 31
