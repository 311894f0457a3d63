package storage

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// A world is a Manager on a file system in memory, driven by random operations
// from a seed, beside a model of what it must hold. The model test compares
// the two after each operation, the crash test compares the model with what
// crash clones of the file system hold, at every I/O.
type world struct {
	t    testing.TB
	rng  *rand.Rand
	mem  *vfs.Mem
	fs   *vfs.Fault
	time *clock
	o    Options
	m    *Manager

	partitions map[int32]*model
	// doing is the operation that is under way.
	doing   string
	deleted int
	codecs  *record.Codecs

	// compacted: the topics are; passes and gone count what compaction did.
	compacted    bool
	passes, gone int
}

// model is what a partition must hold.
type model struct {
	tp TopicPartition
	// batches are all that were ever appended and not truncated, also those
	// below start.
	batches []record.Batch
	start   int64
	// startLow is the smallest start that a crash may bring back.
	startLow int64
	end      int64
	hw       int64
	epoch    int32
	// durable is the offset below which a crash must lose nothing.
	durable int64
	// pending are batches of the append that is under way.
	pending []record.Batch
	// cutting is the offset of a truncation that is under way, -1: none; then
	// anything between it and the end may be found. restarting is the offset of
	// a TruncateFullyAndStartAt that is under way.
	cutting, restarting int64
	// creating and deleting: the folder may be there or not; unflushed: it was
	// never flushed.
	creating, deleting, unflushed bool
	// made: something was written to it, so that there is a folder.
	made      bool
	producers []*modelProducer
	// tombstones says when a pass first covered a tombstone, by offset.
	tombstones map[int64]int64
}

type modelProducer struct {
	id      int64
	epoch   int16
	nextSeq int32
	inTxn   bool
}

func newWorld(t testing.TB, seed uint64, durability config.Durability) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, sequence())), mem: vfs.NewMem(), time: &clock{startMs},
		partitions: make(map[int32]*model), codecs: record.NewCodecs(),
	}
	w.fs = vfs.NewFault(w.mem)
	w.o = testOptions(w.fs)
	w.o.Now, w.o.Codecs, w.o.Durability, w.o.Seed, w.o.scanBytes = w.time.now, w.codecs, durability, seed, 8<<10
	w.o.Default = worldConfig(seed%2 == 1 || seed%3 == 2)
	if seed%3 == 0 {
		w.o.ReserveBytes = 2 * vfs.BlockSize
	}
	if w.compacted = seed%3 == 2; w.compacted {
		w.o.Default.Compact, w.o.Default.Delete = true, seed%4 >= 2
		w.o.Default.MinCleanableRatio, w.o.Default.DeleteRetentionMs, w.o.Default.MaxCompactionLagMs = 0.2, 600, 2000
		w.o.Default.MinCompactionLagMs = int64(seed % 5 * 40)
		w.o.Logs.CleanerDedupeBufferSize = int64(seed%7) * 100 // the smallest map holds a key
		w.o.Logs.CleanerIOBufferSize = 1
	}
	w.open()
	return w
}

// sequence is another number for the random operations of every seed: 1, or
// what SEQUENCE says.
func sequence() uint64 {
	n, err := strconv.ParseUint(os.Getenv("SEQUENCE"), 10, 64)
	if err != nil {
		return 1
	}
	return n
}

// seedsOf is how many seeds a test runs: usual, or what SEEDS says.
func seedsOf(usual uint64) uint64 {
	n, err := strconv.ParseUint(os.Getenv("SEEDS"), 10, 32)
	if err != nil {
		return usual
	}
	return n
}

// worldConfig rolls every few dozen batches, or every few.
func worldConfig(small bool) config.Topic {
	c := testConfig()
	if small {
		c.SegmentBytes, c.IndexIntervalBytes, c.SegmentIndexBytes = 1400, 200, 96
		c.RetentionBytes = 6000
		return c
	}
	c.SegmentBytes, c.IndexIntervalBytes, c.SegmentIndexBytes = 12000, 400, 240
	c.RetentionBytes = 30000
	return c
}

func (w *world) open() {
	w.doing = "open"
	w.m = openManager(w.t, w.o)
	for _, p := range w.partitions {
		l := w.log(p)
		if l == nil {
			w.createAgain(p)
			continue
		}
		// A recovery is a flush; and what it found is what there is.
		p.settle(l, w.o.Durability)
		l.SetHighWatermark(p.hw)
		l.UpdateConfig(w.o.Default)
		w.watch(p, l)
	}
}

