package storage

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ottla/internal/record"
)

// afterCleanStop is the recovery point of a log after a clean shutdown: all data is
// durable.
const afterCleanStop int64 = math.MaxInt64

// recovery opens the log of a folder.
//
// Below the recovery point everything is durable: batches, index entries, leader
// epochs. Data above it was written but may not have been flushed. After a power
// loss any part of it may exist. So:
//
//  1. Load the newest producer snapshot P at or below the recovery point.
//  2. Find the last offset index entry below P, and check that a batch with that
//     last offset is at its position. If so, keep the indexes up to there. If
//     not, go back to the base of that segment and to an older snapshot. In the
//     worst case the scan begins at the first batch.
//  3. Check all batches from there: CRC, ascending offsets (P2), leader epochs
//     that do not decrease (P4). Add each to the indexes and epochs, and from P
//     on to the producers' state, with the same code as for an append.
//  4. Data that is not a valid batch is a torn tail or damage. Below the offset
//     that is known to be flushed (bound) it is damage. It is kept unchanged and
//     logged, and the scan continues at the next valid batch, see Damage and
//     resync. At or above bound it is the remainder of writes that were never
//     reported as durable, and the log ends before it (P12). The rest is removed.
//     If it contains valid batches, it is kept in a separate file, see cutTail.
//  5. Offsets below bound that are missing at the end of the log are also damage.
//     Appends continue after them, in a new segment, so that no offset is used
//     twice.
//
// The bytes do not show whether data is torn or damaged. A power loss leaves any
// subset of the unflushed blocks, so there may be holes with valid batches after
// them. A disk that loses blocks leaves the same. Only the flushed offset
// distinguishes them. bound is the maximum of
//
//   - the recovery point, which is at most a minute old;
//   - the flushed offset in .ottla_flushed, which is at most a second old, see
//     dir.writeFlushed. It adds no cost to an append;
//   - with ottla.durability=fsync, and in a compacted topic, the base of the last
//     segment, because a segment is flushed before the next one is started.
//
// After a clean stop, bound is the offset at which the log was closed.
//
// Rejected: keeping every hole that has valid batches after it. After a power loss
// under load with acks=1, consumers would stop at records that were never
// acknowledged as durable, and an internal topic could not be loaded. Also
// rejected: writing the flushed offset with each flush. It doubles the cost of a
// flush, only to detect damage in the last second before a power loss. The batches
// of that second are in the separate file.
//
// After a clean stop P is the log's end, so only a few KiB are read. After kill -9
// the tail is only in the page cache; Manager flushes it before it counts.
//
// A log outside a Manager keeps no damage, because its owner must know of it. A
// bad batch below the recovery point is then an error, or is logged if only its
// CRC is wrong.
type recovery struct {
	log          *Log
	folder       folder
	point        int64 // everything below is durable
	start        int64 // start offset in the checkpoint
	snapshot     int64 // P
	epoch        int32 // epoch of the last batch
	haveEpochs   bool
	epochsOnFile []epochEntry
	buf          []byte
	from         int // number of the first scanned segment
	fromPos      int64
	firstScanned int64 // first offset of the scan
	cut          bool  // the end of the log was removed
	rebuilt      bool  // indexes were wrong and were rebuilt
	compacted    bool  // a batch shows traces of compaction
	wrongEpoch   bool  // the last batch contradicts the epoch checkpoint
	flushed      int64 // offset in .ottla_flushed, 0 if unknown
	closedAt     int64 // log end at the clean stop, 0 if unknown
	bound        int64 // see step 4
	known        int64 // the log end was at least this offset
	seal         bool  // the last segment must not be appended to
}

// load opens the existing folder of the log. on has the log's lines of the
// checkpoints. point is the recovery point, or afterCleanStop.
func (l *Log) load(point int64, on lines) error {
	r := recovery{log: l, point: point, start: on.start, flushed: on.flushed}
	if point == afterCleanStop {
		r.closedAt = on.point
	}
	start := on.start
	var err error
	if r.folder, err = tidyFolder(l.env.fs, l.path); err != nil {
		return err
	}
	if err := l.openSegments(r.folder, start); err != nil {
		return err
	}
	if r.haveEpochs, err = l.loadEpochs(); err != nil {
		return err
	}
	r.epochsOnFile = slices.Clone(l.epochs.entries)
	if err := r.finishRetention(); err != nil {
		return err
	}
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	r.buf = *buf
	if err := r.run(); err != nil {
		return err
	}
	return r.finish()
}

