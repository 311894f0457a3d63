package storage

import (
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"path/filepath"
	"time"

	"ottla/internal/vfs"
)

// checkpoint moves the recovery points of the dir's logs: it writes the data that a
// recovery needs, makes it durable, and then writes the points. With closing it is the
// last checkpoint. It then leaves the logs in the state of Kafka's clean stop and also
// writes the other checkpoints.
func (d *dir) checkpoint(closing bool) error {
	d.checkpoints.Lock()
	defer d.checkpoints.Unlock()
	saves, err := d.saveLogs(closing)
	for i := range saves {
		if err != nil {
			saves[i].undo()
		} else {
			saves[i].finish()
		}
	}
	if err != nil {
		return err
	}
	if err := d.writePoints(); err != nil {
		return err
	}
	if !closing {
		return d.writeFlushed() // it contains a hash of the points
	}
	if err := d.writeStarts(); err != nil {
		return err
	}
	if err := d.writeCleaned(); err != nil {
		return err
	}
	return d.writeHighWatermarks()
}

// saveLogs saves each log and makes the files durable. If there are many, it uses two
// syncfs: one for the content, one for the names.
func (d *dir) saveLogs(closing bool) ([]saved, error) {
	logs := d.manager.list(d)
	all := make([]saved, len(logs))
	errs := make([]error, len(logs))
	parallel(len(logs), d.flusher.width(), func(i int) { all[i], errs[i] = logs[i].save(closing) })
	var saves []saved
	var failed error
	for i, err := range errs {
		switch {
		case err == nil:
			saves = append(saves, all[i])
		case !isClosed(err):
			failed = err
		}
	}
	if failed != nil {
		return saves, failed
	}
	if err := d.syncSaves(saves, (*saved).contents, (*saved).sync); err != nil {
		return saves, err
	}
	for i := range saves {
		if err := saves[i].rename(); err != nil {
			return saves, err
		}
	}
	return saves, d.syncSaves(saves, (*saved).folders, (*saved).syncNames)
}

// syncSaves makes the count files of each save durable: by calling each for every save,
// or with one syncfs for all.
func (d *dir) syncSaves(saves []saved, count func(*saved) int, each func(*saved) error) error {
	total := 0
	for i := range saves {
		total += count(&saves[i])
	}
	if d.flusher.bulk(total) {
		if err := d.flusher.syncer.Sync(); err != nil {
			return d.fail(err)
		}
		return nil
	}
	errs := make([]error, len(saves))
	parallel(len(saves), d.flusher.width(), func(i int) { errs[i] = each(&saves[i]) })
	return errors.Join(errs...)
}

// writePoints writes recovery-point-offset-checkpoint if it changed.
func (d *dir) writePoints() error {
	return d.write(recoveryName, &d.points, func(l *Log) (int64, bool) { return l.point, true })
}

// writeStarts writes log-start-offset-checkpoint, with a line for each log that does
// not begin at the base of its first segment, as in Kafka.
func (d *dir) writeStarts() error {
	return d.write(startName, &d.starts, func(l *Log) (int64, bool) {
		if l.givenUp > 0 {
			return l.givenUp, true
		}
		return l.start, l.start > l.segments[0].base
	})
}

// writeHighWatermarks writes replication-offset-checkpoint.
func (d *dir) writeHighWatermarks() error {
	return d.write(replicationName, &d.highWatermarks, func(l *Log) (int64, bool) { return l.hw, true })
}

// writeCleaned writes cleaner-offset-checkpoint, with a line for each log that
// was ever compacted.
func (d *dir) writeCleaned() error {
	return d.write(cleanerName, &d.cleaned, func(l *Log) (int64, bool) { return l.cleaned, l.cleaned != noOffset })
}

// writeFlushed writes .ottla_flushed, the flushed offset of each log, with which a
// recovery distinguishes a torn tail from damage. It is written every flushedInterval,
// and no append waits for it. Every line stays valid after it was written, because a
// truncation first rewrites the file.
//
// Another program may open the dir after this one was killed, and make other logs with
// the same names. So the first line has a hash of the recovery points, which that
// program rewrites. A file with another hash is not used. A clean stop removes the
// file.
func (d *dir) writeFlushed() error {
	err := d.write(flushedName, &d.flushed, flushedOffset, d.pointsLine())
	if err != nil {
		d.flushedUnknown() // the file may exist in spite of the error
	}
	return err
}

