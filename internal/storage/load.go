package storage

import (
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ottla/internal/vfs"
)

// folder is the listing of a partition's folder.
type folder struct {
	sizes     map[string]int64 // sizes of the files, by name
	bases     []int64          // bases of the segments
	snapshots []int64
	changed   bool // a file was removed or renamed
}

// tidyFolder finishes or removes what an interrupted operation left, as Kafka does at
// open, and lists the remaining files. Files with other names are kept.
//
//   - .deleted: released by retention or truncation. Removed.
//   - .cleaned: an unfinished result of compaction. Removed, together with each .swap
//     at or above its offset, which belongs to the same replacement.
//   - .swap: a finished result of compaction. It replaces the segments with its
//     offsets.
//   - an index without its segment: removed.
func tidyFolder(fsys vfs.FS, path string) (folder, error) {
	f, err := listFolder(fsys, path)
	if err != nil {
		return folder{}, err
	}
	changed, err := f.finishSwaps(fsys, path)
	if err != nil {
		return folder{}, err
	}
	if changed {
		if f, err = listFolder(fsys, path); err != nil {
			return folder{}, err
		}
		f.changed = true
	}
	for name := range f.sizes {
		base, suffix, ok := parseSegmentName(name)
		if ok && isIndex(suffix) && !slices.Contains(f.bases, base) {
			if err := ignoreMissing(fsys.Remove(filepath.Join(path, name))); err != nil {
				return folder{}, err
			}
			f.changed = true
		}
	}
	return f, nil
}

func isIndex(suffix string) bool {
	return suffix == offsetSuffix || suffix == timeSuffix || suffix == txnSuffix
}

func listFolder(fsys vfs.FS, path string) (folder, error) {
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return folder{}, err
	}
	f := folder{sizes: make(map[string]int64, len(entries))}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			if ignoreMissing(err) == nil {
				continue
			}
			return folder{}, err
		}
		f.add(e.Name(), info)
	}
	slices.Sort(f.bases)
	slices.Sort(f.snapshots)
	return f, nil
}

func (f *folder) add(name string, info fs.FileInfo) {
	f.sizes[name] = info.Size()
	switch offset, suffix, ok := parseSegmentName(name); {
	case !ok:
	case suffix == logSuffix:
		f.bases = append(f.bases, offset)
	case suffix == snapshotSuffix:
		f.snapshots = append(f.snapshots, offset)
	}
}

// finishSwaps does the renames of tidyFolder. It tells whether something changed. After
// a crash the next start must come to the same result, whichever of the changes
// survive. So the folder is synced between steps that depend on each other:
//
//  1. Remove .deleted files, and .swap files that must not be used.
//  2. Remove .cleaned files, which caused this.
//  3. Remove the files that .swap files replace.
//  4. Rename the .log.swap files.
//  5. Rename the indexes.
func (f *folder) finishSwaps(fsys vfs.FS, path string) (changed bool, err error) {
	remove, cleaned, swaps := f.leftBehind()
	replaced, err := f.replacedBy(fsys, path, swaps)
	if err != nil {
		return false, err
	}
	steps := []struct {
		names []string
		do    func(name string) error
	}{
		{remove, func(name string) error { return ignoreMissing(fsys.Remove(name)) }},
		{cleaned, func(name string) error { return ignoreMissing(fsys.Remove(name)) }},
		{replaced, func(name string) error { return ignoreMissing(fsys.Remove(name)) }},
		{withSuffix(swaps, logSuffix+swapSuffix, true), func(name string) error { return fsys.Rename(name, strings.TrimSuffix(name, swapSuffix)) }},
		{withSuffix(swaps, logSuffix+swapSuffix, false), func(name string) error { return fsys.Rename(name, strings.TrimSuffix(name, swapSuffix)) }},
	}
	for _, step := range steps {
		for _, name := range step.names {
			if err := step.do(filepath.Join(path, name)); err != nil {
				return false, err
			}
		}
		if len(step.names) > 0 && len(cleaned)+len(swaps) > 0 {
			if err := fsys.SyncDir(path); err != nil {
				return false, err
			}
		}
		changed = changed || len(step.names) > 0
	}
	return changed, nil
}

// leftBehind lists the files of an interrupted operation in three sorted lists: files
// to remove, .cleaned files, and .swap files to use.
func (f *folder) leftBehind() (remove, cleaned, swaps []string) {
	first := int64(math.MaxInt64)
	for name := range f.sizes {
		offset, suffix, ok := parseSegmentName(name)
		switch {
		case !ok:
		case strings.HasSuffix(suffix, deletedSuffix):
			remove = append(remove, name)
		case strings.HasSuffix(suffix, cleanedSuffix):
			cleaned, first = append(cleaned, name), min(first, offset)
		case strings.HasSuffix(suffix, swapSuffix):
			swaps = append(swaps, name)
		}
	}
	swaps = slices.DeleteFunc(swaps, func(name string) bool {
		offset, _, _ := parseSegmentName(name)
		if offset >= first {
			remove = append(remove, name)
		}
		return offset >= first
	})
	slices.Sort(remove)
	slices.Sort(cleaned)
	slices.Sort(swaps)
	return remove, cleaned, swaps
}

