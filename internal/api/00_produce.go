package api

import (
	"context"
	"errors"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/record"
	"ottla/internal/replica"
)

// adminClientID is the client id of Kafka's own coordinators, who alone may
// write internal topics by Produce.
const adminClientID = "__admin_client"

// produce answers Produce, versions 3–13.
//
//  1. The request is parsed by hand: the records stay slices of the frame.
//  2. Each partition is appended to, in the order of the request, before the
//     handler returns: so the records of pipelined requests stay in order
//     (traps: ordered pipelining).
//  3. acks=1 is answered then; acks=all waits in the connection's queue for
//     the high watermarks; acks=0 is not answered, but a failure closes the
//     connection, which is all that its client can notice.
//
// Transactions are not served yet: whatever comes with a transactional id is
// refused as InitProducerId refuses it.
//
// Write on the topic.
func (h *Handler) produce(_ context.Context, r *Request) (Reply, error) {
	call := h.newProduce()
	call.version = r.Header.Version
	if err := protocol.ParseProduceRequest(call.version, r.Body, &call.request); err != nil {
		return Reply{}, err // the call may have grown, and the connection ends
	}
	call.append(r)
	switch {
	case call.request.Acks == replica.AcksNone:
		return Reply{None: true, Encode: call.verdict, Release: call.reply.Release}, nil
	case call.pending == nil:
		return call.reply, nil
	}
	timeout := time.Duration(call.request.TimeoutMillis) * time.Millisecond
	reply := call.reply
	reply.Done = call.pending.Start(max(timeout, minAcksTimeout))
	return reply, nil
}

// minAcksTimeout is how long acks=all is waited for at least. A client means
// the other replicas by its timeout, and Kafka answers at once when there are
// none; here the flush of the leader's own disk is waited for, too.
const minAcksTimeout = time.Second

// produceCall is one Produce request under way. It is reused: whoever gets the
// Reply ends with release.
type produceCall struct {
	h        *Handler
	reply    Reply // its encode and release, made once
	version  int16
	request  protocol.ProduceRequest
	response protocol.ProduceResponse
	failed   error // the first failure
	details  int   // messages in the response
	parts    int   // topics and partitions in the request
	pending  *replica.Pending
	waits    []produceWait
}

// produceWait is a partition of the response that waits for its high
// watermark, as number i of the Pending, which is the place in the list.
type produceWait struct{ topic, partition int }

func (h *Handler) newProduce() *produceCall {
	if call, ok := h.produces.Get().(*produceCall); ok {
		return call
	}
	call := &produceCall{h: h}
	call.reply = Reply{Encode: call.encode, Release: call.release}
	return call
}

// release ends a wait whose connection is gone, forgets the request and keeps
// the memory for the next one.
func (c *produceCall) release() {
	if c.pending != nil {
		c.pending.Cancel()
	}
	if c.parts > mostReused {
		return
	}
	c.request.Reset()
	c.response.Reset()
	clear(c.waits)
	c.failed, c.details, c.parts, c.pending, c.waits = nil, 0, 0, nil, c.waits[:0]
	c.h.produces.Put(c)
}

// append appends to each partition and notes what came of it.
func (c *produceCall) append(r *Request) {
	refused := c.refused()
	for i := range c.request.Topics {
		t := &c.request.Topics[i]
		out := c.response.AddTopic()
		out.Name, out.ID = t.Name, t.ID
		c.parts += 1 + len(t.Partitions)
		name, err := c.topicName(t, r)
		if refused != nil {
			err = refused
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			result := out.AddPartition()
			result.Index = p.Index
			result.BaseOffset, result.LogAppendTimeMillis, result.LogStartOffset = -1, -1, -1
			outcome := err
			if outcome == nil {
				outcome = c.appendOne(result, name, t.ID, p, produceWait{i, j})
			}
			if outcome != nil {
				c.fail(out, result, outcome)
			}
		}
	}
}

// refused is why no partition of the request can be written.
func (c *produceCall) refused() error {
	switch c.request.Acks {
	case replica.AcksNone, replica.AcksLeader, replica.AcksAll:
	default:
		return protocol.InvalidRequiredAcks
	}
	if c.request.TransactionalID != nil {
		return protocol.TransactionalIDAuthorizationFailed
	}
	return nil
}

// topicName is the name of a topic that is given by name or, from version 13,
// by id.
func (c *produceCall) topicName(t *protocol.ProduceTopic, r *Request) (string, error) {
	name := t.Name
	if c.version >= 13 {
		topic := c.topic("", t.ID)
		if topic == nil {
			return "", protocol.UnknownTopicID
		}
		name = topic.Name
	}
	if isInternalTopic(name) && r.Header.ClientID != adminClientID && c.topic(t.Name, t.ID) != nil {
		return name, protocol.Errorf(protocol.InvalidTopicException, "Cannot append to internal topic %s", name)
	}
	return name, nil
}

