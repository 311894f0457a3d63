package storage

import (
	"errors"
	"fmt"
	"io"

	"ottla/internal/record"
)

// segmentCheck is the verification of one segment.
type segmentCheck struct {
	*partitionCheck
	s    *segment
	name string
	last bool // of the partition

	offsets []offsetEntry
	times   []timeEntry
	// The fold of the batches: how many entries of the indexes are reached.
	nextOffset, nextTime int
	// ahead tells that the last offset entry reached is about a batch that
	// follows the one it leads to.
	ahead bool
	max   timeEntry
	from  int64 // end of the log when the segment began
}

// segment verifies the batches of a segment, its indexes and the snapshot at
// its base.
func (p *partitionCheck) segment(base int64, last bool) error {
	if err := p.snapshot(base); err != nil {
		return err
	}
	if base == p.folder.bases[0] {
		p.known = p.known || base == 0
	}
	c := &segmentCheck{partitionCheck: p, s: openSegment(p.log.env.files, p.path, base), last: last, from: p.end}
	defer c.s.retire()
	c.name, _ = c.s.file.where()
	if base < p.end {
		if err := c.problem("P2", base, -1, "the segment before it reaches to offset %d", p.end); err != nil {
			return err
		}
	}
	if base > p.end {
		p.gaps = append(p.gaps, span{p.end, base})
	}
	p.end, p.aborted, p.abortMarkers = max(p.end, base), nil, make(map[int64]endedTxn)
	c.s.size = p.folder.sizes[segmentName(base, logSuffix)]
	c.max = c.s.times.none()
	if err := c.readIndexes(); err != nil {
		return err
	}
	if err := c.batches(); err != nil {
		return err
	}
	if err := c.indexEnds(); err != nil {
		return err
	}
	return c.transactions()
}

