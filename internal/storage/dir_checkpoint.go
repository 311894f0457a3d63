package storage

import (
	"errors"
	"maps"
	"path/filepath"

	"ottla/internal/vfs"
)

// checkpoint lets the recovery points of the dir's logs move: first what they
// rely on is written and made durable, then they are. With closing it is the
// last one, which leaves the logs as Kafka's clean stop does and writes the
// other checkpoints too.
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
	if err := d.writePoints(); err != nil || !closing {
		return err
	}
	if err := d.writeStarts(); err != nil {
		return err
	}
	if err := d.writeCleaned(); err != nil {
		return err
	}
	return d.writeHighWatermarks()
}

// saveLogs saves each log and makes the files durable, with two syncfs if they
// are many: one for content, one for the names that the content then gets.
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

// syncSaves makes count files of each save durable: each one's by each, or all
// at once.
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

// writeStarts writes log-start-offset-checkpoint, with a line for each log that
// does not begin with its first segment, as Kafka has.
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

// write replaces a checkpoint if its content, known from onDisk, changed.
// offset is called with a log's mu held. A full disk keeps the old one, which
// is behind but not wrong.
func (d *dir) write(name string, onDisk *map[partitionKey]int64, offset func(*Log) (int64, bool)) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	var lines []offsetLine
	offsets := make(map[partitionKey]int64)
	for _, l := range d.manager.list(d) {
		l.mu.Lock()
		o, ok := offset(l)
		ok = ok && !l.unmade
		l.mu.Unlock()
		if ok {
			lines = append(lines, offsetLine{l.key(), o})
			offsets[l.key()] = o
		}
	}
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

func (l *Log) key() partitionKey { return partitionKey{l.tp.Topic, l.tp.Partition} }

// startOnDisk is the start of a log that a crash would leave.
func (d *dir) startOnDisk(l *Log) int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.starts[l.key()]
}

// lines are what the checkpoints on disk say of a partition.
type lines struct{ point, start, highWatermark, cleaned int64 }

// written waits for the checkpoint that is being written, which knows the
// partition as it was when that began.
func (d *dir) written(key partitionKey) lines {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	return lines{d.points[key], d.starts[key], d.highWatermarks[key], d.cleaned[key]}
}

// lowerRecoveryPoint writes the checkpoints anew when they say more of a log
// than will hold once it was truncated to offset. The caller holds the log's
// write and flushing. What the log says is lowered before it looks at the disk:
// a checkpoint that begins meanwhile has it, and a save under way, of another
// generation now, does not take it back.
func (d *dir) lowerRecoveryPoint(l *Log, offset int64) error {
	l.mu.Lock()
	l.generation++
	l.point, l.start, l.cleaned = min(l.point, offset), min(l.start, offset), min(l.cleaned, offset)
	l.mu.Unlock()
	on := d.written(l.key())
	for _, c := range []struct {
		lower bool
		write func() error
	}{
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

// forget drops the lines of a partition that is created anew: they are about
// another log of that name.
func (d *dir) forget(key partitionKey) error {
	if known := d.written(key); known == (lines{}) {
		return nil
	}
	for _, write := range []func() error{d.writePoints, d.writeStarts, d.writeHighWatermarks, d.writeCleaned} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}