// topic finds a topic as the version of the request names it.
func (c *produceCall) topic(name string, id metadata.UUID) *metadata.Topic {
	img := c.h.Controller.Image()
	if c.version >= 13 {
		return img.TopicByID(id)
	}
	return img.TopicByName(name)
}

func (c *produceCall) appendOne(result *protocol.ProduceResponsePartition, topic string, id metadata.UUID, p *protocol.ProducePartition, at produceWait) error {
	batch, err := record.Single(p.Records)
	if err != nil {
		return err
	}
	if batch.Compression() == record.Zstd && c.version < 7 {
		return protocol.Errorf(protocol.UnsupportedCompressionType, "Produce requests with version %d are not allowed to use ZStandard compression", c.version)
	}
	if batch.IsTransactional() {
		return protocol.TransactionalIDAuthorizationFailed
	}
	partition, err := c.h.Replicas.Partition(topic, p.Index)
	if err != nil {
		return err
	}
	// Since its name was found the topic may have gone, and another have come.
	if c.version >= 13 && partition.TopicPartition().TopicID != id {
		return protocol.UnknownTopicID
	}
	appended, err := partition.Append(batch, replica.AppendOptions{Acks: c.request.Acks, Origin: record.Client})
	if err != nil {
		if tellsLogStart(code(err)) {
			result.LogStartOffset = partition.Log().StartOffset()
		}
		return err
	}
	result.BaseOffset, result.LogAppendTimeMillis, result.LogStartOffset = appended.BaseOffset, appended.LogAppendTime, appended.LogStart
	if c.request.Acks == replica.AcksAll {
		if c.pending == nil {
			c.pending = replica.NewPending()
		}
		c.pending.Add(partition, appended)
		c.waits = append(c.waits, at)
	}
	return nil
}

// tellsLogStart tells whether a refused append names the log start offset all
// the same, as Kafka does for what it finds inside a whole batch, and for what
// its producer's state or the ISR does not allow.
func tellsLogStart(refusal protocol.Code) bool {
	switch refusal {
	case protocol.CorruptMessage, protocol.MessageTooLarge, protocol.RecordListTooLarge,
		protocol.KafkaStorageError, protocol.NotLeaderOrFollower, protocol.UnknownTopicOrPartition:
		return false
	}
	return true
}

// mostDetails bounds the messages in one response: a batch of a hundred bytes
// can hold a hundred bad records, and a request a million batches. Once there
// are so many the partitions that follow get their error code alone.
const mostDetails = 1000

// fail notes why a partition was not written or not replicated, with the
// records at fault (KIP-467).
func (c *produceCall) fail(topic *protocol.ProduceResponseTopic, result *protocol.ProduceResponsePartition, err error) {
	if c.failed == nil {
		c.failed = err
	}
	result.Error = code(err)
	if result.Error == protocol.NotLeaderOrFollower {
		result.CurrentLeader = currentLeader(c.topic(topic.Name, topic.ID), result.Index)
	}
	if c.details >= mostDetails {
		return
	}
	c.details++
	var invalid *record.InvalidError
	if !errors.As(err, &invalid) {
		var worded *protocol.Error
		if errors.As(err, &worded) {
			result.ErrorMessage = &worded.Message
		}
		return
	}
	result.ErrorMessage = &invalid.Message
	c.details += len(invalid.Records)
	for i := range invalid.Records {
		result.RecordErrors = append(result.RecordErrors, protocol.RecordError{Index: invalid.Records[i].Index, Message: &invalid.Records[i].Message})
	}
}

// encode makes the response, with the outcome of what was waited for.
func (c *produceCall) encode(dst []byte) (Payload, error) {
	for i, at := range c.waits {
		if err := c.pending.Err(i); err != nil {
			topic := &c.response.Topics[at.topic]
			c.fail(topic, &topic.Partitions[at.partition], err)
		}
	}
	return Payload{Bytes: protocol.AppendProduceResponse(dst, c.version, &c.response)}, nil
}

// verdict closes the connection of an acks=0 producer when anything failed.
func (c *produceCall) verdict(dst []byte) (Payload, error) { return Payload{Bytes: dst}, c.failed }

// currentLeader tells a client that came to the wrong broker where to go
// (KIP-951); nil when nobody leads.
func currentLeader(t *metadata.Topic, partition int32) *protocol.LeaderIDAndEpoch {
	if t == nil {
		return nil
	}
	p := t.Partition(partition)
	if p == nil || p.Leader == metadata.NoLeader {
		return nil
	}
	return &protocol.LeaderIDAndEpoch{LeaderID: p.Leader, LeaderEpoch: p.LeaderEpoch}
}
