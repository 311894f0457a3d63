package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// benchLog is one partition on the machine's disk.
func benchLog(b *testing.B, durability config.Durability) (*Manager, *Log) {
	o := testOptions(vfs.OS{})
	o.Dirs, o.Default.SegmentBytes, o.Default.IndexIntervalBytes = []string{b.TempDir()}, 1<<30, 4096
	o.Default.SegmentIndexBytes = 10 << 20
	o.Default.MaxMessageBytes = 2 << 20
	o.Durability, o.manual = durability, false
	m := openManager(b, o)
	b.Cleanup(func() { m.Close(-1) })
	l, err := m.Create(TopicPartition{Topic: "bench", TopicID: [16]byte{1}}, o.Default, [16]byte{})
	if err != nil {
		b.Fatal(err)
	}
	return m, l
}

// benchSizes are a lone small record and full batches.
var benchSizes = []struct {
	name           string
	records, value int
}{{"1x100B", 1, 100}, {"10KiB", 100, 100}, {"100KiB", 1000, 100}, {"1MiB", 10, 100 << 10}}

// BenchmarkAppend is AppendAsLeader in page-cache mode beside the floor: the
// CRC of the bytes and one pwrite.
func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		data := batch(b, size.records, record.BuilderOptions{}, string(make([]byte, size.value)))
		b.Run("log/"+size.name, func(b *testing.B) {
			_, l := benchLog(b, config.PageCache)
			buf := bytes.Clone(data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				record.Batch(buf).SetBaseOffset(0)
				if _, err := l.AppendAsLeader(buf, AppendOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("floor/"+size.name, func(b *testing.B) {
			f, err := vfs.OS{}.OpenFile(filepath.Join(b.TempDir(), "floor"), os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			pos := int64(0)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := record.Batch(data).CheckCRC(); err != nil {
					b.Fatal(err)
				}
				if _, err := f.WriteAt(data, pos); err != nil {
					b.Fatal(err)
				}
				if pos += int64(len(data)); pos > 1<<30 {
					pos = 0
				}
			}
		})
	}
}

// BenchmarkRead is a read near the end, where consumers and followers are, and
// one of old data by the index in the file.
func BenchmarkRead(b *testing.B) {
	_, l := benchLog(b, config.PageCache)
	data := batch(b, 10, record.BuilderOptions{}, string(make([]byte, 100)))
	for range 200_000 {
		record.Batch(data).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	end := l.EndOffset()
	read := func(b *testing.B, from, upTo int64) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := l.Read(from, upTo, 1<<20, true)
			if err != nil || s.Len() == 0 {
				b.Fatal(s.Len(), err)
			}
			s.Release()
		}
	}
	b.Run("end", func(b *testing.B) { read(b, end-10, end) })
	b.Run("highWatermark", func(b *testing.B) { read(b, end-100, end-10) })
	b.Run("old", func(b *testing.B) {
		from := int64(0)
		b.ReportAllocs()
		for b.Loop() {
			from = (from + 999_983) % (end - 10_000)
			s, err := l.Read(from, end, 1<<20, true)
			if err != nil || s.Len() == 0 {
				b.Fatal(s.Len(), err)
			}
			s.Release()
		}
	})
	b.Run("timestamp", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := l.OffsetForTimestamp(startMs + 9); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkFlush is one round of group commit over many partitions with 10 KiB
// each, by fdatasync and by syncfs.
func BenchmarkFlush(b *testing.B) {
	data := batch(b, 100, record.BuilderOptions{}, string(make([]byte, 100)))
	for _, method := range []config.FlushMethod{config.FlushFdatasync, config.FlushSyncfs} {
		for _, n := range []int{1, 8, 16, 64, 1000} {
			b.Run(fmt.Sprintf("method%d/%d", method, n), func(b *testing.B) {
				o := testOptions(vfs.OS{})
				o.Dirs, o.FlushMethod = []string{b.TempDir()}, method
				m := openManager(b, o)
				defer m.Close(-1)
				m.dirs[0].flusher.serial = false
				var logs []*Log
				for i := range n {
					l, err := m.Create(TopicPartition{Topic: "bench", Partition: int32(i), TopicID: [16]byte{1}}, o.Default, [16]byte{})
					if err != nil {
						b.Fatal(err)
					}
					logs = append(logs, l)
				}
				m.dirs[0].flusher.round()
				for b.Loop() {
					for _, l := range logs {
						record.Batch(data).SetBaseOffset(0)
						if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
							b.Fatal(err)
						}
					}
					m.dirs[0].flusher.round()
				}
			})
		}
	}
}

// BenchmarkOpen opens 10,000 partitions after kill -9.
func BenchmarkOpen(b *testing.B) {
	o := testOptions(vfs.OS{})
	o.Dirs, o.Default.IndexIntervalBytes, o.Logs.RecoveryThreadsPerDir = []string{b.TempDir()}, 4096, 2
	m := openManager(b, o)
	data := batch(b, 100, record.BuilderOptions{}, string(make([]byte, 100)))
	for i := range 10_000 {
		l, err := m.Create(TopicPartition{Topic: "bench", Partition: int32(i), TopicID: [16]byte{1}}, o.Default, [16]byte{})
		if err != nil {
			b.Fatal(err)
		}
		for range 3 {
			record.Batch(data).SetBaseOffset(0)
			if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	}
	m.dirs[0].flusher.round()
	if err := m.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	m.abandon()
	for b.Loop() {
		m = openManager(b, o)
		m.abandon()
	}
}