// finishRetention removes the segments below the log start on disk. A crash during
// DeleteBelowStart may have removed only some of them, so their batches do not
// give the complete state of the producers. The snapshot at the log start has it,
// and was durable before the first removal. Without such a snapshot the segments
// are kept, and the next CheckRetention removes them.
func (r *recovery) finishRetention() error {
	l := r.log
	if r.point == afterCleanStop {
		return nil
	}
	for n := floor(l.segments, r.start); n > 0; n-- {
		base := l.segments[n].base
		if !slices.Contains(l.snapshots.offsets, base) {
			continue
		}
		if _, ok := l.readSnapshot(base); !ok {
			continue
		}
		// After a process crash it may be only in the page cache.
		if err := syncFile(l.env.fs, l.snapshotPath(base)); err != nil {
			return err
		}
		if err := l.env.fs.SyncDir(l.path); err != nil {
			return err
		}
		for _, s := range l.segments[:n] {
			if err := s.removeFiles(); err != nil {
				return err
			}
		}
		l.segments = slices.Clone(l.segments[n:])
		r.folder.changed = true
		return nil
	}
	return nil
}

// run does steps 1 to 4. It repeats them with an older snapshot if the log ends
// before the newest one.
func (r *recovery) run() error {
	l := r.log
	limit := max(r.point, l.segments[0].base)
	r.setBound()
	// Snapshots above the limit may be torn, because they were not made durable.
	// The scan recreates those at the base of a segment.
	l.dropSnapshotsAbove(limit)
	for {
		r.forgetDamage()
		if err := r.begin(limit); err != nil {
			return err
		}
		for i, s := range l.segments {
			if err := r.checkIndexFiles(i, s); err != nil {
				return err
			}
		}
		if err := r.readEarlierEpochs(); err != nil {
			return err
		}
		if err := r.scan(); err != nil {
			return err
		}
		if l.end >= r.snapshot {
			return nil
		}
		limit = l.end
		l.dropSnapshotsAbove(limit)
	}
}

// begin does steps 1 and 2.
func (r *recovery) begin(limit int64) error {
	l := r.log
	for {
		r.loadProducers(limit)
		r.from = floor(l.segments, r.snapshot)
		s := l.segments[r.from]
		if r.from > 0 && s.base >= r.point {
			// The segment was started after the recovery point was written. The
			// previous segment may be unfinished and the snapshot incomplete.
			limit = s.base - 1
			l.dropSnapshotsAbove(limit)
			continue
		}
		if r.snapshot <= s.base {
			r.fromPos, r.firstScanned = 0, s.base
			s.resetIndexes(true)
			return nil
		}
		had := s.offsets.written
		ok, err := r.resume(s)
		if err != nil || ok {
			return err
		}
		r.rebuilt = r.rebuilt || had > 0
		limit = s.base
	}
}

// loadProducers loads the newest readable snapshot up to limit. At the base of the
// first segment no snapshot is needed, because there are no earlier records.
func (r *recovery) loadProducers(limit int64) {
	l := r.log
	r.snapshot = l.segments[0].base
	l.producers.reset()
	for _, offset := range slices.Backward(slices.Clone(l.snapshots.offsets)) {
		if offset > limit || offset < l.segments[0].base {
			continue
		}
		list, ok := l.readSnapshot(offset)
		if !ok {
			l.dropSnapshots(func(o int64) bool { return o == offset })
			continue
		}
		for _, p := range list {
			l.producers.load(p)
		}
		r.snapshot = offset
		if offset >= r.point { // possibly written after the recovery point
			l.snapshots.unsynced = append(l.snapshots.unsynced[:0], offset)
		}
		return
	}
}