// settle takes over what a reopened log found, within what the model allows;
// the caller has compared.
func (p *model) settle(l *Log, d config.Durability) {
	p.batches = slices.DeleteFunc(append(p.batches, p.pending...), func(b record.Batch) bool { return b.LastOffset() >= l.EndOffset() })
	p.pending, p.cutting, p.restarting = nil, -1, -1
	p.start, p.end = l.StartOffset(), l.EndOffset()
	p.startLow = p.start
	if d == config.Fsync {
		p.durable = p.end
		p.unflushed = false
	}
	p.hw = min(max(p.hw, p.start), p.end)
}

func (w *world) watch(p *model, l *Log) {
	l.NotifyFlushed(func(offset int64) {
		p.durable = max(p.durable, offset)
		p.unflushed = p.unflushed && !p.made
	})
}

// createAgain is what the metadata does at a start with a partition that has no
// folder, as it never had a record.
func (w *world) createAgain(p *model) {
	if p.made {
		w.fatal("partition %d is gone", p.tp.Partition)
	}
	l, err := w.m.Create(p.tp, w.o.Default, [16]byte{})
	w.must(err)
	w.watch(p, l)
}

func (w *world) log(p *model) *Log { return w.m.Log(p.tp.Topic, p.tp.Partition) }

func (w *world) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("during %s: %s", w.doing, fmt.Sprintf(format, args...))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.fatal("%v", err)
	}
}

// pick returns a partition at random, creating one when there are few.
func (w *world) pick() *model {
	keys := slices.Sorted(maps.Keys(w.partitions))
	if len(keys) < 2 {
		return w.create()
	}
	return w.partitions[keys[w.rng.IntN(len(keys))]]
}

func (w *world) create() *model {
	n := int32(0)
	for w.partitions[n] != nil {
		n++
	}
	w.deleted++
	p := &model{
		tp:       TopicPartition{Topic: "t", Partition: n, TopicID: [16]byte{byte(w.deleted), byte(w.deleted >> 8), 1}},
		creating: true, unflushed: true, cutting: -1, restarting: -1, epoch: 1,
	}
	for id := range int64(3) {
		p.producers = append(p.producers, &modelProducer{id: 100 + id})
	}
	w.doing = fmt.Sprint("create ", n)
	w.partitions[n] = p
	l, err := w.m.Create(p.tp, w.o.Default, [16]byte{})
	w.must(err)
	p.creating = false
	w.watch(p, l)
	return p
}

// step does one random operation.
func (w *world) step() {
	p := w.pick()
	w.time.ms += w.rng.Int64N(50)
	if w.compacted && w.rng.IntN(9) == 0 {
		w.clean()
		return
	}
	switch n := w.rng.IntN(100); {
	case n < 42:
		w.append(p)
	case n < 50:
		w.appendFollower(p)
	case n < 62:
		w.flush()
	case n < 66:
		w.doing = "flush one"
		w.must(w.log(p).Flush())
	case n < 72:
		w.doing = "high watermark"
		p.hw = max(p.hw, min(p.durable, p.end))
		w.log(p).SetHighWatermark(p.hw)
	case n < 76:
		w.deleteRecords(p)
	case n < 80:
		w.retention()
	case n < 86:
		w.doing = "checkpoint"
		w.must(w.m.Checkpoint())
	case n < 91:
		w.truncate(p)
	case n < 92:
		w.restart(p)
	case n < 94:
		w.doing = "epoch"
		p.epoch += 1 + int32(w.rng.IntN(2))
		w.log(p).AssignEpoch(p.epoch, p.end)
	case n < 96:
		w.remove(p)
	case n < 98:
		w.closeAndOpen()
	default:
		w.kill()
	}
	if tracing {
		w.t.Log(w.doing, p.tp.Partition, p.start, p.hw, p.end, p.durable)
	}
}

// tracing logs every operation, for a look at a seed that fails.
var tracing = os.Getenv("TRACE") != ""

// payload is random in length and content; some values span blocks of the disk.
func (w *world) payload() []byte {
	n := w.rng.IntN(120)
	if w.rng.IntN(30) == 0 && w.o.Default.SegmentBytes > 5000 {
		n = 1000 + w.rng.IntN(1500)
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(w.rng.Uint32())
	}
	return b
}

