package group

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/meter"
	"ottla/internal/protocol"
)

// groupOffsets are the offsets of one group.
type groupOffsets struct {
	// committed holds topics by name; a topic without offsets is not there.
	committed map[string]partitions
	// pending are those of open transactions, by producer id (T14).
	pending map[int64]map[string]partitions
}

// partitions are the offsets of one topic, by partition.
type partitions map[int32]committed

// committed is one committed offset.
type committed struct {
	offset int64
	// leaderEpoch is that of the last record consumed, -1 if the client did not
	// say.
	leaderEpoch int32
	metadata    string
	// timestamp is when it was committed, expires when it expires, both in ms;
	// expires is -1 where the retention of the group decides.
	timestamp, expires int64
	// topic is the id of the topic; zero in records of Kafka before 4.1.
	topic metadata.UUID
	// at is the offset of the record in __consumer_offsets.
	at int64
}

// unstable tells whether an open transaction may change an offset.
func (o *groupOffsets) unstable(topic string, partition int32) bool {
	if o == nil {
		return false
	}
	for _, topics := range o.pending {
		if _, ok := topics[topic][partition]; ok {
			return true
		}
	}
	return false
}

// none tells that nothing is left.
func (o *groupOffsets) none() bool { return len(o.committed) == 0 && len(o.pending) == 0 }

// put sets an offset, and remove takes one away.
func put(topics map[string]partitions, topic string, partition int32, c committed) {
	p := topics[topic]
	if p == nil {
		p = partitions{}
		topics[topic] = p
	}
	p[partition] = c
}

func remove(topics map[string]partitions, topic string, partition int32) {
	p := topics[topic]
	if delete(p, partition); len(p) == 0 {
		delete(topics, topic)
	}
}

// OffsetCommit commits offsets, versions 2–10. The topics have name and id, as
// Coordinator.OffsetCommit found them.
//
//  1. Who commits is checked: a member in its generation or epoch (G4), or
//     somebody who is no member, while the group has none.
//  2. Each offset becomes a record. A text beyond offset.metadata.max.bytes is
//     refused alone, and so is a topic that went meanwhile.
//
// The records are one batch: all are committed or none.
func (m *Machine) OffsetCommit(at coordinator.Moment, to coordinator.Ticket, req *kmsg.OffsetCommitRequest) coordinator.Output {
	by := commitBy{memberID: req.MemberID, instanceID: req.InstanceID, generation: req.Generation, version: req.Version}
	check, err := m.checkCommit(req.Group, by)
	if err != nil {
		return coordinator.Answer(to, failCommit(req, err))
	}
	if g := m.groups[req.Group]; g != nil {
		g.touch(at, req.MemberID)
	}
	if err := m.kept.admit(m.commitSize(req)); err != nil {
		return coordinator.Answer(to, failCommit(req, err))
	}
	c := newCommit(m, at, req, check)
	resp := kmsg.NewPtrOffsetCommitResponse()
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, 0, len(req.Topics))
	for i := range req.Topics {
		topic, err := c.topic(&req.Topics[i])
		if err != nil {
			return coordinator.Answer(to, failCommit(req, err))
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return coordinator.Output{Records: c.records, Replies: []coordinator.Reply{{To: to, Response: resp}}}
}

// commitSize is what a commit keeps beyond what is kept already.
func (m *Machine) commitSize(req *kmsg.OffsetCommitRequest) (n int) {
	var known map[string]partitions
	if offsets := m.offsets[req.Group]; offsets != nil {
		known = offsets.committed
	} else {
		n = keptGroup + len(req.Group)
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			old, ok := known[t.Topic][p.Partition]
			if !ok {
				n += keptOffset
			}
			if p.Metadata != nil {
				n += max(0, len(*p.Metadata)-len(old.metadata))
			}
		}
	}
	return n
}

// checkCommit is step 1 of OffsetCommit.
func (m *Machine) checkCommit(name string, by commitBy) (partitionCheck, error) {
	g := m.groups[name]
	switch {
	case g != nil:
		return g.checkCommit(by)
	case by.generation < 0: // the offset makes a simple group
		return nil, nil
	case by.version >= 9 && !by.transactional:
		return nil, protocol.GroupIDNotFound
	}
	return nil, protocol.IllegalGeneration
}

