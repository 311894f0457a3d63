package storage

import (
	"ottla/internal/record"
)

// cleanFilter decides what a pass keeps of each batch.
//
//  1. The records of aborted transactions are removed. A marker is emptied if no
//     batch of its transaction is left and its delete horizon has passed.
//  2. A record is removed if the map has a later one with its key, or if it has no
//     key (a compacted topic now refuses such records). Above the last offset of the
//     map all records are kept.
//  3. If a tombstone is the last record of its key, the first pass that keeps it sets
//     its delete horizon to now plus delete.retention.ms. The first pass after the
//     horizon removes it. A slow reader has this time to read the deletion (P13). The
//     same applies to a marker without a transaction. Attribute bit 6 means that the
//     base timestamp is the horizon.
//  4. A batch that keeps all records and needs no horizon is copied unchanged.
//     Otherwise it is rebuilt with its codec, offsets, sequence, epochs and
//     attributes. Its largest timestamp is that of the remaining records.
//  5. A batch without records is removed. Exceptions: the last batch of a producer
//     with a state in the log, because it carries epoch and sequence, and the last
//     batch of a segment. So a segment still ends where the next one begins, and a
//     gap between two segments always means a loss, never compaction.
//
// Kafka also sets a horizon for tombstones after the map's last offset; these may be
// removed in the same pass as the records that they delete. And Kafka keeps only the
// last batch of a whole pass.
type cleanFilter struct {
	keys      *keyMap
	txns      *cleanedTxns
	codecs    *record.Codecs
	nowMs     int64
	retainMs  int64 // delete.retention.ms
	producers map[int64]lastOfProducer
	builder   *record.Builder
}

// lastOfProducer is the state of a producer's last batch: its last offset, -1 if there is
// none in its epoch.
type lastOfProducer struct {
	offset int64
	epoch  int16
}

// batch returns the remaining part of b, which may be used until the next call, or nil.
// kept is the transaction index entry of a marker that must be kept. ends is true if b is
// the last batch of a segment.
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

// horizonOf returns the existing horizon of a batch.
func (f *cleanFilter) horizonOf(b record.Batch) *int64 {
	if horizon, ok := b.DeleteHorizon(); ok {
		return &horizon
	}
	return nil
}

// rewrite builds b with the remaining records. It returns b unchanged if all records are
// kept and horizon is its own.
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

// keep does step 2 and the removal of step 3.
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

// empty does step 5.
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

// options returns the parts of b's header that never change.
func (f *cleanFilter) options(b record.Batch) record.BuilderOptions {
	return record.BuilderOptions{
		BaseOffset: b.BaseOffset(), LeaderEpoch: b.LeaderEpoch(), LastOffsetDelta: b.LastOffsetDelta(),
		Producer:      &record.ProducerInfo{ID: b.ProducerID(), Epoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence()},
		Transactional: b.IsTransactional(), Control: b.IsControl(), TimestampType: b.TimestampType(),
		MaxTimestamp: record.NoTimestamp,
	}
}
