package replica

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

var (
	topicB = metadata.UUID{0xb, 15: 1}
	topicC = metadata.UUID{0xc, 15: 1}
)

// node is a manager on storage in memory, and the metadata it follows.
type node struct {
	t       testing.TB
	fs      vfs.FS
	storage *storage.Manager
	manager *Manager
	image   *metadata.Image
	said    bytes.Buffer
}

func startNode(t testing.TB, fsys vfs.FS, durability config.Durability, dirs ...string) *node {
	t.Helper()
	n := &node{t: t, fs: fsys, image: metadata.Empty()}
	if len(dirs) == 0 {
		dirs = []string{"/data"}
	}
	var err error
	n.storage, err = storage.OpenManager(context.Background(), storage.Options{
		FS: fsys, Dirs: dirs, Now: now, Log: quiet(), Codecs: record.NewCodecs(), Seed: 1, NodeID: self, ClusterID: "c",
		Durability: durability, FlushMethod: config.FlushFdatasync, Default: topicConfig(),
		OnDirFailure: func(f storage.DirFailure) { n.manager.DirFailed(f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.manager = NewManager(Options{
		NodeID: self, Storage: n.storage, Durability: durability, Log: slog.New(slog.NewTextHandler(&n.said, nil)),
		TopicConfig: func(overrides map[string]string) (config.Topic, error) {
			c := topicConfig()
			switch overrides["min.insync.replicas"] {
			case "":
			case "2":
				c.MinInsyncReplicas = 2
			default:
				return config.Topic{}, errors.New("no number")
			}
			return c, nil
		},
	})
	return n
}

// stop stops the node without checking the clean shutdown.
func (n *node) stop() {
	n.t.Helper()
	n.manager.Close()
	if err := n.storage.Close(-1); err != nil {
		n.t.Fatal(err)
	}
}

// commit applies records to the image and to the manager.
func (n *node) commit(records ...metadata.Message) error {
	n.t.Helper()
	image, delta, err := n.image.Apply(records, n.image.Offset+int64(len(records)), 1)
	if err != nil {
		n.t.Fatal(err)
	}
	n.image = image
	return n.manager.Apply(image, delta)
}

func (n *node) mustCommit(records ...metadata.Message) {
	n.t.Helper()
	if err := n.commit(records...); err != nil {
		n.t.Fatal(err)
	}
}

// mustServe returns a partition, which must be served.
func (n *node) mustServe(topic string, partition int32) *Partition {
	n.t.Helper()
	p, err := n.manager.Partition(topic, partition)
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// topic returns the records of a topic with partitions led by this node.
func topic(name string, id metadata.UUID, partitions int) []metadata.Message {
	records := []metadata.Message{&metadata.TopicRecord{Name: name, TopicID: id}}
	for i := range partitions {
		records = append(records, partitionRecord(id, int32(i), self))
	}
	return records
}

func partitionRecord(id metadata.UUID, partition int32, replicas ...int32) *metadata.PartitionRecord {
	r := metadata.NewPartitionRecord()
	r.TopicID, r.PartitionID, r.Replicas, r.ISR = id, partition, replicas, replicas
	r.Leader, r.LeaderEpoch, r.PartitionEpoch = replicas[0], 0, 0
	r.Directories = make([]metadata.UUID, len(replicas))
	return r
}

func TestCreateAndDelete(t *testing.T) {
	n := startNode(t, vfs.NewMem(), config.PageCache)
	defer n.stop()
	_, err := n.manager.Partition("a", 0)
	if !errors.Is(err, ErrUnknownTopicOrPartition) {
		t.Errorf("before it exists: %v", err)
	}
	n.mustCommit(topic("a", topicA, 2)...)
	p := n.mustServe("a", 1)
	mustAppend(t, p, 3)
	wantHW(t, p, 3, "served")
	if _, err := n.manager.Partition("a", 2); !errors.Is(err, ErrUnknownTopicOrPartition) {
		t.Errorf("a partition that does not exist: %v", err)
	}
	n.mustCommit(partitionRecord(topicA, 2, self))
	n.mustServe("a", 2)
	if n.mustServe("a", 1) != p {
		t.Error("adding partitions replaced the old ones")
	}
	count := 0
	for range n.manager.All() {
		count++
	}
	if count != 3 {
		t.Errorf("%d partitions", count)
	}

	pending := NewPending()
	i := pending.Add(p, storage.Appended{LastOffset: 99, LeaderEpoch: p.LeaderEpoch()})
	done := pending.Start(time.Hour)
	n.mustCommit(&metadata.RemoveTopicRecord{TopicID: topicA})
	if _, err := n.manager.Partition("a", 1); !errors.Is(err, ErrUnknownTopicOrPartition) {
		t.Errorf("after the deletion: %v", err)
	}
	if <-done; !errors.Is(pending.Err(i), ErrUnknownTopicOrPartition) {
		t.Errorf("the waiting request: %v", pending.Err(i))
	}
	if _, err := p.Append(batch(t, 1), AppendOptions{}); !errors.Is(err, ErrUnknownTopicOrPartition) {
		t.Errorf("an append to a deleted partition: %v", err)
	}
	if n.storage.Log("a", 1) != nil {
		t.Error("the log still exists")
	}
}

// TestSameNameAgain checks that a topic that is deleted and created in one
// change never has old records (P14).
func TestSameNameAgain(t *testing.T) {
	for _, ids := range [][2]metadata.UUID{{topicA, topicB}, {topicB, topicA}} {
		n := startNode(t, vfs.NewMem(), config.PageCache)
		n.mustCommit(topic("a", ids[0], 1)...)
		mustAppend(t, n.mustServe("a", 0), 5)
		n.mustCommit(append([]metadata.Message{&metadata.RemoveTopicRecord{TopicID: ids[0]}}, topic("a", ids[1], 1)...)...)
		p := n.mustServe("a", 0)
		if p.TopicPartition().TopicID != ids[1] || p.log.EndOffset() != 0 {
			t.Errorf("topic %x with %d records", p.TopicPartition().TopicID, p.log.EndOffset())
		}
		n.stop()
	}
}

// TestRestart checks that after a restart existing logs are opened, not
// created.
func TestRestart(t *testing.T) {
	fsys := vfs.NewMem()
	n := startNode(t, fsys, config.Fsync)
	n.mustCommit(topic("a", topicA, 1)...)
	p := n.mustServe("a", 0)
	pending := NewPending()
	i := pending.Add(p, mustAppend(t, p, 4))
	if <-pending.Start(time.Hour); pending.Err(i) != nil {
		t.Fatal(pending.Err(i))
	}
	n.stop()

	n = startNode(t, fsys, config.Fsync)
	defer n.stop()
	n.mustCommit(topic("a", topicA, 1)...)
	wantHW(t, n.mustServe("a", 0), 4, "after the restart")
	if n.said.Len() > 0 {
		t.Errorf("logged: %s", n.said.String())
	}
}

// TestAcksSurvivePowerLoss checks P12 and P15: records that were acknowledged
// with acks=all or visible to a consumer exist after a power loss that keeps
// only durable data.
func TestAcksSurvivePowerLoss(t *testing.T) {
	for seed := range uint64(5) {
		mem := vfs.NewMem()
		n := startNode(t, mem, config.Fsync)
		n.mustCommit(topic("a", topicA, 3)...)
		var acked, seen [3]int64
		for round := range 20 {
			pending := NewPending()
			for id := range int32(3) {
				a := mustAppend(t, n.mustServe("a", id), 1+round%4)
				if acked[id] = a.LastOffset + 1; pending.Add(n.mustServe("a", id), a) != int(id) {
					t.Fatal("indexes are out of order")
				}
			}
			<-pending.Start(time.Hour)
		}
		for id := range int32(3) {
			mustAppend(t, n.mustServe("a", id), 1) // no request waits for this one
			seen[id] = n.mustServe("a", id).HighWatermark()
		}
		after := mem.CrashClone(vfs.CrashOptions{Seed: seed, KeepProbability: float64(seed) / 4})
		n.stop()

		n = startNode(t, after, config.Fsync)
		n.mustCommit(topic("a", topicA, 3)...)
		for id := range int32(3) {
			p := n.mustServe("a", id)
			if hw := p.HighWatermark(); hw < acked[id] || hw < seen[id] || hw > p.log.FlushedOffset() {
				t.Errorf("seed %d, partition %d: high watermark %d, acknowledged %d, seen %d, flushed %d", seed, id, hw, acked[id], seen[id], p.log.FlushedOffset())
			}
		}
		n.stop()
	}
}

// TestStraysAreLeft checks M13: a folder whose topic is not in the metadata is
// not deleted, and is logged once.
func TestStraysAreLeft(t *testing.T) {
	fsys := vfs.NewMem()
	n := startNode(t, fsys, config.PageCache)
	n.mustCommit(append(topic("a", topicA, 1), topic("b", topicB, 1)...)...)
	mustAppend(t, n.mustServe("a", 0), 4)
	mustAppend(t, n.mustServe("b", 0), 5)
	n.stop()

	n = startNode(t, fsys, config.PageCache)
	n.mustCommit(topic("c", topicC, 1)...)
	if _, err := n.manager.Partition("a", 0); !errors.Is(err, ErrUnknownTopicOrPartition) {
		t.Errorf("a stray is served: %v", err)
	}
	n.mustCommit(&metadata.RemoveTopicRecord{TopicID: topicC})
	if got := strings.Count(n.said.String(), "the topic of a folder is not in the metadata"); got != 2 {
		t.Errorf("%d lines: %s", got, n.said.String())
	}
	// The metadata arrives: the records of a exist; b is another topic now.
	n.mustCommit(append(topic("a", topicA, 1), topic("b", topicC, 1)...)...)
	if got := n.mustServe("a", 0).log.EndOffset(); got != 4 {
		t.Errorf("a ends at %d", got)
	}
	if got := n.mustServe("b", 0).log.EndOffset(); got != 0 {
		t.Errorf("the new b ends at %d", got)
	}
	if !strings.Contains(n.said.String(), "set aside") {
		t.Errorf("logged: %s", n.said.String())
	}
	n.stop()
	kept := false
	err := vfs.Walk(fsys, "/data", func(name string, _ fs.FileInfo) error {
		kept = kept || strings.Contains(name, "b-0") && strings.Contains(name, "-stray")
		return nil
	})
	if err != nil || !kept {
		t.Errorf("the old b was not kept: %v", err)
	}
}

// TestFolderWithoutID checks that a folder whose partition.metadata was never
// durable or was lost is assigned permanently to the topic of its name, with
// its records.
func TestFolderWithoutID(t *testing.T) {
	const name = "/data/a-0/partition.metadata"
	for what, lose := range map[string]func(vfs.FS) error{
		"empty":   func(fsys vfs.FS) error { return vfs.WriteFileAtomic(fsys, name, nil, 0o644) },
		"missing": func(fsys vfs.FS) error { return fsys.Remove(name) },
	} {
		t.Run(what, func(t *testing.T) {
			fsys := vfs.NewMem()
			n := startNode(t, fsys, config.PageCache)
			n.mustCommit(topic("a", topicA, 1)...)
			mustAppend(t, n.mustServe("a", 0), 4)
			n.stop()
			if err := lose(fsys); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				n = startNode(t, fsys, config.PageCache)
				n.mustCommit(topic("a", topicA, 1)...)
				if p := n.mustServe("a", 0); p.log.EndOffset() != 4 || p.log.TP().TopicID != topicA {
					t.Errorf("%d records of topic %x", p.log.EndOffset(), p.log.TP().TopicID)
				}
				n.stop()
			}
			if strings.Contains(n.said.String(), "cannot use") {
				t.Errorf("the second start logged: %s", n.said.String())
			}
		})
	}
}

// TestDeleteSparesAnotherTopic checks that a committed delete applies to a
// topic id, not to a name.
func TestDeleteSparesAnotherTopic(t *testing.T) {
	n := startNode(t, vfs.NewMem(), config.PageCache)
	defer n.stop()
	n.mustCommit(topic("a", topicA, 1)...)
	old := n.image.TopicByID(topicA)
	if n.manager.end(&metadata.Topic{Name: "a", ID: topicB}, 0) {
		t.Error("the log is marked for deletion")
	}
	if p := n.mustServe("a", 0); p.TopicPartition().TopicID != old.ID || n.storage.Log("a", 0) == nil {
		t.Error("the wrong topic was deleted")
	}
}

// TestReplicasElsewhere checks that a partition of other nodes is not created
// here, and that one that moves away is deleted.
func TestReplicasElsewhere(t *testing.T) {
	n := startNode(t, vfs.NewMem(), config.PageCache)
	defer n.stop()
	n.mustCommit(&metadata.TopicRecord{Name: "a", TopicID: topicA}, partitionRecord(topicA, 0, other), partitionRecord(topicA, 1, other, self))
	if _, err := n.manager.Partition("a", 0); !errors.Is(err, ErrNotLeader) || n.storage.Log("a", 0) != nil {
		t.Errorf("a partition of another node: %v", err)
	}
	p := n.mustServe("a", 1)
	if _, err := p.Append(batch(t, 1), AppendOptions{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower accepted an append: %v", err)
	}
	change := metadata.NewPartitionChangeRecord()
	change.TopicID, change.PartitionID, change.Replicas, change.ISR = topicA, 1, []int32{other}, []int32{other}
	change.Directories = make([]metadata.UUID, 1)
	n.mustCommit(change)
	if _, err := n.manager.Partition("a", 1); !errors.Is(err, ErrNotLeader) || n.storage.Log("a", 1) != nil {
		t.Errorf("a partition that moved away: %v", err)
	}
}

func TestConfigChange(t *testing.T) {
	n := startNode(t, vfs.NewMem(), config.PageCache)
	defer n.stop()
	n.mustCommit(&metadata.TopicRecord{Name: "a", TopicID: topicA}, partitionRecord(topicA, 0, self, other))
	change := metadata.NewPartitionChangeRecord()
	change.TopicID, change.ISR = topicA, []int32{self}
	change.PartitionID = 0
	n.mustCommit(change)
	p := n.mustServe("a", 0)
	two, bad := "2", "x"
	n.mustCommit(&metadata.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: "a", Name: "min.insync.replicas", Value: &two})
	if !p.UnderMinISR() || p.log.Config().MinInsyncReplicas != 2 {
		t.Error("the change was not applied")
	}
	if err := n.commit(&metadata.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: "a", Name: "min.insync.replicas", Value: &bad}); err == nil || !strings.Contains(err.Error(), "config of topic a") {
		t.Errorf("an invalid config: %v", err)
	}
	if p.UnderMinISR() {
		t.Error("the default does not apply")
	}
	// A broker's default affects every topic.
	n.mustCommit(&metadata.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: "b", Name: "min.insync.replicas", Value: &two})
	if p.UnderMinISR() {
		t.Error("another topic's config was used")
	}
	if err := n.commit(&metadata.ConfigRecord{ResourceType: metadata.ResourceBroker, Name: "min.insync.replicas", Value: &two}); err == nil {
		t.Error("the broker's default was not applied to the topics")
	}
}

// TestDirFailure checks that a log dir that goes offline ends the service of
// its partitions, and of no others.
func TestDirFailure(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	n := startNode(t, fault, config.Fsync, "/one", "/two")
	n.mustCommit(topic("a", topicA, 4)...)
	broken := n.mustServe("a", 0)
	dir := broken.log.DirID()
	fault.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: broken.log.Path(), Err: syscall.EIO})
	pending := NewPending()
	i := pending.Add(broken, mustAppend(t, broken, 1))
	if <-pending.Start(time.Hour); !errors.Is(pending.Err(i), storage.ErrStorage) {
		t.Errorf("the waiting request: %v", pending.Err(i))
	}
	served := 0
	for id := range int32(4) {
		p, err := n.manager.Partition("a", id)
		if err == nil {
			served++
			mustAppend(t, p, 1)
			if p.log.DirID() == dir {
				t.Errorf("partition %d of the broken dir is served", id)
			}
		} else if !errors.Is(err, storage.ErrStorage) {
			t.Errorf("partition %d: %v", id, err)
		}
	}
	if served != 2 {
		t.Errorf("%d of 4 partitions are served", served)
	}
	// Requests to a partition that cannot be created get the reason.
	lost := partitionRecord(topicA, 4, self)
	lost.Directories[0] = metadata.DirLost
	if err := n.commit(lost); err == nil {
		t.Error("a lost dir is no error")
	}
	if _, err := n.manager.Partition("a", 4); !errors.Is(err, storage.ErrStorage) {
		t.Errorf("a partition in a lost dir: %v", err)
	}
	n.manager.Close()
	_ = n.storage.Close(-1)
}

