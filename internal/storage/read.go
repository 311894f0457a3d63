package storage

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// Slice is a region of a segment's file: whole batches, but for the last one,
// which a limit of bytes may cut. The file stays open, and the bytes readable
// even after retention removed its name, until Release. The zero Slice is
// empty.
type Slice struct {
	file   *file
	handle vfs.File
	pos    int64
	length int
}

// Len is the length in bytes.
func (s *Slice) Len() int { return s.length }

// ReadAt reads from the region; off counts from its begin. Fewer bytes than
// asked for come with an error, io.EOF at the end of the region or file.
func (s *Slice) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(s.length) {
		return 0, io.EOF
	}
	n := min(int64(len(p)), int64(s.length)-off)
	got, err := s.handle.ReadAt(p[:n], s.pos+off)
	if err == nil && got < len(p) {
		err = io.EOF
	}
	return got, err
}

// File is where the region lies, for sendfile: the open file, which must not be
// used after Release, and the position of the first byte.
func (s *Slice) File() (vfs.File, int64) { return s.handle, s.pos }

// Release lets the file go. It may be called again, on the same variable; a
// copy must not be released too.
func (s *Slice) Release() {
	if s.file != nil {
		s.file.release()
		*s = Slice{}
	}
}

// Read returns the batches from the one that holds from, up to the last one
// that ends below upTo, as a region of one segment of at most maxBytes; so a
// part of what there is when that lies in several segments. The first batch is
// returned whole even if it is larger, when minOne is true, or else not at all.
//
// The Slice is empty when there is nothing (yet) in between. An offset below
// StartOffset or above EndOffset is ErrOffsetOutOfRange. upTo is the high
// watermark or the last stable offset for consumers, EndOffset for followers.
//
// What this process did not write is checked before it is returned for the
// first time (see checks): a batch that is bad ends the region, and a read that
// begins with it is a *CorruptError (P5), as is one that begins where the log is
// damaged (see Damage). Behind that records can be read.
func (l *Log) Read(from, upTo int64, maxBytes int, minOne bool) (Slice, error) {
	slice, _, err := l.readChecked(from, upTo, maxBytes, minOne, true)
	return slice, err
}

// readChecked is Read, which also returns how it was planned; with check false
// the caller checks all batches itself.
func (l *Log) readChecked(from, upTo int64, maxBytes int, minOne, check bool) (Slice, readPlan, error) {
	// A segment may be removed between the plan and the opening of its file:
	// then the next plan finds the offset out of range, or in another one. The
	// same for a truncation.
	for range 4 {
		p, err := l.planRead(from, upTo)
		if err != nil || p.segment == nil {
			return Slice{}, p, err
		}
		p.check = p.check && check
		slice, err := l.read(&p, maxBytes, minOne)
		switch {
		case errors.Is(err, errNotHere) && p.damage != nil:
			return Slice{}, p, p.damage.error()
		case errors.Is(err, errNotHere) && p.next < p.upTo:
			if lost, err := l.learnGap(p.segment, p.generation); err != nil {
				return Slice{}, p, err
			} else if lost {
				continue
			}
			return l.readChecked(p.next, p.upTo, maxBytes, minOne, check)
		case errors.Is(err, errNotHere):
			return Slice{}, p, nil
		case !errors.Is(err, ErrClosed) && !errors.Is(err, errAgain):
			return slice, p, err
		}
	}
	return Slice{}, readPlan{}, ErrClosed
}

// readPlan is what is known of a read without I/O.
type readPlan struct {
	segment  *segment
	from, to target
	limit    int64 // the region ends here at the latest
	bounded  bool  // and before the batch at to
	next     int64 // base of the next segment, for offsets that are not in this one
	upTo     int64
	check    bool    // some of the segment may have to be checked
	damage   *Damage // in the segment, behind from: the region ends before it
	// The log as it was planned with.
	generation uint64
	end        int64
	epoch      int32 // the latest
}

// below is what every offset in the segment is below of.
func (p *readPlan) below() int64 { return min(p.next, p.end) }

// target is an offset whose batch is looked for in a segment: the first one
// whose last offset is at or above it.
type target struct {
	offset int64
	// exact: the batch is at pos and has size bytes.
	exact     bool
	pos, size int64
	// Else it is at or after pos, to which an index entry about the offset
	// indexed led; the entry may lie in the first inFile entries of the file.
	indexed int64
	inFile  int
}

