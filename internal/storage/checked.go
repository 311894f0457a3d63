package storage

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// checks records which bytes of a segment are verified. Batches written by another
// process were verified when they were appended, but the disk may have damaged them
// since. So they are verified again on first read (P5):
//
//  1. A read finds its region as usual. Bytes in it that another process wrote and
//     that are in no span are checked batch by batch: framing, CRC, ascending
//     offsets and leader epochs. A batch that the region cuts is left to the read
//     that returns all of it.
//  2. The CRC does not cover base offset and leader epoch. So the header after the
//     region is also read: the last batch must end below its offset.
//  3. The checked bytes become a span. Adjacent spans are merged, so a sequential
//     reader checks each byte once. Several readers make several spans. If there
//     are too many, the shortest is dropped and checked again later.
//  4. The first bad batch ends the region. A read that begins with it gets a
//     CorruptError; later reads get it without another check. Reads that begin
//     after it work.
//
// So a read computes only the checksum of the bytes that it returns, without
// holding a lock. Bytes that this process appended, or that a recovery has scanned,
// are never checked: they are sent by sendfile, and clients verify them.
//
// Rejected: verifying the whole segment on its first read. A fetch could then wait
// for a gigabyte. Also rejected: a bit per block. It costs 32 KiB for a segment that
// is never read twice.
type checks struct {
	spans []span // sorted and not adjacent
	bad   []*CorruptError
}

// span is the bytes [from, to) of a segment.
type span struct{ from, to int64 }

// The limits of the spans and bad batches of a segment.
const (
	maxSpans = 16
	maxBad   = 64
)

// add adds a verified span.
func (c *checks) add(s span) {
	if s.from >= s.to {
		return
	}
	i := sort.Search(len(c.spans), func(i int) bool { return c.spans[i].to >= s.from })
	k := i
	for k < len(c.spans) && c.spans[k].from <= s.to {
		s = span{min(s.from, c.spans[k].from), max(s.to, c.spans[k].to)}
		k++
	}
	c.spans = slices.Replace(c.spans, i, k, s)
	if len(c.spans) <= maxSpans {
		return
	}
	shortest := 0
	for i, s := range c.spans {
		if s.to-s.from < c.spans[shortest].to-c.spans[shortest].from {
			shortest = i
		}
	}
	c.spans = slices.Delete(c.spans, shortest, shortest+1)
}

// gap returns the first unverified part of [from, to); empty if there is none.
func (c *checks) gap(from, to int64) span {
	for _, s := range c.spans {
		switch {
		case s.to <= from:
		case s.from > from:
			return span{from, min(to, s.from)}
		default:
			from = s.to
		}
	}
	return span{from, max(from, to)}
}

// firstBad returns the first bad batch at or after pos, nil if none is known.
func (c *checks) firstBad(pos int64) *CorruptError {
	for _, b := range c.bad {
		if b.Pos >= pos {
			return b
		}
	}
	return nil
}

// addBad adds a bad batch. It returns false if the batch was known, or if there are
// too many.
func (c *checks) addBad(bad *CorruptError) bool {
	i, known := slices.BinarySearchFunc(c.bad, bad.Pos, func(b *CorruptError, pos int64) int { return int(max(-1, min(1, b.Pos-pos))) })
	if known || len(c.bad) >= maxBad {
		return false
	}
	c.bad = slices.Insert(c.bad, i, bad)
	return true
}

// cut removes everything at or after size.
func (c *checks) cut(size int64) {
	c.bad = slices.DeleteFunc(c.bad, func(b *CorruptError) bool { return b.Pos >= size })
	c.spans = slices.DeleteFunc(c.spans, func(s span) bool { return s.from >= size })
	if n := len(c.spans); n > 0 {
		c.spans[n-1].to = min(c.spans[n-1].to, size)
	}
}

// noted returns the checks of the segment and allocates them on first use. The
// caller holds Log.mu or owns the segment.
func (s *segment) noted() *checks {
	if s.checks == nil {
		s.checks = new(checks)
	}
	return s.checks
}

// cutChecks applies a truncation to size bytes. The caller holds Log.mu.
func (s *segment) cutChecks(size int64) {
	s.foreign = min(s.foreign, size)
	if s.checks != nil {
		s.checks.cut(size)
	}
}

// errAgain means that the log was truncated during a read, so its result is invalid.
var errAgain = errors.New("the log was truncated meanwhile")

// damaged records a bad batch, so that it is not served, and logs it once. It
// returns the error for the reader, or errAgain if the log's generation has changed
// since the read began.
func (l *Log) damaged(s *segment, bad *CorruptError, generation uint64) error {
	l.mu.Lock()
	current := l.generation == generation
	fresh := current && s.noted().addBad(bad)
	l.mu.Unlock()
	if !current {
		return errAgain
	}
	if fresh {
		l.env.log.Error("a record batch is damaged and will not be served", "file", bad.File, "segment", bad.Segment, "offset", bad.Offset, "position", bad.Pos, "reason", bad.Reason)
	}
	return bad
}

