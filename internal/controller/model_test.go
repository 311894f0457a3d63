package controller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
)

// world is a cluster of three brokers that random things happen to, and a naive
// model of what its users were promised.
type world struct {
	t *testing.T
	r *rand.Rand
	c *Controller
	q *quorum

	topics      map[string]int               // partitions by name
	configs     map[string]map[string]string // by topic
	incarnation map[int32]byte
	epochs      map[int32]int64
	nextID      int64
}

// TestModel plays random stories and holds every Image against the invariants,
// the one before and the model.
func TestModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newWorld(t, seed)
			for step := range 150 {
				before, from := w.c.Image(), len(w.q.log)
				what := w.step()
				if err := w.check(before, from); err != nil {
					t.Fatalf("step %d, %s: %v", step, what, err)
				}
			}
			w.checkReplay()
		})
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	c, q := newController(t)
	q.lead()
	c.background.Wait()
	return &world{t: t, r: rand.New(rand.NewPCG(seed, 3)), c: c, q: q, topics: map[string]int{},
		configs: map[string]map[string]string{}, incarnation: map[int32]byte{}, epochs: map[int32]int64{}}
}

func (w *world) step() string {
	broker := int32(1 + w.r.IntN(3))
	name := fmt.Sprintf("t%d", w.r.IntN(6))
	switch w.r.IntN(12) {
	case 0:
		w.register(broker)
		return fmt.Sprintf("register %d", broker)
	case 1, 2, 3, 4:
		return w.beat(broker)
	case 5, 6:
		w.create(name)
		return "create " + name
	case 7:
		w.delete(name)
		return "delete " + name
	case 8:
		w.grow(name)
		return "grow " + name
	case 9:
		w.alter(name)
		return "alter " + name
	case 10:
		w.producerIDs(broker)
		return fmt.Sprintf("producer ids for %d", broker)
	}
	switch w.r.IntN(3) {
	case 0:
		w.q.depose(2)
		w.q.lead()
		w.c.background.Wait()
		return "another epoch"
	case 1:
		fenceSilent(w.c, broker)
		return fmt.Sprintf("fence %d", broker)
	}
	return w.elect(name)
}

// expect compares a code with what the model knows.
func (w *world) expect(what string, got int16, want ...protocol.Code) {
	w.t.Helper()
	for _, c := range want {
		if protocol.Code(got) == c {
			return
		}
	}
	w.t.Fatalf("%s: %s, want one of %v", what, protocol.Code(got).Name(), want)
}

func (w *world) register(broker int32) {
	w.c.BrokerDisconnected(broker, w.epochs[broker])
	w.incarnation[broker]++
	resp := w.c.RegisterBroker(context.Background(), registration(broker, w.incarnation[broker]))
	w.expect("register", resp.ErrorCode, protocol.None)
	if resp.BrokerEpoch <= w.epochs[broker] {
		w.t.Fatalf("R12: broker epoch %d after %d", resp.BrokerEpoch, w.epochs[broker])
	}
	w.epochs[broker] = resp.BrokerEpoch
	for t := range w.c.Image().Topics() {
		for p := range t.Partitions() {
			if p.Leader == broker {
				w.t.Fatalf("%s-%d is led by a new incarnation in an epoch of the old one", t.Name, p.ID)
			}
		}
	}
}

func (w *world) beat(broker int32) string {
	req := &kmsg.BrokerHeartbeatRequest{BrokerID: broker, BrokerEpoch: w.epochs[broker], CurrentMetadataOffset: w.c.Image().Offset}
	req.WantFence = w.r.IntN(8) == 0
	req.WantShutdown = w.r.IntN(8) == 0
	if w.r.IntN(4) == 0 {
		req.CurrentMetadataOffset = w.epochs[broker] - 1
	}
	resp := w.c.BrokerHeartbeat(context.Background(), req)
	if w.epochs[broker] == 0 {
		w.expect("heartbeat", resp.ErrorCode, protocol.StaleBrokerEpoch)
		return "a heartbeat before registration"
	}
	w.expect("heartbeat", resp.ErrorCode, protocol.None)
	b := w.c.Image().Broker(broker)
	if resp.IsFenced != b.Fenced {
		w.t.Fatalf("told fenced=%v, broker %+v", resp.IsFenced, b)
	}
	if resp.ShouldShutdown && leads(w.c.view(), broker) {
		w.t.Fatal("let go while it leads")
	}
	return fmt.Sprintf("beat %d %+v", broker, req)
}