func flushedOffset(l *Log) (int64, bool) { return l.flushed, l.flushed > 0 && l.givenUp == 0 }

// writeRecent writes the same content to .ottla_flushed.recent every recentInterval. It
// is not made durable: it is for a process crash, after which the page cache still
// exists. A power loss may leave a part of the file, which the number of lines or the
// text reveals, or an older version, which is still valid.
func (d *dir) writeRecent() error {
	logs := d.manager.list(d)
	if len(logs) > recentLogs {
		return nil
	}
	if !d.writing.TryLock() {
		return nil // another file is being written; the next call comes soon
	}
	defer d.writing.Unlock()
	lines, offsets := d.lines(logs, flushedOffset, d.pointsLine())
	if d.recentThere && maps.Equal(offsets, d.recent) {
		return nil
	}
	d.recent, d.recentThere = offsets, true
	name := filepath.Join(d.path, recentName)
	if err := writeFile(d.env.fs, name+vfs.TempSuffix, encodeOffsets(lines)); err != nil {
		return d.writeFailed(err)
	}
	if err := d.env.fs.Rename(name+vfs.TempSuffix, name); err != nil {
		return d.writeFailed(err)
	}
	return nil
}

// dropRecent removes .ottla_flushed.recent, durably.
func (d *dir) dropRecent() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if !d.recentThere {
		return nil
	}
	if err := ignoreMissing(d.env.fs.Remove(filepath.Join(d.path, recentName))); err != nil {
		return d.writeFailed(err)
	}
	if err := d.env.fs.SyncDir(d.path); err != nil {
		return d.fail(err)
	}
	d.recent, d.recentThere = nil, false
	return nil
}

const (
	// flushedInterval is the maximum age of .ottla_flushed, recentInterval that of
	// .ottla_flushed.recent in a dir with at most recentLogs logs.
	flushedInterval = time.Second
	recentInterval  = 100 * time.Millisecond
	recentLogs      = 1000
)

// pointsKey is the key of the line with the hash of the recovery points in
// .ottla_flushed. It is not a valid topic name.
var pointsKey = partitionKey{topic: "/recovery-points"}

// pointsLine returns the line with the hash of the recovery points on disk.
func (d *dir) pointsLine() offsetLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sum uint64
	for key, offset := range d.points {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s-%d %d", key.topic, key.partition, offset)
		sum += h.Sum64() // independent of the order
	}
	return offsetLine{pointsKey, int64(sum >> 1)}
}

// readFlushed reads .ottla_flushed and .ottla_flushed.recent. It removes them durably if
// they are not from the last run of the dir.
func (d *dir) readFlushed() error {
	hash, removed := d.pointsLine().offset, false
	for _, x := range []struct {
		name string
		to   *map[partitionKey]int64
	}{{flushedName, &d.flushed}, {recentName, &d.recent}} {
		name := filepath.Join(d.path, x.name)
		offsets, err := readOffsets(d.env.fs, name)
		var corrupt *CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			return err
		}
		if err == nil && offsets == nil {
			continue // the file is missing
		}
		if err == nil && !d.clean && offsets[pointsKey] == hash {
			*x.to = offsets
			continue
		}
		if err := ignoreMissing(d.env.fs.Remove(name)); err != nil {
			return err
		}
		removed = true
	}
	d.recentThere = d.recent != nil
	if removed {
		return d.env.fs.SyncDir(d.path)
	}
	return nil
}

// removeFlushed removes both files at a clean stop. Writing the clean-stop marker makes
// this durable.
func (d *dir) removeFlushed() error {
	for _, name := range []string{flushedName, recentName} {
		if err := ignoreMissing(d.env.fs.Remove(filepath.Join(d.path, name))); err != nil {
			return d.writeFailed(err)
		}
	}
	return nil
}

