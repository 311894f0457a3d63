package storage

import (
	"path/filepath"
	"slices"
	"strings"
)

// swap puts new segments, which are durable as .cleaned, in the place of a
// group. What a crash leaves at each point, names surviving in any selection,
// and what tidyFolder makes of it:
//
//  1. .cleaned becomes .swap, file by file; then the folder is made durable.
//     Some are .cleaned still: all are removed, the old segments are there.
//  2. The new segments are published: readers find them, under names that
//     change while their files are open.
//  3. The old segments get their names of deleted files; the folder is made
//     durable. All .swap are there: what is left of the old segments in their
//     range of offsets goes, and they take their names.
//  4. The .log.swap get their final names, durably. A .log.swap that is left
//     has its indexes beside it, as .swap too.
//  5. The indexes follow. One that is left as .swap belongs to a segment that
//     has its name already.
//
// An index as .swap without a .log.swap is thus always of step 5. Kafka renames
// in any order and makes the folder durable once, at the end.
//
// Log.reshaping is held all along: nothing else changes the segments of the
// group, nor their names. Appends go on: Log.write is held for step 2 alone, a
// change in memory. What they do to the folder meanwhile, new files for a roll,
// is as durable as before, or sooner.
//
// Rejected: holding Log.write, under which an append waits until a directory is
// durable four times; and a generation that tells after the renames whether the
// group is still the log's, for then they would have to be taken back.
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

// takeNames is steps 4 and 5.
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

// current tells whether the pass may go on with a group: its segments are still
// those of the log. What it tells holds as long as the caller holds
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

// publish is step 2. The caller holds Log.reshaping.
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

// dropCleanedSnapshots removes the producer snapshots below an offset: the
// batches that would follow them in a recovery are not all there any more, so
// that a transaction could look open for ever. A newer one is below the
// recovery point on disk, or there would have been no pass. The caller holds
// Log.reshaping.
func (l *Log) dropCleanedSnapshots(below int64) {
	l.write.Lock()
	gone := l.forgetSnapshots(func(offset int64) bool { return offset < below })
	l.write.Unlock()
	l.removeSnapshots(gone)
}

// renameAll changes what follows the usual names of some files of segments.
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
