package storage

import (
	"fmt"
	"math"
	"slices"

	"ottla/internal/vfs"
)

// AbortedTxn is an aborted transaction, which a reader of its partition must skip.
type AbortedTxn struct {
	ProducerID int64
	// FirstOffset is the offset from which the reader must skip the producer's
	// records, until the marker.
	FirstOffset int64
}

// ReadCommitted is like Read and also returns the aborted transactions that overlap the
// region. upTo is the last stable offset. The list may include transactions without a
// batch in the region, but none from beyond the batch of the next offset index entry.
// So a reader far behind does not get all later aborted transactions.
func (l *Log) ReadCommitted(from, upTo int64, maxBytes int, minOne bool) (Slice, []AbortedTxn, error) {
	slice, p, err := l.readChecked(from, upTo, maxBytes, minOne, true)
	if err != nil || slice.Len() == 0 {
		return slice, nil, err
	}
	bound, err := l.regionBound(&p, &slice)
	if err == nil {
		var aborted []AbortedTxn
		if aborted, err = l.AbortedTxns(from, bound); err == nil {
			return slice, aborted, nil
		}
	}
	slice.Release()
	return Slice{}, nil, err
}

// regionBound returns an upper limit of the offsets of a region:
//
//  1. If only the plan limits the region, the limit is the end of the plan.
//  2. Otherwise it is the offset of the first index entry at or after the region's
//     end, which belongs to a later batch.
//  3. The entry is verified with the header of that batch. An entry that is too low
//     would hide an aborted transaction. If the index is wrong, or the log was
//     truncated or compacted meanwhile, the limit of step 1 is used.
//
// Rejected: scanning the headers of the region for the exact offset. It reads as much
// from the disk as the following sendfile.
func (l *Log) regionBound(p *readPlan, region *Slice) (int64, error) {
	planned := min(p.next, p.upTo)
	end := region.pos + int64(region.length)
	if p.bounded && p.to.exact && end == p.to.pos || !p.bounded && end == p.limit {
		return planned, nil
	}
	l.mu.Lock()
	current, size := l.generation == p.generation, p.segment.size
	e, inFile, ok := p.segment.offsets.ceilingInTail(end)
	l.mu.Unlock()
	var err error
	if inFile > 0 {
		e, ok, err = p.segment.offsets.ceilingInFile(end, inFile, e, ok)
	}
	switch {
	case isClosed(err):
		return planned, nil // the segment was replaced
	case err != nil:
		return 0, l.readFailed(err)
	case !ok || !current || e.pos < end || e.offset >= planned:
		return planned, nil
	}
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	scan := newScanner(region.handle, e.pos, size, *buf)
	if scan.next() && scan.header.LastOffset() == e.offset {
		return e.offset, nil
	}
	return planned, nil
}

// AbortedTxns lists the aborted transactions that overlap [from, upTo), by the
// offset of their markers (T11).
func (l *Log) AbortedTxns(from, upTo int64) ([]AbortedTxn, error) {
	list, err := l.abortedBetween(from, upTo)
	var found []AbortedTxn
	for _, t := range list {
		found = append(found, AbortedTxn{t.producerID, t.first})
	}
	return found, err
}

// abortedBetween is AbortedTxns with all fields of the index.
func (l *Log) abortedBetween(from, upTo int64) (found []abortedTxn, err error) {
	for range 4 { // retry if a segment was removed meanwhile
		if found, err = l.abortedTxns(from, upTo); !isClosed(err) {
			break
		}
	}
	return found, err
}

func (l *Log) abortedTxns(from, upTo int64) ([]abortedTxn, error) {
	l.mu.Lock()
	if err := l.usable(); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	segments := l.segments[floor(l.segments, from):]
	plans := make([]txnPlan, len(segments))
	for i, s := range segments {
		plans[i] = txnPlan{
			s: s, inFile: s.txns.tailStart(), tail: slices.Clone(s.txns.tail), size: s.size, foreign: s.foreignTxns,
			first: s == l.segments[0], compacted: s.base < l.cleaned, below: l.end, epoch: l.latestEpoch(), generation: l.generation,
		}
		if i+1 < len(segments) {
			plans[i].below = segments[i+1].base
		}
	}
	l.mu.Unlock()
	var found []abortedTxn
	for i := range plans {
		done := false
		err := l.eachAborted(&plans[i], func(t abortedTxn) {
			if !done && t.last >= from && t.first < upTo {
				found = append(found, t)
			}
			done = done || t.lastStable >= upTo
		})
		if err != nil || done {
			return found, err
		}
	}
	return found, nil
}

// foreignTxns records the verification of transaction index entries that another process
// wrote. The file has no checksum. A wrong entry would expose records of an aborted
// transaction, or hide others. So the entries of a segment are verified once, on first
// use:
//
//  1. The producers' state at the segment's base, from its snapshot, is advanced over
//     the segment's batches. This rebuilds the entries, like recovery.
//  2. If they are equal to those of the file, the file is valid.
//  3. Otherwise the scan is repeated with CRC checks. If a batch is bad, the reader
//     gets a CorruptError. If all batches are valid, the rebuilt entries replace those
//     of the file, and this is logged.
//  4. In a compacted segment the rebuilt entries may differ, because first batches are
//     removed. The remaining records are still skipped correctly. Then step 3 logs
//     nothing.
//
// A segment without such entries costs nothing. The cost is one scan over the headers of
// a segment before its first read_committed read.
//
// Rejected: looking up the marker and the first batch of each entry. This does not show
// whether the transaction has an earlier batch, or whether an open transaction
// determined the last stable offset.
type foreignTxns struct {
	// count is the number of entries; their markers are below end.
	count int
	end   int64
	known bool
	// wrong means that the file is wrong and instead has the valid entries.
	wrong   bool
	instead []abortedTxn
}

