package storage

import (
	"path/filepath"
	"slices"
	"strings"
)

// swap replaces a group with new segments, which are durable as .cleaned. After a crash
// any subset of the renames may survive. The steps, and what tidyFolder does after a
// crash in each of them:
//
//  1. Rename .cleaned to .swap, file by file, and sync the folder. After a crash some
//     files are still .cleaned: all new files are removed; the old segments exist.
//  2. Publish the new segments. Readers use them; their names change while the files
//     are open.
//  3. Rename the old segments to .deleted, and sync the folder. After a crash all .swap
//     files exist: the old segments in their offset range are removed, and the .swap
//     files get their names.
//  4. Rename the .log.swap files to their final names, durably. After a crash a
//     remaining .log.swap still has its indexes, also as .swap.
//  5. Rename the indexes. After a crash a remaining .swap index belongs to a segment
//     that already has its final name.
//
// So an index as .swap without a .log.swap is always from step 5. Kafka renames in any
// order and syncs the folder once, at the end.
//
// Log.reshaping is held during all steps, so nothing else changes the segments of the
// group or their names. Appends continue: Log.write is held only for step 2, a change in
// memory. New files of a roll become durable as usual, or earlier.
//
// Rejected: holding Log.write. An append would wait until the folder is synced four
// times. Also rejected: checking a generation after the renames. The renames would have
// to be undone if the group has changed.
func (p *cleanPass) swap(group, fresh []*segment) error {
	l := p.log
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	if err := p.current(group); err != nil {
		return err
	}
	if err := renameAll(fresh, swapSuffix, (*segment).existing); err != nil {
		return l.dir.writeFailed(err) // nothing is lost: the new segments are removed
	}
	if err := l.env.fs.SyncDir(l.path); err != nil {
		return l.dir.fail(err)
	}
	p.publish(group, fresh)
	if err := l.discard(group); err != nil {
		return err
	}
	if err := l.env.fs.SyncDir(l.path); err != nil {
		return l.dir.fail(err)
	}
	return p.takeNames(fresh)
}

// takeNames does steps 4 and 5.
func (p *cleanPass) takeNames(fresh []*segment) error {
	l := p.log
	l.dropCleanedSnapshots(p.end)
	for _, files := range []func(*segment) []*file{(*segment).logFile, (*segment).indexFiles} {
		if err := renameAll(fresh, "", files); err != nil {
			return l.dir.fail(err)
		}
		if err := l.env.fs.SyncDir(l.path); err != nil {
			return l.dir.fail(err)
		}
	}
	for _, s := range fresh {
		s.txns.file.setPath(filepath.Join(l.path, segmentName(s.base, txnSuffix)))
	}
	return nil
}

// current returns an error if the pass must not continue with a group, because its
// segments are no longer in the log. The result is valid while the caller holds
// Log.reshaping.
func (p *cleanPass) current(group []*segment) error {
	l := p.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.cleaningAllowed(p.generation); err != nil {
		return err
	}
	if len(group) == 0 {
		return nil
	}
	at := slices.Index(l.segments, group[0])
	if at < 0 || at+len(group) > len(l.segments) || !slices.Equal(l.segments[at:at+len(group)], group) {
		return errCleaningAborted
	}
	return nil
}

// publish does step 2. The caller holds Log.reshaping.
func (p *cleanPass) publish(group, fresh []*segment) {
	l := p.log
	l.write.Lock()
	defer l.write.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	at := slices.Index(l.segments, group[0])
	list := slices.Concat(l.segments[:at], fresh, l.segments[at+len(group):])
	l.replaceSegments(list)
	l.findLoose()
	p.published = true
}

// dropCleanedSnapshots removes the producer snapshots below an offset. The batches after
// them are no longer complete, so a recovery with such a snapshot could treat a
// transaction as open forever. A newer snapshot exists below the recovery point on disk,
// which is a condition of the pass. The caller holds Log.reshaping.
func (l *Log) dropCleanedSnapshots(below int64) {
	l.write.Lock()
	gone := l.forgetSnapshots(func(offset int64) bool { return offset < below })
	l.write.Unlock()
	l.removeSnapshots(gone)
}

// renameAll changes the suffix after the usual names of some files of segments.
func renameAll(segments []*segment, suffix string, files func(*segment) []*file) error {
	for _, s := range segments {
		for _, f := range files(s) {
			path, _ := f.where()
			path = strings.TrimSuffix(strings.TrimSuffix(path, cleanedSuffix), swapSuffix)
			if err := f.rename(path + suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *segment) logFile() []*file    { return s.existing()[:1] }
func (s *segment) indexFiles() []*file { return s.existing()[1:] }

func hasSuffix(path, suffix string) bool { return strings.HasSuffix(path, suffix) }