// check verifies the region of a read, of length bytes, and returns the number of
// bytes that may be sent.
func (l *Log) check(p *readPlan, h vfs.File, length int) (int, error) {
	s, from := p.segment, p.from.pos
	for {
		l.mu.Lock()
		bad, gap := (*CorruptError)(nil), span{}
		if s.checks != nil {
			bad = s.checks.firstBad(from)
		}
		if bad != nil && bad.Pos < from+int64(length) {
			length = int(bad.Pos - from)
		}
		if upTo := min(from+int64(length), s.foreign); upTo > from {
			gap = s.noted().gap(from, upTo)
		}
		l.mu.Unlock()
		if bad != nil && int64(length) < p.from.size {
			return 0, bad
		}
		if gap.from >= gap.to {
			return length, nil
		}
		reached, err := l.checkSpan(p, h, gap)
		l.mu.Lock()
		if l.generation == p.generation {
			s.noted().add(span{gap.from, reached})
		}
		l.mu.Unlock()
		var corrupt *CorruptError
		switch {
		case errors.As(err, &corrupt): // the next iteration finds it
			if err := l.damaged(s, corrupt, p.generation); errors.Is(err, errAgain) || corrupt.Pos == from {
				return 0, err
			}
			length = min(length, int(corrupt.Pos-from))
		case err != nil:
			return 0, err
		case reached < gap.to:
			return length, nil // the region ends inside a batch
		}
	}
}

// checkSpan checks the batches that are completely in a span and returns the
// position where it ended.
func (l *Log) checkSpan(p *readPlan, h vfs.File, gap span) (reached int64, err error) {
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	scan := newScanner(h, gap.from, p.limit, *buf)
	w := order{last: p.segment.base - 1, epoch: NoEpoch, below: p.below(), maxEpoch: p.epoch}
	for reached = gap.from; scan.next(); reached = scan.pos + scan.size {
		if why := w.beyond(scan.header); why != "" {
			return reached, l.corruptAt(p.segment, scan.header.BaseOffset(), scan.pos, why)
		}
		if why := w.next(scan.header); why != "" {
			return l.outOfOrder(p, &w, gap, &scan, why)
		}
		if scan.pos+scan.size > gap.to {
			return reached, nil
		}
		if err := scan.checkCRC(); isInvalid(err) || errors.Is(err, errTorn) {
			return reached, l.corruptAt(p.segment, scan.header.BaseOffset(), scan.pos, err.Error())
		} else if err != nil {
			return reached, l.readFailed(err)
		}
		w.previous, w.previousOffset = scan.pos, scan.header.BaseOffset()
	}
	switch {
	case scan.err == nil:
		return reached, nil
	case !errors.Is(scan.err, errTorn) && !errors.Is(scan.err, errBroken):
		return reached, l.readFailed(scan.err)
	case scan.pos >= gap.to:
		return reached, nil // left to the read that begins there
	}
	return reached, l.corruptAt(p.segment, w.last+1, scan.pos, scan.err.Error())
}

// outOfOrder reports a batch that does not follow the previous one. It is unknown
// which of the two has the wrong offset, so neither is sent.
func (l *Log) outOfOrder(p *readPlan, w *order, gap span, scan *scanner, why string) (reached int64, err error) {
	current := l.corruptAt(p.segment, scan.header.BaseOffset(), scan.pos, why)
	if scan.pos == gap.from {
		return scan.pos, current
	}
	if err := l.damaged(p.segment, current, p.generation); errors.Is(err, errAgain) {
		return w.previous, err
	}
	return w.previous, l.corruptAt(p.segment, w.previousOffset, w.previous, "what follows it does not: "+why)
}

func (l *Log) corruptAt(s *segment, offset, pos int64, reason string) *CorruptError {
	path, _ := s.file.where()
	return &CorruptError{File: path, Segment: s.base, Offset: offset, Pos: pos, Reason: reason}
}

// order checks the header fields that the CRC does not cover: offsets must ascend,
// leader epochs must not decrease (P2, P4).
type order struct {
	last     int64 // last offset
	epoch    int32
	below    int64 // upper limit of offsets, excluded
	maxEpoch int32
	// Position and offset of the previous batch, for reports.
	previous, previousOffset int64
}

// beyond returns the reason why a header cannot be that of a batch of the segment,
// or "".
func (o *order) beyond(b record.Batch) (why string) {
	switch {
	case b.LastOffset() >= o.below:
		return fmt.Sprintf("its last offset %d is not below %d, where what follows begins", b.LastOffset(), o.below)
	case b.LeaderEpoch() < NoEpoch || b.LeaderEpoch() > o.maxEpoch:
		return fmt.Sprintf("its leader epoch is %d, the latest one %d", b.LeaderEpoch(), o.maxEpoch)
	}
	return ""
}

// next processes a header and returns the reason why it cannot follow the previous
// one, or "".
func (o *order) next(b record.Batch) (why string) {
	switch {
	case b.BaseOffset() <= o.last:
		return fmt.Sprintf("its base offset %d follows offset %d", b.BaseOffset(), o.last)
	case b.LeaderEpoch() < o.epoch:
		return fmt.Sprintf("its leader epoch %d follows %d", b.LeaderEpoch(), o.epoch)
	}
	o.last, o.epoch = b.LastOffset(), b.LeaderEpoch()
	return ""
}

// checkEnd compares the end of a log that was closed cleanly with the recovery point
// of the close, 0 if none. If the end is higher, the offset of the last batch is
// wrong; no batch follows that would show it.
func (l *Log) checkEnd(point int64) error {
	switch {
	case point <= 0 || l.end == point:
		return nil
	case l.end < point:
		l.env.log.Error("the end of a log is missing", "log", l.path, "end", l.end, "closed at", point)
		return nil
	}
	s := l.active()
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	t := target{offset: l.end - 1}
	if err := l.resolve(s, &t, h, s.size); errors.Is(err, errNotHere) {
		return nil
	} else if err != nil {
		return err
	}
	_ = l.damaged(s, l.corruptAt(s, point, t.pos, fmt.Sprintf("its last offset is %d, but the log was closed at %d", l.end-1, point)), l.generation) // damaged logs it
	return nil
}