func (c *segmentCheck) problem(invariant string, offset, pos int64, format string, args ...any) error {
	return c.report(Problem{File: c.name, Invariant: invariant, Segment: c.s.base, Offset: offset, Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// readIndexes reads the entries into memory: at most 2 GiB of log need 5 MiB.
func (c *segmentCheck) readIndexes() error {
	for _, x := range []struct {
		suffix string
		index  *index
		add    func([]byte)
	}{
		{offsetSuffix, &c.s.offsets.index, func(b []byte) { c.offsets = append(c.offsets, c.s.offsets.decode(b)) }},
		{timeSuffix, &c.s.times.index, func(b []byte) { c.times = append(c.times, c.s.times.decode(b)) }},
		{txnSuffix, &c.s.txns.index, func([]byte) {}},
	} {
		size, exists := c.folder.sizes[segmentName(c.s.base, x.suffix)]
		name, _ := x.index.file.where()
		switch {
		case !exists && (x.suffix == txnSuffix || c.last && !c.clean):
			continue // a stop makes those of the last segment
		case !exists:
			if err := c.report(Problem{File: name, Invariant: "P9", Segment: c.s.base, Offset: -1, Pos: -1, Message: "it is missing"}); err != nil {
				return err
			}
			continue
		case size%int64(x.index.width) != 0 && c.clean:
			if err := c.report(Problem{File: name, Invariant: "P9", Segment: c.s.base, Offset: -1, Pos: size, Message: "it ends inside an entry"}); err != nil {
				return err
			}
		}
		x.index.count = int(size) / x.index.width
		x.index.written = x.index.count
		err := x.index.entries(func(_ int, b []byte) error {
			x.add(b)
			return nil
		})
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	c.dropPadding()
	return nil
}

// dropPadding drops the zeros that Kafka leaves at the end of the indexes of a
// segment that it was writing to.
func (c *segmentCheck) dropPadding() {
	if c.clean || !c.last {
		return
	}
	for len(c.offsets) > 0 && c.offsets[len(c.offsets)-1].pos == 0 {
		c.offsets = c.offsets[:len(c.offsets)-1]
	}
	for len(c.times) > 0 && c.times[len(c.times)-1] == (timeEntry{0, c.s.base}) {
		c.times = c.times[:len(c.times)-1]
	}
}

// batches walks the segment.
func (c *segmentCheck) batches() error {
	h, err := c.s.file.acquire()
	if err != nil {
		return err
	}
	defer c.s.file.release()
	scan := newScanner(h, 0, c.s.size, c.buf)
	for scan.next() {
		if err := c.batch(&scan); err != nil {
			return err
		}
	}
	switch {
	case scan.err == nil:
		return nil
	case errors.Is(scan.err, errTorn) || errors.Is(scan.err, errBroken):
		if c.last && !c.clean {
			return nil // recovery cuts it
		}
		return c.problem("P5", c.end, scan.pos, "%v", scan.err)
	}
	return scan.err
}

// batch verifies one batch and takes it into the fold.
func (c *segmentCheck) batch(scan *scanner) error {
	b := scan.header
	base, last := b.BaseOffset(), b.LastOffset()
	c.compacted = c.compacted || base > c.end || b.Count() <= b.LastOffsetDelta() || b.HasDeleteHorizon()
	switch {
	case base < c.end:
		if err := c.problem("P2", base, scan.pos, "the batch before it reaches to offset %d", c.end); err != nil {
			return err
		}
	case !c.s.fits(last):
		if err := c.problem("P9", base, scan.pos, "its last offset %d is too far from the segment's base", last); err != nil {
			return err
		}
	}
	if b.LeaderEpoch() < c.epoch {
		if err := c.problem("P4", base, scan.pos, "its leader epoch %d follows %d", b.LeaderEpoch(), c.epoch); err != nil {
			return err
		}
	}
	if at := c.log.epochs.at(base); c.clean && at != NoEpoch && b.LeaderEpoch() != NoEpoch && at != b.LeaderEpoch() {
		if err := c.problem("P4", base, scan.pos, "its leader epoch is %d, that of the checkpoint %d", b.LeaderEpoch(), at); err != nil {
			return err
		}
	}
	if err := c.content(scan); err != nil {
		return err
	}
	b = scan.header
	c.end, c.epoch = last+1, b.LeaderEpoch()
	if b.MaxTimestamp() > c.max.timestamp {
		c.max = timeEntry{b.MaxTimestamp(), last}
	}
	return c.indexed(scan.pos, last)
}

// content verifies CRC and records, and folds the producers.
func (c *segmentCheck) content(scan *scanner) error {
	if err := scan.checkCRC(); err != nil {
		if !isInvalid(err) {
			return err
		}
		return c.problem("P5", scan.header.BaseOffset(), scan.pos, "%v", err)
	}
	end, timestamp, err := scan.marker(c.Codecs)
	if err != nil {
		return err
	}
	b := scan.header
	c.noteTxn(b, end)
	if b.HasProducer() && (end != nil || !b.IsControl()) {
		done, lastStable, ended := c.producers.apply(b, end, timestamp)
		if ended && done.aborted {
			c.aborted = append(c.aborted, abortedTxn{done.producerID, done.first, done.last, lastStable})
		}
	}
	if c.Headers {
		return nil
	}
	b, err = scan.whole()
	if err != nil {
		return err
	}
	return c.records(b, scan.pos)
}

// records verifies the records of a batch: offset deltas that ascend within
// the batch (P6), and the largest timestamp (P8).
func (c *segmentCheck) records(b record.Batch, pos int64) error {
	delta, largest := int32(-1), record.NoTimestamp
	for r, err := range b.Records(c.Codecs) {
		if err != nil {
			return c.problem("P6", b.BaseOffset(), pos, "%v", err)
		}
		if r.OffsetDelta <= delta || r.OffsetDelta > b.LastOffsetDelta() {
			return c.problem("P6", r.Offset, pos, "offset delta %d follows %d in a batch up to %d", r.OffsetDelta, delta, b.LastOffsetDelta())
		}
		delta, largest = r.OffsetDelta, max(largest, r.Timestamp)
	}
	if b.TimestampType() == record.CreateTime && b.Count() == b.LastOffsetDelta()+1 && largest != b.MaxTimestamp() {
		return c.problem("P8", b.BaseOffset(), pos, "its largest timestamp is %d, its header says %d", largest, b.MaxTimestamp())
	}
	return nil
}

// indexed compares the index entries that a batch reaches.
func (c *segmentCheck) indexed(pos, last int64) error {
	if err := c.offsetEntries(pos, last); err != nil {
		return err
	}
	for c.nextTime < len(c.times) && c.times[c.nextTime].offset <= last {
		e := c.times[c.nextTime]
		c.nextTime++
		if e != c.max {
			if err := c.indexProblem(&c.s.times.index, c.nextTime-1, e.offset, "entry %d says timestamp %d, the batches up to there %d at offset %d", c.nextTime-1, e.timestamp, c.max.timestamp, c.max.offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// offsetEntries compares those of the offset index. An entry leads to a batch with
// that last offset, as Ottla and Kafka since 4.1 write it; or, of an older Kafka,
// to the first of some batches that were appended at once, with the last offset of
// the last one. So readers from there on find every batch above it.
func (c *segmentCheck) offsetEntries(pos, last int64) error {
	wrong := func(n int) error {
		e := c.offsets[n]
		return c.indexProblem(&c.s.offsets.index, n, e.offset, "entry %d leads to byte %d, where no batch with that last offset lies", n, e.pos)
	}
	for c.nextOffset < len(c.offsets) && c.offsets[c.nextOffset].pos <= pos {
		e := c.offsets[c.nextOffset]
		if c.ahead {
			if err := wrong(c.nextOffset - 1); err != nil {
				return err
			}
		}
		c.nextOffset++
		c.ahead = e.pos == pos && e.offset > last
		if e.pos != pos || e.offset < last {
			if err := wrong(c.nextOffset - 1); err != nil {
				return err
			}
		}
	}
	if !c.ahead {
		return nil
	}
	e := c.offsets[c.nextOffset-1]
	c.ahead = e.offset > last
	if e.offset < last {
		return wrong(c.nextOffset - 1)
	}
	return nil
}

func (c *segmentCheck) indexProblem(x *index, entry int, offset int64, format string, args ...any) error {
	name, _ := x.file.where()
	return c.report(Problem{File: name, Invariant: "P9", Segment: c.s.base, Offset: offset, Pos: int64(entry * x.width), Message: fmt.Sprintf(format, args...)})
}

// indexEnds reports entries behind the last batch, and a time index that does
// not reach the largest timestamp of a segment that is finished.
func (c *segmentCheck) indexEnds() error {
	if !c.clean && c.last {
		return nil
	}
	if c.ahead {
		c.nextOffset--
	}
	if c.nextOffset < len(c.offsets) {
		if err := c.indexProblem(&c.s.offsets.index, c.nextOffset, c.offsets[c.nextOffset].offset, "entry %d leads behind the last batch", c.nextOffset); err != nil {
			return err
		}
	}
	if c.nextTime < len(c.times) {
		if err := c.indexProblem(&c.s.times.index, c.nextTime, c.times[c.nextTime].offset, "entry %d is about an offset behind the last batch", c.nextTime); err != nil {
			return err
		}
	}
	largest := c.s.times.none()
	if n := len(c.times); n > 0 {
		largest = c.times[n-1]
	}
	if c.clean && largest.timestamp != c.max.timestamp {
		return c.indexProblem(&c.s.times.index, len(c.times), c.max.offset, "its last timestamp is %d, the segment's largest %d", largest.timestamp, c.max.timestamp)
	}
	return nil
}

// noteTxn notes what a compacted segment's transaction index is compared with.
func (c *segmentCheck) noteTxn(b record.Batch, end *record.EndTxnMarker) {
	switch {
	case end == nil && b.IsTransactional() && !b.IsControl() && b.Count() > 0:
		c.left[b.ProducerID()] = true
	case end != nil && !end.Commit:
		c.abortMarkers[b.BaseOffset()] = endedTxn{b.ProducerID(), c.left[b.ProducerID()]}
	}
	if end != nil {
		delete(c.left, b.ProducerID())
	}
}

// compactedTransactions is transactions for a segment of which something may
// be missing: every entry is about an ABORT marker that is there, and each
// aborted transaction of which a record is left has its entry.
func (c *segmentCheck) compactedTransactions(found []abortedTxn) error {
	told := make(map[int64]bool)
	for i, t := range found {
		if ended, ok := c.abortMarkers[t.last]; !ok || ended.producerID != t.producerID || t.first >= t.last {
			return c.indexProblem(&c.s.txns.index, i, t.last, "entry %d is about no aborted transaction", i)
		}
		told[t.last] = true
	}
	for last, ended := range c.abortMarkers {
		if ended.records && !told[last] {
			return c.indexProblem(&c.s.txns.index, len(found), last, "records of a transaction of producer %d were aborted but it is not there", ended.producerID)
		}
	}
	return nil
}

// transactions compares the transaction index with the ABORT markers (T11).
func (c *segmentCheck) transactions() error {
	if !c.known || !c.clean {
		return nil
	}
	var found []abortedTxn
	err := c.s.txns.entries(func(_ int, b []byte) error {
		found = append(found, decodeTxn(b))
		return nil
	})
	if err != nil {
		return err
	}
	if c.compacted {
		return c.compactedTransactions(found)
	}
	for i := range max(len(found), len(c.aborted)) {
		switch {
		case i >= len(found):
			return c.indexProblem(&c.s.txns.index, i, c.aborted[i].last, "the transaction of producer %d that begins at %d was aborted but is not there", c.aborted[i].producerID, c.aborted[i].first)
		case i >= len(c.aborted):
			return c.indexProblem(&c.s.txns.index, i, found[i].last, "entry %d is about no aborted transaction", i)
		case found[i] != c.aborted[i]:
			return c.indexProblem(&c.s.txns.index, i, found[i].last, "entry %d is %+v, the batches say %+v", i, found[i], c.aborted[i])
		}
	}
	return nil
}
