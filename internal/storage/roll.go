package storage

import (
	"math"
	"os"

	"ottla/internal/config"
	"ottla/internal/record"
)

// maxRelative is the largest distance of an offset from its segment's base that the
// indexes can store.
const maxRelative = math.MaxInt32

// flushAhead is the number of bytes of a compacted topic after which page-cache mode
// requests a flush. Appends do not wait for this flush. They wait only for the rest
// of the segment when it is rolled.
const flushAhead = 8 << 20

// room returns the segment for the batches, and rolls if necessary. The caller holds
// write.
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

// due tells whether the active segment must be finished before more bytes are
// written: because it is full or too old, or because an index is full.
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

// age returns the age of the segment in ms: the time between the first batch and the
// new one, by their timestamps, or by the clock if they have none.
func (l *Log) age(s *segment, maxTimestamp int64) int64 {
	if s.first == unknownFirst {
		l.readFirst(s)
	}
	if s.first >= 0 {
		return maxTimestamp - s.first
	}
	return l.env.nowMs() - s.createdMs
}

// learnFirst is readFirst for a finished segment. Appends continue during the read.
func (l *Log) learnFirst(s *segment) int64 {
	l.reshaping.Lock() // no truncation may replace it
	defer l.reshaping.Unlock()
	first := s.firstOnDisk()
	l.write.Lock()
	defer l.write.Unlock()
	l.setFirst(s, first)
	return first
}

// readFirst sets the timestamp of the first batch of a segment that was not scanned
// at open.
func (l *Log) readFirst(s *segment) { l.setFirst(s, s.firstOnDisk()) }

func (l *Log) setFirst(s *segment, first int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.first = first
}

// firstOnDisk reads that timestamp. If it cannot be read, the clock is used.
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

// roll finishes the active segment and starts a new one at base.
//
//  1. In durable mode, and in a compacted topic, the old segment is made durable.
//     So if a segment exists after a power loss, the previous one is complete.
//     Otherwise a segment could end early and the next one continue. Recovery
//     treats such a gap as the end of the log, but in a compacted topic gaps are
//     normal. In page-cache mode at least the name of the old segment is made
//     durable, so that the log cannot begin with a later segment. The flusher has
//     usually done most of this: all but the last appends in durable mode, all but
//     flushAhead bytes in a compacted topic, and the name with the flush after
//     each roll.
//  2. The new file is created, and the index files of the old segment that have no
//     entry yet. If this fails, the log is unchanged.
//  3. The old segment gets its last time index entry. Its indexes are written and
//     truncated to their entries, as in Kafka.
//  4. The producers' state is written as a snapshot, so that a recovery of the new
//     segment need not read the old ones; but see snapshots.
//
// Appends wait for all steps. Measured with 8 producers on one disk: 1 to 15 ms for
// step 1, 0.4 ms for step 2, 0.02 and 0.1 ms for steps 3 and 4.
//
// Rejected: leaving step 1 to the flusher, which syncs in order anyway. If a topic
// becomes compacted before that flush ends, the gap of a power loss would be taken
// for one of compaction. Also rejected: creating the files of the next segment in
// advance. Its base is unknown, so they would have to be renamed, which costs the
// disk as much as creating them.
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
	l.dir.flushSoon(l) // also reports what step 1 made durable
	return s, nil
}

// secure does step 1 of roll.
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

// finishIndexes writes the rest of the indexes of a finished segment. If the disk is
// full they stay in memory, and the next checkpoint retries.
func (l *Log) finishIndexes(s *segment) {
	if !l.spill(s) {
		return
	}
	l.mu.Lock()
	s.spilled(0)
	l.mu.Unlock()
}

// spill writes the new index entries of a segment. It returns false on an error. The
// error does not fail an append, because indexes can be rebuilt.
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

// createSegment makes a new segment and its file. The index files are created with
// their first entries, or when the segment is finished. Existing files with these
// names are leftovers.
func (l *Log) createSegment(base int64, c *config.Topic) (*segment, error) {
	s := l.newSegment(base, c)
	_, err := s.file.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
	if err != nil {
		_ = s.removeFiles() // best effort: the next roll recreates it
		return nil, l.dir.writeFailed(err)
	}
	s.file.release()
	return s, nil
}

// newSegment returns an empty segment that is not on disk.
func (l *Log) newSegment(base int64, c *config.Topic) *segment {
	s := openSegment(l.env.files, l.path, base)
	s.startEmpty(l.env.nowMs())
	s.jitterMs = l.env.jitterMs(min(c.SegmentJitter, c.SegmentAge))
	return s
}

// removeFiles removes the files of a segment that is no longer in use.
func (s *segment) removeFiles() error {
	var first error
	for _, f := range s.all() {
		if err := f.remove(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