// TestRetry checks that a partition that could not be created for lack of space
// or file descriptors is created when they are available. Here the failing
// operation writes that a former partition of the same name is removed.
func TestRetry(t *testing.T) {
	for _, want := range []syscall.Errno{syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE} {
		fault := vfs.NewFault(vfs.NewMem())
		n := startNode(t, fault, config.Fsync)
		n.mustCommit(topic("a", topicA, 1)...)
		p := n.mustServe("a", 0)
		mustAppend(t, p, 1)
		mustFlush(t, p)
		if err := n.storage.Checkpoint(); err != nil {
			t.Fatal(err)
		}
		n.mustCommit(&metadata.RemoveTopicRecord{TopicID: topicA})
		fault.Add(vfs.Rule{Op: vfs.OpCreate, Path: "-offset-checkpoint", Err: want})
		if err := n.commit(topic("a", topicB, 1)...); !errors.Is(err, want) {
			t.Fatalf("created with %v: %v", want, err)
		}
		if err := n.manager.Retry(); !errors.Is(err, want) {
			t.Errorf("retried with %v: %v", want, err)
		}
		fault.Clear()
		if err := n.manager.Retry(); err != nil {
			t.Errorf("retried after %v: %v", want, err)
		}
		mustAppend(t, n.mustServe("a", 0), 1)
		n.stop()
	}
}

