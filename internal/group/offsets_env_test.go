package group

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// offsetWorld is a room whose broker has the configs it was given, and commits.
type offsetWorld struct {
	testing.TB
	*room
}

func newOffsetWorld(t testing.TB, set ...string) *offsetWorld {
	t.Helper()
	cfg, err := config.Load(config.Sources{Set: append([]string{"log.dirs=/data"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	w := &offsetWorld{t, newRoom(t, 1)}
	w.cfg = *cfg
	w.do(w.m.Loaded(w.at()))
	return w
}

// newTopic makes a topic, under a new id.
func (w *offsetWorld) newTopic(name string, id byte) metadata.UUID {
	w.Helper()
	uuid := metadata.UUID{id, 15: 1}
	w.changed(&metadata.TopicRecord{Name: name, TopicID: uuid})
	return uuid
}

// changed is a change of the metadata that the machine is told of.
func (w *offsetWorld) changed(m metadata.Message) {
	w.Helper()
	topics := w.metadata(m)
	w.do(w.m.TopicsChanged(w.at(), topics))
}

// commit commits an offset of partition 0 and returns the code.
func (w *offsetWorld) commit(group, topic string, offset int64, change ...func(*kmsg.OffsetCommitRequest)) protocol.Code {
	w.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.RetentionTimeMillis = 9, group, -1, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	if now := w.image.TopicByName(topic); now != nil {
		t.TopicID = now.ID
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	for _, c := range change {
		c(req)
	}
	var resp *kmsg.OffsetCommitResponse
	to := w.ticket(func(r kmsg.Response) { resp = r.(*kmsg.OffsetCommitResponse) })
	w.do(w.m.OffsetCommit(w.at(), to, req))
	return protocol.Code(resp.Topics[0].Partitions[0].ErrorCode)
}

func (w *offsetWorld) delete(group string) {
	w.Helper()
	w.do(w.m.DeleteGroups(w.at(), w.ticket(func(kmsg.Response) {}), group))
}

// offsets lists what a group committed, as topic-partition=offset.
func (w *offsetWorld) offsets(group string) string {
	w.Helper()
	req := kmsg.NewOffsetFetchRequestGroup()
	req.Group = group
	out := w.m.OffsetFetch(w.at(), 1, nil, &req, true)
	list := ""
	for _, t := range out.Replies[0].Response.(*kmsg.OffsetFetchResponse).Groups[0].Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				list += fmt.Sprintf("%s-%d=%s ", t.Topic, p.Partition, protocol.Code(p.ErrorCode).Name())
				continue
			}
			list += fmt.Sprintf("%s-%d=%d ", t.Topic, p.Partition, p.Offset)
		}
	}
	return list
}

// offsetOf is what a group committed for partition 0 of a topic that is named.
func (w *offsetWorld) offsetOf(group, topic string) string {
	w.Helper()
	req := kmsg.NewOffsetFetchRequestGroup()
	req.Group = group
	req.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	out := w.m.OffsetFetch(w.at(), 1, nil, &req, true)
	p := out.Replies[0].Response.(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]
	return fmt.Sprintf("%s-%d=%d", topic, p.Partition, p.Offset)
}

func (w *offsetWorld) want(what, got, want string) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %q, want %q", what, got, want)
	}
}
