package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// someTime is when the stories of tests begin, in ms.
const someTime = int64(1_700_000_000_000)

// offsetWorld is a machine whose records are applied as a shard would, and what
// it is told of time and topics.
type offsetWorld struct {
	testing.TB
	machine *Machine
	cfg     *config.Broker
	img     *metadata.Image
	now     time.Duration // since someTime
	log     []coordinator.Record
}

func newOffsetWorld(t testing.TB, set ...string) *offsetWorld {
	t.Helper()
	cfg, err := config.Load(config.Sources{Set: append([]string{"log.dirs=/data"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	w := &offsetWorld{TB: t, cfg: cfg, img: metadata.Empty()}
	w.machine = w.empty()
	w.carryOut(w.machine.Loaded(w.at()))
	return w
}

func (w *offsetWorld) empty() *Machine {
	return NewMachine(func() *config.Broker { return w.cfg }, rand.New(rand.NewPCG(1, 2)))
}

// at is now.
func (w *offsetWorld) at() coordinator.Moment {
	return coordinator.Moment{Wall: someTime + w.now.Milliseconds(), Mono: w.now, Image: w.img}
}

// carryOut applies the records of an output.
func (w *offsetWorld) carryOut(out coordinator.Output) {
	w.Helper()
	for _, r := range out.Records {
		w.append(r, coordinator.NoProducer)
	}
}

func (w *offsetWorld) append(r coordinator.Record, producer int64) {
	w.Helper()
	at := coordinator.Origin{Offset: int64(len(w.log)), Timestamp: w.at().Wall, ProducerID: producer}
	w.log = append(w.log, r)
	if err := w.machine.Apply(r, at); err != nil {
		w.Fatal(err)
	}
}

// reload lets a new machine fold the log.
func (w *offsetWorld) reload() {
	w.Helper()
	w.machine = w.empty()
	for i, r := range w.log {
		if err := w.machine.Apply(r, coordinator.Origin{Offset: int64(i), ProducerID: coordinator.NoProducer}); err != nil {
			w.Fatal(err)
		}
	}
	w.carryOut(w.machine.Loaded(w.at()))
}

// advance lets time pass, and the machine do what is due.
func (w *offsetWorld) advance(d time.Duration) {
	w.Helper()
	for end := w.now + d; ; {
		next, some := w.machine.Next()
		if !some || next > end {
			w.now = end
			return
		}
		w.now = max(next, w.now)
		w.carryOut(w.machine.Tick(w.at()))
	}
}

// topic makes a topic, under a new id.
func (w *offsetWorld) topic(name string, id byte) metadata.UUID {
	w.Helper()
	uuid := metadata.UUID{id, 15: 1}
	w.apply(&metadata.TopicRecord{Name: name, TopicID: uuid})
	return uuid
}

func (w *offsetWorld) drop(id metadata.UUID) {
	w.Helper()
	w.apply(&metadata.RemoveTopicRecord{TopicID: id})
}

func (w *offsetWorld) apply(m metadata.Message) {
	w.Helper()
	img, delta, err := w.img.Apply([]metadata.Message{m}, w.img.Offset+1, 1)
	if err != nil {
		w.Fatal(err)
	}
	w.img = img
	w.carryOut(w.machine.TopicsChanged(w.at(), delta.Topics))
}

// commit commits an offset of partition 0 and returns the code.
func (w *offsetWorld) commit(group, topic string, offset int64, change ...func(*kmsg.OffsetCommitRequest)) protocol.Code {
	w.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.RetentionTimeMillis = 9, group, -1, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	if now := w.img.TopicByName(topic); now != nil {
		t.TopicID = now.ID
	}
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	for _, c := range change {
		c(req)
	}
	out := w.machine.OffsetCommit(w.at(), 1, req)
	w.carryOut(out)
	resp := out.Replies[0].Response.(*kmsg.OffsetCommitResponse)
	return protocol.Code(resp.Topics[0].Partitions[0].ErrorCode)
}

// offsets lists what a group committed, as topic-partition=offset.
func (w *offsetWorld) offsets(group string) string {
	w.Helper()
	req := kmsg.NewOffsetFetchRequestGroup()
	req.Group = group
	out := w.machine.OffsetFetch(w.at(), 1, &req, true)
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

func (w *offsetWorld) want(what, got, want string) {
	w.Helper()
	if got != want {
		w.Errorf("%s: %q, want %q", what, got, want)
	}
}