// TestDirFailureBesideCreate checks that a partition whose log dir goes offline
// while its log is created is not served.
func TestDirFailureBesideCreate(t *testing.T) {
	fault := vfs.NewFault(vfs.NewMem())
	n := startNode(t, fault, config.Fsync, "/one", "/two")
	n.mustCommit(topic("a", topicA, 1)...)
	broken := n.mustServe("a", 0)
	told := NewWaiter()
	defer told.Close()
	told.Watch(broken, 0, LogEnd, broken.progress(0))
	fault.Add(vfs.Rule{Op: vfs.OpCreate, Path: broken.log.Path(), Err: syscall.EIO}, vfs.Rule{Op: vfs.OpStat, Path: "a-1", Count: 1, Hook: func(vfs.Event) {
		if _, err := broken.Append(batch(t, 1), AppendOptions{}); !errors.Is(err, storage.ErrStorage) {
			t.Error(err)
		}
		<-told.C
	}})
	late := partitionRecord(topicA, 1, self)
	late.Directories[0] = broken.log.DirID()
	if err := n.commit(late); !errors.Is(err, storage.ErrStorage) {
		t.Errorf("the partition was accepted: %v", err)
	}
	if _, err := n.manager.Partition("a", 1); !errors.Is(err, storage.ErrStorage) {
		t.Errorf("the partition is served: %v", err)
	}
	n.manager.Close()
	_ = n.storage.Close(-1)
}