func (w *world) build(o record.BuilderOptions, records int) record.Batch {
	o.Codecs = w.codecs
	if w.rng.IntN(10) == 0 {
		o.Compression = record.Snappy
	}
	b := record.NewBuilder(o)
	for range records {
		timestamp := w.time.ms - w.rng.Int64N(200)
		key, value := []byte{byte(w.rng.IntN(8))}, w.payload()
		if w.compacted && w.rng.IntN(4) == 0 {
			value = nil
		}
		if w.compacted && o.LeaderEpoch > 0 && w.rng.IntN(20) == 0 {
			key = nil // from before the topic was compacted
		}
		b.Append(timestamp, key, value)
	}
	out, err := b.Build()
	w.must(err)
	return out
}

// stamped is the batch as the log will have it.
func (p *model) stamped(b record.Batch) record.Batch {
	b = bytes.Clone(b)
	b.SetBaseOffset(p.end)
	b.SetLeaderEpoch(p.epoch)
	return b
}

// append appends one batch as a leader: of no producer, of an idempotent one,
// in a transaction, or the end of one.
func (w *world) append(p *model) {
	o := record.BuilderOptions{}
	origin := record.Client
	var b record.Batch
	records := 1 + w.rng.IntN(4)
	switch producer := p.producers[w.rng.IntN(len(p.producers))]; w.rng.IntN(5) {
	case 0, 1:
		b = w.build(o, records)
	case 2, 3:
		if !producer.inTxn && w.rng.IntN(8) == 0 {
			producer.epoch++
			producer.nextSeq = 0
		}
		o.Producer = &record.ProducerInfo{ID: producer.id, Epoch: producer.epoch, BaseSequence: producer.nextSeq}
		o.Transactional = producer.inTxn || w.rng.IntN(3) == 0
		b = w.build(o, records)
		producer.nextSeq += int32(records)
		producer.inTxn = o.Transactional
	default:
		origin = record.Coordinator
		o.Producer = &record.ProducerInfo{ID: producer.id, Epoch: producer.epoch, BaseSequence: record.NoSequence}
		var err error
		b, err = record.EndTxnBatch(o, w.time.ms, record.EndTxnMarker{Commit: w.rng.IntN(2) == 0, CoordinatorEpoch: 1})
		w.must(err)
		producer.inTxn = false
	}
	w.doing = fmt.Sprintf("append %v to %d", b, p.tp.Partition)
	p.pending = []record.Batch{p.stamped(b)}
	a, err := w.log(p).AppendAsLeader(bytes.Clone(b), AppendOptions{LeaderEpoch: p.epoch, Origin: origin})
	w.must(err)
	if a.BaseOffset != p.end || a.LastOffset != p.pending[0].LastOffset() || a.Duplicate {
		w.fatal("appended at %+v, expected %d", a, p.end)
	}
	p.appended()
}

func (p *model) appended() {
	p.made = true
	p.batches = append(p.batches, p.pending...)
	p.end = p.batches[len(p.batches)-1].NextOffset()
	p.pending = nil
}

// appendFollower appends several batches with gaps and epochs of their own.
func (w *world) appendFollower(p *model) {
	var list []byte
	p.pending = nil
	offset := p.end
	for range 1 + w.rng.IntN(6) {
		if w.rng.IntN(6) == 0 {
			p.epoch++
		}
		if w.rng.IntN(8) == 0 {
			offset += w.rng.Int64N(4)
		}
		b := w.build(record.BuilderOptions{BaseOffset: offset, LeaderEpoch: p.epoch}, 1+w.rng.IntN(3))
		p.pending = append(p.pending, bytes.Clone(b))
		list = append(list, b...)
		offset = b.NextOffset()
	}
	w.doing = fmt.Sprintf("follower's append of %d batches to %d", len(p.pending), p.tp.Partition)
	list = append(list, list[:w.rng.IntN(40)]...) // a fetch may end inside a batch
	w.must(w.log(p).AppendAsFollower(list))
	p.appended()
}

// flush is a round of the flusher.
func (w *world) flush() {
	w.doing = "flush round"
	for _, d := range w.m.dirs {
		if w.o.Durability == config.PageCache {
			for _, l := range w.m.list(d) {
				d.flushSoon(l)
			}
		}
		d.flusher.round()
		if w.rng.IntN(2) == 0 { // as every second
			w.must(d.writeFlushed())
		} else {
			w.must(d.writeRecent())
		}
	}
}

func (w *world) deleteRecords(p *model) {
	w.doing = "delete records"
	if p.hw <= p.start {
		return
	}
	to := p.start + 1 + w.rng.Int64N(p.hw-p.start)
	p.start = to
	w.must(w.log(p).IncrementStartOffset(to))
}

