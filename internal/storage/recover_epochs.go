package storage

import (
	"math"
	"path/filepath"

	"ottla/internal/vfs"
)

// epochsPath returns the file of the leader epochs.
func (l *Log) epochsPath() string { return filepath.Join(l.path, epochsName) }

// loadEpochs reads the leader epoch checkpoint. It returns false if the file is
// missing or invalid; the epochs must then be found in the batches.
func (l *Log) loadEpochs() (bool, error) {
	name := filepath.Join(l.path, epochsName)
	data, err := vfs.ReadFile(l.env.fs, name)
	if err != nil {
		return false, ignoreMissing(err)
	}
	entries, err := decodeEpochs(data)
	if err != nil {
		l.env.log.Warn("cannot use a leader epoch checkpoint, reading the epochs from the batches", "file", name, "err", err)
		return false, nil
	}
	for _, e := range entries {
		l.epochs.assign(e.epoch, e.start)
	}
	l.epochs.changed = false
	return true, nil
}

// readEarlierEpochs finds the leader epochs below the scan in the batches if the
// checkpoint does not have them: because it is invalid, or because it was written
// after the log start moved, but the start was not.
func (r *recovery) readEarlierEpochs() error {
	l := r.log
	start := max(r.start, l.segments[0].base)
	upTo, missing := r.firstScanned, !r.haveEpochs
	switch e := l.epochs.entries; {
	case len(e) == 0: // Kafka makes the file empty
		missing = true
	case e[0].start > start:
		upTo, missing = min(upTo, e[0].start), true
	}
	l.epochs.truncateEnd(r.firstScanned)
	if !missing {
		r.epoch = l.latestEpoch()
		return nil
	}
	known := l.epochs.entries
	l.epochs.entries = nil
	from := floor(l.segments, start)
	for _, s := range l.segments[from:max(from, floor(l.segments, upTo)+1)] {
		if err := r.headers(s, upTo); err != nil {
			return err
		}
	}
	for _, e := range known {
		l.epochs.assignNewer(e.epoch, e.start)
	}
	r.epoch = l.latestEpoch()
	return nil
}

// headers records the leader epochs of the batches of a segment below an offset.
func (r *recovery) headers(s *segment, upTo int64) error {
	if s.base >= upTo {
		return nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	return r.walkSound(s, h, r.buf, func(scan *scanner) bool {
		b := scan.header
		if b.BaseOffset() < upTo {
			r.log.epochs.assignNewer(b.LeaderEpoch(), b.BaseOffset())
		}
		return b.NextOffset() < upTo
	})
}

// walkSound visits the batch headers of a segment that the scan does not cover,
// until visit returns false. It skips damage; a later read of the damage determines
// its extent.
func (r *recovery) walkSound(s *segment, h vfs.File, buf []byte, visit func(*scanner) bool) error {
	l := r.log
	scan := newScanner(h, 0, s.size, buf)
	for from := s.base; ; {
		for scan.next() {
			from = max(from, scan.header.NextOffset())
			if !visit(&scan) {
				return nil
			}
		}
		switch {
		case scan.err == nil:
			return nil
		case !isDamage(scan.err) || !l.keepsDamage():
			return l.scanFailed(s, &scan)
		}
		find := resync{h: h, size: s.size, from: from, below: math.MaxInt64, epoch: NoEpoch, fits: s.fits, buf: buf}
		pos, header, err := find.after(scan.pos)
		if err != nil || header == nil {
			return err
		}
		scan = newScanner(h, pos, s.size, buf)
	}
}
