package coordinator

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/replica/replicatest"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// onReplicas runs a test on a partition of the topic that the node leads in
// epoch 0.
func onReplicas(t *testing.T, test func(t *testing.T, n *replicatest.Node, l Log), set ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := replicatest.Start(t, set...)
		n.Commit(n.Topic(topic, topicID, 1)...)
		l, err := Replicas(n.Replicas, topic)(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		test(t, n, l)
	})
}

func batchOf(t *testing.T, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), []byte("k"), []byte(v))
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// TestReplicasOpen: only what the node leads, in that epoch, is a shard's log.
func TestReplicasOpen(t *testing.T) {
	n := replicatest.Start(t)
	n.Commit(n.Topic(topic, topicID, 1)...)
	n.Commit(n.Partition(topicID, 0, 3))
	for _, c := range []struct {
		partition, epoch int32
		want             error
	}{
		{0, 3, nil},
		{0, 2, replica.ErrFencedLeaderEpoch},
		{0, 4, replica.ErrUnknownLeaderEpoch},
		{1, 0, replica.ErrUnknownTopicOrPartition},
	} {
		l, err := Replicas(n.Replicas, topic)(c.partition, c.epoch)
		if !errors.Is(err, c.want) {
			t.Errorf("partition %d in epoch %d: %v, want %v", c.partition, c.epoch, err, c.want)
		}
		if err == nil {
			l.Close()
		}
	}
}

// TestReplicasAppend: what is appended counts once it is flushed, which the log
// tells, and is read again.
func TestReplicasAppend(t *testing.T) {
	onReplicas(t, func(t *testing.T, n *replicatest.Node, l Log) {
		gate := make(chan struct{})
		n.Faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: topic, Hook: func(vfs.Event) { <-gate }})
		l.Seen()
		for want, values := range [][]string{{"a"}, {"b", "c"}} {
			if base, err := l.Append(batchOf(t, values...)); err != nil || base != int64(want) {
				t.Fatalf("appended at %d, %v; want %d", base, err, want)
			}
		}
		synctest.Wait()
		if l.EndOffset() != 3 || l.HighWatermark() != 0 {
			t.Errorf("before the flush: end %d, high watermark %d", l.EndOffset(), l.HighWatermark())
		}
		close(gate)
		for l.HighWatermark() < 3 {
			<-l.Changed()
			l.Seen()
		}
		var got []string
		for b, err := range l.Batches() {
			if err != nil {
				t.Fatal(err)
			}
			if b.LeaderEpoch() != 0 {
				t.Errorf("a batch of epoch %d", b.LeaderEpoch())
			}
			for r := range b.Records(record.NewCodecs()) {
				got = append(got, string(r.Value))
			}
		}
		if strings.Join(got, " ") != "a b c" {
			t.Errorf("the log holds %q", got)
		}
	})
}

// TestReplicasLimits: a batch must fit the topic's messages and its segments.
func TestReplicasLimits(t *testing.T) {
	for _, c := range []struct {
		set  []string
		want int
	}{
		{[]string{"message.max.bytes=5000"}, 5000},
		{[]string{"message.max.bytes=3000000", "log.segment.bytes=1048576"}, 1 << 20},
	} {
		onReplicas(t, func(t *testing.T, _ *replicatest.Node, l Log) {
			if got := l.MaxBatchBytes(); got != c.want {
				t.Errorf("%v: %d bytes, want %d", c.set, got, c.want)
			}
			_, err := l.Append(batchOf(t, strings.Repeat("x", c.want)))
			if err == nil || !strings.Contains(err.Error(), topic+"-0") || l.EndOffset() != 0 {
				t.Errorf("%v: a batch too large: %v", c.set, err)
			}
		}, c.set...)
	}
}

// TestReplicasEnd: a log ends with its epoch and with its partition, for which
// the coordinator is another; a failed disk is told as such.
func TestReplicasEnd(t *testing.T) {
	for _, c := range []struct {
		what string
		end  func(n *replicatest.Node, l Log)
		want []error
		not  error
	}{
		{"another epoch", func(n *replicatest.Node, _ Log) { n.Commit(n.Partition(topicID, 0, 1)) },
			[]error{ErrNotCoordinator, replica.ErrFencedLeaderEpoch}, storage.ErrStorage},
		{"deleted", func(n *replicatest.Node, _ Log) { n.Commit(&metadata.RemoveTopicRecord{TopicID: topicID}) },
			[]error{ErrNotCoordinator, replica.ErrUnknownTopicOrPartition}, storage.ErrStorage},
		{"a failed disk", func(n *replicatest.Node, l Log) {
			n.Faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Path: topic, Err: syscall.EIO})
			_, _ = l.Append(batchOf(t, "lost"))
		}, []error{storage.ErrStorage}, ErrNotCoordinator},
	} {
		t.Run(c.what, func(t *testing.T) {
			onReplicas(t, func(t *testing.T, n *replicatest.Node, l Log) {
				if err := l.Err(); err != nil {
					t.Fatalf("before: %v", err)
				}
				l.Seen()
				c.end(n, l)
				for l.Err() == nil {
					<-l.Changed()
					l.Seen()
				}
				for _, want := range c.want {
					if err := l.Err(); !errors.Is(err, want) || errors.Is(err, c.not) {
						t.Errorf("%v, want %v and not %v", err, want, c.not)
					}
				}
				end := l.EndOffset()
				if _, err := l.Append(batchOf(t, "too late")); err == nil || l.EndOffset() != end {
					t.Errorf("an append afterwards: %v", err)
				}
			})
		})
	}
}