func (w *world) create(name string) {
	n := 1 + w.r.IntN(4)
	req := createRequest(name)
	req.Topics[0].NumPartitions, req.Topics[0].ReplicationFactor = int32(n), int16(1+w.r.IntN(3))
	req.ValidateOnly = w.r.IntN(5) == 0
	got := w.c.CreateTopics(context.Background(), req).Topics[0].ErrorCode
	if _, exists := w.topics[name]; exists {
		w.expect("create", got, protocol.TopicAlreadyExists)
		return
	}
	w.expect("create", got, protocol.None, protocol.InvalidReplicationFactor)
	if got == 0 && !req.ValidateOnly {
		w.topics[name], w.configs[name] = n, map[string]string{}
	}
}

func (w *world) delete(name string) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.Version, req.TimeoutMillis, req.Topics = 6, 1000, []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
	if t := w.c.Image().TopicByName(name); t != nil && w.r.IntN(2) == 0 {
		req.Topics[0] = kmsg.DeleteTopicsRequestTopic{TopicID: t.ID}
	}
	got := w.c.DeleteTopics(context.Background(), req).Topics[0].ErrorCode
	if _, exists := w.topics[name]; !exists {
		w.expect("delete", got, protocol.UnknownTopicOrPartition)
		return
	}
	w.expect("delete", got, protocol.None)
	delete(w.topics, name)
	delete(w.configs, name)
}

func (w *world) grow(name string) {
	count := 1 + w.r.IntN(6)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.Version, req.TimeoutMillis = 3, 1000
	req.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: name, Count: int32(count)}}
	got := w.c.CreatePartitions(context.Background(), req).Topics[0].ErrorCode
	switch n, exists := w.topics[name]; {
	case !exists:
		w.expect("grow", got, protocol.UnknownTopicOrPartition)
	case count <= n:
		w.expect("grow", got, protocol.InvalidPartitions)
	default:
		w.expect("grow", got, protocol.None, protocol.InvalidReplicationFactor)
		if got == 0 {
			w.topics[name] = count
		}
	}
}

func (w *world) alter(name string) {
	value := fmt.Sprint(w.r.IntN(5) - 1)
	key := []string{"retention.ms", minISRKey, "flush.ms"}[w.r.IntN(3)]
	op := kmsg.IncrementalAlterConfigOp(w.r.IntN(2))
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: op, Value: &value}}}}
	got := w.c.IncrementalAlterConfigs(context.Background(), req).Resources[0].ErrorCode
	bad := op == kmsg.IncrementalAlterConfigOpSet && (key == minISRKey && value < "1" || key == "flush.ms" && value == "-1")
	switch _, exists := w.topics[name]; {
	case bad:
		w.expect("alter", got, protocol.InvalidConfig)
	case !exists:
		w.expect("alter", got, protocol.UnknownTopicOrPartition)
	case op == kmsg.IncrementalAlterConfigOpSet:
		w.configs[name][key] = value
	default:
		delete(w.configs[name], key)
	}
}

func (w *world) producerIDs(broker int32) {
	resp := w.c.AllocateProducerIDs(context.Background(), &kmsg.AllocateProducerIDsRequest{BrokerID: broker, BrokerEpoch: w.epochs[broker]})
	if w.epochs[broker] == 0 {
		w.expect("producer ids", resp.ErrorCode, protocol.StaleBrokerEpoch)
		return
	}
	w.expect("producer ids", resp.ErrorCode, protocol.None)
	if w.nextID != 0 && resp.ProducerIDStart != w.nextID {
		w.t.Fatalf("T1: from %d, want %d", resp.ProducerIDStart, w.nextID)
	}
	w.nextID = resp.ProducerIDStart + int64(resp.ProducerIDLen)
}

