package storage

import (
	"errors"
	"fmt"
	"io"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// AppendOptions are the options of AppendAsLeader.
type AppendOptions struct {
	// LeaderEpoch is written into the batches.
	LeaderEpoch int32
	// Origin determines the validation rules: Client or Coordinator.
	Origin record.Origin
}

// Appended is the result of an append.
type Appended struct {
	BaseOffset, LastOffset int64
	// LeaderEpoch is the leader epoch of the append.
	LeaderEpoch int32
	// LogAppendTime is the timestamp assigned to all records, in ms;
	// record.NoTimestamp if they keep their own.
	LogAppendTime int64
	// LogStart is the log's start offset.
	LogStart int64
	// Duplicate means that nothing was appended, because the batch was appended
	// before. The offsets are those of the first append (T3).
	Duplicate bool
}

// batchList is a list of batches to append.
type batchList struct {
	batches []record.Batch
	markers []marker // of the control batches among them
	bufs    [][]byte
	bytes   int64
	rules   record.Rules
	// producers has the states of producers with several batches in the list.
	producers []producer
}

// marker is the end of a transaction in batch number of a list.
type marker struct {
	number    int
	end       *record.EndTxnMarker
	timestamp int64
}

func (p *batchList) reset() {
	clear(p.batches)
	clear(p.bufs)
	clear(p.markers)
	*p = batchList{batches: p.batches[:0], markers: p.markers[:0], bufs: p.bufs[:0], producers: p.producers[:0]}
}

func (p *batchList) add(b record.Batch, codecs *record.Codecs) error {
	if b.IsControl() && b.HasProducer() {
		end, timestamp, err := endTxnMarker(b, codecs)
		if err != nil {
			return err
		}
		if end != nil {
			p.markers = append(p.markers, marker{len(p.batches), end, timestamp})
		}
	}
	p.batches = append(p.batches, b)
	p.bytes += int64(len(b))
	return nil
}

func (p *batchList) marker(number int) marker {
	for _, m := range p.markers {
		if m.number == number {
			return m
		}
	}
	return marker{}
}

// relieveMost is the maximum number of times that an append waits for a flush that
// closes files: other appends may take their places first.
const relieveMost = 100

// AppendAsLeader appends the batches of a producer or a coordinator.
//
//  1. Each batch is validated by the topic's rules, and decompressed if necessary,
//     before any lock is taken. Its bytes may be corrected in place.
//  2. Under the write lock the producer's epoch and sequence are checked. A
//     repeated batch is answered with the offsets of its first append.
//  3. The next offsets and the leader epoch are written into the batches. The CRC
//     does not cover them.
//  4. The segment is rolled if the batches do not fit. One write appends all of
//     them.
//  5. The end offset, indexes, epochs and producers are updated under the readers'
//     lock, and the flusher is notified.
//
// The error is a *record.InvalidError for an invalid batch, or one of
// ErrOutOfOrderSequence, ErrInvalidProducerEpoch, ErrInvalidTxnState,
// ErrCoordinatorFenced, ErrBatchTooLarge, ErrFencedEpoch, ErrStorage and
// ErrClosed. On error nothing was appended.
func (l *Log) AppendAsLeader(batches []byte, o AppendOptions) (Appended, error) {
	list := l.env.lists.Get().(*batchList)
	defer l.env.lists.Put(list)
	list.reset()
	c := l.config.Load()
	logAppendTime, err := l.validate(list, batches, c, o.Origin)
	if err != nil {
		return Appended{}, err
	}
	appended, err := l.appendLeader(list, c, o, logAppendTime)
	for i := 0; i < relieveMost && errors.Is(err, errTooMany); i++ {
		l.dir.relieve()
		appended, err = l.appendLeader(list, c, o, logAppendTime)
	}
	if err == nil && !appended.Duplicate {
		err = l.appendedSome(c, list.bytes)
	}
	return appended, err
}

// validate splits the bytes into batches and validates them.
func (l *Log) validate(list *batchList, batches []byte, c *config.Topic, origin record.Origin) (logAppendTime int64, err error) {
	list.rules = rules(c, origin, l.env.nowMs())
	logAppendTime = record.NoTimestamp
	if origin == record.Client {
		if _, err := record.Single(batches); err != nil {
			return 0, err
		}
	}
	for rest := batches; len(rest) > 0; {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			return 0, wholeBatches(err)
		}
		v, err := l.env.codecs.Validate(b, &list.rules)
		if err != nil {
			return 0, err
		}
		logAppendTime = v.LogAppendTime
		if err := list.add(v.Batch, l.env.codecs); err != nil {
			return 0, err
		}
	}
	if len(list.batches) == 0 {
		return 0, wholeBatches(io.ErrUnexpectedEOF)
	}
	return logAppendTime, nil
}