// failCommit gives every partition of a commit the same error.
func failCommit(req *kmsg.OffsetCommitRequest, err error) *kmsg.OffsetCommitResponse {
	resp := kmsg.NewPtrOffsetCommitResponse()
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, failCommitTopic(&req.Topics[i], protocol.CodeOf(err)))
	}
	return resp
}

// failCommitTopic gives every partition of a topic the same error.
func failCommitTopic(t *kmsg.OffsetCommitRequestTopic, code protocol.Code) kmsg.OffsetCommitResponseTopic {
	topic := kmsg.NewOffsetCommitResponseTopic()
	topic.Topic, topic.TopicID = t.Topic, t.TopicID
	for _, p := range t.Partitions {
		topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(code)})
	}
	return topic
}

// commit collects the records of one request. Their bytes lie in one buffer.
type commit struct {
	machine *Machine
	at      coordinator.Moment
	group   string
	expires int64
	check   partitionCheck
	records []coordinator.Record
	buf     []byte
}

// offsetBytes is about what an offset's record takes beside names and text.
const offsetBytes = 72

func newCommit(m *Machine, at coordinator.Moment, req *kmsg.OffsetCommitRequest, check partitionCheck) *commit {
	c := &commit{machine: m, at: at, group: req.Group, expires: -1, check: check}
	if req.Version <= 4 && req.RetentionTimeMillis >= 0 {
		c.expires = at.Wall + req.RetentionTimeMillis
	}
	offsets, size := 0, 0
	for i := range req.Topics {
		n := len(req.Topics[i].Partitions)
		offsets, size = offsets+n, size+n*(offsetBytes+len(req.Group)+len(req.Topics[i].Topic))
	}
	c.records, c.buf = make([]coordinator.Record, 0, offsets), make([]byte, 0, size)
	return c
}

// topic is step 2 of OffsetCommit for one topic.
func (c *commit) topic(t *kmsg.OffsetCommitRequestTopic) (kmsg.OffsetCommitResponseTopic, error) {
	now := c.at.Image.TopicByName(t.Topic)
	if now == nil || now.ID != t.TopicID {
		return failCommitTopic(t, protocol.UnknownTopicOrPartition), nil
	}
	topic := kmsg.NewOffsetCommitResponseTopic()
	topic.Topic, topic.TopicID = t.Topic, t.TopicID
	topic.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, 0, len(t.Partitions))
	for i := range t.Partitions {
		p := &t.Partitions[i]
		if c.check != nil {
			if err := c.check(t.Topic, t.TopicID, p.Partition); err != nil {
				return topic, err
			}
		}
		code := protocol.None
		if p.Metadata != nil && javaLength(*p.Metadata) > int(c.machine.config().Groups.OffsetMetadataMaxBytes) {
			code = protocol.OffsetMetadataTooLarge
		} else {
			c.add(t, p)
		}
		topic.Partitions = append(topic.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(code)})
	}
	return topic, nil
}

// add appends the record of an offset.
func (c *commit) add(t *kmsg.OffsetCommitRequestTopic, p *kmsg.OffsetCommitRequestTopicPartition) {
	text := ""
	if p.Metadata != nil {
		text = *p.Metadata
	}
	start := len(c.buf)
	c.buf = appendOffsetKey(c.buf, c.group, t.Topic, p.Partition)
	end := len(c.buf)
	c.buf = appendOffset(c.buf, &committed{
		offset: p.Offset, leaderEpoch: p.LeaderEpoch, metadata: text, timestamp: c.at.Wall, expires: c.expires, topic: t.TopicID,
	})
	c.records = append(c.records, coordinator.Record{Key: c.buf[start:end:end], Value: c.buf[end:len(c.buf):len(c.buf)]})
}

// javaLength is the length of a string in UTF-16 units, which is what Kafka
// counts.
func javaLength(s string) int {
	n := 0
	for _, r := range s {
		n += max(utf16.RuneLen(r), 1)
	}
	return n
}

