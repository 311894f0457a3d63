package storage

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// Cleaner compacts the logs whose cleanup.policy includes compact: only the last record
// of each key is kept (P13). A pass over one log:
//
//  1. Choose the log with the largest fraction of uncompacted bytes, and the end of
//     the pass. The pass covers whole segments below the active one. It is limited by
//     the last stable offset, min.compaction.lag.ms, and a producer snapshot below
//     the recovery point on disk. So no recovery needs compacted batches for the
//     state of the producers. See Log.cleanable.
//  2. Read the uncompacted part and store the last offset of each key in a map of
//     limited memory. If the map is full, the pass ends there.
//  3. Group the segments, beginning with the first, so that each group fits into one
//     segment.
//  4. Copy the remaining batches of each group to new segments, named .cleaned, and
//     make them durable. cleanFilter decides what remains, cleanWriter writes.
//  5. Replace the group with them, see cleanPass.swap. A crash leaves the old segments
//     or the new ones.
//  6. Write the end of the pass to cleaner-offset-checkpoint.
//
// Appends, flushes and readers continue meanwhile. A pass holds Log.write only while it
// changes the list of segments, without I/O. It is aborted if the log is truncated,
// deleted, closed or no longer compacted, or if retention removes a segment of its
// group. The unfinished segments are then discarded, and a later pass starts again.
//
// Rejected: merging the map with the offset index, or one map for several logs. Each log
// would be read once less, but memory would be used while idle. The map and the buffers
// of a pass are garbage when it ends.
//
// The settings log.cleaner.* are read at the beginning of a pass, except
// log.cleaner.io.max.bytes.per.second, which applies at once: see reconfigure.
type Cleaner struct {
	manager  *Manager
	throttle *throttle

	mu       sync.Mutex
	settings cleanerSettings
	changed  chan struct{}   // closed when the settings are replaced
	threads  []chan struct{} // one per thread, closed to end it
}

// errCleaningAborted ends a pass because its log has changed. It is not a failure.
var errCleaningAborted = errors.New("the compaction was aborted because the log has changed")

// cleanPass is one pass over one log.
type cleanPass struct {
	*Cleaner
	cleanable
	config config.Topic
	keys   *keyMap
	buf    []byte // for reading
	out    []byte // for writing
	big    []byte // for a batch larger than buf
	nowMs  int64
	// The sizes in bytes before and after.
	before, after int64
}

// clean does steps 2 to 6. The returned pass has the offset up to which the log is now
// compacted.
func (c *Cleaner) clean(t cleanable) (*cleanPass, error) {
	l := t.log
	now, _ := c.inForce()
	p := &cleanPass{
		Cleaner: c, cleanable: t, config: l.Config(), nowMs: l.env.nowMs(),
		keys: newKeyMap(now.keyBytes, now.load), buf: make([]byte, now.readBytes), out: make([]byte, 0, now.readBytes),
	}
	if err := p.note(); err != nil {
		return p, err
	}
	txns := newCleanedTxns(l.env.codecs)
	filter := &cleanFilter{
		keys: p.keys, txns: txns, codecs: l.env.codecs, nowMs: p.nowMs, retainMs: p.config.DeleteRetentionMs,
		builder: record.NewBuilder(record.BuilderOptions{}),
	}
	for _, group := range p.groups() {
		filter.producers = l.lastOfProducers()
		if err := p.cleanGroup(group, filter); err != nil {
			return p, err
		}
	}
	return p, l.cleanedTo(p.keys.latest+1, p.generation)
}

// note does step 2.
func (p *cleanPass) note() error {
	l := p.log
	aborted, err := l.abortedBetween(p.dirty, p.end)
	if err != nil {
		return err
	}
	txns := newCleanedTxns(l.env.codecs)
	txns.add(aborted)
	for i := floor(p.segments, p.dirty); i < len(p.segments); i++ {
		full, err := p.noteSegment(p.segments[i], txns)
		if err != nil || full {
			return err
		}
		p.keys.latest = p.next(i) - 1
	}
	return nil
}

// next returns the base of the segment after number i.
func (p *cleanPass) next(i int) int64 {
	if i+1 < len(p.segments) {
		return p.segments[i+1].base
	}
	return p.end
}

// noteSegment adds the keys of a segment to the map, beginning at the first uncompacted
// offset. It returns true if the map is full.
func (p *cleanPass) noteSegment(s *segment, txns *cleanedTxns) (full bool, err error) {
	pos := int64(0)
	if s.base < p.dirty {
		if pos, err = p.log.indexedPos(s, p.dirty); err != nil {
			return false, err
		}
	}
	err = p.walk(s, pos, func(b record.Batch, _ int64) error {
		switch {
		case b.IsControl():
			_, _ = txns.control(b)
		case txns.data(b):
		default:
			if full, err = p.noteBatch(b); err != nil || full {
				return stopUnless(err)
			}
		}
		if b.LastOffset() >= p.dirty {
			p.keys.latest = b.LastOffset()
		}
		return nil
	})
	return full, err
}

// errStopWalk ends a scan without an error.
var errStopWalk = errors.New("enough")

func stopUnless(err error) error {
	if err != nil {
		return err
	}
	return errStopWalk
}

func (p *cleanPass) noteBatch(b record.Batch) (full bool, err error) {
	for r, err := range b.Records(p.log.env.codecs) {
		if err != nil {
			return false, err
		}
		if r.Offset < p.dirty {
			continue
		}
		if r.Key != nil && !p.keys.put(r.Key, r.Offset) {
			return true, nil
		}
		p.keys.latest = r.Offset
	}
	return false, nil
}