// wholeBatches converts a framing error to a *record.InvalidError.
func wholeBatches(err error) error {
	var invalid *record.InvalidError
	if errors.As(err, &invalid) {
		return err
	}
	return &record.InvalidError{Kind: record.InvalidRecord, Message: "a list of whole record batches is expected: " + err.Error()}
}

// rules returns the validation rules of the topic's config.
func rules(c *config.Topic, origin record.Origin, nowMs int64) record.Rules {
	return record.Rules{
		NowMs: nowMs, Origin: origin,
		TimestampType: record.TimestampType(c.TimestampType),
		BeforeMaxMs:   c.TimestampBeforeMaxMs, AfterMaxMs: c.TimestampAfterMaxMs,
		Compacted:   c.Compact,
		Compression: record.Compression(c.Compression.Codec), Level: c.Compression.Level,
		MaxBytes: int(c.MaxMessageBytes),
	}
}

// appendLeader does steps 2 to 5 of AppendAsLeader.
func (l *Log) appendLeader(list *batchList, c *config.Topic, o AppendOptions, logAppendTime int64) (Appended, error) {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(); err != nil {
		return Appended{}, err
	}
	if err := l.dir.takesRecords(); err != nil {
		return Appended{}, err
	}
	if err := l.mayOpen(); err != nil {
		return Appended{}, err
	}
	if latest := l.latestEpoch(); o.LeaderEpoch < latest {
		return Appended{}, fmt.Errorf("%w: %d is below %d", ErrFencedEpoch, o.LeaderEpoch, latest)
	}
	if m, ok := l.duplicate(list, o.Origin); ok {
		return Appended{BaseOffset: m.firstOffset(), LastOffset: m.lastOffset, LeaderEpoch: o.LeaderEpoch, LogAppendTime: m.timestamp, LogStart: l.start, Duplicate: true}, nil
	}
	if err := l.checkProducers(list, o.Origin); err != nil {
		return Appended{}, err
	}
	if list.bytes > int64(c.SegmentBytes) {
		return Appended{}, fmt.Errorf("%w: %d bytes in %d batches, segment.bytes is %d", ErrBatchTooLarge, list.bytes, len(list.batches), c.SegmentBytes)
	}
	if logAppendTime != record.NoTimestamp {
		logAppendTime = max(logAppendTime, l.appendTime)
		l.appendTime = logAppendTime
	}
	list.stamp(l.end, o.LeaderEpoch, logAppendTime)
	appended := Appended{BaseOffset: l.end, LeaderEpoch: o.LeaderEpoch, LogAppendTime: logAppendTime, LogStart: l.start}
	if err := l.appendBatches(list, 0, len(list.batches), c); err != nil {
		return Appended{}, err
	}
	appended.LastOffset = l.end - 1
	return appended, nil
}

// stamp writes offsets and leader epoch into the batches. A concurrent append may
// have read the clock later but taken the lock first. Then this append gets the
// same time, so that LogAppendTime ascends with the offsets.
func (p *batchList) stamp(offset int64, leaderEpoch int32, logAppendTime int64) {
	for _, b := range p.batches {
		if logAppendTime != record.NoTimestamp && b.MaxTimestamp() != logAppendTime {
			b.SetLogAppendTime(logAppendTime)
		}
		b.SetBaseOffset(offset)
		b.SetLeaderEpoch(leaderEpoch)
		offset = b.NextOffset()
	}
}

// duplicate finds the earlier append of a repeated batch.
func (l *Log) duplicate(list *batchList, origin record.Origin) (batchMeta, bool) {
	b := list.batches[0]
	if origin != record.Client || !b.HasProducer() {
		return batchMeta{}, false
	}
	p := l.producers.byID[b.ProducerID()]
	if p == nil {
		return batchMeta{}, false
	}
	return p.duplicate(b)
}