// OffsetFetch tells the offsets of one group, versions 1–10; the response has
// that group alone. Topics are nil for all, which the answer gives name and id.
// The others have a name, and an id where the request had one.
//
// The offset of a topic that is gone is none: its tombstone may have found no
// room on the disk, and another topic may have the name.
func (m *Machine) OffsetFetch(at coordinator.Moment, to coordinator.Ticket, bill *meter.Meter, req *kmsg.OffsetFetchRequestGroup, requireStable bool) coordinator.Output {
	resp := kmsg.NewPtrOffsetFetchResponse()
	answer := kmsg.NewOffsetFetchResponseGroup()
	answer.Group = req.Group
	g := m.groups[req.Group]
	var offsets *groupOffsets
	if g != nil {
		if err := g.checkFetch(req.MemberID, req.MemberEpoch); err != nil {
			answer.ErrorCode = int16(protocol.CodeOf(err))
			resp.Groups = append(resp.Groups, answer)
			return coordinator.Answer(to, resp)
		}
		offsets = m.offsets[req.Group]
	}
	if req.Topics == nil {
		answer.Topics = offsets.all(at.Image, bill, requireStable)
	} else {
		answer.Topics = offsets.some(at.Image, bill, req.Topics, requireStable)
	}
	resp.Groups = append(resp.Groups, answer)
	return coordinator.Answer(to, resp)
}

// all lists every committed offset, topics by name, partitions ascending.
func (o *groupOffsets) all(img *metadata.Image, bill *meter.Meter, requireStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	if o == nil {
		return nil
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(o.committed))
	for _, name := range slices.Sorted(maps.Keys(o.committed)) {
		now := img.TopicByName(name)
		if now == nil {
			continue
		}
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic, topic.TopicID = name, now.ID
		for _, id := range slices.Sorted(maps.Keys(o.committed[name])) {
			if c := o.committed[name][id]; !goneTopic(now, c.topic, false) {
				if bill.Add(fetchedOffset+len(c.metadata)) != nil {
					return nil
				}
				topic.Partitions = append(topic.Partitions, o.fetch(now, name, now.ID, id, requireStable))
			}
		}
		if len(topic.Partitions) > 0 {
			topics = append(topics, topic)
		}
	}
	return topics
}

// fetchedOffset is what an offset takes in an answer, without its text.
var fetchedOffset = meter.Size[kmsg.OffsetFetchResponseGroupTopicPartition]()

// some lists the offsets that are asked for.
func (o *groupOffsets) some(img *metadata.Image, bill *meter.Meter, asked []kmsg.OffsetFetchRequestGroupTopic, requireStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, 0, len(asked))
	for i := range asked {
		t := &asked[i]
		now := img.TopicByName(t.Topic)
		topic := kmsg.NewOffsetFetchResponseGroupTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		topic.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, len(t.Partitions))
		for _, id := range t.Partitions {
			p := o.fetch(now, t.Topic, t.TopicID, id, requireStable)
			if bill.Add(fetchedOffset+len(*p.Metadata)) != nil {
				return nil
			}
			topic.Partitions = append(topic.Partitions, p)
		}
		topics = append(topics, topic)
	}
	return topics
}

// fetch is the answer for one partition; now is the topic that has the name. An
// offset of another topic is none.
func (o *groupOffsets) fetch(now *metadata.Topic, topic string, id metadata.UUID, partition int32, requireStable bool) kmsg.OffsetFetchResponseGroupTopicPartition {
	if requireStable && o.unstable(topic, partition) {
		return noOffset(partition, protocol.UnstableOffsetCommit)
	}
	if o == nil {
		return noOffset(partition, protocol.None)
	}
	c, ok := o.committed[topic][partition]
	if none := (metadata.UUID{}); !ok || id != none && c.topic != none && c.topic != id || goneTopic(now, c.topic, false) {
		return noOffset(partition, protocol.None)
	}
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, c.offset, c.leaderEpoch, &c.metadata
	return p
}

// noOffset is the answer for a partition without an offset.
func noOffset(partition int32, code protocol.Code) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata, p.ErrorCode = partition, -1, -1, new(string), int16(code)
	return p
}

