package storage

import (
	"errors"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TimestampOffset is a record found by its timestamp.
type TimestampOffset struct {
	Offset, Timestamp int64
	// LeaderEpoch is that of the record's batch, NoEpoch if it has none.
	LeaderEpoch int32
}

// OffsetForTimestamp returns the first record from StartOffset on whose
// timestamp is at or above timestampMs (P8); false if there is none.
//
//  1. The first segment whose largest timestamp is not below.
//  2. Its time index: the last entry below says up to which offset no record
//     qualifies; the offset index says where that offset lies.
//  3. Batches from there, by the largest timestamp in their headers.
//  4. The records of that batch, decompressed if need be.
func (l *Log) OffsetForTimestamp(timestampMs int64) (TimestampOffset, bool, error) {
	return l.searchAgain(func() (TimestampOffset, bool, error) { return l.offsetForTimestamp(timestampMs) })
}

// searchAgain repeats a search whose segment was removed under its hands.
func (l *Log) searchAgain(search func() (TimestampOffset, bool, error)) (found TimestampOffset, ok bool, err error) {
	for range 4 {
		if found, ok, err = search(); !isClosed(err) && !errors.Is(err, errAgain) {
			break
		}
	}
	return found, ok, err
}

func (l *Log) offsetForTimestamp(timestampMs int64) (TimestampOffset, bool, error) {
	l.mu.Lock()
	segments, start, err := l.segments, l.start, l.usable()
	empty := start == l.end
	l.mu.Unlock()
	if err != nil || empty {
		return TimestampOffset{}, false, err
	}
	for _, s := range segments[floor(segments, start):] {
		largest, err := l.largest(s)
		if err != nil {
			return TimestampOffset{}, false, err
		}
		if largest.timestamp < timestampMs {
			continue
		}
		found, ok, err := l.findTimestamp(s, timestampMs, start)
		if err != nil || ok {
			return found, ok, err
		}
	}
	return TimestampOffset{}, false, nil
}

// MaxTimestamp returns the first record that has the largest timestamp of the
// log (KIP-734); false when there is none.
func (l *Log) MaxTimestamp() (TimestampOffset, bool, error) { return l.searchAgain(l.maxTimestamp) }

func (l *Log) maxTimestamp() (TimestampOffset, bool, error) {
	l.mu.Lock()
	segments, start, err := l.segments, l.start, l.usable()
	l.mu.Unlock()
	if err != nil {
		return TimestampOffset{}, false, err
	}
	segments = segments[floor(segments, start):]
	best, at := timeEntry{timestamp: record.NoTimestamp}, -1
	for i, s := range segments {
		largest, err := l.largest(s)
		if err != nil {
			return TimestampOffset{}, false, err
		}
		if largest.timestamp > best.timestamp {
			best, at = largest, i
		}
	}
	if at < 0 {
		return TimestampOffset{}, false, nil
	}
	found, ok, err := l.findTimestamp(segments[at], best.timestamp, start)
	if ok || err != nil {
		return found, ok, err
	}
	return l.maxTimestampOfRecords(segments, start)
}

// maxTimestampOfRecords is maxTimestamp where no record has the largest
// timestamp: it is that of a batch that compaction left empty, or it lies below
// the start. Then the headers of all batches with records are looked at.
func (l *Log) maxTimestampOfRecords(segments []*segment, start int64) (TimestampOffset, bool, error) {
	best, at := record.NoTimestamp, -1
	for i, s := range segments {
		err := l.walk(s, func(scan *scanner) error {
			largest, err := l.maxTimestampFrom(scan, start)
			if largest > best {
				best, at = largest, i
			}
			return err
		})
		if err != nil {
			return TimestampOffset{}, false, err
		}
	}
	if at < 0 {
		return TimestampOffset{}, false, nil
	}
	return l.findTimestamp(segments[at], best, start)
}

// maxTimestampFrom is the largest timestamp of the records of a batch from
// start on, record.NoTimestamp if there is none.
func (l *Log) maxTimestampFrom(scan *scanner, start int64) (int64, error) {
	switch b := scan.header; {
	case b.Count() == 0 || b.LastOffset() < start:
		return record.NoTimestamp, nil
	case b.BaseOffset() >= start:
		return b.MaxTimestamp(), nil
	}
	b, err := scan.whole()
	if err != nil {
		return 0, l.readFailed(err)
	}
	largest := record.NoTimestamp
	for r, err := range b.Records(l.env.codecs) {
		if err != nil {
			return 0, err
		}
		if r.Offset >= start {
			largest = max(largest, r.Timestamp)
		}
	}
	return largest, nil
}

// walk visits the headers of a segment's batches.
func (l *Log) walk(s *segment, visit func(*scanner) error) error {
	h, err := s.file.acquire()
	if err != nil {
		return l.readFailed(err)
	}
	defer s.file.release()
	l.mu.Lock()
	end := s.size
	l.mu.Unlock()
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	scan := s.scanner(h, 0, end, *buf)
	for scan.next() {
		if err := visit(&scan); err != nil {
			return err
		}
	}
	if scan.err != nil {
		return l.scanFailed(s, &scan)
	}
	return nil
}

// largest is the largest timestamp of a segment. For one that was not written
// or scanned since the start it is the last entry of the time index.
func (l *Log) largest(s *segment) (timeEntry, error) {
	l.mu.Lock()
	latest, known, entries := s.max, s.maxKnown, s.times.count
	l.mu.Unlock()
	if known {
		return latest, nil
	}
	latest, err := s.times.readLast(entries)
	if err != nil {
		return timeEntry{}, l.readFailed(err)
	}
	if entries > 0 {
		if latest, err = l.provenLargest(s, latest); err != nil {
			return timeEntry{}, err
		}
	}
	l.mu.Lock()
	s.max, s.maxKnown = latest, true
	l.mu.Unlock()
	return latest, nil
}

// provenLargest returns the last entry of the time index if there is a batch
// that it is about, else what the batches say: retention deletes by it.
func (l *Log) provenLargest(s *segment, latest timeEntry) (timeEntry, error) {
	h, err := s.file.acquire()
	if err != nil {
		return timeEntry{}, l.readFailed(err)
	}
	defer s.file.release()
	l.mu.Lock()
	end := s.size
	l.mu.Unlock()
	if ok, err := l.timeHolds(s, latest, h, end); ok || err != nil {
		return latest, err
	}
	l.env.log.Warn("a time index is wrong, reading the batches", "log", l.path, "segment", s.base)
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	latest = s.times.none()
	scan := s.scanner(h, 0, end, *buf)
	for scan.next() {
		if b := scan.header; b.MaxTimestamp() > latest.timestamp {
			latest = timeEntry{b.MaxTimestamp(), b.LastOffset()}
		}
	}
	if scan.err != nil {
		return timeEntry{}, l.scanFailed(s, &scan)
	}
	return latest, nil
}

// timeHolds tells whether the batch that an entry of the time index is about is
// there. Some versions of Kafka name the record and not the end of its batch.
func (l *Log) timeHolds(s *segment, e timeEntry, h vfs.File, end int64) (bool, error) {
	if e.offset < s.base {
		return false, nil
	}
	l.mu.Lock()
	t := l.seek(s, e.offset)
	l.mu.Unlock()
	if err := l.resolve(s, &t, h, end); isCorrupt(err) || errors.Is(err, errNotHere) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	var header [record.HeaderLen]byte
	scan := newScanner(h, t.pos, end, header[:])
	if !scan.next() {
		return false, l.readFailed(scan.err)
	}
	return scan.header.BaseOffset() <= e.offset && scan.header.MaxTimestamp() == e.timestamp, nil
}

// findTimestamp is steps 2 to 4 of OffsetForTimestamp.
func (l *Log) findTimestamp(s *segment, timestampMs, start int64) (TimestampOffset, bool, error) {
	h, err := s.file.acquire()
	if err != nil {
		return TimestampOffset{}, false, l.readFailed(err)
	}
	defer s.file.release()
	l.mu.Lock()
	generation := l.generation
	l.mu.Unlock()
	pos, end, err := l.seekTimestamp(s, h, timestampMs, start)
	if errors.Is(err, errNotHere) {
		return TimestampOffset{}, false, nil
	}
	if err != nil {
		return TimestampOffset{}, false, l.readFailed(err)
	}
	buf := l.env.search.Get().(*[]byte)
	defer l.env.search.Put(buf)
	scan := s.scanner(h, pos, end, *buf)
	for scan.next() {
		if scan.header.MaxTimestamp() < timestampMs || scan.header.LastOffset() < start {
			continue
		}
		found, ok, err := l.findRecord(s, &scan, timestampMs, start)
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
			err = l.damaged(s, corrupt, generation)
		}
		if err != nil || ok {
			return found, ok, err
		}
	}
	if scan.err != nil {
		return TimestampOffset{}, false, l.scanFailed(s, &scan)
	}
	return TimestampOffset{}, false, nil
}