// checkProducers checks each batch of a producer against the state after the
// earlier batches of the list.
func (l *Log) checkProducers(list *batchList, origin record.Origin) error {
	for i, b := range list.batches {
		if !b.HasProducer() {
			continue
		}
		p := list.state(b.ProducerID())
		if p == nil {
			p = l.producers.byID[b.ProducerID()]
		}
		m := list.marker(i)
		if err := p.check(b, origin, m.end); err != nil {
			return err
		}
		if len(list.batches) > 1 {
			list.advance(p, b, m)
		}
	}
	return nil
}

// state returns the state of a producer after the batches checked so far.
func (p *batchList) state(id int64) *producer {
	for i := range p.producers {
		if p.producers[i].id == id {
			return &p.producers[i]
		}
	}
	return nil
}

// advance applies a checked batch to a copy of its producer's state.
func (p *batchList) advance(state *producer, b record.Batch, m marker) {
	if own := p.state(b.ProducerID()); own != nil {
		state = own
	} else {
		fresh := newProducer(b.ProducerID())
		if state != nil {
			fresh = *state
		}
		p.producers = append(p.producers, fresh)
		state = &p.producers[len(p.producers)-1]
	}
	switch {
	case m.end != nil:
		state.setEpoch(b.ProducerEpoch())
		state.coordinatorEpoch, state.txnFirst = m.end.CoordinatorEpoch, noOffset
	case b.IsControl():
	default:
		state.addBatch(b)
		if b.IsTransactional() && state.txnFirst == noOffset {
			state.txnFirst = b.BaseOffset()
		}
	}
}

// AppendAsFollower appends batches of a leader with their offsets and leader
// epochs. An incomplete batch at the end, as in a fetch response, is ignored. The
// error is ErrUnexpectedOffset if the batches do not continue the log, and a
// *record.InvalidError if a batch is invalid (P5) or its leader epoch decreases
// (P4). With ErrStorage, a first part of the list may have been appended.
func (l *Log) AppendAsFollower(batches []byte) error {
	list := l.env.lists.Get().(*batchList)
	defer l.env.lists.Put(list)
	list.reset()
	if err := list.split(batches, l.env.codecs); err != nil {
		return err
	}
	if len(list.batches) == 0 {
		return nil
	}
	c := l.config.Load()
	if err := l.appendFollower(list, c); err != nil {
		return err
	}
	return l.appendedSome(c, list.bytes)
}

// split checks the batches of a leader: framing, CRC, order.
func (p *batchList) split(batches []byte, codecs *record.Codecs) error {
	offset, epoch := int64(-1), NoEpoch
	for rest := batches; ; {
		var b record.Batch
		var err error
		if b, rest, err = record.Next(rest); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, record.ErrTruncated) {
				return nil
			}
			return err
		}
		if err := b.CheckCRC(); err != nil {
			return err
		}
		if b.BaseOffset() <= offset || b.LastOffsetDelta() < 0 || b.LeaderEpoch() < epoch {
			return &record.InvalidError{Kind: record.Corrupt, Message: fmt.Sprintf("the record batch at offset %d of leader epoch %d follows offset %d of epoch %d", b.BaseOffset(), b.LeaderEpoch(), offset, epoch)}
		}
		offset, epoch = b.LastOffset(), b.LeaderEpoch()
		if err := p.add(b, codecs); err != nil {
			return err
		}
	}
}