// resume keeps the index entries of a segment up to the snapshot, and makes the
// scan begin at the batch of the last entry. It returns false if the entries are
// not valid.
func (r *recovery) resume(s *segment) (bool, error) {
	n, e, err := s.offsets.floorNumber(r.snapshot - 1)
	if err != nil || n == 0 {
		return false, dropShort(err)
	}
	times, last, err := s.times.upToOffset(e.offset)
	if err != nil || times == 0 || last.offset < s.base {
		return false, dropShort(err)
	}
	first, err := s.offsets.floorInFile(last.offset, n)
	if err != nil {
		return false, dropShort(err)
	}
	for _, entry := range []struct {
		offsetEntry
		ok func(record.Batch) bool
	}{
		{e, func(b record.Batch) bool { return b.LastOffset() == e.offset }},
		{first, func(b record.Batch) bool { return b.LastOffset() == last.offset && b.MaxTimestamp() == last.timestamp }},
	} {
		if ok, err := r.batchAt(s, entry.pos, entry.ok); !ok {
			return false, err
		}
	}
	txns, sound, err := s.txns.before(r.snapshot)
	if err != nil || !sound {
		return false, dropShort(err)
	}
	s.offsets.cut(n)
	s.times.cut(times)
	s.txns.cut(txns)
	s.foreignTxns.cut(txns, r.snapshot)
	s.lastIndexed = e.pos
	s.max, s.maxKnown = last, true
	s.times.last, s.times.lastKnown = last, true
	r.fromPos, r.firstScanned = e.pos, e.offset
	return true, nil
}

// dropShort drops the error of an index that is shorter than its size, which then
// counts as invalid. It returns errors of the disk.
func dropShort(err error) error {
	if errors.Is(err, errShortFile) {
		return nil
	}
	return ignoreMissing(err)
}

// batchAt tells whether the batch of an index entry is at pos, or at most one index
// interval after it.
func (r *recovery) batchAt(s *segment, pos int64, found func(record.Batch) bool) (bool, error) {
	h, err := s.file.acquire()
	if err != nil {
		return false, err
	}
	defer s.file.release()
	interval := int64(r.log.config.Load().IndexIntervalBytes)
	scan := newScanner(h, pos, s.size, r.buf[:min(len(r.buf), searchBytes)])
	for scan.next() && scan.pos <= pos+interval && scan.header.BaseOffset() >= s.base {
		if found(scan.header) {
			return true, nil
		}
	}
	if scan.err == nil || errors.Is(scan.err, errTorn) || errors.Is(scan.err, errBroken) {
		return false, nil
	}
	return false, scan.err
}

// scan does steps 3 to 5.
func (r *recovery) scan() error {
	l := r.log
	l.end = l.segments[r.from].base
	if r.fromPos > 0 {
		l.end = r.firstScanned - 1 // firstScanned is the last offset of the first batch
	}
	for i := r.from; i < len(l.segments); i++ {
		s, pos := l.segments[i], r.fromPos
		if i > r.from {
			pos = 0
			if whole, err := r.follows(s, l.segments[i-1]); err != nil || !whole {
				return r.endAt(i-1, err)
			}
			if err := r.passTo(s, l.segments[i-1]); err != nil {
				return err
			}
		}
		torn, err := r.scanSegment(s, pos)
		l.end = max(l.end, s.base)
		if err != nil || torn {
			return r.endAt(i, err)
		}
	}
	r.missEnd()
	return nil
}

// passTo does the work of a roll when the scan moves to the next segment.
func (r *recovery) passTo(next, finished *segment) error {
	finished.finish()
	if err := errors.Join(finished.spill(), finished.createIndexes()); err != nil {
		return err
	}
	finished.spilled(0)
	r.log.takeRollSnapshot(next.base)
	next.resetIndexes(true)
	return nil
}

// follows tells whether a segment continues the previous one, possibly after
// damage. If it returns false, the previous segment is the last one. A gap between
// them has one of these causes:
//
//   - Below the log's start: retention that a crash interrupted.
//   - In a compacted topic: Kafka's compaction. Cleaner leaves no gaps between
//     segments. The topic's config may not be known yet when a node starts. So
//     the cleaner checkpoint also counts, below whose offset whole batches may be
//     missing, and so do gaps within the neighbouring segments.
//   - Otherwise records are lost: by a power loss at or above bound, or by damage.
func (r *recovery) follows(s, before *segment) (bool, error) {
	l := r.log
	switch {
	case s.base == l.end:
		return true, nil
	case s.base > l.end && (s.base <= max(r.start, l.cleaned) || r.compacted || l.config.Load().Compact || s.base <= r.point && !l.keepsDamage()):
		return true, nil
	case !l.keepsDamage() && s.base < min(l.end, r.point):
		path, _ := s.file.where()
		return false, &CorruptError{File: path, Segment: s.base, Offset: s.base, Reason: fmt.Sprintf("the segment before it reaches to offset %d", l.end)}
	case !l.keepsDamage() || l.end >= r.bound:
		return false, nil
	}
	_, compacted, err := l.endOf(before, s)
	if err != nil || compacted {
		return err == nil, err
	}
	path, _ := before.file.where()
	l.addDamage(before, Damage{File: path, Segment: before.base, From: l.end, To: s.base, Pos: before.size, End: before.size, Reason: gapReason(s.base)})
	l.end = s.base
	return true, nil
}