// TestManyAtOnce runs appends with acks, fetches and changes of the epoch
// concurrently. Acknowledged records must be below the high watermark and
// readable (P15), and no request may wait forever.
func TestManyAtOnce(t *testing.T) {
	n := startNode(t, vfs.NewMem(), config.Fsync)
	defer n.stop()
	n.mustCommit(topic("a", topicA, 3)...)
	stop := make(chan struct{})
	var appenders, changes, fetches sync.WaitGroup
	for range 4 {
		appenders.Go(func() { appendSome(t, n, 60) })
	}
	for id := range int32(3) {
		p := n.mustServe("a", id)
		fetches.Go(func() { fetchUntil(t, p, stop) })
	}
	changes.Go(func() {
		for epoch := int32(1); !closed(stop); epoch++ {
			change := led(self, epoch, self)
			change.Replicas = []int32{self}
			for id := range int32(3) {
				n.mustServe("a", id).apply(change, topicConfig())
			}
		}
	})
	appenders.Wait()
	close(stop)
	changes.Wait()
	for id := range int32(3) {
		n.mustServe("a", id).fail(ErrNotLeader)
	}
	fetches.Wait()
}

// appendSome appends to all partitions and waits for the acks.
func appendSome(t *testing.T, n *node, rounds int) {
	for range rounds {
		pending := NewPending()
		var ends []int64
		var parts []*Partition
		for id := range int32(3) {
			p, err := n.manager.Partition("a", id)
			if err != nil {
				t.Error(err)
				return
			}
			a, err := p.Append(batch(t, 2), AppendOptions{Acks: AcksAll})
			if errors.Is(err, ErrNotLeader) {
				continue // between two epochs
			}
			if err != nil {
				t.Error(err)
				return
			}
			pending.Add(p, a)
			ends, parts = append(ends, a.LastOffset+1), append(parts, p)
		}
		<-pending.Start(time.Hour)
		for i, p := range parts {
			if err := pending.Err(i); err != nil || p.HighWatermark() < ends[i] || p.log.FlushedOffset() < ends[i] {
				t.Errorf("acknowledged %d: %v; high watermark %d, flushed %d", ends[i], err, p.HighWatermark(), p.log.FlushedOffset())
			}
		}
	}
}

