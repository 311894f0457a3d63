package storage

import (
	"bytes"
	"fmt"

	"ottla/internal/record"
)

// clean compacts what is due, then compares with the model as every operation
// does, and sees that no tombstone went too early.
func (w *world) clean() {
	w.flush()
	w.doing = "clean"
	for _, p := range w.partitions {
		p.hw = max(p.hw, min(p.durable, p.end))
		w.log(p).SetHighWatermark(p.hw)
	}
	if w.rng.IntN(3) == 0 {
		w.time.ms += w.rng.Int64N(1200)
	}
	began := w.time.ms // another operation within a pass may move the clock
	passes, err := w.m.Clean()
	w.must(err)
	w.passes += passes
	for _, p := range w.partitions {
		w.tombstonesOf(p, began)
	}
}

// modelRecord is a record as it was appended.
type modelRecord struct {
	timestamp  int64
	key, value []byte
	aborted    bool
}

// records decodes what was appended, by offset, and finds what was aborted.
func (w *world) records(batches []record.Batch) map[int64]*modelRecord {
	all := make(map[int64]*modelRecord)
	open := make(map[int64][]*modelRecord)
	for _, b := range batches {
		if b.IsControl() {
			end, _, err := endTxnMarker(b, nil)
			w.must(err)
			for _, r := range open[b.ProducerID()] {
				r.aborted = !end.Commit
			}
			delete(open, b.ProducerID())
			continue
		}
		for r, err := range b.Records(w.codecs) {
			w.must(err)
			x := &modelRecord{timestamp: r.Timestamp, key: bytes.Clone(r.Key), value: bytes.Clone(r.Value)}
			all[r.Offset] = x
			if b.IsTransactional() {
				open[b.ProducerID()] = append(open[b.ProducerID()], x)
			}
		}
	}
	return all
}

// view is what a reader of committed records makes of a log.
type view map[string]int64 // key → offset of its last record, tombstones too

func (v view) add(offset int64, r *modelRecord) {
	if r.key != nil && !r.aborted {
		v[string(r.key)] = max(v[string(r.key)], offset)
	}
}

// compareCompacted compares a log with all that was appended to it (P13):
//
//   - offsets ascend, epochs are those of the batches, and each batch is what was
//     appended, whole or without some of its records
//   - a reader ends up with the same value of each key as one of all records
//   - from the log start to the clean point no key comes twice, nothing was aborted
//   - reads at any offset go on with the first batch that reaches it
//   - indexes, timestamps, producers and aborted transactions fit
func (w *world) compareCompacted(l *Log, batches []record.Batch) {
	w.t.Helper()
	originals := make(map[int64]record.Batch, len(batches))
	for _, b := range batches {
		originals[b.BaseOffset()] = b
	}
	all := w.records(batches)
	want, got := make(view), make(view)
	for offset, r := range all {
		if offset >= l.StartOffset() {
			want.add(offset, r)
		}
	}
	seen := make(map[string]int64)
	present := make(map[int64]bool)
	next := l.segments[0].base
	var found []record.Batch
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		w.must(err)
		if b.BaseOffset() < next {
			w.fatal("partition %d: batch %v begins below %d", l.tp.Partition, b, next)
		}
		next = b.NextOffset()
		w.sameBatch(l, b, originals[b.BaseOffset()])
		found = append(found, bytes.Clone(b))
		if b.IsControl() {
			continue
		}
		for r, err := range b.Records(w.codecs) {
			w.must(err)
			o := all[r.Offset]
			if o == nil || o.timestamp != r.Timestamp || !bytes.Equal(o.key, r.Key) || !bytes.Equal(o.value, r.Value) || (o.value == nil) != (r.Value == nil) {
				w.fatal("partition %d: the record at offset %d is not what was appended", l.tp.Partition, r.Offset)
			}
			present[r.Offset] = true
			if r.Offset >= l.StartOffset() && r.Offset < l.cleaned {
				if before, twice := seen[string(r.Key)]; twice || r.Key == nil || o.aborted {
					w.fatal("partition %d is compacted to %d, but key %x comes at %d and %d, aborted: %t", l.tp.Partition, l.cleaned, r.Key, before, r.Offset, o.aborted)
				}
				seen[string(r.Key)] = r.Offset
			}
			if r.Offset >= l.StartOffset() {
				got.add(r.Offset, o)
			}
		}
	}
	for key, offset := range want {
		if at, ok := got[key]; at != offset && (ok || all[offset].value != nil) {
			w.fatal("partition %d: key %x is found at offset %d, its last record was %d", l.tp.Partition, key, at, offset)
		}
	}
	w.compareReads(l, found)
	w.compareTimestamps(l, found)
	w.compareAborted(l, batches, present)
	w.compareIndexes(l)
	w.compareProducers(l, batches)
}

// sameBatch compares what is left of a batch with what it was.
func (w *world) sameBatch(l *Log, b, original record.Batch) {
	w.t.Helper()
	header := func(b record.Batch) string {
		return fmt.Sprint(b.BaseOffset(), b.LastOffset(), b.LeaderEpoch(), b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.IsTransactional(), b.IsControl(), b.TimestampType())
	}
	switch {
	case original == nil || header(b) != header(original):
		w.fatal("partition %d holds %v, appended was %v", l.tp.Partition, b, original)
	case b.Count() > 0 && b.Compression() != original.Compression():
		w.fatal("partition %d holds %v, appended was %v", l.tp.Partition, b, original)
	case b.BaseOffset() >= max(l.cleaned, 0) && b.Count() == original.Count() && !b.HasDeleteHorizon() && !bytes.Equal(b, original):
		w.fatal("partition %d: %v was changed, but it is above %d", l.tp.Partition, b, l.cleaned)
	}
	if n := original.Count(); n > b.Count() {
		w.gone += int(n - b.Count())
	}
	if l.EpochAt(b.BaseOffset()) != b.LeaderEpoch() && b.BaseOffset() >= l.StartOffset() {
		w.fatal("partition %d has epoch %d at offset %d, not %d", l.tp.Partition, l.EpochAt(b.BaseOffset()), b.BaseOffset(), b.LeaderEpoch())
	}
}

