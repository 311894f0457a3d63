package storage

import (
	"math"
	"os"

	"ottla/internal/config"
	"ottla/internal/record"
)

// maxRelative is the largest distance of an offset from its segment's base
// that the indexes can hold.
const maxRelative = math.MaxInt32

// flushAhead is how many bytes of a compacted topic are written in page-cache
// mode before a flush of them is asked for. Appends do not wait for it, but for
// what is left of the segment when it is rolled.
const flushAhead = 8 << 20

// room returns the segment that takes the batches, rolling if need be. The
// caller holds write.
func (l *Log) room(part []record.Batch, c *config.Topic) (*segment, error) {
	var bytes int64
	maxTimestamp := record.NoTimestamp
	for _, b := range part {
		bytes += int64(len(b))
		maxTimestamp = max(maxTimestamp, b.MaxTimestamp())
	}
	s, last := l.active(), part[len(part)-1].LastOffset()
	fits := s.fits(last)
	if fits && !l.due(s, bytes, maxTimestamp, c) {
		return s, nil
	}
	base := l.end
	if last-base > maxRelative {
		base = part[0].BaseOffset() // the offsets jump: no segment could begin at the end
	}
	return l.roll(base, c)
}

// due tells whether the active segment must be finished before bytes more are
// written: it is full, it is old, or an index is full.
func (l *Log) due(s *segment, bytes, maxTimestamp int64, c *config.Topic) bool {
	if s.size == 0 {
		return false
	}
	age := c.SegmentAge.Milliseconds()
	if c.Compact && c.MaxCompactionLagMs > 0 {
		age = min(age, c.MaxCompactionLagMs) // the active segment is never compacted
	}
	return s.size > int64(c.SegmentBytes)-bytes ||
		l.age(s, maxTimestamp) > age-s.jitterMs ||
		s.offsets.full(c.SegmentIndexBytes) || s.times.full(c.SegmentIndexBytes)
}

// age is how long the segment has been filled, in ms: from the first batch to
// the one that comes, by their timestamps, or by the clock when they have none.
func (l *Log) age(s *segment, maxTimestamp int64) int64 {
	if s.first == unknownFirst {
		l.readFirst(s)
	}
	if s.first >= 0 {
		return maxTimestamp - s.first
	}
	return l.env.nowMs() - s.createdMs
}

// learnFirst is readFirst for a finished segment: appends go on while it reads.
func (l *Log) learnFirst(s *segment) int64 {
	l.reshaping.Lock() // no truncation makes it another one
	defer l.reshaping.Unlock()
	first := s.firstOnDisk()
	l.write.Lock()
	defer l.write.Unlock()
	l.setFirst(s, first)
	return first
}

// readFirst notes the timestamp of the first batch of a segment that was not
// scanned at open.
func (l *Log) readFirst(s *segment) { l.setFirst(s, s.firstOnDisk()) }

func (l *Log) setFirst(s *segment, first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.first = first
}

// firstOnDisk reads that timestamp. If it cannot be read the clock decides.
func (s *segment) firstOnDisk() int64 {
	first := noFirst
	if h, err := s.file.acquire(); err == nil {
		var header [record.HeaderLen]byte
		if readFull(h, header[:], 0) == nil {
			first = record.Batch(header[:]).MaxTimestamp()
		}
		s.file.release()
	}
	return first
}

