package storage

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"ottla/internal/record"
)

// batchesKept is the number of a producer's last batches in the state. It is also the
// maximum number in flight (max.in.flight.requests.per.connection).
const batchesKept = 5

// batchMeta is one batch of an idempotent producer.
type batchMeta struct {
	lastOffset  int64
	timestamp   int64 // largest timestamp of the batch
	lastSeq     int32
	offsetDelta int32
}

func (m batchMeta) firstOffset() int64 { return m.lastOffset - int64(m.offsetDelta) }

// firstSeq returns the first sequence number, considering the wrap from 2³¹−1 to 0.
func (m batchMeta) firstSeq() int32 {
	if m.lastSeq >= m.offsetDelta {
		return m.lastSeq - m.offsetDelta
	}
	return math.MaxInt32 - (m.offsetDelta - m.lastSeq) + 1
}

// producer is the state of one producer id in the log.
type producer struct {
	id               int64
	lastTimestamp    int64
	txnFirst         int64 // first offset of the open transaction, noOffset if none
	coordinatorEpoch int32
	seen             int64 // offset of the last batch or marker
	epoch            int16
	kept             int8
	batches          [batchesKept]batchMeta // the oldest first
}

const noOffset int64 = -1

func newProducer(id int64) producer {
	return producer{id: id, epoch: record.NoProducerEpoch, coordinatorEpoch: -1, lastTimestamp: record.NoTimestamp, txnFirst: noOffset}
}

// last returns the newest batch of the current epoch.
func (p *producer) last() (batchMeta, bool) {
	if p.kept == 0 {
		return batchMeta{}, false
	}
	return p.batches[p.kept-1], true
}

func (p *producer) lastSeq() int32 {
	if m, ok := p.last(); ok {
		return m.lastSeq
	}
	return record.NoSequence
}

// setEpoch removes the batches of the previous epoch, because sequences restart (T4).
func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch, p.kept = epoch, 0
	}
}

func (p *producer) addBatch(b record.Batch) {
	p.setEpoch(b.ProducerEpoch())
	if p.kept == batchesKept {
		copy(p.batches[:], p.batches[1:])
		p.kept--
	}
	p.batches[p.kept] = batchMeta{lastOffset: b.LastOffset(), timestamp: b.MaxTimestamp(), lastSeq: b.LastSequence(), offsetDelta: b.LastOffsetDelta()}
	p.kept++
	p.lastTimestamp, p.seen = b.MaxTimestamp(), b.LastOffset()
}

// duplicate returns the stored batch with the same epoch and sequences: b is a retry.
func (p *producer) duplicate(b record.Batch) (batchMeta, bool) {
	if p.epoch != b.ProducerEpoch() {
		return batchMeta{}, false
	}
	for _, m := range p.batches[:p.kept] {
		if m.lastSeq == b.LastSequence() && m.firstSeq() == b.BaseSequence() {
			return m, true
		}
	}
	return batchMeta{}, false
}

// openTxn is a transaction without a marker yet.
type openTxn struct{ first, producerID int64 }

// doneTxn is a transaction whose marker is in the log.
type doneTxn struct {
	producerID, first, last int64
	aborted                 bool
}

// producers is the state of all producers of a partition, which results from its batches.
// check tells whether a leader may append a batch. apply updates the state for an appended
// batch. It is used for appends, on followers and in recovery.
//
// As in Kafka, a producer is removed producer.id.expiration.ms after the timestamp of its
// last batch. An unknown producer may begin with any sequence, because its records may have
// been deleted.
type producers struct {
	byID map[int64]*producer
	// open has the open transactions, sorted by first offset. done has the ended
	// ones whose marker is at or above the high watermark, sorted by marker.
	open []openTxn
	done []doneTxn
}

func (s *producers) reset() { *s = producers{byID: make(map[int64]*producer)} }

// check tells whether b may be appended in the state p of its producer; p is nil for an
// unknown one. marker is the marker of a control batch.
func (p *producer) check(b record.Batch, origin record.Origin, marker *record.EndTxnMarker) error {
	if p == nil {
		return nil
	}
	if b.ProducerEpoch() < p.epoch {
		return fmt.Errorf("%w: producer %d wrote with epoch %d, but its epoch is %d", ErrInvalidProducerEpoch, p.id, b.ProducerEpoch(), p.epoch)
	}
	if marker != nil {
		if marker.CoordinatorEpoch < p.coordinatorEpoch {
			return fmt.Errorf("%w: the marker for producer %d has coordinator epoch %d, but the last one had %d", ErrCoordinatorFenced, p.id, marker.CoordinatorEpoch, p.coordinatorEpoch)
		}
		return nil
	}
	if origin == record.Client {
		if err := p.checkSequence(b); err != nil {
			return err
		}
	}
	if p.txnFirst != noOffset && !b.IsTransactional() {
		return fmt.Errorf("%w: producer %d has a transaction open since offset %d and wrote outside of it", ErrInvalidTxnState, p.id, p.txnFirst)
	}
	return nil
}

