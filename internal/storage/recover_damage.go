package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ottla/internal/vfs"
)

// keepsDamage tells whether damage is kept and skipped. It is false for a log
// outside a Manager.
func (l *Log) keepsDamage() bool { return l.dir.flusher != nil }

// setBound sets the offset that separates damage from a torn tail, see recovery.
func (r *recovery) setBound() {
	l := r.log
	if r.point == afterCleanStop {
		if r.known = r.closedAt; r.known == 0 {
			r.known = r.snapshotAt()
		}
		if r.bound = r.known; r.bound <= 0 {
			r.bound = afterCleanStop
		}
		return
	}
	r.known = max(r.point, r.flushed)
	r.bound = r.known
	if l.env.durable || l.config.Load().Compact {
		r.bound = max(r.bound, l.active().base)
	}
}

// forgetDamage resets the damage for a new scan.
func (r *recovery) forgetDamage() {
	r.log.damage, r.seal = nil, false
	for _, s := range r.log.segments {
		s.holes.Store(nil)
	}
}

// below returns the upper limit of the offsets of a segment, excluded.
func (r *recovery) below(s *segment) int64 {
	if i := slices.Index(r.log.segments[r.from:], s); r.from+i+1 < len(r.log.segments) {
		return r.log.segments[r.from+i+1].base
	}
	return afterCleanStop
}

// passDamage handles data that is not a valid batch: either the log is truncated
// there, or the scan continues after the damage at position next.
func (r *recovery) passDamage(s *segment, scan *scanner) (next int64, cut bool, err error) {
	l := r.log
	if !l.keepsDamage() {
		return 0, true, r.cutAt(s, scan)
	}
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	below := r.below(s)
	find := resync{h: scan.f, size: s.size, from: l.end, below: below, epoch: r.epoch, fits: s.fits, buf: *buf}
	pos, header, err := find.after(scan.pos)
	if err != nil {
		return 0, false, err
	}
	complete := s != l.active() && l.end >= below // no offset is missing before the next segment
	if l.end >= r.bound && !complete && (header == nil || r.point != afterCleanStop) {
		return 0, true, r.cutTail(s, scan, &find, pos, header != nil)
	}
	path, _ := s.file.where()
	d := Damage{File: path, Segment: s.base, From: l.end, To: below, Pos: scan.pos, End: s.size, Reason: scan.err.Error()}
	switch {
	case header != nil:
		d.End, d.To = pos, header.BaseOffset()
	case s == l.active():
		d.To, r.seal = max(l.end+1, r.known), true
	}
	l.addDamage(s, d)
	l.end = d.To
	return d.End, false, nil
}

// cutTail removes a torn tail. Valid batches in it were not known to be flushed,
// but if the disk lost the data before them, some may have been acknowledged. So
// they are kept in a separate file, which Kafka and Ottla ignore.
func (r *recovery) cutTail(s *segment, scan *scanner, find *resync, pos int64, found bool) error {
	l := r.log
	batches, last, kept := 0, noOffset, ""
	if found {
		var err error
		if batches, last, err = r.countBatches(s, scan.f, find, pos); err != nil {
			return err
		}
		if kept, err = r.keepBytes(s, scan); err != nil {
			return err
		}
	}
	l.env.log.Error("cutting the end of a log that was not flushed", "file", l.logFile(s), "segment", s.base, "position", scan.pos,
		"bytes", s.size-scan.pos, "offset", l.end, "sound batches behind", batches, "their last offset", last, "kept in", kept, "reason", scan.err)
	return r.cutFile(s, scan.pos)
}

func (l *Log) logFile(s *segment) string {
	path, _ := s.file.where()
	return path
}

func (r *recovery) cutFile(s *segment, pos int64) error {
	if err := s.pinned.Truncate(pos); err != nil {
		return err
	}
	s.size = pos
	s.synced = -1 // the truncation must also be flushed
	return nil
}

// countBatches counts the valid batches from pos.
func (r *recovery) countBatches(s *segment, h vfs.File, find *resync, pos int64) (batches int, last int64, err error) {
	for {
		at := pos
		scan := newScanner(h, pos, s.size, r.buf)
		for scan.next() {
			if err := scan.checkCRC(); isInvalid(err) || isDamage(err) {
				break
			} else if err != nil {
				return 0, 0, err
			}
			batches, last, at = batches+1, scan.header.LastOffset(), scan.pos+scan.size
		}
		if scan.err != nil && !isDamage(scan.err) {
			return 0, 0, scan.err
		}
		find.from = last + 1
		next, header, err := find.after(at)
		if err != nil || header == nil {
			return batches, last, err
		}
		pos = next
	}
}

