package api

import (
	"errors"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/replica"
)

// encode makes the response: bytes, and the regions of files between them.
func (c *fetchCall) encode(dst []byte) (Payload, error) {
	if c.kept {
		c.response.SessionID = c.session.id
	}
	for i := range c.found {
		f := &c.found[i]
		out := c.partition(f)
		if f.partition != nil {
			f.partition.CountFetch(out.RecordsLen, f.err == nil)
		}
		news := f.want.news(out.HighWatermark, out.LogStartOffset, out.RecordsLen, out.Error != protocol.None || out.DivergingEpoch != nil)
		if c.incremental && !news {
			continue
		}
		topic := c.topicOf(f.want)
		topic.Partitions = append(topic.Partitions, out)
		if out.RecordsLen > 0 {
			c.regions = append(c.regions, Region{Source: &f.read.Records})
		}
	}
	if c.kept {
		c.rotate()
	}
	body, slots := protocol.AppendFetchResponse(dst, c.version, &c.response, c.slots)
	for i := range c.regions {
		c.regions[i].At = slots[i]
	}
	c.slots = slots
	return Payload{Bytes: body, Regions: c.regions}, nil
}

// rotate moves the partitions that gave records to the end of the session.
func (c *fetchCall) rotate() {
	i := -1
	c.session.rotate(func(*fetchPartition) bool {
		i++ // found has the session's order
		return c.found[i].read.Records.Len() > 0
	})
}

// topicOf is where a partition's answer belongs: with the topic before, if it
// is the same.
func (c *fetchCall) topicOf(want *fetchPartition) *protocol.FetchResponseTopic {
	if n := len(c.response.Topics); n > 0 {
		last := &c.response.Topics[n-1]
		if last.Name == want.topic && last.ID == want.id {
			return last
		}
	}
	topic := c.response.AddTopic()
	topic.Name, topic.ID = want.topic, want.id
	return topic
}

// wanted is the topic as it is now: by the id, if there is one, since another may
// have the name meanwhile.
func (c *fetchCall) wanted(p *fetchPartition) *metadata.Topic {
	img := c.h.Controller.Image()
	if p.id != (metadata.UUID{}) {
		return img.TopicByID(p.id)
	}
	return img.TopicByName(p.topic)
}

// partition is the answer of one partition, all but its records.
func (c *fetchCall) partition(f *fetched) protocol.FetchResponsePartition {
	out := protocol.FetchResponsePartition{
		Index: f.want.partition, Error: code(f.err),
		HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
	}
	if f.err != nil {
		switch {
		case f.absent:
			out.AbortedTransactions = []protocol.AbortedTransaction{} // as Kafka answers
		case out.Error == protocol.NotLeaderOrFollower && !errors.Is(f.err, errFollower), out.Error == protocol.FencedLeaderEpoch:
			out.CurrentLeader = currentLeader(c.wanted(f.want), f.want.partition)
		}
		return out
	}
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = f.read.HighWatermark, f.read.LastStable, f.read.LogStart
	out.RecordsLen = f.read.Records.Len()
	if d := f.read.Diverging; d != nil {
		out.DivergingEpoch = &protocol.EpochEndOffset{Epoch: d.LeaderEpoch, EndOffset: d.EndOffset}
	}
	if c.isolation == replica.ReadCommitted {
		out.AbortedTransactions = make([]protocol.AbortedTransaction, 0, len(f.read.Aborted))
		for _, a := range f.read.Aborted {
			out.AbortedTransactions = append(out.AbortedTransactions, protocol.AbortedTransaction{ProducerID: a.ProducerID, FirstOffset: a.FirstOffset})
		}
	}
	return out
}
