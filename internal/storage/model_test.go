package storage

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
)

// check compares a log with its model exactly, as it must be while no
// operation is under way.
func (w *world) check(p *model) {
	w.t.Helper()
	l := w.log(p)
	if l == nil {
		w.fatal("partition %d is missing", p.tp.Partition)
	}
	if l.StartOffset() != p.start || l.EndOffset() != p.end || l.TP() != p.tp {
		w.fatal("partition %+v reaches from %d to %d, not as %+v from %d to %d", l.TP(), l.StartOffset(), l.EndOffset(), p.tp, p.start, p.end)
	}
	w.compare(l, p.batches)
	if l.FlushedOffset() > l.EndOffset() || w.o.Durability == config.Fsync && l.FlushedOffset() < p.durable {
		w.fatal("flushed up to %d, but %d was told", l.FlushedOffset(), p.durable)
	}
}

// compare compares everything that a log shows with the batches that it holds.
func (w *world) compare(l *Log, batches []record.Batch) {
	w.t.Helper()
	if w.compacted {
		w.compareCompacted(l, batches)
		return
	}
	i := 0
	for i < len(batches) && batches[i].LastOffset() < l.StartOffset() {
		i++
	}
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		w.must(err)
		if i == len(batches) || !bytes.Equal(b, batches[i]) {
			w.fatal("partition %d holds %v at place %d of %d", l.tp.Partition, b, i, len(batches))
		}
		if l.EpochAt(b.BaseOffset()) != b.LeaderEpoch() && b.BaseOffset() >= l.StartOffset() {
			w.fatal("partition %d has epoch %d at offset %d, not %d", l.tp.Partition, l.EpochAt(b.BaseOffset()), b.BaseOffset(), b.LeaderEpoch())
		}
		i++
	}
	if i != len(batches) {
		w.fatal("partition %d ends before %v", l.tp.Partition, batches[i])
	}
	w.compareIndexes(l)
	w.compareProducers(l, batches)
}

// compareIndexes compares the indexes of each segment with indexes that are
// built anew (P9).
func (w *world) compareIndexes(l *Log) {
	w.t.Helper()
	c := l.Config()
	for k, s := range l.segments {
		if l.unmade {
			break
		}
		h, err := s.file.acquire()
		w.must(err)
		fresh := openSegment(l.env.files, "/nowhere", s.base)
		fresh.startEmpty(0)
		scan := newScanner(h, 0, s.size, make([]byte, 4096))
		for scan.next() {
			fresh.note(scan.header, scan.pos, c.IndexIntervalBytes, c.SegmentIndexBytes)
		}
		s.file.release()
		if scan.err != nil {
			w.fatal("segment %d: %v", s.base, scan.err)
		}
		if k < len(l.segments)-1 {
			fresh.finish()
		}
		for i, x := range [2][2]*index{{&s.offsets.index, &fresh.offsets.index}, {&s.times.index, &fresh.times.index}} {
			if got, want := entries(w, x[0]), entries(w, x[1]); !bytes.Equal(got, want) {
				w.fatal("partition %d segment %d of %d: index %d is\n%x\nbuilt anew\n%x", l.tp.Partition, s.base, len(l.segments), i, got, want)
			}
		}
		largest, err := l.largest(s)
		w.must(err)
		if largest != fresh.max {
			w.fatal("partition %d segment %d: largest timestamp %+v, built anew %+v", l.tp.Partition, s.base, largest, fresh.max)
		}
	}
}

func entries(w *world, x *index) []byte {
	w.t.Helper()
	var all []byte
	w.must(x.entries(func(_ int, b []byte) error {
		all = append(all, b...)
		return nil
	}))
	return all
}

// compareProducers compares the producers' state, the offsets of open
// transactions and the aborted ones with a fold of the batches.
func (w *world) compareProducers(l *Log, batches []record.Batch) {
	w.t.Helper()
	var state producers
	state.reset()
	var aborted []AbortedTxn
	for _, b := range batches {
		if !b.HasProducer() {
			continue
		}
		var end *record.EndTxnMarker
		var timestamp int64
		if b.IsControl() {
			end, timestamp, _ = endTxnMarker(b, nil)
		}
		done, _, ended := state.apply(b, end, timestamp)
		if ended && done.aborted && done.last >= l.segments[0].base {
			aborted = append(aborted, AbortedTxn{done.producerID, done.first})
		}
	}
	got, want := l.producers.sorted(), state.sorted()
	if len(got) != len(want) {
		w.fatal("partition %d knows %d producers, not %d", l.tp.Partition, len(got), len(want))
	}
	for i := range got {
		g, x := summary(&got[i]), summary(&want[i])
		if g != x {
			w.fatal("partition %d: producer %s, the batches make it %s", l.tp.Partition, g, x)
		}
	}
	if fmt.Sprint(l.producers.open) != fmt.Sprint(state.open) {
		w.fatal("partition %d: open transactions %v, not %v", l.tp.Partition, l.producers.open, state.open)
	}
	found, err := l.AbortedTxns(l.segments[0].base, l.EndOffset()+1)
	w.must(err)
	if w.compacted { // see compareAborted
		return
	}
	if fmt.Sprint(found) != fmt.Sprint(aborted) {
		w.fatal("partition %d: aborted transactions %v, not %v", l.tp.Partition, found, aborted)
	}
}

// summary is what a snapshot keeps of a producer.
func summary(p *producer) string {
	last, _ := p.last()
	return fmt.Sprint(p.id, p.epoch, p.lastTimestamp, p.coordinatorEpoch, p.txnFirst, last.lastSeq, last.lastOffset, last.offsetDelta)
}

// TestModel runs random operations and compares the log with the model after
// each, in both durability modes, and verifies the folder at the end.
func TestModel(t *testing.T) {
	var passes, gone atomic.Int64
	t.Cleanup(func() {
		t.Logf("%d passes of compaction", passes.Load())
		if seedsOf(24) >= 24 && (passes.Load() < 30 || gone.Load() < 1000) {
			t.Errorf("only %d passes of compaction, %d records seen without those that it removed", passes.Load(), gone.Load())
		}
	})
	for seed := range seedsOf(24) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed, config.Durability(seed%2))
			for step := range 400 {
				w.step()
				for _, p := range w.partitions {
					doing := w.doing
					w.doing = fmt.Sprintf("check after step %d, %s", step, doing)
					w.check(p)
				}
			}
			w.closeAndOpen()
			for _, p := range w.partitions {
				w.check(p)
			}
			passes.Add(int64(w.passes))
			gone.Add(int64(w.gone))
			w.doing = "last close"
			w.must(w.m.Close(-1))
			w.verify(w.mem)
		})
	}
}