// planRead finds segment and index entries in memory.
func (l *Log) planRead(from, upTo int64) (readPlan, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return readPlan{}, err
	}
	if from < l.start || from > l.end {
		return readPlan{}, l.outOfRange(from)
	}
	if upTo = min(upTo, l.end); from >= upTo {
		return readPlan{}, nil
	}
	at, behind := l.damageAt(from)
	if at != nil {
		return readPlan{}, at.error()
	}
	i := floor(l.segments, from)
	s := l.segments[i]
	p := readPlan{
		segment: s, limit: s.size, next: math.MaxInt64, upTo: upTo, from: l.seek(s, from),
		check: s.foreign > 0 || s.checks != nil, generation: l.generation, end: l.end, epoch: l.latestEpoch(),
	}
	if i+1 < len(l.segments) {
		p.next = l.segments[i+1].base
	}
	if behind != nil && behind.Segment == s.base {
		damage := *behind
		p.damage, p.limit = &damage, damage.Pos
	}
	if upTo < min(p.next, l.end) {
		p.bounded, p.to = true, l.seek(s, upTo)
	}
	return p, nil
}

// seek looks an offset up in memory. The caller holds mu.
func (l *Log) seek(s *segment, offset int64) target {
	if s == l.active() {
		if pos, size, ok := l.recent.find(offset); ok {
			return target{offset: offset, exact: true, pos: pos, size: size}
		}
	}
	e, inFile := s.offsets.floorInTail(offset)
	return target{offset: offset, pos: e.pos, indexed: e.offset, inFile: inFile}
}

// read is the part of Read that needs I/O.
func (l *Log) read(p *readPlan, maxBytes int, minOne bool) (Slice, error) {
	s := p.segment
	h, err := s.file.acquireWithin()
	if err != nil {
		return Slice{}, l.readFailed(err)
	}
	n, err := l.region(p, h, maxBytes, minOne)
	if err == nil && n > 0 {
		return Slice{file: s.file, handle: h, pos: p.from.pos, length: n}, nil
	}
	s.file.release()
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		found, failed := l.learnDamage(s, corrupt, p.generation)
		switch {
		case failed != nil:
			err = failed
		case found:
			err = errAgain // the next plan passes over it, or begins in it
		default:
			err = l.damaged(s, corrupt, p.generation)
		}
	}
	return Slice{}, err
}

// region returns the length of the region at p.from.pos.
func (l *Log) region(p *readPlan, h vfs.File, maxBytes int, minOne bool) (int, error) {
	if err := l.resolve(p.segment, &p.from, h, p.limit); err != nil {
		return 0, err
	}
	limit := p.limit
	if p.bounded {
		switch err := l.resolve(p.segment, &p.to, h, p.limit); {
		case err == nil:
			limit = p.to.pos
		case !errors.Is(err, errNotHere):
			return 0, err
		}
	}
	length := limit - p.from.pos
	switch {
	case length <= 0:
		return 0, nil
	case length <= int64(maxBytes):
	case p.from.size <= int64(maxBytes):
		length = int64(maxBytes)
	case minOne:
		length = p.from.size
	default:
		return 0, nil
	}
	if p.check {
		return l.check(p, h, int(length))
	}
	return int(length), nil
}

// errNotHere says that a segment has no batch at or above an offset, although
// a later one may: compaction leaves gaps.
var errNotHere = errors.New("no such batch in this segment")

// maxEntries is how many index entries a search tries before it walks the
// whole segment.
const maxEntries = 4

// resolve makes a target exact: the index in the file, then the headers from
// the entry on. An index that leads astray is no reason to serve other records
// than were asked for, nor to serve none: the entry before is tried.
func (l *Log) resolve(s *segment, t *target, h vfs.File, end int64) error {
	if t.exact {
		return nil
	}
	if t.inFile > 0 {
		e, err := s.offsets.floorInFile(t.offset, t.inFile)
		if err != nil {
			return l.readFailed(err)
		}
		t.pos, t.indexed = e.pos, e.offset
	}
	for try := 1; ; try++ {
		proven, err := l.walkTo(s, t, h, end)
		if proven || t.exact || !isCorrupt(err) && !errors.Is(err, errNotHere) {
			return err
		}
		l.mu.Lock()
		e, inFile := s.offsets.floorInTail(t.indexed - 1)
		l.mu.Unlock()
		if inFile > 0 {
			if e, err = s.offsets.floorInFile(t.indexed-1, inFile); err != nil {
				return l.readFailed(err)
			}
		}
		if try == maxEntries || e.pos >= t.pos {
			e = offsetEntry{s.base, 0}
		}
		t.pos, t.indexed = e.pos, e.offset
	}
}