func (w *world) elect(name string) string {
	req := kmsg.NewPtrElectLeadersRequest()
	req.Version, req.TimeoutMillis, req.ElectionType = 2, 1000, int8(w.r.IntN(2))
	req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: name, Partitions: []int32{0, 1}}}
	w.c.ElectLeaders(context.Background(), req)
	return fmt.Sprintf("elect %s kind %d", name, req.ElectionType)
}

// check holds the Image against everything that must be true of it.
func (w *world) check(before *metadata.Image, from int) error {
	img := w.c.Image()
	if err := checkInvariants(img); err != nil {
		return err
	}
	if err := w.checkEpochs(before, img); err != nil {
		return err
	}
	if img.NumTopics() != len(w.topics) {
		return fmt.Errorf("%d topics, want %d", img.NumTopics(), len(w.topics))
	}
	for name, partitions := range w.topics {
		t := img.TopicByName(name)
		if t == nil || t.NumPartitions() != partitions {
			return fmt.Errorf("%s: %+v, want %d partitions", name, t, partitions)
		}
		got := img.Configs(metadata.ResourceTopic, name)
		if fmt.Sprint(got) != fmt.Sprint(w.configs[name]) {
			return fmt.Errorf("%s: configs %v, want %v", name, got, w.configs[name])
		}
	}
	for _, b := range w.q.log[from:] {
		if len(b.Records) > maxRecordsPerBatch {
			return fmt.Errorf("a batch of %d records", len(b.Records))
		}
	}
	return nil
}

// checkEpochs is R2 and R1: the epochs of a partition only grow, and it never
// has two leaders in one leader epoch.
func (w *world) checkEpochs(before, after *metadata.Image) error {
	for t := range before.Topics() {
		now := after.TopicByID(t.ID)
		if now == nil {
			continue
		}
		for p := range t.Partitions() {
			q := now.Partition(p.ID)
			switch {
			case q == nil || q.LeaderEpoch < p.LeaderEpoch || q.PartitionEpoch < p.PartitionEpoch:
				return fmt.Errorf("R2: %s-%d: %+v after %+v", t.Name, p.ID, q, p)
			case q.Leader != p.Leader && q.LeaderEpoch == p.LeaderEpoch:
				return fmt.Errorf("R1: %s-%d: leaders %d and %d in epoch %d", t.Name, p.ID, p.Leader, q.Leader, p.LeaderEpoch)
			case q.PartitionEpoch == p.PartitionEpoch && q.LeaderEpoch != p.LeaderEpoch:
				return fmt.Errorf("R2: %s-%d: a new leader epoch and no new partition epoch", t.Name, p.ID)
			}
		}
	}
	return nil
}

// checkReplay: the log, folded from its beginning, is the Image (M7), and so are
// the records of a snapshot (M8).
func (w *world) checkReplay() {
	img := metadata.Empty()
	for _, b := range w.q.log {
		var err error
		if img, _, err = img.Apply(b.Records, b.LastOffset, b.Epoch); err != nil {
			w.t.Fatal(err)
		}
	}
	if d := metadata.Diff(img, w.c.Image()); !d.Empty() {
		w.t.Errorf("replay differs: %+v", d)
	}
	var records []metadata.Message
	for m := range w.c.Records() {
		records = append(records, m)
	}
	snapshot, _, err := metadata.Empty().Replace(throughTheWire(records, metadata.CurrentLevel), w.c.Image().Offset, 1)
	if err != nil {
		w.t.Fatal(err)
	}
	if d := metadata.Diff(snapshot, w.c.Image()); !d.Empty() {
		w.t.Errorf("the snapshot differs: %+v", d)
	}
}