// walk visits the batches of a segment from pos. Each batch is complete and its CRC is
// verified, so that damaged data is never copied as valid (P5). Errors name the file,
// the segment and the offset.
func (p *cleanPass) walk(s *segment, pos int64, visit func(b record.Batch, end int64) error) error {
	h, err := s.file.acquire()
	if err != nil {
		return p.log.readFailed(err)
	}
	defer s.file.release()
	scan := newScanner(h, pos, p.log.sizeOf(s), p.buf)
	for scan.next() {
		if err := p.goOn(scan.size); err != nil {
			return err
		}
		offset := scan.header.BaseOffset()
		b, err := p.whole(h, &scan)
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil {
			err = visit(b, scan.pos+scan.size)
		}
		switch {
		case err == nil:
		case errors.Is(err, errStopWalk):
			return nil
		case errors.Is(err, errCleaningAborted):
			return err
		case isInvalid(err):
			path, _ := s.file.where()
			return &CorruptError{File: path, Segment: s.base, Offset: offset, Pos: scan.pos, Reason: err.Error()}
		default:
			return fmt.Errorf("segment %d at offset %d: %w", s.base, offset, p.log.readFailed(err))
		}
	}
	if scan.err != nil {
		return p.log.scanFailed(s, &scan)
	}
	return nil
}

// whole reads the current batch of a scan. It may be used until the next batch.
func (p *cleanPass) whole(h vfs.File, scan *scanner) (record.Batch, error) {
	if scan.size <= int64(len(scan.buf)) {
		b, err := scan.window(scan.pos, int(scan.size))
		return record.Batch(b), err
	}
	if int64(cap(p.big)) < scan.size {
		p.big = make([]byte, scan.size)
	}
	b := p.big[:scan.size]
	return record.Batch(b), readFull(h, b, scan.pos)
}

// goOn is called for each batch with the number of bytes to read or write. It waits to
// respect log.cleaner.io.max.bytes.per.second, and returns an error if the pass must
// end.
func (p *cleanPass) goOn(bytes int64) error {
	if !p.throttle.wait(bytes) {
		return errCleaningAborted
	}
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cleaningAllowed(p.generation)
}

// cleaningAllowed returns an error if a pass that began at a generation must end. The
// caller holds mu.
func (l *Log) cleaningAllowed(generation uint64) error {
	if err := l.usable(); err != nil {
		return err
	}
	if l.generation != generation || !l.config.Load().Compact {
		return errCleaningAborted
	}
	return nil
}

// groups does step 3. The bytes of a group fit into a segment, its index entries into the
// indexes, and its offsets into the 31 bits of an index entry.
func (p *cleanPass) groups() [][]*segment {
	var groups [][]*segment
	var bytes, offsets, times int64
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	for i, s := range p.segments {
		if s.base > p.keys.latest {
			break
		}
		o, t := int64(s.offsets.count*offsetEntryLen), int64(s.times.count*timeEntryLen)
		last := len(groups) - 1
		fits := last >= 0 && bytes+s.size <= int64(p.config.SegmentBytes) &&
			offsets+o <= int64(p.config.SegmentIndexBytes) && times+t <= int64(p.config.SegmentIndexBytes) &&
			p.next(i)-1-groups[last][0].base <= math.MaxInt32
		if !fits {
			groups, last = append(groups, nil), last+1
			bytes, offsets, times = 0, 0, 0
		}
		groups[last] = append(groups[last], s)
		bytes, offsets, times = bytes+s.size, offsets+o, times+t
	}
	return groups
}

// cleanGroup does steps 4 and 5.
func (p *cleanPass) cleanGroup(group []*segment, filter *cleanFilter) error {
	p.published = false
	w := &cleanWriter{cleanPass: p, base: group[0].base}
	err := p.filterGroup(group, filter, w)
	if err == nil {
		err = w.finish()
	}
	if err == nil {
		err = p.swap(group, w.segments)
	}
	if err != nil {
		p.discardUnfinished(w.segments)
	}
	w.release()
	return err
}

func (p *cleanPass) filterGroup(group []*segment, filter *cleanFilter, w *cleanWriter) error {
	l := p.log
	final := group[0] // the segment with the last batch
	for _, s := range group {
		if l.sizeOf(s) > 0 {
			final = s
		}
	}
	for _, s := range group {
		size := l.sizeOf(s)
		p.before += size
		aborted, err := l.abortedBetween(s.base, p.next(floor(p.segments, s.base)))
		if err != nil {
			return err
		}
		filter.txns.add(aborted)
		err = p.walk(s, 0, func(b record.Batch, end int64) error {
			out, kept, err := filter.batch(b, s == final && end == size)
			if err != nil || out == nil {
				return err
			}
			return w.append(out, kept)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sizeOf returns the size of a segment, which a truncation may change.
func (l *Log) sizeOf(s *segment) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.size
}

// lastOfProducers copies the state of the producers that cleanFilter needs.
func (l *Log) lastOfProducers() map[int64]lastOfProducer {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := make(map[int64]lastOfProducer, len(l.producers.byID))
	for id, p := range l.producers.byID {
		x := lastOfProducer{noOffset, p.epoch}
		if m, ok := p.last(); ok {
			x.offset = m.lastOffset
		}
		last[id] = x
	}
	return last
}

// indexedPos returns the position of the batch of the last index entry at or below an
// offset.
func (l *Log) indexedPos(s *segment, offset int64) (int64, error) {
	l.mu.Lock()
	e, inFile := s.offsets.floorInTail(offset)
	l.mu.Unlock()
	if inFile > 0 {
		var err error
		if e, err = s.offsets.floorInFile(offset, inFile); err != nil {
			return 0, l.readFailed(err)
		}
	}
	return e.pos, nil
}