// withSuffix lists the names with the suffix, or those without it if want is false.
func withSuffix(names []string, suffix string, want bool) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.HasSuffix(name, suffix) != want })
}

// replacedBy lists the files of the segments in the offset ranges of the .log.swap
// files.
func (f *folder) replacedBy(fsys vfs.FS, path string, swaps []string) ([]string, error) {
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for _, name := range swaps {
		offset, suffix, _ := parseSegmentName(name)
		if suffix != logSuffix+swapSuffix {
			continue
		}
		next, err := nextOffset(fsys, filepath.Join(path, name), offset)
		if err != nil {
			return nil, err
		}
		low, high = min(low, offset), max(high, next)
	}
	var names []string
	for name := range f.sizes {
		offset, suffix, ok := parseSegmentName(name)
		if ok && offset >= low && offset < high && (suffix == logSuffix || isIndex(suffix)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// nextOffset returns the offset after the last batch of a segment's file.
func nextOffset(fsys vfs.FS, name string, base int64) (int64, error) {
	files := newFiles(fsys, 0, 0)
	f := files.file(name)
	defer f.retire()
	h, err := f.acquire()
	if err != nil {
		return 0, err
	}
	defer f.release()
	size, err := h.Size()
	if err != nil {
		return 0, err
	}
	next := base
	scan := newScanner(h, 0, size, make([]byte, searchBytes))
	for scan.next() {
		next = scan.header.NextOffset()
	}
	if scan.err != nil {
		return 0, &CorruptError{File: name, Segment: base, Offset: next, Pos: scan.pos, Reason: scan.err.Error()}
	}
	return next, nil
}

// openSegments makes the list of segments in the folder, with the index sizes as found.
// If there is none, it creates one at base.
func (l *Log) openSegments(f folder, base int64) error {
	for _, b := range f.bases {
		s := openSegment(l.env.files, l.path, b)
		s.size = f.sizes[segmentName(b, logSuffix)]
		s.synced, s.foreign = s.size, s.size
		s.first, s.createdMs = unknownFirst, l.env.nowMs()
		for _, x := range []struct {
			suffix string
			index  *index
		}{{offsetSuffix, &s.offsets.index}, {timeSuffix, &s.times.index}, {txnSuffix, &s.txns.index}} {
			x.index.fileSize, x.index.made = f.sizes[segmentName(b, x.suffix)]
			x.index.count = int(x.index.fileSize) / x.index.width
			x.index.written = x.index.count
		}
		s.foreignTxns = foreignTxns{count: s.txns.count, end: math.MaxInt64}
		l.segments = append(l.segments, s)
	}
	l.snapshots.offsets = f.snapshots
	if len(l.segments) > 0 {
		return nil
	}
	s, err := l.createSegment(base, l.config.Load())
	if err != nil {
		return err
	}
	l.segments = []*segment{s}
	l.names++
	return nil
}

// checkIndexFiles durably rebuilds the indexes of a segment if one of them is missing or
// obviously wrong: a crash must not leave a part of an index that looks complete. The
// scan rebuilds those of the segments from number from on. Their files are created with
// their first entries, or when the segment is finished.
func (r *recovery) checkIndexFiles(number int, s *segment) error {
	l := r.log
	offsets, haveOffsets := r.folder.sizes[segmentName(s.base, offsetSuffix)]
	times, haveTimes := r.folder.sizes[segmentName(s.base, timeSuffix)]
	switch {
	case number < r.from && haveOffsets && haveTimes && offsets%offsetEntryLen == 0 && times%timeEntryLen == 0:
		return nil
	case number >= r.from:
		r.rebuilt = r.rebuilt || !haveOffsets || !haveTimes
		return nil
	}
	l.names++
	l.env.log.Warn("building the indexes of a segment anew", "log", l.path, "segment", s.base)
	s.resetIndexes(false)
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	buf := l.env.scan.Get().(*[]byte)
	defer l.env.scan.Put(buf)
	c := l.config.Load()
	err = r.walkSound(s, h, *buf, func(scan *scanner) bool {
		s.note(scan.header, scan.pos, c.IndexIntervalBytes, c.SegmentIndexBytes)
		return true
	})
	if err != nil {
		return err
	}
	s.finish()
	for _, x := range []*index{&s.offsets.index, &s.times.index} {
		if err := x.replace(); err != nil {
			return err
		}
	}
	return nil
}

// createIndexes creates missing index files, because every segment of Kafka has them.
func (s *segment) createIndexes() error {
	for _, x := range []*index{&s.offsets.index, &s.times.index} {
		if x.made {
			continue
		}
		if _, err := x.create(); err != nil {
			return err
		}
		x.file.release()
	}
	return nil
}

// resetIndexes removes the entries before a rebuild. The transactions are kept unless
// all is true, because they cannot be rebuilt without the producers' state.
func (s *segment) resetIndexes(all bool) {
	s.offsets.cut(0)
	s.times.cut(0)
	if all {
		s.txns.cut(0)
		s.foreignTxns.cut(0, s.base)
	}
	s.lastIndexed = 0
	s.max, s.maxKnown = s.times.none(), true
	s.times.last, s.times.lastKnown = s.times.none(), true
}

func (l *Log) name() string {
	return fmt.Sprintf("%s-%d", l.tp.Topic, l.tp.Partition)
}