// cut applies a truncation of the log, to n entries with markers below end.
func (f *foreignTxns) cut(n int, end int64) {
	*f = foreignTxns{count: min(n, f.count), end: min(f.end, end)}
}

// txnPlan is the state of a segment's transactions that needs no I/O.
type txnPlan struct {
	s                *segment
	inFile           int
	tail             []byte
	size             int64
	foreign          foreignTxns
	first, compacted bool
	below            int64 // upper limit of offsets, excluded
	epoch            int32 // the latest epoch
	generation       uint64
}

// entries visits the entries of file and tail.
func (p *txnPlan) entries(visit func(i int, t abortedTxn)) error {
	if p.inFile > 0 {
		err := p.s.txns.fileEntries(p.inFile, func(i int, b []byte) error {
			visit(i, decodeTxn(b))
			return nil
		})
		if err != nil {
			return fmt.Errorf("transaction index of segment %d: %w", p.s.base, err)
		}
	}
	for at := 0; at < len(p.tail); at += txnEntryLen {
		visit(p.inFile+at/txnEntryLen, decodeTxn(p.tail[at:]))
	}
	return nil
}

// eachAborted visits the verified aborted transactions of a segment.
func (l *Log) eachAborted(p *txnPlan, visit func(abortedTxn)) error {
	if p.foreign.count > 0 && !p.foreign.known {
		if err := l.prove(p); err != nil {
			return l.readFailed(err)
		}
		l.mu.Lock()
		if l.generation == p.generation {
			p.s.foreignTxns = p.foreign
		}
		l.mu.Unlock()
	}
	for _, t := range p.foreign.instead {
		visit(t)
	}
	err := p.entries(func(i int, t abortedTxn) {
		if i >= p.foreign.count || !p.foreign.wrong {
			visit(t)
		}
	})
	if err != nil {
		return l.readFailed(err)
	}
	return nil
}

// prove does steps 1 to 4 of foreignTxns.
func (l *Log) prove(p *txnPlan) error {
	var inFile []abortedTxn
	if err := p.entries(func(i int, t abortedTxn) {
		if i < p.foreign.count {
			inFile = append(inFile, t)
		}
	}); err != nil {
		return err
	}
	start, ok := l.producersAt(p)
	p.foreign.known = true
	if !ok {
		return nil // there is nothing to compare with
	}
	made, err := l.foldAborted(p, start, false)
	if err == nil && slices.Equal(made, inFile) {
		return nil
	}
	if bad := l.knownBad(p.s); bad != nil {
		return bad
	}
	if made, err = l.foldAborted(p, start, true); err != nil {
		return err
	}
	p.foreign.wrong, p.foreign.instead = true, made
	if !p.compacted {
		name, _ := p.s.txns.file.where()
		l.env.log.Error("a transaction index is wrong, going on with what the record batches say", "file", name, "segment", p.s.base)
	}
	return nil
}

// knownBad returns the error of a known bad batch of a segment, nil for none.
func (l *Log) knownBad(s *segment) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.checks != nil {
		if bad := s.checks.firstBad(0); bad != nil {
			return bad
		}
	}
	return nil
}

// producersAt returns the state of the producers at the base of a segment. Before the
// first segment there is none.
func (l *Log) producersAt(p *txnPlan) ([]producer, bool) {
	data, err := vfs.ReadFile(l.env.fs, l.snapshotPath(p.s.base))
	if err != nil {
		return nil, p.first
	}
	list, why := decodeSnapshot(data)
	return list, why == ""
}

// foldAborted builds the entries of a segment's transaction index from its batches. If
// check is true it verifies the batches completely, otherwise not at all. It sets
// p.compacted if offsets are missing between them.
func (l *Log) foldAborted(p *txnPlan, start []producer, check bool) (made []abortedTxn, err error) {
	h, err := p.s.file.acquire()
	if err != nil {
		return nil, err
	}
	defer p.s.file.release()
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	var state producers
	state.reset()
	for _, x := range start {
		state.load(x)
	}
	next := p.s.base
	w := order{last: next - 1, epoch: NoEpoch, below: p.below, maxEpoch: p.epoch}
	scan := newScanner(h, 0, p.size, *buf)
	for scan.next() {
		if check {
			if err := l.checkWhole(p, &w, &scan); err != nil {
				return nil, err
			}
		}
		end, timestamp, err := scan.marker(l.env.codecs)
		if err != nil {
			return nil, err
		}
		b := scan.header
		p.compacted = p.compacted || b.BaseOffset() > next || b.Count() <= b.LastOffsetDelta() || b.HasDeleteHorizon()
		next = b.NextOffset()
		if !b.HasProducer() || b.IsControl() && end == nil || b.BaseOffset() >= p.foreign.end {
			continue
		}
		done, lastStable, ended := state.apply(b, end, timestamp)
		state.replicated(math.MaxInt64)
		if ended && done.aborted {
			made = append(made, abortedTxn{done.producerID, done.first, done.last, lastStable})
		}
	}
	if scan.err != nil {
		return nil, l.scanFailed(p.s, &scan)
	}
	return made, nil
}

// checkWhole verifies the current batch of a scan over a segment.
func (l *Log) checkWhole(p *txnPlan, w *order, scan *scanner) error {
	why := w.beyond(scan.header)
	if why == "" {
		why = w.next(scan.header)
	}
	if why == "" {
		err := scan.checkCRC()
		if err == nil || !isInvalid(err) {
			return err
		}
		why = err.Error()
	}
	return l.corruptAt(p.s, scan.header.BaseOffset(), scan.pos, why)
}