// OffsetDelete forgets offsets, version 0 (KIP-496): not those of topics that a
// member reads.
func (m *Machine) OffsetDelete(_ coordinator.Moment, to coordinator.Ticket, req *kmsg.OffsetDeleteRequest) coordinator.Output {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	g := m.groups[req.Group]
	err := error(protocol.GroupIDNotFound)
	if g != nil {
		err = g.checkDeleteOffsets()
	}
	if err != nil {
		resp.ErrorCode = int16(protocol.CodeOf(err))
		return coordinator.Answer(to, resp)
	}
	out := coordinator.Output{Split: true}
	for _, t := range req.Topics {
		topic := kmsg.NewOffsetDeleteResponseTopic()
		topic.Topic = t.Topic
		code := protocol.None
		if g.subscribed(t.Topic) {
			code = protocol.GroupSubscribedToTopic
		}
		for _, p := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(code)})
			if o := m.offsets[req.Group]; code == protocol.None && o.has(t.Topic, p.Partition) {
				out.Records = append(out.Records, offsetTombstone(req.Group, t.Topic, p.Partition))
			}
		}
		resp.Topics = append(resp.Topics, topic)
	}
	out.Replies = []coordinator.Reply{{To: to, Response: resp}}
	return out
}

// has tells whether there is an offset, decided or not.
func (o *groupOffsets) has(topic string, partition int32) bool {
	if o == nil {
		return false
	}
	_, ok := o.committed[topic][partition]
	return ok || o.unstable(topic, partition)
}

// place is where an offset is.
type place struct {
	topic     string
	partition int32
}

// places lists where there are offsets, decided or not, each place once and in
// order; those of some topics, or all with nil.
func (o *groupOffsets) places(of func(topic string, id metadata.UUID) bool) []place {
	if o == nil {
		return nil
	}
	var all []place
	add := func(topics map[string]partitions) {
		for topic, ps := range topics {
			for partition, c := range ps {
				if of == nil || of(topic, c.topic) {
					all = append(all, place{topic, partition})
				}
			}
		}
	}
	add(o.committed)
	for _, topics := range o.pending {
		add(topics)
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return slices.Compact(all)
}

// tombstones are the records that forget every offset of the group.
func (o *groupOffsets) tombstones(group string) []coordinator.Record {
	var records []coordinator.Record
	for _, p := range o.places(nil) {
		records = append(records, offsetTombstone(group, p.topic, p.partition))
	}
	return records
}

// applyOffset folds the record of an offset. The first one of a group that
// nobody joined makes it a simple group.
func (m *Machine) applyOffset(r coordinator.Record, o coordinator.Origin) error {
	group, topic, partition, err := parseOffsetKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		m.forget(string(group), string(topic), partition)
		return nil
	}
	c, err := parseOffset(r.Value)
	if err != nil {
		return err
	}
	c.at = o.Offset
	offsets := m.offsets[string(group)]
	if offsets == nil {
		offsets = &groupOffsets{committed: map[string]partitions{}}
		m.offsets[string(group)] = offsets
	}
	if m.groups[string(group)] == nil {
		m.setGroup(string(group), &simple{string(group)})
	}
	if o.ProducerID != coordinator.NoProducer {
		m.pend(string(group), offsets, o.ProducerID, string(topic), partition, c)
		return nil
	}
	if p := offsets.committed[string(topic)]; p != nil { // no string is made for what is known
		if old, ok := p[partition]; ok {
			m.kept.add(len(c.metadata) - len(old.metadata))
		} else {
			m.kept.add(offsetSize("", c, false))
		}
		p[partition] = c
	} else {
		m.commit(offsets, string(topic), partition, c)
	}
	return nil
}

// commit sets a committed offset, and uncommit takes it away.
func (m *Machine) commit(offsets *groupOffsets, topic string, partition int32, c committed) {
	m.uncommit(offsets, topic, partition)
	m.kept.add(offsetSize(topic, c, offsets.committed[topic] == nil))
	put(offsets.committed, topic, partition, c)
}

func (m *Machine) uncommit(offsets *groupOffsets, topic string, partition int32) {
	old, ok := offsets.committed[topic][partition]
	if !ok {
		return
	}
	remove(offsets.committed, topic, partition)
	m.kept.add(-offsetSize(topic, old, offsets.committed[topic] == nil))
}

// pend keeps the offset of an open transaction until its end.
func (m *Machine) pend(group string, offsets *groupOffsets, producer int64, topic string, partition int32, c committed) {
	if offsets.pending == nil {
		offsets.pending = map[int64]map[string]partitions{}
	}
	if offsets.pending[producer] == nil {
		offsets.pending[producer] = map[string]partitions{}
	}
	put(offsets.pending[producer], topic, partition, c)
	if m.transactions[producer] == nil {
		m.transactions[producer] = map[string]bool{}
	}
	m.transactions[producer][group] = true
}