// roll finishes the active segment and begins one at base.
//
//  1. In durable mode, and in a compacted topic, the old segment is made
//     durable. So after a power loss a segment that exists proves that the one
//     before it is whole. Without that a segment could end early and the next
//     one go on; recovery takes such a hole for the end of the log, but in a
//     compacted topic holes are ordinary. In page-cache mode at least its name
//     is, so that the log cannot begin with a later segment. The flusher has
//     done most of it before: all but the last appends in durable mode,
//     flushAhead bytes in a compacted topic, and the name with the flush that
//     follows each roll.
//  2. The new file is made, and those indexes of the old segment that have had
//     no entry; when that fails, the log is as it was.
//  3. The old segment gets its last time index entry, its indexes are written
//     and cut to their entries, as Kafka leaves them.
//  4. The producers' state is written as a snapshot, so that a recovery of the
//     new segment need not read the old ones; but see snapshots.
//
// Appends wait for all of it. Where it was measured, with 8 producers on one
// disk: 1 to 15 ms for step 1, 0.4 ms for step 2, 0.02 and 0.1 ms for 3 and 4.
//
// Rejected: leaving step 1 to the flusher, which syncs in order anyway. A topic
// that becomes compacted before that flush ends would take the hole that a power
// loss leaves for one of compaction. And making the files of the next segment
// ahead: its base is not known, so they would be renamed, which costs the disk
// no less than making them.
//
// The caller holds write.
func (l *Log) roll(base int64, c *config.Topic) (*segment, error) {
	old := l.active()
	if err := l.secure(old, c); err != nil {
		return nil, err
	}
	s, err := l.createSegment(base, c)
	if err != nil {
		return nil, err
	}
	empty := old.size == 0
	if !empty {
		if err := old.createIndexes(); err != nil {
			_ = s.removeFiles() // best effort, as in createSegment
			return nil, l.dir.writeFailed(err)
		}
	}
	l.mu.Lock()
	if !empty {
		old.finish()
	}
	l.replaceSegments(append(l.segments[:len(l.segments):len(l.segments)], s))
	l.recent.reset()
	l.names++
	l.mu.Unlock()
	if empty {
		return s, l.removeSegments([]*segment{old})
	}
	l.finishIndexes(old)
	l.takeRollSnapshot(base)
	l.dir.flushSoon(l) // also tells what step 1 made durable
	return s, nil
}

// secure is step 1 of roll.
func (l *Log) secure(old *segment, c *config.Topic) error {
	if l.env.durable || c.Compact {
		l.mu.Lock()
		dirty := old.size > old.synced || l.names != l.namesSynced // a truncation syncs no name
		l.mu.Unlock()
		if dirty {
			return l.flush(false)
		}
		return nil
	}
	l.flushing.Lock()
	defer l.flushing.Unlock()
	job, err := l.capture()
	if err != nil {
		return err
	}
	defer job.release()
	if err := job.runNames(); err != nil {
		return err
	}
	l.mu.Lock()
	l.namedUpTo(job)
	l.mu.Unlock()
	return nil
}

// finishIndexes writes the rest of the indexes of a segment that is finished.
// A full disk leaves them in memory; the next checkpoint tries again.
func (l *Log) finishIndexes(s *segment) {
	if !l.spill(s) {
		return
	}
	l.mu.Lock()
	s.spilled(0)
	l.mu.Unlock()
}

// spill writes the new index entries of a segment; false when it failed. The
// indexes can be built anew, so that alone never fails an append.
func (l *Log) spill(s *segment) bool {
	if err := s.spill(); err != nil {
		_ = l.dir.writeFailed(err)
		return false
	}
	l.mu.Lock()
	s.spilled(keepEntries)
	l.mu.Unlock()
	return true
}

// createSegment makes a new segment and its file; the indexes get theirs with
// their first entries, or when the segment is finished. What is left of files
// with these names belongs to nobody.
func (l *Log) createSegment(base int64, c *config.Topic) (*segment, error) {
	s := l.newSegment(base, c)
	_, err := s.file.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
	if err != nil {
		_ = s.removeFiles() // best effort: the next roll makes it anew
		return nil, l.dir.writeFailed(err)
	}
	s.file.release()
	return s, nil
}

// newSegment is an empty segment that is not on disk.
func (l *Log) newSegment(base int64, c *config.Topic) *segment {
	s := openSegment(l.env.files, l.path, base)
	s.startEmpty(l.env.nowMs())
	s.jitterMs = l.env.jitterMs(min(c.SegmentJitter, c.SegmentAge))
	return s
}

// removeFiles removes the files of a segment that nobody sees any more.
func (s *segment) removeFiles() error {
	var first error
	for _, f := range s.all() {
		if err := f.remove(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