// flushedUnknown makes the next truncation of any log rewrite .ottla_flushed first.
func (d *dir) flushedUnknown() {
	unknown := map[partitionKey]int64{{}: noOffset} // differs from any content
	for _, l := range d.manager.list(d) {
		unknown[l.key()] = math.MaxInt64
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flushed = unknown
}

// write replaces a checkpoint if its content differs from onDisk. offset is called with
// a log's mu held. If the disk is full the old file remains; it is older, but valid.
func (d *dir) write(name string, onDisk *map[partitionKey]int64, offset func(*Log) (int64, bool), more ...offsetLine) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	lines, offsets := d.lines(d.manager.list(d), offset, more...)
	d.mu.Lock()
	same := maps.Equal(offsets, *onDisk)
	d.mu.Unlock()
	if same {
		return nil
	}
	if err := vfs.WriteFileAtomic(d.env.fs, filepath.Join(d.path, name), encodeOffsets(lines), 0o644); err != nil {
		return d.writeFailed(err)
	}
	d.mu.Lock()
	*onDisk = offsets
	d.mu.Unlock()
	return nil
}

// lines returns the lines of a checkpoint, also as a map.
func (d *dir) lines(logs []*Log, offset func(*Log) (int64, bool), more ...offsetLine) ([]offsetLine, map[partitionKey]int64) {
	list := more
	offsets := make(map[partitionKey]int64)
	for _, line := range more {
		offsets[line.partitionKey] = line.offset
	}
	for _, l := range logs {
		l.mu.Lock()
		o, ok := offset(l)
		ok = ok && !l.unmade
		l.mu.Unlock()
		if ok {
			list = append(list, offsetLine{l.key(), o})
			offsets[l.key()] = o
		}
	}
	return list, offsets
}

func (l *Log) key() partitionKey { return partitionKey{l.tp.Topic, l.tp.Partition} }

// startOnDisk returns the log start in the checkpoint on disk.
func (d *dir) startOnDisk(l *Log) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.starts[l.key()]
}

// pointOnDisk returns the recovery point in the checkpoint on disk.
func (d *dir) pointOnDisk(l *Log) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.points[l.key()]
}

// lines has the values of a partition in the checkpoints on disk.
type lines struct{ point, start, highWatermark, cleaned, flushed int64 }

// written returns the values of a partition on disk. It waits for a checkpoint that is
// being written, because that may contain older values.
func (d *dir) written(key partitionKey) lines {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	return lines{d.points[key], d.starts[key], d.highWatermarks[key], d.cleaned[key], max(d.flushed[key], d.recent[key])}
}

// lowerRecoveryPoint rewrites the checkpoints if they have values of a log above
// offset, to which the log will be truncated. The caller holds the log's write and
// flushing. The values in memory are lowered before those on disk. So a checkpoint that
// starts meanwhile has the new values, and a running save does not raise them again,
// because its generation is outdated.
func (d *dir) lowerRecoveryPoint(l *Log, offset int64) error {
	l.mu.Lock()
	l.generation++
	l.point, l.start, l.cleaned = min(l.point, offset), min(l.start, offset), min(l.cleaned, offset)
	l.flushed = min(l.flushed, offset)
	l.mu.Unlock()
	if err := d.dropRecent(); err != nil {
		return err
	}
	on := d.written(l.key())
	for _, c := range []struct {
		lower bool
		write func() error
	}{
		{on.flushed > offset, d.writeFlushed},
		{on.point > offset, d.writePoints},
		{on.start > offset, d.writeStarts},
		{on.cleaned > offset, d.writeCleaned},
	} {
		if !c.lower {
			continue
		}
		if err := c.write(); err != nil {
			return err
		}
	}
	return nil
}

// forget removes the lines of a partition that is created: they belong to an earlier
// log with the same name.
func (d *dir) forget(key partitionKey) error {
	if known := d.written(key); known == (lines{}) {
		return nil
	}
	for _, write := range []func() error{d.dropRecent, d.writeFlushed, d.writePoints, d.writeStarts, d.writeHighWatermarks, d.writeCleaned} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