// forget folds the tombstone of an offset; what open transactions have for it
// goes, too.
func (m *Machine) forget(group, topic string, partition int32) {
	offsets := m.offsets[group]
	if offsets == nil {
		return
	}
	m.uncommit(offsets, topic, partition)
	for _, topics := range offsets.pending {
		remove(topics, topic, partition)
	}
	if offsets.none() {
		delete(m.offsets, group)
	}
}

// EndTransaction decides the pending offsets of a producer. One that was
// committed otherwise after it stays: the order in the log decides, which
// compaction may have thinned out.
func (m *Machine) EndTransaction(producerID int64, commit bool) {
	for group := range m.transactions[producerID] {
		offsets := m.offsets[group]
		if offsets == nil {
			continue
		}
		if commit {
			for topic, ps := range offsets.pending[producerID] {
				for id, c := range ps {
					if old, ok := offsets.committed[topic][id]; !ok || c.at > old.at {
						m.commit(offsets, topic, id, c)
					}
				}
			}
		}
		delete(offsets.pending, producerID)
		if offsets.none() {
			delete(m.offsets, group)
		}
	}
	delete(m.transactions, producerID)
}

// The limits of the layout of an offset's value.
const (
	offsetValueExpires = 1 // the only version with an expiry
	offsetValueLatest  = 4
)

// errVersion says that the layout of a value is not known.
var errVersion = errors.New("the version of its value is unknown")

// appendOffsetKey writes the key of an offset's record:
//
//	type int16 1, group string, topic string, partition int32
func appendOffsetKey(dst []byte, group, topic string, partition int32) []byte {
	key := kmsg.OffsetCommitKey{Version: int16(offsetCommit), Group: group, Topic: topic, Partition: partition}
	return key.AppendTo(dst)
}

// appendOffset writes the value of an offset's record as Kafka 4.3.1 does: in
// version 4, or in version 1 when it has an expiry of its own.
func appendOffset(dst []byte, c *committed) []byte {
	value := kmsg.OffsetCommitValue{
		Version: offsetValueLatest, Offset: c.offset, LeaderEpoch: c.leaderEpoch, Metadata: c.metadata, CommitTimestamp: c.timestamp, TopicID: c.topic,
	}
	if c.expires >= 0 {
		value.Version, value.ExpireTimestamp = offsetValueExpires, c.expires
	}
	return value.AppendTo(dst)
}

// parseOffset reads the value of an offset's record, versions 0–4.
func parseOffset(value []byte) (committed, error) {
	v := kmsg.NewOffsetCommitValue()
	if err := v.ReadFrom(value); err != nil {
		return committed{}, err
	}
	if v.Version < 0 || v.Version > offsetValueLatest {
		return committed{}, errVersion
	}
	c := committed{offset: v.Offset, leaderEpoch: -1, metadata: v.Metadata, timestamp: v.CommitTimestamp, expires: -1, topic: v.TopicID}
	if v.Version >= 3 {
		c.leaderEpoch = v.LeaderEpoch
	}
	if v.Version == offsetValueExpires {
		c.expires = v.ExpireTimestamp
	}
	return c, nil
}

// offsetTombstone is the record that forgets an offset.
func offsetTombstone(group, topic string, partition int32) coordinator.Record {
	return coordinator.Record{Key: appendOffsetKey(nil, group, topic, partition)}
}

// parseOffsetKey reads the key of an offset's record. Group and topic alias it.
func parseOffsetKey(key []byte) (group, topic []byte, partition int32, err error) {
	rest := key[2:]
	if group, rest, err = cutString(rest); err != nil {
		return nil, nil, 0, err
	}
	if topic, rest, err = cutString(rest); err != nil {
		return nil, nil, 0, err
	}
	if len(rest) < 4 {
		return nil, nil, 0, errShort
	}
	return group, topic, int32(uint32(rest[0])<<24 | uint32(rest[1])<<16 | uint32(rest[2])<<8 | uint32(rest[3])), nil
}

// cutString splits a string with its int16 length off b.
func cutString(b []byte) (s, rest []byte, err error) {
	if len(b) < 2 {
		return nil, nil, errShort
	}
	n := int(b[0])<<8 | int(b[1])
	if n > len(b)-2 {
		return nil, nil, errShort
	}
	return b[2 : 2+n], b[2+n:], nil
}
