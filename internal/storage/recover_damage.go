package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ottla/internal/vfs"
)

// keepsDamage tells whether damage is kept and passed over: not in a log outside
// a Manager.
func (l *Log) keepsDamage() bool { return l.dir.flusher != nil }

// setBound is what tells a torn tail from damage, see recovery.
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

// forgetDamage begins a scan anew.
func (r *recovery) forgetDamage() {
	r.log.damage, r.seal = nil, false
	for _, s := range r.log.segments {
		s.holes.Store(nil)
	}
}

// below is what the offsets of a segment are below of.
func (r *recovery) below(s *segment) int64 {
	if i := slices.Index(r.log.segments[r.from:], s); r.from+i+1 < len(r.log.segments) {
		return r.log.segments[r.from+i+1].base
	}
	return afterCleanStop
}

// passDamage decides on what a walk found that is no batch: whether the log is
// cut there, or where the walk goes on behind the damage.
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
	complete := s != l.active() && l.end >= below // nothing is missing before the next segment
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

// cutTail cuts a torn tail off. Sound batches in it were not known to be
// flushed, but some may have been acknowledged if it was the disk that lost what
// came before them. So they are kept in a file beside the log, which Kafka and
// Ottla leave alone.
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
	s.synced = -1 // the cut is to be flushed too
	return nil
}

// countBatches counts the sound batches from pos on.
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

// keepBytes copies the end of a segment into a file of its own, durably.
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

// cutName is a name that no file has for what is cut off a segment at pos.
func (r *recovery) cutName(s *segment, pos int64) (string, error) {
	for n := 0; ; n++ {
		name := filepath.Join(r.log.path, fmt.Sprintf("%s.%d.%d%s", segmentName(s.base, logSuffix), pos, n, cutSuffix))
		if _, err := r.log.env.fs.Stat(name); err != nil {
			return name, ignoreMissing(err)
		}
	}
}

// moveAside takes a segment away that lies behind the end that was found. It is
// kept under another name if there is something in it.
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

// cutAt cuts the file of a log outside a Manager where the walk ended. Below the
// recovery point something must follow there: if bytes do, they are damaged, and
// cutting them would lose what was acknowledged.
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

// missEnd notes what is missing at the end of the log.
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

// snapshotAt is the offset of the newest producer snapshot that was found, -1 if
// there was none.
func (r *recovery) snapshotAt() int64 {
	if n := len(r.folder.snapshots); n > 0 {
		return r.folder.snapshots[n-1]
	}
	return noOffset
}

// missStart notes what is missing at the begin of a log that was closed cleanly:
// its first leader epoch begins where the log does, retention sees to that. And
// it finds the segments before the scan that hold nothing.
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

// sealLast begins a new segment at the end: nothing is appended behind damage in
// the same file.
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
