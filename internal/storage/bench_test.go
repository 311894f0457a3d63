package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

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
// CRC of the bytes and one pwrite. x-floor is how many times the floor it takes.
func BenchmarkAppend(b *testing.B) {
	for _, size := range benchSizes {
		data := batch(b, size.records, record.BuilderOptions{}, string(make([]byte, size.value)))
		floor := 0.0
		b.Run("floor/"+size.name, func(b *testing.B) {
			f := rawFile(b, b.TempDir(), "floor")
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
			floor = perOp(b)
		})
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
			b.ReportMetric(perOp(b)/floor, "x-floor")
		})
	}
}

// perOp is the time of one operation in ns.
func perOp(b *testing.B) float64 { return float64(b.Elapsed()) / float64(b.N) }

func rawFile(b *testing.B, dir, name string) vfs.File {
	f, err := vfs.OS{}.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f
}

// BenchmarkReadBytes reads a log of 256 MiB in slices of 1 MiB into memory,
// beside the floor: pread of as much.
func BenchmarkReadBytes(b *testing.B) {
	_, l := benchLog(b, config.PageCache)
	data := batch(b, 100, record.BuilderOptions{}, string(make([]byte, 1000)))
	for l.Size() < 256<<20 {
		record.Batch(data).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, 1<<20)
	floor := 0.0
	b.Run("floor", func(b *testing.B) {
		f := rawFile(b, l.Path(), segmentName(0, logSuffix))
		b.SetBytes(int64(len(buf)))
		pos := int64(0)
		for b.Loop() {
			if _, err := f.ReadAt(buf, pos); err != nil {
				b.Fatal(err)
			}
			if pos += int64(len(buf)); pos+int64(len(buf)) > l.Size() {
				pos = 0
			}
		}
		floor = perOp(b) / float64(len(buf))
	})
	b.Run("log", func(b *testing.B) {
		from, total := int64(0), int64(0)
		for b.Loop() {
			s, err := l.Read(from, l.EndOffset(), len(buf), true)
			if err != nil {
				b.Fatal(err)
			}
			n, _ := s.ReadAt(buf, 0)
			s.Release()
			total += int64(n)
			from += int64(n) / int64(len(data)) * 100
			if from >= l.EndOffset()-1000 {
				from = 0
			}
		}
		b.SetBytes(total / int64(b.N))
		b.ReportMetric(float64(b.Elapsed())/float64(total)/floor, "x-floor")
	})
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

// BenchmarkCheckedRead reads a segment of 64 MiB from begin to end, in fetches
// of 1 MiB as a response would: own is what this process appended, first what
// another process wrote and is checked, again the same once more.
func BenchmarkCheckedRead(b *testing.B) {
	_, l := benchLog(b, config.PageCache)
	data := batch(b, 100, record.BuilderOptions{}, string(make([]byte, 160)))
	for l.Size() < 64<<20 {
		record.Batch(data).SetBaseOffset(0)
		if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	buf := make([]byte, 1<<20)
	read := func(b *testing.B, prepare func(*segment)) {
		b.SetBytes(l.Size())
		for b.Loop() {
			prepare(l.active())
			for from := int64(0); from < l.EndOffset(); {
				s, err := l.Read(from, l.EndOffset(), len(buf), true)
				if err != nil {
					b.Fatal(err)
				}
				n, _ := s.ReadAt(buf, 0)
				s.Release()
				from += int64(n / len(data) * 100)
			}
		}
	}
	b.Run("own", func(b *testing.B) { read(b, func(*segment) {}) })
	b.Run("first", func(b *testing.B) { read(b, func(s *segment) { s.foreign, s.checks = s.size, nil }) })
	b.Run("again", func(b *testing.B) { read(b, func(s *segment) { s.foreign = s.size }) })
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

// BenchmarkDurable appends to several partitions from several goroutines, each
// of which has 5 rounds under way, as a producer's connection has requests: it
// waits until the batches of the fifth round before are on disk (acks=all). The
// floor writes as much into plain files and makes it durable by the best call
// for that number: fdatasync of each, or one syncfs. of-disk is the part of the
// floor's throughput that is reached.
func BenchmarkDurable(b *testing.B) {
	for _, c := range []struct {
		partitions, workers, records int
	}{{6, 6, 1000}, {1000, 10, 100}} {
		data := batch(b, c.records, record.BuilderOptions{}, string(make([]byte, 100)))
		total := int64(len(data) * c.partitions)
		floor := 0.0
		b.Run(fmt.Sprintf("floor/%d", c.partitions), func(b *testing.B) {
			b.SetBytes(total)
			floorOfDurable(b, c.partitions, c.workers, data)
			floor = perOp(b)
		})
		b.Run(fmt.Sprintf("log/%d", c.partitions), func(b *testing.B) {
			b.SetBytes(total)
			durable(b, c.partitions, c.workers, data)
			b.ReportMetric(floor/perOp(b), "of-disk")
		})
	}
}

func durable(b *testing.B, partitions, workers int, data []byte) {
	o := testOptions(vfs.OS{})
	o.Dirs, o.manual, o.Default.IndexIntervalBytes = []string{b.TempDir()}, false, 4096
	o.Default.SegmentBytes, o.Default.SegmentIndexBytes = 1<<30, 10<<20
	m := openManager(b, o)
	defer m.Close(-1)
	logs := make([]*Log, partitions)
	flushed := make([]*reached, partitions)
	for i := range logs {
		l, err := m.Create(TopicPartition{Topic: "bench", Partition: int32(i), TopicID: [16]byte{1}}, o.Default, [16]byte{})
		if err != nil {
			b.Fatal(err)
		}
		logs[i], flushed[i] = l, newReached()
		l.NotifyFlushed(flushed[i].set)
	}
	m.dirs[0].flusher.round()
	const inFlight = 5
	records := int64(record.Batch(data).Count())
	together(b, workers, func(worker int) {
		own := bytes.Clone(data)
		for i := worker; i < partitions; i += workers {
			record.Batch(own).SetBaseOffset(0)
			a, err := logs[i].AppendAsLeader(own, AppendOptions{})
			if err != nil {
				b.Error(err)
			}
			flushed[i].wait(a.BaseOffset - (inFlight-1)*records)
		}
	})
}

// reached is an offset that one waits for.
type reached struct {
	mu     sync.Mutex
	more   sync.Cond
	offset int64
}

func newReached() *reached {
	r := new(reached)
	r.more.L = &r.mu
	return r
}

func (r *reached) set(offset int64) {
	r.mu.Lock()
	r.offset = offset
	r.mu.Unlock()
	r.more.Broadcast()
}

func (r *reached) wait(offset int64) {
	r.mu.Lock()
	for r.offset < offset {
		r.more.Wait()
	}
	r.mu.Unlock()
}

func floorOfDurable(b *testing.B, partitions, workers int, data []byte) {
	dir := b.TempDir()
	files := make([]vfs.File, partitions)
	for i := range files {
		files[i] = rawFile(b, dir, fmt.Sprint(i))
	}
	syncer, err := vfs.OS{}.OpenSyncer(dir)
	if err != nil {
		b.Skip(err)
	}
	defer syncer.Close()
	rounds := make([]int64, workers)
	var turn sync.Mutex
	together(b, workers, func(worker int) {
		at := rounds[worker] * int64(len(data))
		rounds[worker]++
		for i := worker; i < partitions; i += workers {
			if _, err := files[i].WriteAt(data, at); err != nil {
				b.Error(err)
			}
		}
		if partitions >= syncfsLogs {
			turn.Lock()
			err = errors.Join(err, syncer.Sync())
			turn.Unlock()
			return
		}
		for i := worker; i < partitions; i += workers {
			if err := files[i].Sync(); err != nil {
				b.Error(err)
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

// together runs b.N rounds of each worker at once.
func together(b *testing.B, workers int, round func(worker int)) {
	b.ResetTimer()
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() {
			for range b.N {
				round(worker)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
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
	logs := 0
	for b.Loop() {
		m = openManager(b, o)
		logs = len(m.logs)
		m.abandon()
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/open")
	if logs != 10_000 {
		b.Fatal(logs)
	}
}

// BenchmarkClean compacts 64 MiB of 1 KiB records, of which nine of ten are
// overwritten: MB/s read, and the memory for each distinct key.
func BenchmarkClean(b *testing.B) {
	for _, codec := range []record.Compression{record.None, record.LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			const batches, keys = 640, 6400
			for b.Loop() {
				b.StopTimer()
				m, l := benchLog(b, config.PageCache)
				c := l.Config()
				c.Compact, c.MaxCompactionLagMs, c.SegmentBytes = true, 1<<62, 2<<20
				l.UpdateConfig(c)
				rng := rand.New(rand.NewPCG(1, 2))
				value := make([]byte, 1000)
				for i := range batches + 1 {
					for at := range value {
						value[at] = "0123456789abcdef"[rng.IntN(16)]
					}
					builder := record.NewBuilder(record.BuilderOptions{Compression: codec, Codecs: l.env.codecs})
					for k := range 100 {
						builder.Append(startMs, fmt.Appendf(nil, "key %d", (i*100+k)%keys), append(value[k:len(value):len(value)], value[:k]...))
					}
					data, err := builder.Build()
					if err != nil {
						b.Fatal(err)
					}
					if _, err := l.AppendAsLeader(data, AppendOptions{}); err != nil {
						b.Fatal(err)
					}
				}
				if err := l.Flush(); err != nil {
					b.Fatal(err)
				}
				l.SetHighWatermark(l.EndOffset())
				before := l.Size()
				b.StartTimer()
				if n, err := m.Clean(); err != nil || n != 1 {
					b.Fatal(n, err)
				}
				b.SetBytes(before)
			}
		})
	}
	b.Run("keys", func(b *testing.B) {
		const limit = 128 << 20
		m, n := newKeyMap(limit, 0.9), 0
		key := make([]byte, 16)
		b.ReportAllocs()
		for b.Loop() {
			binary.BigEndian.PutUint64(key, uint64(n%4_000_000))
			if !m.put(key, int64(n)) {
				b.Fatal("full")
			}
			n++
		}
		b.ReportMetric(float64(len(m.slots)*keySlotBytes)/float64(m.count), "bytes/key")
	})
}

// BenchmarkAppendBesideClean is how long small appends take, one each 200 µs,
// while 32 segments of 1 MiB are compacted and swapped in one by one: what
// holders of the append lock cost a producer.
func BenchmarkAppendBesideClean(b *testing.B) {
	small := batch(b, 1, record.BuilderOptions{}, "value")
	var took []time.Duration
	for b.Loop() {
		b.StopTimer()
		m, l := benchLog(b, config.PageCache)
		c := l.Config()
		c.Compact, c.MaxCompactionLagMs, c.SegmentBytes = true, 1<<62, 1<<20
		l.UpdateConfig(c)
		for i := 0; len(l.segments) <= 32; i++ {
			builder := record.NewBuilder(record.BuilderOptions{})
			for k := range 100 {
				builder.Append(startMs, fmt.Appendf(nil, "key %d", i*100+k), make([]byte, 1000))
			}
			if _, err := l.AppendAsLeader(must(builder.Build())(b), AppendOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		if err := l.Flush(); err != nil {
			b.Fatal(err)
		}
		l.SetHighWatermark(l.EndOffset())
		b.StartTimer()
		done := make(chan error, 1)
		go func() {
			_, err := m.Clean()
			done <- err
		}()
		tick := time.NewTicker(200 * time.Microsecond)
		for cleaning := true; cleaning; {
			select {
			case err := <-done:
				if cleaning = false; err != nil {
					b.Fatal(err)
				}
			case <-tick.C:
				record.Batch(small).SetBaseOffset(0)
				began := time.Now()
				if _, err := l.AppendAsLeader(small, AppendOptions{}); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began))
			}
		}
		tick.Stop()
	}
	slices.Sort(took)
	for _, p := range []float64{50, 99, 99.9, 100} {
		b.ReportMetric(float64(took[int(p/100*float64(len(took)-1))].Microseconds()), fmt.Sprintf("p%g-µs", p))
	}
	b.ReportMetric(float64(len(took))/float64(b.N), "appends/op")
}
