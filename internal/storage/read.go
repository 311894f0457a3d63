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

// Slice is a region of a segment's file. It has complete batches, except that a
// byte limit may cut the last one. The file stays open until Release, so the bytes
// are readable even after retention has removed the file. The zero Slice is empty.
type Slice struct {
	file   *file
	handle vfs.File
	pos    int64
	length int
}

// Len returns the length in bytes.
func (s *Slice) Len() int { return s.length }

// ReadAt reads from the region; off is relative to its beginning. If it returns
// fewer bytes than requested, it also returns an error: io.EOF at the end of the
// region or file.
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

// File returns the open file and the position of the region's first byte, for
// sendfile. The file must not be used after Release.
func (s *Slice) File() (vfs.File, int64) { return s.handle, s.pos }

// Release releases the file. It may be called again on the same variable. A copy of
// the Slice must not be released as well.
func (s *Slice) Release() {
	if s.file != nil {
		s.file.release()
		*s = Slice{}
	}
}

// Read returns batches as a region of one segment: from the batch that contains
// from, up to the last batch that ends below upTo, at most maxBytes. If the batches
// are in several segments, it returns only a part of them. A first batch larger than
// maxBytes is returned completely if minOne is true, otherwise not at all.
//
// The Slice is empty if there are no batches (yet) in this range. An offset below
// StartOffset or above EndOffset is ErrOffsetOutOfRange. upTo is the high watermark
// or the last stable offset for consumers, EndOffset for followers.
//
// Batches written by another process are verified on first read (see checks). A bad
// batch ends the region. A read that begins with it, or in a damaged range (see
// Damage), returns a *CorruptError (P5). The records after it can be read.
func (l *Log) Read(from, upTo int64, maxBytes int, minOne bool) (Slice, error) {
	slice, _, err := l.readChecked(from, upTo, maxBytes, minOne, true)
	return slice, err
}

// readChecked is like Read and also returns the plan. If check is false, the caller
// verifies all batches itself.
func (l *Log) readChecked(from, upTo int64, maxBytes int, minOne, check bool) (Slice, readPlan, error) {
	// A segment may be removed, or the log truncated, between the plan and the
	// opening of the file. The next plan then finds the offset out of range, or in
	// another segment.
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

// readPlan is the part of a read that needs no I/O.
type readPlan struct {
	segment  *segment
	from, to target
	limit    int64 // maximum end of the region
	bounded  bool  // the region must also end before the batch at to
	next     int64 // base of the next segment, for offsets that are not in this one
	upTo     int64
	check    bool    // parts of the segment may be unverified
	damage   *Damage // the next damage after from in the segment; the region ends before it
	// The state of the log at the time of the plan.
	generation uint64
	end        int64
	epoch      int32 // the latest epoch
}

// below returns the upper limit of the offsets in the segment, excluded.
func (p *readPlan) below() int64 { return min(p.next, p.end) }

// target is an offset to find in a segment: the first batch whose last offset is at
// or above it.
type target struct {
	offset int64
	// exact: the batch is at pos and has size bytes.
	exact     bool
	pos, size int64
	// Otherwise the batch is at or after pos, the position of the index entry for
	// the offset indexed. The entry may be among the first inFile entries of the
	// file.
	indexed int64
	inFile  int
}

// planRead finds the segment and the index entries in memory.
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

// seek looks up an offset in memory. The caller holds mu.
func (l *Log) seek(s *segment, offset int64) target {
	if s == l.active() {
		if pos, size, ok := l.recent.find(offset); ok {
			return target{offset: offset, exact: true, pos: pos, size: size}
		}
	}
	e, inFile := s.offsets.floorInTail(offset)
	return target{offset: offset, pos: e.pos, indexed: e.offset, inFile: inFile}
}

// read does the part of Read that needs I/O.
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
			err = errAgain // the next plan skips it, or begins in it
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

// errNotHere means that a segment has no batch at or above an offset. A later
// segment may have one, because compaction leaves gaps.
var errNotHere = errors.New("no such batch in this segment")

// maxEntries is the number of index entries that a search tries before it scans the
// whole segment.
const maxEntries = 4

// resolve makes a target exact. It searches the index in the file and then scans the
// headers from the entry's position. If the entry is wrong, it tries the previous
// entry, so that a bad index never causes wrong or missing records.
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

// walkTo scans from the position of an index entry. proven is true if a batch with
// the offset of the entry was found: then the entry is correct and did not cause the
// error. The beginning of the segment needs no proof.
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
		// The length of the previous batch may be wrong.
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

// scanFailed converts the error of a scan over a segment to the error for the caller
// of the log.
func (l *Log) scanFailed(s *segment, scan *scanner) error {
	if !errors.Is(scan.err, errTorn) && !errors.Is(scan.err, errBroken) {
		return l.readFailed(scan.err)
	}
	path, _ := s.file.where()
	return &CorruptError{File: path, Segment: s.base, Offset: -1, Pos: scan.pos, Reason: scan.err.Error()}
}

// readFailed returns the error for a failed read. The dir stays online: one
// unreadable sector must not affect other partitions.
func (l *Log) readFailed(err error) error {
	if errors.Is(err, ErrClosed) || errors.Is(err, ErrStorage) || isCorrupt(err) {
		return err
	}
	return &StorageError{Dir: l.dir.path, Err: err}
}

// batchesBytes is the number of bytes that Batches reads at once.
const batchesBytes = 1 << 20

// Batches iterates over the batches that Read(from, upTo) would return, over all
// segments. Each batch is complete and its CRC is verified (P5). A batch may be used
// until the next iteration. An error ends the loop.
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

// yieldSlice yields the complete batches of a slice, and returns the offset after
// them. It checks the base offsets, which the CRC does not cover.
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