// walkTo walks from the batch that an index entry led to. proven tells that
// there is a batch with the offset of the entry, so that the entry is not to
// blame for an error; the begin of the segment needs no proof.
func (l *Log) walkTo(s *segment, t *target, h vfs.File, end int64) (proven bool, err error) {
	if t.pos < 0 || t.pos > end {
		return false, errNotHere
	}
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	scan := s.scanner(h, t.pos, end, *buf)
	last, before := s.base-1, t.pos
	proven = t.pos == 0
	for scan.next() {
		base := scan.header.BaseOffset()
		if base <= last {
			return proven, l.corruptAt(s, last, scan.pos, fmt.Sprintf("its base offset %d follows offset %d", base, last))
		}
		last = scan.header.LastOffset()
		if proven = proven || last == t.indexed; !proven && last > t.indexed {
			return false, l.corruptAt(s, last, scan.pos, fmt.Sprintf("the offset index says that a batch with the last offset %d precedes it", t.indexed))
		}
		before = scan.pos
		if last >= t.offset {
			t.exact, t.pos, t.size = true, scan.pos, scan.size
			return proven, nil
		}
	}
	if scan.err == nil {
		return proven, errNotHere
	}
	err = l.scanFailed(s, &scan)
	var corrupt *CorruptError
	if errors.As(err, &corrupt) {
		corrupt.Offset = last + 1
		// It may be the length of the batch before that led here.
		if scan = newScanner(h, before, end, *buf); scan.next() && isInvalid(scan.checkCRC()) {
			corrupt.Offset, corrupt.Pos = scan.header.BaseOffset(), scan.pos
		}
	}
	return proven, err
}

func isCorrupt(err error) bool {
	var corrupt *CorruptError
	return errors.As(err, &corrupt)
}

// scanFailed turns what ended a walk over a segment into what the caller of
// the log is told.
func (l *Log) scanFailed(s *segment, scan *scanner) error {
	if !errors.Is(scan.err, errTorn) && !errors.Is(scan.err, errBroken) {
		return l.readFailed(scan.err)
	}
	path, _ := s.file.where()
	return &CorruptError{File: path, Segment: s.base, Offset: -1, Pos: scan.pos, Reason: scan.err.Error()}
}

// readFailed is the error for a read that failed. It does not take the dir
// offline: one unreadable sector is no reason to give up the other partitions.
func (l *Log) readFailed(err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorage) || isCorrupt(err) {
		return err
	}
	return &StorageError{Dir: l.dir.path, Err: err}
}

// batchesBytes is how much Batches reads at once.
const batchesBytes = 1 << 20

// Batches iterates the batches that Read(from, upTo) would return, over all
// segments, each whole and with its CRC checked (P5). A batch is valid until
// the next step. An error ends the loop.
func (l *Log) Batches(from, upTo int64) iter.Seq2[record.Batch, error] {
	return func(yield func(record.Batch, error) bool) {
		var buf []byte
		for from < upTo {
			slice, p, err := l.readChecked(from, upTo, batchesBytes, true, false)
			if err != nil {
				yield(nil, err)
				return
			}
			if slice.Len() == 0 {
				return
			}
			if cap(buf) < slice.Len() {
				buf = make([]byte, slice.Len())
			}
			buf = buf[:slice.Len()]
			next, ok := l.yieldSlice(&p, &slice, buf, from, upTo, yield)
			slice.Release()
			if !ok {
				return
			}
			from = next
		}
	}
}

// yieldSlice yields the whole batches of a slice, and returns the offset that
// follows them. The base offset is not covered by the CRC, but it must fit.
func (l *Log) yieldSlice(p *readPlan, slice *Slice, buf []byte, from, upTo int64, yield func(record.Batch, error) bool) (next int64, ok bool) {
	if n, err := slice.ReadAt(buf, 0); n < len(buf) {
		yield(nil, l.readFailed(err))
		return 0, false
	}
	next = from
	for rest := buf; ; {
		b, left, err := record.Next(rest)
		if errors.Is(err, record.ErrTruncated) || len(rest) == 0 {
			return next, next > from
		}
		if err == nil {
			err = b.CheckCRC()
		}
		if err == nil && (b.LastOffset() < next || b.BaseOffset() < next && next > from || b.LastOffset() >= upTo) {
			err = fmt.Errorf("it has the offsets %d to %d between %d and %d", b.BaseOffset(), b.LastOffset(), next, upTo)
		}
		if err != nil {
			pos := slice.pos + int64(len(buf)-len(rest))
			yield(nil, l.damaged(p.segment, l.corruptAt(p.segment, next, pos, err.Error()), p.generation))
			return 0, false
		}
		if !yield(b, nil) {
			return 0, false
		}
		next, rest = b.NextOffset(), left
	}
}
