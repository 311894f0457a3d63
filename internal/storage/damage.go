package storage

import (
	"fmt"
	"slices"
	"sort"
)

// Damage is a range of a log that cannot be served: its bytes are not the written
// batches, or they are missing. The bytes on disk are kept. A read that reaches
// the range gets a *CorruptError. The records before and after it are served, and
// appends continue at the end.
type Damage struct {
	// File is the path of the segment's file, Segment its base offset.
	File    string
	Segment int64
	// From and To are the missing offsets, To excluded. They are equal if no
	// offset is missing.
	From, To int64
	// Pos and End are the range of invalid bytes in the file, End excluded. They
	// are equal if no byte of the missing records is left.
	Pos, End int64
	Reason   string
}

// maxDamage limits the number of damaged ranges of a log. The last range is
// extended to include any further one.
const maxDamage = 1000

// error returns the error of a read that reaches the damage.
func (d *Damage) error() *CorruptError {
	return &CorruptError{File: d.File, Segment: d.Segment, Offset: d.From, Pos: d.Pos, Reason: d.Reason}
}

// Damaged lists the known damaged ranges of the log, by offset.
func (l *Log) Damaged() []Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.damage)
}

// Damaged counts the known damaged ranges of all logs, and the partitions with
// damage. A partition that could not be opened counts as one range.
func (m *Manager) Damaged() (partitions, parts int) {
	for _, l := range m.list(nil) {
		l.mu.Lock()
		n := len(l.damage)
		l.mu.Unlock()
		if n > 0 {
			partitions++
		}
		parts += n
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return partitions + len(m.broken), parts + len(m.broken)
}

// addDamage adds a damaged range of a segment and logs it once. The caller holds mu
// or owns the log.
func (l *Log) addDamage(s *segment, d Damage) {
	i := sort.Search(len(l.damage), func(i int) bool { return l.damage[i].From >= d.From })
	if i < len(l.damage) && l.damage[i].From == d.From && l.damage[i].Pos == d.Pos && l.damage[i].Segment == d.Segment {
		return
	}
	l.env.log.Error("records of a partition are damaged or missing and cannot be served",
		"file", d.File, "segment", d.Segment, "position", d.Pos, "bytes", d.End-d.Pos,
		"offset", d.From, "next offset", d.To, "reason", d.Reason)
	if last := i - 1; len(l.damage) >= maxDamage && last >= 0 && l.damage[last].Segment == d.Segment {
		l.damage[last].To, l.damage[last].End = max(l.damage[last].To, d.To), max(l.damage[last].End, d.End)
	} else {
		l.damage = slices.Insert(l.damage, i, d)
	}
	l.setHoles(s)
}

// setHoles publishes the bytes of a segment that a scan skips. The caller holds mu
// or owns the log.
func (l *Log) setHoles(s *segment) {
	var holes []span
	for _, d := range l.damage {
		if d.Segment == s.base && d.End > d.Pos {
			holes = append(holes, span{d.Pos, d.End})
		}
	}
	s.holes.Store(&holes)
}

// damageAt returns the damaged range that contains an offset, and the first range
// after it; nil if there is none. The caller holds mu.
func (l *Log) damageAt(offset int64) (at, behind *Damage) {
	if len(l.damage) == 0 {
		return nil, nil
	}
	i := sort.Search(len(l.damage), func(i int) bool { return l.damage[i].From > offset })
	if i < len(l.damage) {
		behind = &l.damage[i]
	}
	if i > 0 && offset < l.damage[i-1].To {
		at = &l.damage[i-1]
	}
	return at, behind
}

// forgetDamage removes ranges outside the log, which now begins at start and ends
// at end. The caller holds mu.
func (l *Log) forgetDamage(start, end int64) {
	if len(l.damage) == 0 {
		return
	}
	l.damage = slices.DeleteFunc(slices.Clone(l.damage), func(d Damage) bool { return d.From >= end || d.To <= start })
	for i := range l.damage {
		l.damage[i].To = min(l.damage[i].To, end)
	}
	for _, s := range l.segments {
		if s.holes.Load() != nil {
			l.setHoles(s)
		}
	}
}

// learnDamage determines the extent of the damage that a read has found, so that
// later reads can skip it. It returns false if the bytes are a valid batch in the
// wrong place: then the extent is unknown.
func (l *Log) learnDamage(s *segment, bad *CorruptError, generation uint64) (bool, error) {
	h, err := s.file.acquire()
	if err != nil {
		return false, l.readFailed(err)
	}
	defer s.file.release()
	l.mu.Lock()
	size, next := s.size, l.end
	if i := slices.Index(l.segments, s); i >= 0 && i+1 < len(l.segments) {
		next = l.segments[i+1].base
	}
	l.mu.Unlock()
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	d := Damage{File: bad.File, Segment: s.base, From: s.base, To: next, Pos: bad.Pos, End: size, Reason: bad.Reason}
	scan := s.scanner(h, 0, size, *buf)
	for scan.next() && scan.pos < bad.Pos {
		d.From = scan.header.NextOffset()
	}
	switch {
	case scan.err == nil && scan.pos >= size:
		return false, nil // another read has added it
	case scan.err == nil:
		if scan.pos != bad.Pos {
			return false, nil
		}
		if err := scan.checkCRC(); !isInvalid(err) {
			return false, err
		}
	case !isDamage(scan.err):
		return false, l.readFailed(scan.err)
	}
	d.Pos = scan.pos
	find := resync{h: h, size: size, from: d.From, below: next, epoch: NoEpoch, fits: s.fits, buf: *buf}
	pos, header, err := find.after(d.Pos)
	if err != nil {
		return false, l.readFailed(err)
	}
	if header != nil {
		d.End, d.To = pos, header.BaseOffset()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation != generation {
		return false, errAgain
	}
	l.addDamage(s, d)
	return true, nil
}

// learnGap checks the end of a segment where a read found no more batches, although
// the next segment begins at a higher offset. In a compacted log this is valid.
// Otherwise the records between them are lost.
func (l *Log) learnGap(s *segment, generation uint64) (bool, error) {
	l.mu.Lock()
	i := slices.Index(l.segments, s)
	if l.generation != generation || i < 0 || i+1 == len(l.segments) {
		l.mu.Unlock()
		return false, nil
	}
	next := l.segments[i+1]
	compacted := l.compacted || next.base <= l.cleaned
	l.mu.Unlock()
	if compacted {
		return false, nil
	}
	if s.gapSeen.Swap(true) {
		return false, nil
	}
	end, compacted, err := l.endOf(s, next)
	if err != nil || compacted || end >= next.base {
		return false, err
	}
	path, _ := s.file.where()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.generation != generation {
		return false, nil
	}
	if at, _ := l.damageAt(end); at != nil {
		return false, nil
	}
	l.addDamage(s, Damage{File: path, Segment: s.base, From: end, To: next.base, Pos: s.size, End: s.size, Reason: gapReason(next.base)})
	return true, nil
}

func gapReason(next int64) string {
	return fmt.Sprintf("the segment ends early: the next one begins at offset %d", next)
}

// endOf returns the offset after the last batch of a segment, and whether this or
// the next segment was compacted: then offsets are missing in one of them, or
// records in a batch.
func (l *Log) endOf(s, next *segment) (end int64, compacted bool, err error) {
	end = s.base
	compacted = l.config.Load().Compact
	for _, x := range []*segment{s, next} {
		expect := noOffset
		err = l.walk(x, func(scan *scanner) error {
			b := scan.header
			compacted = compacted || expect >= 0 && b.BaseOffset() > expect && !x.passed(scan.pos) || b.Count() <= b.LastOffsetDelta()
			expect = b.NextOffset()
			return nil
		})
		if x == s {
			end = max(end, expect)
		}
		if err != nil && !isCorrupt(err) {
			return end, compacted, err
		}
	}
	return end, compacted, nil
}

// passed tells whether a scan skipped damage just before a position.
func (s *segment) passed(pos int64) bool {
	holes := s.holes.Load()
	return holes != nil && slices.ContainsFunc(*holes, func(x span) bool { return x.to == pos })
}
