package replica

import (
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// BenchmarkAdvance measures one round of the flusher over 1,000 partitions with
// one waiting produce request and one waiting fetch each, without I/O.
func BenchmarkAdvance(b *testing.B) {
	parts := make([]*Partition, 1000)
	fetch := NewWaiter()
	for i := range parts {
		log, err := storage.OpenLog(storage.LogOptions{FS: vfs.NewMem(), Path: "/data/a-0", TP: storage.TopicPartition{Topic: "a", TopicID: topicA}, Config: topicConfig(), Now: now, Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		parts[i] = newPartition(log.TP(), testOptions(false), log)
		parts[i].apply(led(self, 1, self), topicConfig())
		fetch.Watch(parts[i], i, ReadUncommitted, parts[i].progress(1))
	}
	b.ReportAllocs()
	end := int64(0)
	for b.Loop() {
		end++
		pending := NewPending()
		for _, p := range parts {
			p.hw.Store(end - 1)
			pending.Add(p, storage.Appended{LastOffset: end - 1, LeaderEpoch: p.LeaderEpoch()})
			p.mu.Lock()
			p.counting = end
			p.mu.Unlock()
		}
		done := pending.Start(time.Hour)
		for _, p := range parts {
			p.advance()
		}
		<-done
		fetch.Changed()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/partition")
}

// BenchmarkCreate measures Apply of a topic of 1,000 partitions on a real disk.
// The folders are created with the first records: see BenchmarkFirstRecords of
// package broker.
func BenchmarkCreate(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		n := startNode(b, vfs.OS{}, config.Fsync, b.TempDir())
		b.StartTimer()
		n.mustCommit(topic("a", topicA, 1000)...)
		b.StopTimer()
		n.stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/partition")
}