// appendFollower appends the list in pieces that fit into segments.
func (l *Log) appendFollower(list *batchList, c *config.Topic) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if err := l.dir.takesRecords(); err != nil {
		return err
	}
	first := list.batches[0]
	if first.BaseOffset() < l.end {
		return fmt.Errorf("%w: the batches begin at %d, the log ends at %d", ErrUnexpectedOffset, first.BaseOffset(), l.end)
	}
	if latest := l.latestEpoch(); first.LeaderEpoch() < latest {
		return fmt.Errorf("%w: %d is below %d", ErrFencedEpoch, first.LeaderEpoch(), latest)
	}
	for from := 0; from < len(list.batches); {
		to := list.piece(from, int64(c.SegmentBytes))
		if err := l.appendBatches(list, from, to, c); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// piece returns the end of the longest run of batches, beginning at number from,
// that fits into a segment; at least one batch.
func (p *batchList) piece(from int, limit int64) int {
	size, base := int64(0), p.batches[from].BaseOffset()
	for i := from; i < len(p.batches); i++ {
		b := p.batches[i]
		if size += int64(len(b)); i > from && (size > limit || b.LastOffset()-base > maxRelative) {
			return i
		}
	}
	return len(p.batches)
}

// appendBatches writes the batches [from, to) of the list with one write, and then
// publishes them.
func (l *Log) appendBatches(list *batchList, from, to int, c *config.Topic) error {
	part := list.batches[from:to]
	if err := l.putOnDisk(); err != nil {
		return err
	}
	s, err := l.room(part, c)
	if err != nil {
		return err
	}
	h, err := l.pinFor(s)
	if err != nil {
		return l.dir.writeFailed(err)
	}
	if err := l.writeAt(h, s.size, part, list); err != nil {
		l.writeFailed(s)
		return err
	}
	l.mu.Lock()
	s.writing = false
	before := s.size
	l.publish(s, list, from, to, c)
	l.mu.Unlock()
	if c.Compact && !l.env.durable && before/flushAhead != s.size/flushAhead {
		l.dir.flushSoon(l)
	}
	if max(s.offsets.unwritten(), s.times.unwritten()) >= spillEntries {
		l.spill(s)
	}
	return nil
}

// writeAt writes the batches. If the disk is full, the written part is truncated
// again. If this also fails, or on any other error, the dir goes offline.
func (l *Log) writeAt(h vfs.File, pos int64, part []record.Batch, list *batchList) error {
	var err error
	if len(part) == 1 {
		_, err = h.WriteAt(part[0], pos)
	} else {
		list.bufs = list.bufs[:0]
		for _, b := range part {
			list.bufs = append(list.bufs, b)
		}
		_, err = h.Writev(list.bufs, pos)
	}
	if err == nil {
		return nil
	}
	if !vfs.IsNoSpace(err) {
		return l.dir.fail(err)
	}
	if cut := h.Truncate(pos); cut != nil {
		return l.dir.fail(errors.Join(err, cut))
	}
	l.dir.ranFull()
	return &StorageError{Dir: l.dir.path, Err: err}
}

// publish updates the state after a write. The caller holds write and mu.
func (l *Log) publish(s *segment, list *batchList, from, to int, c *config.Topic) {
	for i := from; i < to; i++ {
		b := list.batches[i]
		s.note(b, s.size, c.IndexIntervalBytes, c.SegmentIndexBytes)
		l.recent.add(b.LastOffset(), s.size, int64(len(b)))
		l.epochs.assign(b.LeaderEpoch(), b.BaseOffset())
		l.applyProducer(s, b, list.marker(i))
		s.size += int64(len(b))
		l.snapshots.appended += int64(len(b))
		l.end = b.NextOffset()
	}
	l.countProducers()
	l.touched = true
}

// applyProducer applies a batch to the state of its producer, and adds a
// transaction that it aborts to the index of its segment.
func (l *Log) applyProducer(s *segment, b record.Batch, m marker) {
	if !b.HasProducer() || b.IsControl() && m.end == nil {
		return
	}
	done, lastStable, ended := l.producers.apply(b, m.end, m.timestamp)
	if ended && done.aborted {
		s.txns.add(abortedTxn{done.producerID, done.first, done.last, lastStable})
	}
}

// appendedSome requests the flush that the durability mode requires. In durable
// mode it waits while the disk is too slow. In every mode it waits for a flush if
// too many files must stay open until they are flushed.
func (l *Log) appendedSome(c *config.Topic, bytes int64) error {
	if l.env.files.crowded() {
		l.dir.relieve()
	}
	if l.env.limit.exceeded() && l.dir.manager != nil {
		l.dir.manager.trimProducers()
	}
	if l.env.durable {
		if l.dir.flusher != nil {
			l.dir.flusher.appended(l, bytes)
		}
		return nil
	}
	l.mu.Lock()
	unflushed := l.end - l.flushed
	l.mu.Unlock()
	if unflushed >= c.FlushMessages {
		return l.Flush()
	}
	return nil
}
