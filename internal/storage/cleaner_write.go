package storage

import (
	"errors"
	"os"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// cleanWriter writes the remaining batches of a group of segments. Usually this is one new
// segment; it is several if compression or delete horizons made it longer than
// segment.bytes. They are not visible before the swap. Their files stay open until
// release, so that the limit of open files does not close one whose name will change.
type cleanWriter struct {
	*cleanPass
	base     int64 // base of the next segment
	segments []*segment
	held     []*file
	// handle is the file of the last segment. written is the number of bytes in it;
	// the rest up to its size is in cleanPass.out.
	handle  vfs.File
	written int64
}

// append adds a batch and its transaction index entry.
func (w *cleanWriter) append(b record.Batch, kept *abortedTxn) error {
	s, err := w.segment(b)
	if err != nil {
		return err
	}
	if len(w.out)+len(b) > cap(w.out) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(b) > cap(w.out) {
		if err := w.write(b); err != nil {
			return err
		}
	} else {
		w.out = append(w.out, b...)
	}
	s.note(b, s.size, w.config.IndexIntervalBytes, w.config.SegmentIndexBytes)
	if kept != nil {
		s.txns.add(*kept)
	}
	s.size += int64(len(b))
	w.base = b.NextOffset()
	if max(s.offsets.unwritten(), s.times.unwritten()) < spillEntries {
		return nil
	}
	return w.spill(s, &s.offsets.index, &s.times.index)
}

// segment returns the segment for a batch. A new one begins where the previous one ends.
func (w *cleanWriter) segment(b record.Batch) (*segment, error) {
	if n := len(w.segments); n > 0 {
		s := w.segments[n-1]
		full := s.size+int64(len(b)) > int64(w.config.SegmentBytes) || !s.fits(b.LastOffset()) ||
			s.offsets.full(w.config.SegmentIndexBytes) || s.times.full(w.config.SegmentIndexBytes)
		if !full {
			return s, nil
		}
		if err := w.flush(); err != nil {
			return nil, err
		}
	}
	return w.begin()
}

// begin makes the files of a new segment. It holds Log.reshaping, so that a folder that is
// being deleted gets no new names.
func (w *cleanWriter) begin() (*segment, error) {
	l := w.log
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	if err := w.current(nil); err != nil {
		return nil, err
	}
	s := openSegmentAs(l.env.files, l.path, w.base, cleanedSuffix)
	w.segments = append(w.segments, s)
	for _, f := range []*file{s.file, s.offsets.file, s.times.file} {
		h, err := f.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
		if err != nil {
			return nil, l.dir.writeFailed(err)
		}
		w.held = append(w.held, f)
		if f == s.file {
			w.handle, w.written = h, 0
		}
	}
	s.offsets.made, s.times.made = true, true
	s.startEmpty(l.env.nowMs())
	return s, nil
}

// flush writes the buffered batches.
func (w *cleanWriter) flush() error {
	err := w.write(w.out)
	w.out = w.out[:0]
	return err
}

func (w *cleanWriter) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if err := w.goOn(int64(len(b))); err != nil {
		return err
	}
	if _, err := w.handle.WriteAt(b, w.written); err != nil {
		return w.log.dir.writeFailed(err)
	}
	w.written += int64(len(b))
	return nil
}

func (w *cleanWriter) spill(s *segment, list ...*index) error {
	for _, x := range list {
		if err := x.spill(); err != nil {
			return w.log.dir.writeFailed(err)
		}
		x.spilled(0)
	}
	return nil
}

// finish completes the segments and makes their content and names durable. A full disk is
// detected here at the latest, while the segments can still be discarded.
func (w *cleanWriter) finish() error {
	if err := w.flush(); err != nil {
		return err
	}
	for _, s := range w.segments {
		if err := w.finishIndexes(s); err != nil {
			return err
		}
		w.after += s.size
		for _, f := range s.existing() {
			if err := w.goOn(0); err != nil {
				return err
			}
			h, err := f.acquire()
			if err == nil {
				err = h.Sync()
				f.release()
			}
			if err != nil {
				return w.log.dir.writeFailed(err)
			}
		}
	}
	if err := w.log.env.fs.SyncDir(w.log.path); ignoreMissing(err) != nil {
		return w.log.dir.fail(err)
	}
	return nil
}

// finishIndexes writes the rest of the indexes. The transaction index file is created only
// now, and only if it has entries.
func (w *cleanWriter) finishIndexes(s *segment) error {
	l := w.log
	s.finish()
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	if err := w.current(nil); err != nil {
		return err
	}
	if s.txns.count > 0 {
		if _, err := s.txns.file.create(); err != nil {
			return l.dir.writeFailed(err)
		}
		w.held = append(w.held, s.txns.file)
	}
	if err := w.spill(s, &s.offsets.index, &s.times.index, &s.txns.index); err != nil {
		return err
	}
	s.synced = s.size
	for _, x := range s.indexes() {
		x.unsynced, x.unnamed = false, false
	}
	return nil
}

// existing lists the existing files of the segment.
func (s *segment) existing() []*file {
	all := s.all()
	if s.txns.count == 0 {
		return all[:3]
	}
	return all[:]
}

// release releases the files.
func (w *cleanWriter) release() {
	for _, f := range w.held {
		f.release()
	}
	w.held = nil
}

// discardUnfinished removes new segments that were not published. If the folder no longer
// belongs to this log, the next start removes them.
func (p *cleanPass) discardUnfinished(fresh []*segment) {
	l := p.log
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	if p.published {
		return // the dir is offline
	}
	for _, s := range fresh {
		s.retire()
	}
	l.mu.Lock()
	err := l.usable()
	l.mu.Unlock()
	if err != nil {
		return
	}
	if err := p.removeUnfinished(fresh); err != nil {
		l.env.log.Warn("cannot remove what a compaction left", "log", l.path, "err", err)
	}
}

// removeUnfinished removes the files of new segments. It removes files first that a start
// would treat as finished: while a .cleaned file exists, a start uses none.
func (p *cleanPass) removeUnfinished(fresh []*segment) error {
	var errs []error
	for _, swapped := range []bool{true, false} {
		for _, s := range fresh {
			for _, f := range s.all() {
				if path, _ := f.where(); hasSuffix(path, swapSuffix) == swapped {
					errs = append(errs, f.remove())
				}
			}
		}
		if swapped {
			errs = append(errs, p.log.env.fs.SyncDir(p.log.path))
		}
	}
	return errors.Join(errs...)
}