func (p *producer) checkSequence(b record.Batch) error {
	first := b.BaseSequence()
	switch {
	case p.epoch == record.NoProducerEpoch:
		return nil
	case b.ProducerEpoch() != p.epoch && first != 0:
		return fmt.Errorf("%w: producer %d begins epoch %d with sequence %d, not 0; its epoch was %d", ErrOutOfOrderSequence, p.id, b.ProducerEpoch(), first, p.epoch)
	case b.ProducerEpoch() != p.epoch || inSequence(p.lastSeq(), first):
		return nil
	}
	return fmt.Errorf("%w: producer %d sent sequence %d after %d", ErrOutOfOrderSequence, p.id, first, p.lastSeq())
}

func inSequence(last, next int32) bool {
	return int64(next) == int64(last)+1 || next == 0 && last == math.MaxInt32
}

// apply updates the state for a batch of an idempotent producer. If a marker ends a
// transaction, apply returns it; lastStable is then the offset below which all transactions
// were decided when the marker was appended.
func (s *producers) apply(b record.Batch, marker *record.EndTxnMarker, markerTimestamp int64) (done doneTxn, lastStable int64, ok bool) {
	p := s.byID[b.ProducerID()]
	if p == nil {
		fresh := newProducer(b.ProducerID())
		p = &fresh
		s.byID[p.id] = p
	}
	if marker != nil {
		return s.applyMarker(p, b, marker, markerTimestamp)
	}
	p.addBatch(b)
	if b.IsTransactional() && p.txnFirst == noOffset {
		p.txnFirst = b.BaseOffset()
		s.opened(openTxn{p.txnFirst, p.id})
	}
	return doneTxn{}, 0, false
}

func (s *producers) applyMarker(p *producer, b record.Batch, marker *record.EndTxnMarker, timestamp int64) (doneTxn, int64, bool) {
	p.setEpoch(b.ProducerEpoch())
	p.coordinatorEpoch = marker.CoordinatorEpoch
	p.lastTimestamp, p.seen = timestamp, b.LastOffset()
	if p.txnFirst == noOffset {
		return doneTxn{}, 0, false
	}
	done := doneTxn{producerID: p.id, first: p.txnFirst, last: b.BaseOffset(), aborted: !marker.Commit}
	p.txnFirst = noOffset
	s.open = slices.DeleteFunc(s.open, func(t openTxn) bool { return t.first == done.first })
	s.done = append(s.done, done)
	lastStable := done.last + 1
	if len(s.open) > 0 {
		lastStable = s.open[0].first
	}
	return done, lastStable, true
}

func (s *producers) opened(t openTxn) {
	i, _ := slices.BinarySearchFunc(s.open, t.first, func(t openTxn, first int64) int { return cmp.Compare(t.first, first) })
	s.open = slices.Insert(s.open, i, t)
}

// replicated removes the ended transactions whose marker is below the high watermark: they
// no longer limit the last stable offset.
func (s *producers) replicated(highWatermark int64) {
	if len(s.done) > 0 {
		s.done = slices.DeleteFunc(s.done, func(t doneTxn) bool { return t.last < highWatermark })
	}
}

// firstUnstable returns the first offset that is not decided, or decided by a marker that is
// not replicated yet; math.MaxInt64 if there is none (T10).
func (s *producers) firstUnstable() int64 {
	first := int64(math.MaxInt64)
	if len(s.open) > 0 {
		first = s.open[0].first
	}
	for _, t := range s.done {
		first = min(first, t.first)
	}
	return first
}

// expire removes producers that wrote nothing for expiryMs, except those with an open
// transaction.
func (s *producers) expire(nowMs, expiryMs int64) {
	for id, p := range s.byID {
		if p.expired(nowMs, expiryMs) {
			delete(s.byID, id)
		}
	}
}

func (p *producer) expired(nowMs, expiryMs int64) bool {
	return expiryMs > 0 && p.txnFirst == noOffset && nowMs-p.lastTimestamp >= expiryMs
}

// load adds a producer of a snapshot to the state.
func (s *producers) load(p producer) {
	s.byID[p.id] = &p
	if p.txnFirst != noOffset {
		s.opened(openTxn{p.txnFirst, p.id})
	}
}

// sorted lists the producers by id.
func (s *producers) sorted() []producer {
	list := make([]producer, 0, len(s.byID))
	for _, p := range s.byID {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b producer) int { return cmp.Compare(a.id, b.id) })
	return list
}

// endTxnMarker parses the marker in a control batch of a producer. It returns nil without an
// error if compaction has emptied the batch.
func endTxnMarker(b record.Batch, codecs *record.Codecs) (*record.EndTxnMarker, int64, error) {
	for r, err := range b.Records(codecs) {
		if err != nil {
			return nil, 0, err
		}
		marker, err := record.ParseEndTxnMarker(&r)
		return &marker, r.Timestamp, err
	}
	return nil, 0, nil
}