// fetchUntil reads a partition to its end repeatedly, like a consumer, and
// checks P1 meanwhile.
func fetchUntil(t *testing.T, p *Partition, stop <-chan struct{}) {
	var offset int64
	for !closed(stop) {
		r, err := p.Read(ReadOptions{Offset: offset, MaxBytes: 1 << 20, CurrentLeaderEpoch: NoEpoch, LastFetchedEpoch: NoEpoch})
		if err != nil {
			if !errors.Is(err, ErrNotLeader) {
				t.Error(err)
			}
			continue
		}
		if r.LogStart > r.LastStable || r.LastStable > r.HighWatermark || r.HighWatermark > r.LogEnd {
			t.Errorf("out of order: %+v", r.Progress)
		}
		if offset, err = follow(&r.Records, offset); err != nil {
			t.Error(err)
			return
		}
		if offset > r.HighWatermark {
			t.Errorf("read to %d, the high watermark is %d", offset, r.HighWatermark)
		}
		if offset < r.HighWatermark {
			continue
		}
		w := NewWaiter()
		w.Watch(p, 0, ReadUncommitted, r.Progress)
		<-w.C
		w.Close()
	}
}

// follow returns the offset after the batches of a slice, and releases the
// slice.
func follow(s *storage.Slice, offset int64) (int64, error) {
	defer s.Release()
	if s.Len() == 0 {
		return offset, nil
	}
	buf := make([]byte, s.Len())
	if _, err := s.ReadAt(buf, 0); err != nil {
		return offset, err
	}
	for len(buf) > 0 {
		b, rest, err := record.Next(buf)
		if err != nil {
			return offset, err
		}
		if b.BaseOffset() != offset {
			return offset, fmt.Errorf("batch at %d, want %d", b.BaseOffset(), offset)
		}
		offset, buf = b.NextOffset(), rest
	}
	return offset, nil
}
