package storage

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"ottla/internal/record"
)

// afterCleanStop is the recovery point of a log whose last shutdown was clean:
// everything that is there is on disk.
const afterCleanStop int64 = math.MaxInt64

// recovery opens the log of a folder.
//
// Below the recovery point everything is on disk: batches, index entries,
// leader epochs. What lies above was written but maybe not flushed, and after a
// power loss any part of it may be there. So
//
//  1. Take the newest producer snapshot P at or below the recovery point.
//  2. Find the last offset index entry below P, and see that a batch with
//     that last offset lies where it says; the indexes up to there are kept. If
//     not, go back to the base of that segment and an older snapshot. In the
//     worst case the scan begins with the first batch.
//  3. Walk all batches from there: CRC, ascending offsets (P2), leader epochs
//     that do not go back (P4). Each is noted in the indexes and epochs, and
//     from P on in the producers' state: the same code as for an append.
//  4. What is no batch is either a torn tail or damage. Below an offset that is
//     known to have been flushed (see bound) it is damage: it is kept as it is,
//     named, and passed over to the next sound batch, see Damage and resync. At
//     or above it, it is what a power loss left of bytes that nobody was told
//     are durable, and the log ends before it (P12): the rest is cut, and what
//     holds sound batches is kept in a file beside the log, see cutTail.
//  5. Offsets below bound that are missing at the end of the log are damage too.
//     Appends go on behind them, in a segment of their own, so that no offset
//     is given twice.
//
// Whether bytes are torn or rotten cannot be told from the bytes: a power loss
// leaves any selection of the blocks that were not flushed, so holes with sound
// batches behind them, and a disk that loses blocks leaves the same. What tells
// is how far the log was flushed. bound is the largest of
//
//   - the recovery point, which is at most a minute old;
//   - the flushed offset in .ottla_flushed, at most a second old, see
//     dir.writeFlushed. It costs an append nothing;
//   - with ottla.durability=fsync, and in a compacted topic, the base of the last
//     segment, for a segment is flushed before the next one is begun.
//
// After a clean stop everything was flushed, up to the offset at which the log
// was closed.
//
// Rejected: to keep every hole that has sound batches behind it. After a power
// loss under load with acks=1 consumers would stop at records that nobody was
// promised, and an internal topic could not be loaded. And to write the flushed
// offset with each flush, which doubles what a flush costs, for the sake of rot
// in the last second before a power loss; such batches are in the file beside
// the log.
//
// After a clean stop P is the log's end, so that a few KiB are read. After kill
// -9 the tail is in the page cache only: Manager flushes it before it counts.
//
// A log outside a Manager keeps no damage: its owner has to know. There a bad
// batch below the recovery point is an error, or, if only its CRC is wrong, told.
type recovery struct {
	log          *Log
	folder       folder
	point        int64 // everything below is on disk
	start        int64 // the checkpoint's
	snapshot     int64 // P
	epoch        int32 // of the last batch seen
	haveEpochs   bool
	epochsOnFile []epochEntry
	buf          []byte
	from         int // number of the first segment that is scanned
	fromPos      int64
	firstScanned int64 // offset with which the scan begins
	cut          bool  // the end of the log was
	rebuilt      bool  // indexes were not what they should be
	compacted    bool  // a batch was seen from which compaction took something
	wrongEpoch   bool  // the last batch contradicts the checkpoint of epochs
	flushed      int64 // of .ottla_flushed, 0 if unknown
	closedAt     int64 // where a clean stop says that the log ended, 0 if unknown
	bound        int64 // see step 4
	known        int64 // the log reached at least so far
	seal         bool  // nothing may be appended to the last segment
}

// load opens the folder of the log, which exists, after what the checkpoints say
// of it: point is the recovery point, or afterCleanStop.
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

// finishRetention removes the segments below the start on disk. A crash inside
// DeleteBelowStart may have left some and taken others, so that what their
// batches say of the producers has a hole; the snapshot where the log begins
// says all, and was durable before any of them went. Without one they stay, and
// the next CheckRetention sees to them.
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
		// After the end of a process it may be in the page cache only.
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

