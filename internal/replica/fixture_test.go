package replica

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/metrics"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

const (
	self  int32 = 1
	other int32 = 2
	third int32 = 3

	someTime = int64(1_700_000_000_000)
)

var topicA = metadata.UUID{0xa, 15: 1}

// topicConfig is the default config of the tests' topics.
func topicConfig() config.Topic {
	return config.Topic{
		SegmentBytes: 1 << 20, SegmentIndexBytes: 1 << 20, IndexIntervalBytes: 4096, SegmentAge: time.Hour,
		RetentionBytes: -1, RetentionMs: -1, Delete: true, MaxMessageBytes: 1 << 20, FlushMessages: 1 << 62, FlushMs: 1 << 62,
		TimestampBeforeMaxMs: 1 << 62, TimestampAfterMaxMs: 1 << 62,
		Compression: config.Compression{Codec: config.Producer}, MinInsyncReplicas: 1,
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func now() time.Time { return time.UnixMilli(someTime) }

// openLog opens a log that only the test flushes.
func openLog(t testing.TB, fsys vfs.FS) *storage.Log {
	t.Helper()
	tp := storage.TopicPartition{Topic: "a", TopicID: topicA}
	log, err := storage.OpenLog(storage.LogOptions{
		FS: fsys, Path: "/data/a-0", TP: tp, Config: topicConfig(), Now: now, Log: quiet(), Codecs: record.NewCodecs(), Seed: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	return log
}

// newTestPartition returns a partition with its own log and without a leader.
func newTestPartition(t testing.TB, durable bool) *Partition {
	t.Helper()
	log := openLog(t, vfs.NewMem())
	return newPartition(log.TP(), testOptions(durable), log)
}

// led returns the metadata of partition 0 in epoch, with that leader and ISR.
func led(leader, epoch int32, isr ...int32) *metadata.Partition {
	return &metadata.Partition{Replicas: []int32{self, other, third}, ISR: isr, Leader: leader, LeaderEpoch: epoch, PartitionEpoch: epoch}
}

// batch returns a client's batch of n records.
func batch(t testing.TB, n int) []byte {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{})
	for i := range n {
		b.Append(someTime+int64(i), []byte("key"), fmt.Appendf(nil, "value %d", i))
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func mustAppend(t testing.TB, p *Partition, n int) storage.Appended {
	t.Helper()
	a, err := p.Append(batch(t, n), AppendOptions{Acks: AcksLeader})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustFlush(t testing.TB, p *Partition) {
	t.Helper()
	if err := p.log.Flush(); err != nil {
		t.Fatal(err)
	}
}

// wantHW checks the high watermark of the partition and of its log.
func wantHW(t testing.TB, p *Partition, want int64, when string) {
	t.Helper()
	if got := p.HighWatermark(); got != want {
		t.Errorf("%s: high watermark %d, want %d", when, got, want)
	}
	if got := p.log.HighWatermark(); got != want {
		t.Errorf("%s: the log has the high watermark %d, want %d", when, got, want)
	}
}

// closed tells whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// testOptions returns the options of a Manager with or without fsync
// durability.
func testOptions(durable bool) *Options {
	o := &Options{NodeID: self, Durability: config.PageCache, Metrics: new(metrics.Metrics)}
	if durable {
		o.Durability = config.Fsync
	}
	return o
}