func (w *world) retention() {
	w.doing = "retention"
	// Where the starts move to is the log's decision; it is checked against
	// the high watermark and, after it, the size.
	for _, p := range w.partitions {
		p.start = max(p.start, p.hw) // upper bound while it runs
	}
	_, err := w.m.CheckRetention()
	w.must(err)
	for _, p := range w.partitions {
		l := w.log(p)
		if l.StartOffset() > p.hw {
			w.fatal("start %d of %d is above the high watermark %d", l.StartOffset(), p.tp.Partition, p.hw)
		}
		p.start = l.StartOffset()
		p.startLow = p.start // it was written to disk
	}
	w.time.ms += 100_000
	w.m.EmptyTrash()
}

func (w *world) truncate(p *model) {
	to := p.hw + w.rng.Int64N(p.end-p.hw+1)
	if to == p.end {
		return
	}
	w.doing = fmt.Sprintf("truncate %d from %d to %d", p.tp.Partition, p.end, to)
	end := w.log(p).segments[0].base
	for _, b := range p.batches {
		if b.LastOffset() < to {
			end = max(end, b.NextOffset())
		}
	}
	p.cutting = end
	durable := min(p.durable, end)
	p.durable, p.startLow = durable, min(p.startLow, end)
	w.must(w.log(p).TruncateTo(to))
	p.durable = durable
	p.cut(end)
	if got := w.log(p).EndOffset(); got != end {
		w.fatal("the log ends at %d, not at %d", got, end)
	}
}

func (p *model) cut(end int64) {
	p.batches = slices.DeleteFunc(p.batches, func(b record.Batch) bool { return b.LastOffset() >= end })
	p.end, p.cutting = end, -1
	p.hw, p.start, p.startLow = min(p.hw, end), min(p.start, end), min(p.startLow, end)
	maps.DeleteFunc(p.tombstones, func(offset, _ int64) bool { return offset >= end })
	p.resetProducers()
}

// resetProducers continues each producer where the batches say.
func (p *model) resetProducers() {
	state := p.fold(p.batches)
	for _, m := range p.producers {
		s := state.byID[m.id]
		if s == nil {
			*m = modelProducer{id: m.id}
			continue
		}
		*m = modelProducer{id: m.id, epoch: s.epoch, inTxn: s.txnFirst != noOffset, nextSeq: record.IncrementSequence(s.lastSeq(), 1)}
	}
}

func (w *world) restart(p *model) {
	offset := p.end + w.rng.Int64N(20) - 5
	offset = max(0, offset)
	w.doing = fmt.Sprintf("restart %d at %d", p.tp.Partition, offset)
	p.restarting = offset
	w.must(w.log(p).TruncateFullyAndStartAt(offset))
	p.batches, p.restarting = nil, -1
	clear(p.tombstones)
	p.start, p.startLow, p.end, p.hw, p.durable = offset, offset, offset, offset, offset
	p.unflushed, p.made = false, true
	p.resetProducers()
}

func (w *world) remove(p *model) {
	if len(w.partitions) < 2 {
		return
	}
	w.doing = fmt.Sprint("delete ", p.tp.Partition)
	p.deleting = true
	w.must(w.m.Delete(p.tp.Topic, p.tp.Partition))
	delete(w.partitions, p.tp.Partition)
}

func (w *world) closeAndOpen() {
	w.doing = "close"
	w.must(w.m.Close(7))
	for _, p := range w.partitions {
		if p.made {
			p.durable, p.startLow, p.unflushed = p.end, p.start, false
		}
	}
	w.verify(w.mem)
	w.open()
	if _, clean := w.m.CleanStop(); !clean {
		w.fatal("the stop was not clean")
	}
}

// kill ends the process without a close; the page cache survives.
func (w *world) kill() {
	w.doing = "kill"
	w.m.abandon()
	for _, p := range w.partitions {
		if w.o.Durability == config.PageCache {
			p.durable = min(p.durable, p.end)
		}
	}
	w.open()
}

func (w *world) verify(fsys vfs.FS) {
	w.t.Helper()
	problems, err := Verify("/data", VerifyOptions{FS: fsys, Codecs: w.codecs})
	w.must(err)
	for _, p := range problems {
		w.t.Error("verify: ", p)
	}
	if len(problems) > 0 {
		w.fatal("the folder is not as it must be")
	}
}

// fold is the producers' state as the batches make it.
func (p *model) fold(batches []record.Batch) producers {
	var s producers
	s.reset()
	for _, b := range batches {
		if !b.HasProducer() {
			continue
		}
		var end *record.EndTxnMarker
		var timestamp int64
		if b.IsControl() {
			end, timestamp, _ = endTxnMarker(b, nil)
		}
		s.apply(b, end, timestamp)
	}
	return s
}