// endAt makes segment number i the last one.
func (r *recovery) endAt(i int, err error) error {
	if err != nil {
		return err
	}
	l := r.log
	r.cut = true
	for len(l.segments) > i+1 {
		last := l.active()
		if err := r.moveAside(last); err != nil {
			return err
		}
		l.segments = l.segments[:len(l.segments)-1]
	}
	return nil
}

// scanSegment scans a segment from pos. It returns true if the file was truncated
// because of data that is not a valid batch.
func (r *recovery) scanSegment(s *segment, pos int64) (torn bool, err error) {
	h, err := s.pin()
	if err != nil {
		return false, err
	}
	if r.point != afterCleanStop {
		s.synced = pos
	}
	s.foreign = pos // the scan checks the rest
	scan := newScanner(h, pos, s.size, r.buf)
	for {
		if err := r.walk(s, &scan); err != nil {
			return false, err
		}
		if scan.err == nil {
			if s.synced == s.size {
				s.unpin()
			}
			return false, nil
		}
		next, cut, err := r.passDamage(s, &scan)
		if err != nil || cut {
			return cut, err
		}
		scan = newScanner(h, next, s.size, r.buf)
	}
}

// walk processes the batches up to the first invalid one, whose error is then in
// scan.err.
func (r *recovery) walk(s *segment, scan *scanner) error {
	for scan.next() {
		if bad := r.checkBatch(s, scan); bad != nil {
			if !errors.Is(bad, errBroken) {
				return bad
			}
			scan.err = bad
			return nil
		}
		if err := r.noteBatch(s, scan); err != nil {
			return err
		}
	}
	if scan.err != nil && !isDamage(scan.err) {
		return scan.err
	}
	return nil
}

// checkBatch does the checks that the scanner does not do. The error is errBroken
// if the batch is not valid.
func (r *recovery) checkBatch(s *segment, scan *scanner) error {
	l, b := r.log, scan.header
	switch base := b.BaseOffset(); {
	case base < s.base || base < l.end && scan.pos > r.fromPos:
		return fmt.Errorf("%w: its base offset %d is below %d", errBroken, base, l.end)
	case !s.fits(b.LastOffset()):
		return fmt.Errorf("%w: its last offset %d is too far from the segment's base", errBroken, b.LastOffset())
	case b.LastOffset() >= r.below(s):
		return fmt.Errorf("%w: its last offset %d is not below %d, where the next segment begins", errBroken, b.LastOffset(), r.below(s))
	case b.LeaderEpoch() < r.epoch:
		return fmt.Errorf("%w: its leader epoch %d is below %d", errBroken, b.LeaderEpoch(), r.epoch)
	}
	err := scan.checkCRC()
	switch {
	case err == nil:
		r.checkEpoch(s, scan)
		return nil
	case isInvalid(err):
	default:
		return err
	}
	if l.end >= r.point || l.keepsDamage() {
		return fmt.Errorf("%w: %w", errBroken, err)
	}
	r.markBad(s, scan, err.Error())
	return nil
}

// markBad marks a batch on disk as damaged, so that it is not served.
func (r *recovery) markBad(s *segment, scan *scanner, why string) {
	_ = r.log.damaged(s, r.log.corruptAt(s, scan.header.BaseOffset(), scan.pos, why), r.log.generation) // damaged logs it
}

// checkEpoch compares the leader epoch of a batch, which the CRC does not cover,
// with the checkpoint of a clean stop. The checkpoint counts as correct, because a
// wrong high epoch would fence all future leaders.
func (r *recovery) checkEpoch(s *segment, scan *scanner) {
	b := scan.header
	onFile := epochs{entries: r.epochsOnFile}
	at := onFile.at(b.BaseOffset())
	r.wrongEpoch = r.point == afterCleanStop && at != NoEpoch && b.LeaderEpoch() > at
	if r.wrongEpoch {
		r.markBad(s, scan, fmt.Sprintf("its leader epoch is %d, that of the checkpoint %d", b.LeaderEpoch(), at))
	}
}