// keepBytes copies the end of a segment durably to a separate file.
func (r *recovery) keepBytes(s *segment, scan *scanner) (string, error) {
	fsys := r.log.env.fs
	name, err := r.cutName(s, scan.pos)
	if err != nil {
		return "", err
	}
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "", err
	}
	for at := scan.pos; err == nil && at < s.size; {
		part := r.buf[:min(int64(len(r.buf)), s.size-at)]
		if err = readFull(scan.f, part, at); err == nil {
			_, err = f.WriteAt(part, at-scan.pos)
		}
		at += int64(len(part))
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return name, fsys.SyncDir(r.log.path)
}

// cutName returns an unused file name for the bytes removed from a segment at pos.
func (r *recovery) cutName(s *segment, pos int64) (string, error) {
	for n := 0; ; n++ {
		name := filepath.Join(r.log.path, fmt.Sprintf("%s.%d.%d%s", segmentName(s.base, logSuffix), pos, n, cutSuffix))
		if _, err := r.log.env.fs.Stat(name); err != nil {
			return name, ignoreMissing(err)
		}
	}
}

// moveAside removes a segment after the end of the log. If it is not empty, it is
// kept under another name.
func (r *recovery) moveAside(s *segment) error {
	l := r.log
	if !l.keepsDamage() || s.size == 0 {
		l.env.log.Warn("removing a segment behind the end that was found", "log", l.path, "segment", s.base, "end", l.end)
		return s.removeFiles()
	}
	name, err := r.cutName(s, 0)
	if err != nil {
		return err
	}
	l.env.log.Error("moving a segment aside behind the end of a log that was not flushed", "log", l.path, "segment", s.base, "end", l.end, "bytes", s.size, "kept in", name)
	if err := l.env.fs.Rename(l.logFile(s), name); err != nil {
		return err
	}
	return s.removeFiles()
}

// cutAt truncates the file of a log outside a Manager at the end of the scan. Below
// the recovery point more batches must follow. If bytes follow, they are damaged,
// and truncating them would lose acknowledged records.
func (r *recovery) cutAt(s *segment, scan *scanner) error {
	l := r.log
	lost := l.end < r.point
	if errors.Is(scan.err, errBroken) && lost {
		return l.scanFailed(s, scan)
	}
	level := l.env.log.Info
	if lost {
		level = l.env.log.Error
	}
	level("cutting the end of a segment", "log", l.path, "segment", s.base, "offset", l.end, "bytes", s.size-scan.pos, "reason", scan.err)
	return r.cutFile(s, scan.pos)
}

// missEnd adds the offsets that are missing at the end of the log as damage.
func (r *recovery) missEnd() {
	l := r.log
	if !l.keepsDamage() || l.end >= r.known || r.point == afterCleanStop && l.end == r.snapshotAt() {
		return // a clean stop takes a snapshot at the end: the recovery point is wrong
	}
	s := l.active()
	l.addDamage(s, Damage{File: l.logFile(s), Segment: s.base, From: l.end, To: r.known, Pos: s.size, End: s.size,
		Reason: fmt.Sprintf("the log ends at offset %d, it was flushed up to %d", l.end, r.known)})
	l.end, r.seal = r.known, true
}

// snapshotAt returns the offset of the newest producer snapshot that was found, -1
// for none.
func (r *recovery) snapshotAt() int64 {
	if n := len(r.folder.snapshots); n > 0 {
		return r.folder.snapshots[n-1]
	}
	return noOffset
}

// missStart adds what is missing at the beginning of a log that was closed cleanly.
// The first leader epoch must begin at the log start; retention ensures that. It
// also finds empty segments before the scan.
func (r *recovery) missStart() error {
	l := r.log
	if !l.keepsDamage() || r.point != afterCleanStop {
		return nil
	}
	for _, s := range l.segments[:len(l.segments)-1] {
		if s.size > 0 || s.base < l.start {
			continue
		}
		if _, err := l.learnGap(s, l.generation); err != nil {
			return err
		}
	}
	first := l.segments[0]
	if l.config.Load().Compact || l.cleaned > 0 || len(r.epochsOnFile) == 0 {
		return nil
	}
	if begin := max(r.start, r.epochsOnFile[0].start); begin < first.base {
		l.addDamage(first, Damage{File: filepath.Join(l.path, segmentName(begin, logSuffix)), Segment: begin, From: begin, To: first.base,
			Reason: fmt.Sprintf("the log began at offset %d, its first segment begins at %d", begin, first.base)})
		l.start = begin
	}
	return nil
}

// sealLast starts a new segment at the end, so that nothing is appended after
// damage in the same file.
func (r *recovery) sealLast() error {
	l := r.log
	old := l.active()
	if old.base == l.end {
		return nil
	}
	old.finish()
	if err := errors.Join(old.spill(), old.createIndexes()); err != nil {
		return err
	}
	old.spilled(0)
	s, err := l.createSegment(l.end, l.config.Load())
	if err != nil {
		return err
	}
	l.segments = append(l.segments, s)
	l.names++
	r.cut = true
	return nil
}
