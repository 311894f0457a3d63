package controller

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/raft"
)

// quorum is a quorum of one in memory: a log, and a switch for when it commits.
type quorum struct {
	c *Controller

	mu     sync.Mutex
	epoch  int32 // led by the controller's node; -1: by nobody
	end    int64 // offset after the last entry
	queue  []entry
	log    []raft.Committed // what was committed
	held   bool             // commit nothing by itself
	refuse error            // of the next proposals
	gap    int64            // offsets that raft takes before the next proposal
}

type entry struct {
	batch raft.Committed
	done  chan error
}

func (q *quorum) Propose(epoch int32, level int16, records []metadata.Message) (int64, <-chan error) {
	q.mu.Lock()
	done := make(chan error, 1)
	switch {
	case q.refuse != nil:
		done <- q.refuse
	case epoch != q.epoch:
		done <- raft.ErrNotLeader
	default:
		for ; q.gap > 0; q.gap-- {
			q.queue = append(q.queue, entry{batch: raft.Committed{BaseOffset: q.end, LastOffset: q.end, Epoch: epoch}, done: make(chan error, 1)})
			q.end++
		}
		q.queue = append(q.queue, entry{done: done, batch: raft.Committed{
			BaseOffset: q.end, LastOffset: q.end + int64(len(records)) - 1, Epoch: epoch, Records: throughTheWire(records, level),
		}})
		q.end += int64(len(records))
		last, held := q.end-1, q.held
		q.mu.Unlock()
		if !held {
			q.commit()
		}
		return last, done
	}
	q.mu.Unlock()
	return -1, done
}

// refuseWith makes the quorum refuse proposals; nil makes it take them again.
func (q *quorum) refuseWith(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuse = err
}

// throughTheWire encodes and decodes records, as a log does at a level of
// metadata.version.
func throughTheWire(records []metadata.Message, level int16) []metadata.Message {
	var out []metadata.Message
	for _, m := range records {
		level = metadata.LevelAfter(level, m)
		back, err := metadata.ParseValue(metadata.AppendValueAt(nil, m, level))
		if err != nil {
			panic(err)
		}
		out = append(out, back)
	}
	return out
}

// commit applies all that is proposed.
func (q *quorum) commit() {
	q.mu.Lock()
	queue := q.queue
	q.queue = nil
	q.mu.Unlock()
	for _, e := range queue {
		q.log = append(q.log, e.batch)
		if err := q.c.Apply(e.batch); err != nil {
			panic(err)
		}
		e.done <- nil
	}
}

// lead makes the node the leader of the next epoch.
func (q *quorum) lead() {
	q.mu.Lock()
	q.epoch = max(q.epoch, q.c.role.epoch) + 1
	epoch, offset := q.epoch, q.end
	q.end++
	q.mu.Unlock()
	q.c.LeaderChanged(q.c.o.NodeID, epoch)
	err := q.c.Apply(raft.Committed{BaseOffset: offset, LastOffset: offset, Epoch: epoch, LeaderChange: &metadata.LeaderChangeMessage{}})
	if err != nil {
		panic(err)
	}
}

// depose makes another node the leader; what is not committed is lost.
func (q *quorum) depose(leader int32) {
	q.mu.Lock()
	queue := q.queue
	q.queue = nil
	q.end = q.c.Image().Offset + 1
	epoch := q.epoch + 1
	q.epoch = -1
	q.mu.Unlock()
	q.c.LeaderChanged(leader, epoch)
	for _, e := range queue {
		e.done <- raft.ErrNotLeader
	}
}

const clusterID = "4L6g3nShT-eMCtK--X86sw"