// isInvalid tells whether the error is a wrong CRC and not a failed read.
func isInvalid(err error) bool {
	var invalid *record.InvalidError
	return errors.As(err, &invalid) || errors.Is(err, errCRC)
}

// noteBatch updates the state like an append after its write.
func (r *recovery) noteBatch(s *segment, scan *scanner) error {
	l, b := r.log, scan.header
	r.compacted = r.compacted || b.Count() <= b.LastOffsetDelta()
	if !r.wrongEpoch {
		r.epoch = b.LeaderEpoch()
		l.epochs.assignNewer(b.LeaderEpoch(), b.BaseOffset())
	}
	if b.HasProducer() && b.BaseOffset() >= r.snapshot {
		end, timestamp, err := scan.marker(l.env.codecs)
		if err != nil {
			return err
		}
		l.applyProducer(s, b, marker{end: end, timestamp: timestamp})
	}
	l.end = b.NextOffset()
	l.snapshots.appended += scan.size
	return l.noteScanned(s, scan)
}

// noteScanned adds the current batch to the indexes, and writes them as they grow.
func (l *Log) noteScanned(s *segment, scan *scanner) error {
	c := l.config.Load()
	s.note(scan.header, scan.pos, c.IndexIntervalBytes, c.SegmentIndexBytes)
	if max(s.offsets.unwritten(), s.txns.unwritten()) < spillEntries {
		return nil
	}
	if err := s.spill(); err != nil {
		return err
	}
	s.spilled(keepEntries)
	return nil
}

// finish sets the state of the log after the scan.
func (r *recovery) finish() error {
	l := r.log
	clean := r.point == afterCleanStop && !r.cut
	l.start = max(r.start, l.segments[0].base)
	if err := r.missStart(); err != nil {
		return err
	}
	if r.seal {
		if err := r.sealLast(); err != nil {
			return err
		}
	}
	if l.end < l.start {
		if err := r.restartAt(l.start); err != nil {
			return err
		}
	}
	l.producers.expire(l.env.nowMs(), l.env.producerExpiryMs.Load())
	l.countProducers()
	l.epochs.truncateEnd(l.end)
	l.epochs.truncateStart(l.start)
	l.epochs.changed = !r.haveEpochs || !slices.Equal(l.epochs.entries, r.epochsOnFile)
	l.dropSnapshotsAbove(l.end)
	r.dropStraySnapshots()
	l.hw = l.start
	l.touched = !clean || l.epochs.changed || r.rebuilt || !l.active().leftClean()
	l.flushed = min(r.point, l.end)
	l.point = l.flushed
	l.forgetDamage(l.start, math.MaxInt64)
	l.compacted = r.compacted
	if r.point != afterCleanStop || r.folder.changed {
		// The previous process may have ended before it made the created, renamed
		// and removed names of the folder durable.
		l.names++
	}
	if r.point == 0 {
		l.newFolder = true
		if _, ok := r.folder.sizes[partitionName]; ok {
			l.newFiles = []string{partitionName}
		}
	}
	l.notified = noOffset
	return nil
}

// dropStraySnapshots removes all snapshots except those at the base of a segment
// and the newest.
func (r *recovery) dropStraySnapshots() {
	l := r.log
	if len(l.snapshots.offsets) > 0 {
		newest := slices.Max(l.snapshots.offsets)
		l.dropSnapshots(func(offset int64) bool {
			return offset < l.segments[0].base || offset != newest && !l.isBase(offset)
		})
	}
	l.findLoose()
}

// restartAt empties a log whose end is below its start. A power loss has removed
// records beyond the offset of DeleteRecords, so the rest must not be read.
func (r *recovery) restartAt(start int64) error {
	l := r.log
	l.env.log.Warn("the log ends below its start offset: beginning anew", "log", l.path, "end", l.end, "start", start)
	for _, s := range slices.Backward(l.segments) {
		s.unpin()
		if err := s.removeFiles(); err != nil {
			return err
		}
	}
	// The removed files must not reappear. The checkpoint has no line for a start
	// that is the base of a segment, so it would not exclude them.
	if err := l.env.fs.SyncDir(l.path); err != nil {
		return err
	}
	s, err := l.createSegment(start, l.config.Load())
	if err != nil {
		return err
	}
	l.segments, l.end, l.damage, r.cut = []*segment{s}, start, nil, true
	l.names++
	l.epochs.clear()
	l.producers.reset()
	return nil
}
