package storage

import (
	"ottla/internal/record"
)

// cleanFilter decides what a pass keeps of each batch.
//
//  1. The batches of an aborted transaction lose their records. A marker does
//     when no batch of its transaction is left and its delete horizon is over.
//  2. A record goes when the map knows a later one of its key, and when it has
//     no key, which a compacted topic refuses today. Behind the last offset of
//     the map nothing is known, so everything stays.
//  3. A tombstone that is the last of its key gets a delete horizon, now plus
//     delete.retention.ms, the first time that it is found clean, and goes with
//     the first pass after it: a reader that was behind has that long to learn
//     of the deletion (P13). So does a marker without a transaction. Attribute
//     bit 6 says that the base timestamp is the horizon.
//  4. A batch that keeps all and needs no horizon stays as it is, byte for byte.
//     Else it is built anew with its codec, offsets, sequence, epochs and
//     attributes; its largest timestamp is that of the records that it has.
//  5. A batch without records goes, but not the last one of a producer that the
//     log knows, which carries epoch and sequence, and not the last one of a
//     segment: then a segment still ends where the next one begins, and a hole
//     between two is a loss and never the work of compaction.
//
// Kafka sets a horizon for tombstones behind the map's last offset too; those
// could go in the very pass that removes what they delete. And it keeps the
// last batch of a whole pass only.
type cleanFilter struct {
	keys      *keyMap
	txns      *cleanedTxns
	codecs    *record.Codecs
	nowMs     int64
	retainMs  int64 // delete.retention.ms
	producers map[int64]lastOfProducer
	builder   *record.Builder
}

// lastOfProducer is what the log knows of a producer's last batch: its last
// offset, -1 when its epoch has none.
type lastOfProducer struct {
	offset int64
	epoch  int16
}

// batch returns what is left of b, valid until the next call, nil for nothing.
// kept is the transaction index entry of a marker that stays for its sake. ends
// tells that a segment ends with b.
func (f *cleanFilter) batch(b record.Batch, ends bool) (out record.Batch, kept *abortedTxn, err error) {
	var useless, drop bool
	if b.IsControl() {
		useless, kept = f.txns.control(b)
		horizon, ok := b.DeleteHorizon()
		drop = useless && ok && horizon <= f.nowMs
	} else {
		drop = f.txns.data(b)
	}
	if drop {
		out, err = f.empty(b, ends)
		return out, nil, err
	}
	out, left, tombstones, err := f.rewrite(b, f.horizonOf(b))
	if err == nil && left > 0 && (tombstones || useless) && !b.HasDeleteHorizon() && b.LastOffset() <= f.keys.latest {
		horizon := f.nowMs + f.retainMs
		out, left, _, err = f.rewrite(b, &horizon)
	}
	if err == nil && left == 0 {
		out, err = f.empty(b, ends)
	}
	return out, kept, err
}

// horizonOf is the horizon that a batch has already.
func (f *cleanFilter) horizonOf(b record.Batch) *int64 {
	if horizon, ok := b.DeleteHorizon(); ok {
		return &horizon
	}
	return nil
}

// rewrite builds b with the records that stay, or returns it as it is when all
// do and horizon is its own.
func (f *cleanFilter) rewrite(b record.Batch, horizon *int64) (out record.Batch, left int32, tombstones bool, err error) {
	o := f.options(b)
	o.DeleteHorizon, o.Compression, o.Level, o.Codecs = horizon, b.Compression(), record.DefaultLevel, f.codecs
	if b.TimestampType() == record.LogAppendTime {
		o.MaxTimestamp = b.MaxTimestamp()
	}
	f.builder.Reset(o)
	for r, err := range b.Records(f.codecs) {
		if err != nil {
			return nil, 0, false, err
		}
		if !f.keep(b, &r) {
			continue
		}
		left++
		tombstones = tombstones || r.Value == nil
		f.builder.AppendAt(r.OffsetDelta, r.Timestamp, r.Key, r.Value, r.Headers...)
	}
	if left == 0 || left == b.Count() && (horizon != nil) == b.HasDeleteHorizon() {
		return b, left, tombstones, nil
	}
	out, err = f.builder.Build()
	return out, left, tombstones, err
}

// keep is step 2 and the end of step 3.
func (f *cleanFilter) keep(b record.Batch, r *record.Record) bool {
	switch {
	case b.IsControl() || r.Offset > f.keys.latest:
		return true
	case r.Key == nil || f.keys.get(r.Key) > r.Offset:
		return false
	}
	horizon, ok := b.DeleteHorizon()
	return r.Value != nil || !ok || f.nowMs < horizon
}

// empty is step 5.
func (f *cleanFilter) empty(b record.Batch, ends bool) (record.Batch, error) {
	if !ends && !f.lastOfItsProducer(b) {
		return nil, nil
	}
	o := f.options(b)
	o.MaxTimestamp = b.MaxTimestamp()
	f.builder.Reset(o)
	return f.builder.Build()
}

func (f *cleanFilter) lastOfItsProducer(b record.Batch) bool {
	last, ok := f.producers[b.ProducerID()]
	switch {
	case !ok || !b.HasProducer():
		return false
	case last.offset >= 0:
		return b.LastOffset() == last.offset
	}
	return b.IsControl() && b.ProducerEpoch() == last.epoch
}

// options are the parts of b's header that never change.
func (f *cleanFilter) options(b record.Batch) record.BuilderOptions {
	return record.BuilderOptions{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), LastOffsetDelta: b.LastOffsetDelta(),
		Producer:      &record.ProducerInfo{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence()},
		Transactional: b.IsTransactional(), Control: b.IsControl(), TimestampType: b.TimestampType(),
		MaxTimestamp: record.NoTimestamp,
	}
}