// newController is a controller of node 1 over a quorum in memory, not active yet.
func newController(t testing.TB, set ...string) (*Controller, *quorum) {
	t.Helper()
	cfg, err := config.Load(config.Sources{Set: append([]string{"node.id=1", "broker.session.timeout.ms=9000", "broker.heartbeat.interval.ms=2000"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c := New(Options{
		NodeID: 1, ClusterID: clusterID, Config: cfg, Rand: rand.New(rand.NewPCG(1, 2)),
		Elapsed: func() time.Duration { return time.Since(began) }, Log: slog.New(slog.DiscardHandler),
	})
	q := &quorum{c: c, epoch: -1}
	c.Attach(q)
	t.Cleanup(c.Close)
	return c, q
}

// oneNode is an active controller with its broker unfenced.
func oneNode(t testing.TB, set ...string) (*Controller, *quorum) {
	t.Helper()
	c, q := newController(t, set...)
	q.lead()
	c.background.Wait()
	start(t, c, 1)
	return c, q
}

// start registers and unfences a broker.
func start(t testing.TB, c *Controller, id int32) int64 {
	t.Helper()
	reg := c.RegisterBroker(context.Background(), registration(id, 1))
	if reg.ErrorCode != 0 {
		t.Fatalf("register %d: %d", id, reg.ErrorCode)
	}
	beat := c.BrokerHeartbeat(context.Background(), &kmsg.BrokerHeartbeatRequest{BrokerID: id, BrokerEpoch: reg.BrokerEpoch, CurrentMetadataOffset: c.Image().Offset})
	if beat.ErrorCode != 0 || beat.IsFenced {
		t.Fatalf("heartbeat %d: %+v", id, beat)
	}
	return reg.BrokerEpoch
}

// fenceSilent fences a broker as the end of its session does.
func fenceSilent(c *Controller, id int32) {
	c.mu.Lock()
	s, heard := c.sessions[id], uint64(0)
	if s != nil {
		heard = s.heard
	}
	c.mu.Unlock()
	if s != nil {
		c.fence(id, s, heard)
	}
}

func uuid(kind, n byte) metadata.UUID { return metadata.UUID{0: kind, 15: n} }

// registration is of the nth incarnation of a broker with one log dir.
func registration(id int32, incarnation byte) *kmsg.BrokerRegistrationRequest {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.Version = 4
	req.BrokerID, req.ClusterID, req.IncarnationID = id, clusterID, uuid(byte(id), incarnation)
	req.LogDirs, req.PreviousBrokerEpoch = [][16]byte{uuid(0xd, byte(id))}, -1
	req.Listeners = []kmsg.BrokerRegistrationRequestListener{{Name: "PLAINTEXT", Host: "localhost", Port: uint16(9090 + id)}}
	for _, f := range metadata.SupportedFeatures() {
		req.Features = append(req.Features, kmsg.BrokerRegistrationRequestFeature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	return req
}

// create makes a topic, and fails the test if it cannot.
func create(t testing.TB, c *Controller, name string, partitions int32, configs ...string) *metadata.Topic {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, -1
	for i := 0; i < len(configs); i += 2 {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: configs[i], Value: &configs[i+1]})
	}
	req.Topics = append(req.Topics, topic)
	resp := c.CreateTopics(context.Background(), req)
	if resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: %d %s", name, resp.Topics[0].ErrorCode, deref(resp.Topics[0].ErrorMessage))
	}
	return c.Image().TopicByName(name)
}

func deref(s *string) string {
	if s == nil {
		return "<null>"
	}
	return *s
}

// checkInvariants holds an Image against what must be true of every Image.
func checkInvariants(img *metadata.Image) error {
	dirs := map[metadata.UUID]int32{}
	for b := range img.Brokers() {
		for _, d := range b.LogDirs {
			if other, ok := dirs[d]; ok {
				return fmt.Errorf("brokers %d and %d have the same log dir", other, b.ID)
			}
			dirs[d] = b.ID
		}
	}
	for t := range img.Topics() {
		want := int32(0)
		for p := range t.Partitions() {
			if p.ID != want {
				return fmt.Errorf("%s has no partition %d", t.Name, want)
			}
			want++
			if err := checkPartition(img, p); err != nil {
				return fmt.Errorf("%s-%d: %w: %+v", t.Name, p.ID, err, *p)
			}
		}
	}
	return nil
}

// checkPartition is R3, and a log dir for each replica.
func checkPartition(img *metadata.Image, p *metadata.Partition) error {
	in := func(list []int32) func(int32) bool { return func(id int32) bool { return slices.Contains(list, id) } }
	switch {
	case len(p.Directories) != len(p.Replicas):
		return fmt.Errorf("%d directories", len(p.Directories))
	case p.Leader != metadata.NoLeader && !slices.Contains(p.ISR, p.Leader):
		return fmt.Errorf("R3: the leader is not in the ISR")
	case len(without(p.ISR, p.Replicas)) > 0:
		return fmt.Errorf("R3: the ISR is not among the replicas")
	case slices.ContainsFunc(p.ELR, in(p.ISR)):
		return fmt.Errorf("R3: ELR and ISR overlap")
	}
	for _, id := range p.ISR {
		if b := img.Broker(id); b == nil || b.Fenced {
			return fmt.Errorf("R3: broker %d of the ISR is fenced", id)
		}
	}
	return nil
}