// seekTimestamp returns where in the segment to begin, and where it ends;
// errNotHere when it holds nothing from start on.
func (l *Log) seekTimestamp(s *segment, h vfs.File, timestampMs, start int64) (pos, end int64, err error) {
	// One below: an entry with this very timestamp names the first batch that
	// has it, but only among those that the index looked at.
	l.mu.Lock()
	e, inFile := s.times.floorInTail(timestampMs - 1)
	end = s.size
	l.mu.Unlock()
	if inFile > 0 {
		if e, err = s.times.floorInFile(timestampMs-1, inFile); err != nil {
			return 0, 0, err
		}
	}
	if e.offset > s.base {
		if ok, err := l.timeHolds(s, e, h, end); err != nil {
			return 0, 0, err
		} else if !ok {
			e = s.times.none()
		}
	}
	l.mu.Lock()
	t := l.seek(s, max(e.offset, start))
	l.mu.Unlock()
	err = l.resolve(s, &t, h, end)
	return t.pos, end, err
}

// findRecord looks into the current batch of a walk.
func (l *Log) findRecord(s *segment, scan *scanner, timestampMs, start int64) (TimestampOffset, bool, error) {
	b, err := scan.whole()
	if err != nil {
		return TimestampOffset{}, false, l.readFailed(err)
	}
	if err := b.CheckCRC(); err != nil {
		return TimestampOffset{}, false, l.corruptAt(s, b.BaseOffset(), scan.pos, err.Error())
	}
	for r, err := range b.Records(l.env.codecs) {
		if err != nil {
			return TimestampOffset{}, false, l.corruptAt(s, b.BaseOffset(), scan.pos, err.Error())
		}
		if r.Timestamp >= timestampMs && r.Offset >= start {
			return TimestampOffset{r.Offset, r.Timestamp, b.LeaderEpoch()}, true, nil
		}
	}
	return TimestampOffset{}, false, nil
}

// lastModifiedMs stands in for the timestamps of a segment whose records have
// none; false when the file system does not know it.
func (l *Log) lastModifiedMs(s *segment) (int64, bool) {
	path, _ := s.file.where()
	info, err := l.env.fs.Stat(path)
	if err != nil || info.ModTime().IsZero() {
		return 0, false
	}
	return info.ModTime().UnixMilli(), true
}