// run is steps 1 to 4, again with an older snapshot if the log turns out to
// end before the newest.
func (r *recovery) run() error {
	l := r.log
	limit := max(r.point, l.segments[0].base)
	r.setBound()
	// A snapshot above was not made durable: it may be torn, and the scan makes
	// those at the base of a segment anew.
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

// begin is steps 1 and 2.
func (r *recovery) begin(limit int64) error {
	l := r.log
	for {
		r.loadProducers(limit)
		r.from = floor(l.segments, r.snapshot)
		s := l.segments[r.from]
		if r.from > 0 && s.base >= r.point {
			// Begun after the recovery point was written: the segment before
			// may lack what finished it, and the snapshot its content.
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

// loadProducers takes the newest snapshot up to limit that can be read. The
// first segment's base needs none: what came before is gone.
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
		if offset >= r.point { // made, maybe, after the recovery point was written
			l.snapshots.unsynced = append(l.snapshots.unsynced[:0], offset)
		}
		return
	}
}

// resume keeps the index entries of a segment up to the snapshot and lets the
// scan begin with the batch of the last of them; false when they cannot be
// trusted.
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

// dropShort takes an index that is shorter than its size said for one that
// cannot be trusted, and not for an error of the disk.
func dropShort(err error) error {
	if errors.Is(err, errShortFile) {
		return nil
	}
	return ignoreMissing(err)
}

// batchAt tells whether the batch that an index entry is about lies at pos, or
// at most an index interval behind it.
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

// scan is steps 3 to 5.
func (r *recovery) scan() error {
	l := r.log
	l.end = l.segments[r.from].base
	if r.fromPos > 0 {
		l.end = r.firstScanned - 1 // the first batch ends with firstScanned
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

// passTo does what a roll does when the scan goes on to the next segment.
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

// follows tells whether a segment goes on where the one before it ended, or what
// is missing between them is damage; false makes the one before it the last.
//
//   - Below the log's start a gap is what retention left when a crash ended it.
//   - In a compacted topic it is what Kafka's compaction left; that of Cleaner
//     leaves none between segments. What a topic is may not be known yet when a
//     node starts, so the checkpoint of the cleaner counts too, below whose offset
//     whole batches may be gone, and what is missing within the segments beside
//     the gap.
//   - Else records are lost: by a power loss at or above bound, or by damage.
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

// scanSegment walks a segment from pos on. It returns true when the file was
// cut because something in it is no batch.
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

// walk notes the batches up to one that is none, which scan.err tells then.
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

// checkBatch looks at what a walk does not. The error is errBroken when the
// batch is none.
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

// markBad lets a batch that is on disk not be served.
func (r *recovery) markBad(s *segment, scan *scanner, why string) {
	_ = r.log.damaged(s, r.log.corruptAt(s, scan.header.BaseOffset(), scan.pos, why), r.log.generation) // is told by it
}

// checkEpoch compares the leader epoch of a batch, which the CRC does not cover,
// with the checkpoint that a clean stop wrote. The checkpoint is taken for
// right: an epoch that is too high would fence every leader to come.
func (r *recovery) checkEpoch(s *segment, scan *scanner) {
	b := scan.header
	onFile := epochs{entries: r.epochsOnFile}
	at := onFile.at(b.BaseOffset())
	r.wrongEpoch = r.point == afterCleanStop && at != NoEpoch && b.LeaderEpoch() > at
	if r.wrongEpoch {
		r.markBad(s, scan, fmt.Sprintf("its leader epoch is %d, that of the checkpoint %d", b.LeaderEpoch(), at))
	}
}

// isInvalid tells a batch with a wrong CRC from a failed read.
func isInvalid(err error) bool {
	var invalid *record.InvalidError
	return errors.As(err, &invalid) || errors.Is(err, errCRC)
}

// noteBatch is what an append does after the write.
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

// noteScanned notes the current batch in the indexes, and writes them as they
// grow.
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

// finish sets what follows from the batches.
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
		// The last life may have ended before it made durable what the folder
		// shows: files that were made, renamed or removed.
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

// dropStraySnapshots keeps those at the base of a segment and the newest.
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

// restartAt empties a log that ends below its start: DeleteRecords reached
// beyond what a power loss left, so nothing of that may be read.
func (r *recovery) restartAt(start int64) error {
	l := r.log
	l.env.log.Warn("the log ends below its start offset: beginning anew", "log", l.path, "end", l.end, "start", start)
	for _, s := range slices.Backward(l.segments) {
		s.unpin()
		if err := s.removeFiles(); err != nil {
			return err
		}
	}
	// They must not come back once the start is that of a segment, of which the
	// checkpoint says nothing.
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