// compareReads reads at every offset.
func (w *world) compareReads(l *Log, found []record.Batch) {
	w.t.Helper()
	i := 0
	for from := l.StartOffset(); from < l.EndOffset(); from++ {
		for i < len(found) && found[i].LastOffset() < from {
			i++
		}
		s, err := l.Read(from, l.EndOffset(), 1, true)
		w.must(err)
		head := make([]byte, s.Len())
		_, _ = s.ReadAt(head, 0)
		s.Release()
		if i == len(found) && len(head) > 0 || i < len(found) && !bytes.Equal(head, found[i]) {
			w.fatal("partition %d: a read at offset %d finds %d bytes, not batch %d of %d", l.tp.Partition, from, len(head), i, len(found))
		}
	}
}

// compareTimestamps looks for the timestamps of some records.
func (w *world) compareTimestamps(l *Log, found []record.Batch) {
	w.t.Helper()
	type at struct{ offset, timestamp int64 }
	var all []at
	largest := at{-1, record.NoTimestamp}
	for _, b := range found {
		for r, err := range b.Records(w.codecs) {
			w.must(err)
			if r.Offset < l.StartOffset() {
				continue
			}
			all = append(all, at{r.Offset, r.Timestamp})
			if r.Timestamp > largest.timestamp {
				largest = all[len(all)-1]
			}
		}
	}
	for i := 0; i < len(all); i += 1 + len(all)/8 {
		want := all[i]
		for _, x := range all {
			if x.timestamp >= want.timestamp {
				want.offset, want.timestamp = x.offset, x.timestamp
				break
			}
		}
		got, ok, err := l.OffsetForTimestamp(all[i].timestamp)
		w.must(err)
		if !ok || got.Offset != want.offset || got.Timestamp != want.timestamp {
			w.fatal("partition %d: timestamp %d is found at %+v %t, not at %+v", l.tp.Partition, all[i].timestamp, got, ok, want)
		}
	}
	got, ok, err := l.MaxTimestamp()
	w.must(err)
	if ok != (len(all) > 0) || ok && (got.Offset != largest.offset || got.Timestamp != largest.timestamp) {
		w.fatal("partition %d: the largest timestamp is found at %+v %t, not at %+v", l.tp.Partition, got, ok, largest)
	}
}

// compareAborted sees that a reader is told of every aborted transaction of
// which a record is left, from that record on at the latest, and of none that was
// not.
func (w *world) compareAborted(l *Log, batches []record.Batch, present map[int64]bool) {
	w.t.Helper()
	list, err := l.abortedBetween(l.segments[0].base, l.EndOffset()+1)
	w.must(err)
	var state producers
	state.reset()
	ended := make(map[int64]doneTxn)
	for _, b := range batches {
		if !b.HasProducer() {
			continue
		}
		var end *record.EndTxnMarker
		if b.IsControl() {
			end, _, _ = endTxnMarker(b, nil)
		}
		if done, _, ok := state.apply(b, end, 0); ok && done.aborted && done.last >= l.segments[0].base {
			ended[done.last] = done
		}
	}
	told := make(map[int64]int64) // from where, by the marker
	for _, t := range list {
		if d, ok := ended[t.last]; !ok || d.producerID != t.producerID || t.first < d.first {
			w.fatal("partition %d: transaction %+v was not aborted", l.tp.Partition, t)
		}
		told[t.last] = t.first
	}
	for last, d := range ended {
		from, ok := told[last]
		if !ok {
			from = last
		}
		for _, b := range batches {
			if b.ProducerID() == d.producerID && b.IsTransactional() && !b.IsControl() && b.BaseOffset() >= d.first && b.LastOffset() < from {
				for offset := b.BaseOffset(); offset <= b.LastOffset(); offset++ {
					if present[offset] {
						w.fatal("partition %d: nobody is told that offset %d was aborted", l.tp.Partition, offset)
					}
				}
			}
		}
	}
}

// tombstonesOf sees that a tombstone that is the last of its key stays for
// delete.retention.ms from the first pass that covered it; the passes that are over
// now began at a time.
func (w *world) tombstonesOf(p *model, began int64) {
	l := w.log(p)
	all := w.records(p.batches)
	last := make(view)
	for offset, r := range all {
		last.add(offset, r)
	}
	present := make(map[int64]bool)
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		w.must(err)
		for r, err := range b.Records(w.codecs) {
			w.must(err)
			present[r.Offset] = true
		}
	}
	if p.tombstones == nil {
		p.tombstones = make(map[int64]int64)
	}
	for _, offset := range last {
		if all[offset].value != nil || offset < l.StartOffset() || offset >= l.cleaned {
			continue
		}
		covered, ok := p.tombstones[offset]
		if !ok {
			covered = began
		}
		switch {
		case !present[offset] && w.time.ms-covered < l.Config().DeleteRetentionMs:
			w.fatal("partition %d: the tombstone at offset %d is gone at %d, covered first at %d", p.tp.Partition, offset, w.time.ms, covered)
		case present[offset] && !ok:
			p.tombstones[offset] = w.time.ms
		}
	}
}
