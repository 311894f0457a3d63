package storage

import (
	"os"
	"path/filepath"
	"slices"

	"ottla/internal/vfs"
)

// snapshots are the producer snapshots of a partition by offset, ascending.
// Which ones are kept: those at the base of a segment, made when it was
// rolled, and one above all of them, made at the last checkpoint or clean
// close, so that a recovery reads little of the active segment.
//
// A roll makes one only when at least as many bytes were appended since the
// newest one as it will have. So all snapshots together are never larger than
// the log, however small its segments are and however many producers it knows;
// and a recovery replays at most as many bytes more as it reads for the
// snapshot. Kafka makes one for each segment.
//
// Changed under Log.write.
type snapshots struct {
	offsets []int64
	// loose are those of offsets that were not the base of a segment when they
	// were made, or when segments were merged.
	loose []int64
	// wanted tells that retention waits for one, see Log.coveredUpTo.
	wanted bool
	// unsynced are those that are not known to be on disk, until a save or
	// retention has made them durable. A snapshot that a crash tears fails its
	// CRC, and the one before it is taken.
	unsynced []int64
	// appended counts the bytes that were appended, or replayed, since the
	// newest one was made.
	appended int64
}

func (l *Log) snapshotPath(offset int64) string {
	return filepath.Join(l.path, segmentName(offset, snapshotSuffix))
}

// takeSnapshot writes the state of the producers as of offset, which is the
// log's end or, behind a gap, the base of the next segment. It is only a
// shortcut for recovery: a failure takes the dir offline unless the disk is
// full, but fails nothing else.
func (l *Log) takeSnapshot(offset int64) {
	if l.hasSnapshot(offset) || offset == l.segments[0].base {
		return
	}
	if err := writeFile(l.env.fs, l.snapshotPath(offset), encodeSnapshot(l.producers.sorted())); err != nil {
		_ = l.dir.writeFailed(err)
		_ = l.env.fs.Remove(l.snapshotPath(offset)) // half a snapshot is none
		return
	}
	l.dropCheckpointSnapshots()
	l.snapshots.offsets = append(l.snapshots.offsets, offset)
	l.snapshots.unsynced = append(l.snapshots.unsynced, offset)
	if !l.isBase(offset) {
		l.snapshots.loose = append(l.snapshots.loose, offset)
	}
	l.snapshots.appended, l.snapshots.wanted = 0, false
}

// takeRollSnapshot is takeSnapshot at the base of a new segment, if it is worth
// its bytes.
func (l *Log) takeRollSnapshot(base int64) {
	if l.snapshots.appended >= snapshotBytes(len(l.producers.byID)) {
		l.takeSnapshot(base)
	}
}

// hasSnapshot tells whether there is one at an offset.
func (l *Log) hasSnapshot(offset int64) bool {
	_, ok := slices.BinarySearch(l.snapshots.offsets, offset)
	return ok
}

// isBase tells whether a segment begins at an offset. The caller holds write.
func (l *Log) isBase(offset int64) bool { return l.segments[floor(l.segments, offset)].base == offset }

// findLoose lists the snapshots that are not at the base of a segment, after
// segments went. The caller holds write.
func (l *Log) findLoose() {
	l.snapshots.loose = slices.DeleteFunc(slices.Clone(l.snapshots.offsets), l.isBase)
}

// dropCheckpointSnapshots removes the snapshots that are not at the base of a
// segment, for a newer one takes their place: all but the newest below the
// flushed offset, which is what a recovery can use until the new one is below
// it too.
func (l *Log) dropCheckpointSnapshots() {
	if len(l.snapshots.loose) == 0 {
		return
	}
	keep, flushed := noOffset, l.FlushedOffset()
	if i, found := slices.BinarySearch(l.snapshots.offsets, flushed); found {
		keep = flushed
	} else if i > 0 {
		keep = l.snapshots.offsets[i-1]
	}
	l.snapshots.loose = slices.DeleteFunc(l.snapshots.loose, l.isBase)
	drop := slices.DeleteFunc(slices.Clone(l.snapshots.loose), func(offset int64) bool { return offset == keep })
	if len(drop) > 0 {
		l.dropSnapshots(func(offset int64) bool { return slices.Contains(drop, offset) })
	}
}

// dropSnapshots removes those that drop selects.
func (l *Log) dropSnapshots(drop func(offset int64) bool) (dropped bool) {
	gone := l.forgetSnapshots(drop)
	l.removeSnapshots(gone)
	return len(gone) > 0
}

// forgetSnapshots takes those out of the list that drop selects, for the caller
// to remove.
func (l *Log) forgetSnapshots(drop func(offset int64) bool) (gone []int64) {
	l.snapshots.offsets = slices.DeleteFunc(l.snapshots.offsets, func(offset int64) bool {
		if drop(offset) {
			gone = append(gone, offset)
			return true
		}
		return false
	})
	l.snapshots.unsynced = slices.DeleteFunc(l.snapshots.unsynced, drop)
	l.snapshots.loose = slices.DeleteFunc(l.snapshots.loose, drop)
	return gone
}

// removeSnapshots removes the files. One that cannot be removed is harmless and
// found again at the next open. It needs no lock for those that nobody makes
// again, below the end of the log.
func (l *Log) removeSnapshots(offsets []int64) {
	for _, offset := range offsets {
		_ = l.env.fs.Remove(l.snapshotPath(offset))
	}
}

// dropSnapshotsAbove removes the snapshots of what is not, or no longer, in
// the log. That must be on disk before the recovery point passes them: so the
// next flush takes the folder along.
func (l *Log) dropSnapshotsAbove(limit int64) {
	if l.dropSnapshots(func(offset int64) bool { return offset > limit }) {
		l.mu.Lock()
		l.names++
		l.mu.Unlock()
	}
}

// snapshotsSynced notes that some are on disk.
func (l *Log) snapshotsSynced(offsets []int64) {
	l.write.Lock()
	defer l.write.Unlock()
	l.snapshots.unsynced = slices.DeleteFunc(l.snapshots.unsynced, func(offset int64) bool { return slices.Contains(offsets, offset) })
}

// readSnapshot reads a snapshot; false, with a line in the log, when it cannot
// be used.
func (l *Log) readSnapshot(offset int64) ([]producer, bool) {
	data, err := vfs.ReadFile(l.env.fs, l.snapshotPath(offset))
	if err != nil {
		l.env.log.Warn("cannot read a producer snapshot, going on with an older one", "file", l.snapshotPath(offset), "err", err)
		return nil, false
	}
	list, why := decodeSnapshot(data)
	if why != "" {
		l.env.log.Warn("cannot use a producer snapshot, going on with an older one", "file", l.snapshotPath(offset), "why", why)
	}
	return list, why == ""
}

// writeFile writes a small file without making it durable.
func writeFile(fsys vfs.FS, name string, data []byte) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

// syncFile makes a small file durable that was written before.
func syncFile(fsys vfs.FS, name string) error {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
