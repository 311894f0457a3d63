package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ottla/internal/vfs"
)

// A new partition costs nothing on disk until its first record: the metadata
// log says that it exists, and a folder without a record says nothing that the
// metadata does not. To make it costs three files' worth of the file system,
// which on ext4 is from 15 µs each to 400 where many files were removed in the
// last minute; of a topic with 10,000 partitions most are idle for a while, and
// clients wait for the answer.
//
//  1. create sees that the name is free and that the dir takes records. The log
//     is empty, in memory.
//  2. The first append makes folder, partition.metadata and segment, before it
//     writes: a record is never in a folder that does not name its topic (P14).
//     The flush that makes the record durable does the same for what leads to it.
//  3. Until then a flush and a checkpoint find nothing to do, no checkpoint names
//     the partition, and deleting it touches no file but those that an attempt on
//     a full disk left. After a crash the metadata creates it anew.
//
// Rejected: a clean stop that does step 2 for those that had no record, so that it
// leaves the folders that Kafka would. With 9,000 such partitions a stop took 24
// seconds on ext4. Kafka creates a folder that is missing when it starts.
// Rejected: folders that a goroutine makes later. The work is the same, at a
// moment when nobody expects it, and a stop would have to wait for it.

// create is step 1.
func (l *Log) create() error {
	d := l.dir
	if err := errors.Join(d.failed(), d.takesRecords()); err != nil {
		return err
	}
	if err := d.forget(l.key()); err != nil {
		return err
	}
	if err := l.nameIsFree(); err != nil {
		return err
	}
	l.segments = []*segment{l.newSegment(0, l.config.Load())}
	l.unmade, l.configured = true, true
	l.notified = noOffset
	return nil
}

// nameIsFree tells whether there is a folder that is not this log's.
func (l *Log) nameIsFree() error {
	switch _, err := l.env.fs.Stat(l.path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return l.dir.writeFailed(err)
	}
	if err := l.readTopicID(); errors.Is(err, ErrTopicID) {
		return err
	} else if err != nil {
		return l.dir.writeFailed(err)
	}
	return fmt.Errorf("%w: the folder %s", ErrExists, l.path)
}

// putOnDisk is step 2. What an attempt on a full disk left is made again by the
// next. The caller holds write.
func (l *Log) putOnDisk() error {
	if !l.unmade {
		return nil
	}
	h, newFiles, err := l.makeFiles()
	if err != nil {
		l.halfMade = true
		return l.dir.writeFailed(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unmade = false
	l.active().pinned = h // for the append
	l.newFolder, l.newFiles = true, newFiles
	l.names++
	l.touched, l.epochs.changed = true, true
	return nil
}

// makeFiles makes the folder and what is in it at first: the segment, which is
// returned open, and small files, whose content is to be flushed.
func (l *Log) makeFiles() (segment vfs.File, small []string, err error) {
	if err := l.env.fs.MkdirAll(l.path, 0o755); err != nil {
		return nil, nil, err
	}
	if l.tp.TopicID != [16]byte{} {
		if err := writeFile(l.env.fs, filepath.Join(l.path, partitionName), encodePartitionMetadata(l.tp.TopicID)); err != nil {
			return nil, nil, err
		}
		small = []string{partitionName}
	}
	segment, err = l.active().file.open(os.O_RDWR | os.O_CREATE | os.O_TRUNC)
	return segment, small, err
}

// Delete removes partitions of a topic: their folders are renamed to …-delete at
// once, durably, and removed after file.delete.delay.ms. A Slice stays readable.
// Those that the node does not have are passed over. The error joins those of
// single partitions; the others are deleted.
func (m *Manager) Delete(topic string, partitions ...int32) error {
	return m.giveUp(topic, partitions, deleteDirSuffix)
}

// Quarantine takes a partition out of use that nobody claims: its folder is
// renamed to …-stray and kept, for data is deleted only by a committed delete
// of its topic id and never because metadata is missing (M13).
func (m *Manager) Quarantine(topic string, partition int32) error {
	return m.giveUp(topic, []int32{partition}, strayDirSuffix)
}

// giveUp closes logs and renames their folders. Each dir is made durable once,
// after all of its renames. A crash before that brings some of them back, as one
// before the first rename does with all: folders of a topic that nobody knows.
func (m *Manager) giveUp(topic string, partitions []int32, suffix string) error {
	var errs []error
	retired := make(map[*dir][]trashItem)
	for _, partition := range partitions {
		l := m.forget(partitionKey{topic, partition})
		if l == nil {
			continue
		}
		item, err := l.giveUp(suffix)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s-%d: %w", topic, partition, err))
		case item.path != "":
			retired[l.dir] = append(retired[l.dir], item)
		}
	}
	for _, d := range m.dirs {
		if len(retired[d]) == 0 {
			continue
		}
		if err := m.env.fs.SyncDir(d.path); err != nil {
			errs = append(errs, d.fail(err))
			continue
		}
		if suffix == deleteDirSuffix {
			d.trash.add(retired[d]...)
		}
	}
	return errors.Join(errs...)
}

// forget takes a log out of the Manager, nil if there is none.
func (m *Manager) forget(key partitionKey) *Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.logs[key]
	if l != nil {
		l.dir.logs--
		delete(m.logs, key)
	}
	return l
}

// giveUp closes the log and renames its folder, not durably yet. The item is
// what is to be removed later, without a path when nothing is on disk.
func (l *Log) giveUp(suffix string) (trashItem, error) {
	l.reshaping.Lock()
	defer l.reshaping.Unlock()
	l.write.Lock()
	defer l.write.Unlock()
	l.flushing.Lock()
	defer l.flushing.Unlock()
	if err := l.usable(); err != nil {
		return trashItem{}, err
	}
	d := l.dir
	l.mu.Lock()
	l.closed = ErrClosed
	for _, s := range l.segments {
		s.retire()
	}
	l.mu.Unlock()
	if l.unmade && !l.halfMade {
		return trashItem{}, nil
	}
	path := d.retiredPath(l.tp, suffix)
	err := d.env.fs.Rename(l.path, path)
	if l.unmade {
		err = ignoreMissing(err) // the attempt made nothing
	}
	if err != nil {
		return trashItem{}, d.fail(err)
	}
	return trashItem{path, d.env.now().Add(l.config.Load().FileDeleteDelay)}, nil
}
