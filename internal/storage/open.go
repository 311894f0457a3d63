package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"syscall"

	"ottla/internal/config"
	"ottla/internal/vfs"
)

// OpenLog opens or creates one log outside a Manager and flushes the recovered data.
// Such a log has no flusher: its owner calls Flush, Checkpoint, DeleteBelowStart and
// Close.
func OpenLog(o LogOptions) (*Log, error) {
	e := newEnv(&env{fs: o.FS, now: o.Now, log: o.Log, codecs: o.Codecs, durable: true}, 0, 0, o.Seed)
	d := &dir{env: e, path: filepath.Dir(o.Path)}
	if err := makeDir(o.FS, d.path); err != nil {
		return nil, d.writeFailed(err)
	}
	l := newLog(d, o.TP, o.Path, o.Config)
	existed, err := l.makeFolder()
	if err != nil {
		return nil, err
	}
	point := o.RecoveryPoint
	if !existed {
		point = 0
	}
	if err := l.load(point, lines{start: o.Start}); err != nil {
		l.retire(ErrClosed)
		return nil, fmt.Errorf("open log %s: %w", o.Path, err)
	}
	if err := l.Flush(); err != nil {
		l.retire(ErrClosed)
		return nil, err
	}
	return l, nil
}

func newLog(d *dir, tp TopicPartition, path string, c config.Topic) *Log {
	l := &Log{env: d.env, dir: d, tp: tp, path: path, cleaned: noOffset}
	l.config.Store(&c)
	l.producers.reset()
	return l
}

// makeFolder makes the folder of a new log with its partition.metadata, or reads the
// topic id of an existing one.
func (l *Log) makeFolder() (existed bool, err error) {
	if _, err := l.env.fs.Stat(l.path); err == nil {
		return true, l.readTopicID()
	} else if ignoreMissing(err) != nil {
		return false, err
	}
	if err := l.env.fs.MkdirAll(l.path, 0o755); err != nil {
		return false, err
	}
	l.newFolder = true
	l.names++
	return false, l.writeTopicID()
}

func (l *Log) writeTopicID() error {
	if l.tp.TopicID == [16]byte{} {
		return nil
	}
	if err := writeFile(l.env.fs, filepath.Join(l.path, partitionName), encodePartitionMetadata(l.tp.TopicID)); err != nil {
		return err
	}
	l.newFiles = []string{partitionName}
	return nil
}

// readTopicID compares the topic id of the folder with the expected one, or uses it if
// none is expected. A file that a crash left empty was never flushed, so no record in
// the folder was acknowledged. It counts as missing.
func (l *Log) readTopicID() error {
	name := filepath.Join(l.path, partitionName)
	data, err := vfs.ReadFile(l.env.fs, name)
	if err != nil {
		return ignoreMissing(err)
	}
	id, err := decodePartitionMetadata(data)
	if err != nil {
		l.env.log.Warn("cannot use the topic id of a partition", "file", name, "err", err)
		return nil
	}
	if l.tp.TopicID != [16]byte{} && l.tp.TopicID != id {
		return fmt.Errorf("%w: %s holds topic id %s, not %s", ErrTopicID, l.path, formatID(id), formatID(l.tp.TopicID))
	}
	l.tp.TopicID = id
	return nil
}

// AssignTopicID sets the topic id of a log whose folder has none: a folder from before
// topic ids, or one that a crash left without. If the folder has another id, it returns
// ErrTopicID (P14).
func (l *Log) AssignTopicID(id [16]byte) error {
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if l.tp.TopicID == id {
		return nil
	}
	if l.tp.TopicID != [16]byte{} {
		return fmt.Errorf("%w: %s holds topic id %s, not %s", ErrTopicID, l.path, formatID(l.tp.TopicID), formatID(id))
	}
	name := filepath.Join(l.path, partitionName)
	if !l.unmade { // otherwise putOnDisk writes it
		if err := vfs.WriteFileAtomic(l.env.fs, name, encodePartitionMetadata(id), 0o644); err != nil {
			return l.dir.writeFailed(err)
		}
	}
	l.mu.Lock()
	l.tp.TopicID = id
	l.mu.Unlock()
	return nil
}

// isFatal tells whether an error affects a whole dir. It is false for an error of a
// single log: damage, or a folder or dangling link in place of a file.
func isFatal(err error) bool {
	var corrupt *CorruptError
	for _, single := range []error{ErrTopicID, fs.ErrNotExist, syscall.EISDIR, syscall.ELOOP} {
		if errors.Is(err, single) {
			return false
		}
	}
	return !errors.As(err, &corrupt)
}
