package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ottla/internal/vfs"
	"ottla/internal/xsync"
)

// dir is one log dir, or the environment of a log outside a Manager.
//
// It is online until a write or flush fails for another reason than a full disk.
// Then its logs are closed. Writes are not retried, because the kernel may have lost
// data. Only a restart, which checks the data on disk, brings the dir back.
type dir struct {
	env  *env
	path string
	id   [16]byte
	// flusher is nil for a log outside a Manager, whose owner flushes.
	flusher *flusher
	lock    io.Closer
	manager *Manager
	// reserve is nil for a log outside a Manager.
	reserve *reserve
	trash   trash
	// logs is the number of the Manager's logs in the dir; guarded by its lock.
	logs int
	// clean is true if the last stop was clean; cleanEpoch is its broker epoch.
	clean      bool
	cleanEpoch int64

	// checkpoints is held during a checkpoint of all logs. It is taken before
	// Log.write. writing is held while one of the files is written. It is taken
	// after the locks of a log.
	checkpoints, writing xsync.Mutex

	mu      sync.Mutex
	failure *StorageError
	// points, starts, highWatermarks, cleaned and flushed are the contents of the
	// checkpoints on disk.
	points, starts, highWatermarks, cleaned, flushed map[partitionKey]int64
	// recent is the content of .ottla_flushed.recent, if it exists. Guarded by
	// writing.
	recent      map[partitionKey]int64
	recentThere bool
	// tell is called once, in a separate goroutine, when the dir fails.
	tell func(error)
}

// failed returns the error that took the dir offline, nil while it is online.
func (d *dir) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil {
		return nil
	}
	return d.failure
}

// fail takes the dir offline and returns the error for the caller.
func (d *dir) fail(err error) error {
	if isClosed(err) {
		return err
	}
	failure, ok := err.(*StorageError) //nolint:errorlint // a wrapped one has more context
	if !ok {
		failure = &StorageError{Dir: d.path, Err: err}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failure == nil {
		d.failure = failure
		if d.tell != nil {
			d.tell(failure)
		}
	}
	return failure
}

// writeFailed is fail for an operation that has changed nothing yet. A full disk or a
// lack of file descriptors leaves the dir online.
func (d *dir) writeFailed(err error) error {
	if vfs.IsNoSpace(err) {
		d.ranFull()
	}
	if Passes(err) {
		return &StorageError{Dir: d.path, Err: err}
	}
	return d.fail(err)
}

// relieve waits for a flush of all logs of the dir, after which their files can be
// closed. The caller holds no lock.
func (d *dir) relieve() {
	if d.flusher != nil {
		d.flusher.relieve()
	}
}

// flushSoon requests a flush of a log.
func (d *dir) flushSoon(l *Log) {
	if d.flusher != nil {
		d.flusher.add(l)
	}
}

// errForeignDir means that a dir belongs to another node or cluster.
var errForeignDir = errors.New("the log dir belongs to another node")

// openDir locks a dir and reads its meta.properties and checkpoints. The marker of a
// clean stop is removed durably before anything else is changed.
func (m *Manager) openDir(path string) (*dir, error) {
	fsys := m.env.fs
	if err := makeDir(fsys, path); err != nil {
		return nil, err
	}
	lock, err := fsys.Lock(filepath.Join(path, lockName))
	if err != nil {
		return nil, fmt.Errorf("log dir %s: %w", path, err)
	}
	d := &dir{env: m.env, path: path, lock: lock, manager: m}
	d.tell = func(err error) { m.tell(DirFailure{Path: path, ID: d.id, Err: err}) }
	if err = m.identify(d); err == nil {
		err = d.readState()
	}
	if err == nil {
		d.reserve, err = openReserve(m.options.FS, path, m.options.ReserveBytes)
	}
	if err == nil {
		d.flusher, err = newFlusher(d, m.options.FlushMethod)
	}
	if err != nil {
		if d.reserve != nil {
			_ = d.reserve.close()
		}
		_ = lock.Close() // the error above is returned
		return nil, fmt.Errorf("log dir %s: %w", path, err)
	}
	d.flusher.serial = m.options.manual
	return d, nil
}

// makeDir makes a dir and its missing parents durably.
func makeDir(fsys vfs.FS, path string) error {
	if _, err := fsys.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return fsys.SyncDir(parent)
}

// syncAbove makes the names of a dir and its parents durable, as far as the parents
// can be opened.
func syncAbove(fsys vfs.FS, path string) {
	for parent := filepath.Dir(path); parent != path; path, parent = parent, filepath.Dir(parent) {
		_ = fsys.SyncDir(parent)
	}
}

// identify compares meta.properties with the node and cluster. In a new dir it writes
// the file with a new directory id.
func (m *Manager) identify(d *dir) error {
	meta, err := ReadMetaProperties(m.env.fs, d.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// An earlier start may have made the dir and failed before it was durable.
		syncAbove(m.env.fs, d.path)
		meta = MetaProperties{ClusterID: m.options.ClusterID, NodeID: m.options.NodeID}
	case err != nil:
		return err
	case meta.NodeID != m.options.NodeID:
		return fmt.Errorf("%w: meta.properties has node.id %d, this is node %d", errForeignDir, meta.NodeID, m.options.NodeID)
	case meta.ClusterID != m.options.ClusterID:
		return fmt.Errorf("%w: meta.properties has cluster.id %s, this cluster is %s", errForeignDir, meta.ClusterID, m.options.ClusterID)
	}
	if meta.DirectoryID == [16]byte{} {
		meta.DirectoryID = m.env.newID()
		if err := WriteMetaProperties(m.env.fs, d.path, meta); err != nil {
			return err
		}
	}
	d.id = meta.DirectoryID
	return nil
}

// cleanStop is the content of .kafka_cleanshutdown.
type cleanStop struct {
	Version     int   `json:"version"`
	BrokerEpoch int64 `json:"brokerEpoch"`
}

// readState reads the checkpoints and removes the marker of a clean stop. A checkpoint
// that cannot be read counts as missing; recovery then scans more.
func (d *dir) readState() error {
	for _, c := range []struct {
		name string
		to   *map[partitionKey]int64
	}{{recoveryName, &d.points}, {startName, &d.starts}, {replicationName, &d.highWatermarks}, {cleanerName, &d.cleaned}} {
		offsets, err := readOffsets(d.env.fs, filepath.Join(d.path, c.name))
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
			d.env.log.Warn("going on without a checkpoint", "err", err)
			offsets = map[partitionKey]int64{{}: noOffset} // differs from any content, so that it is rewritten
		} else if err != nil {
			return err
		}
		*c.to = offsets
	}
	name := filepath.Join(d.path, cleanName)
	data, err := vfs.ReadFile(d.env.fs, name)
	d.clean = err == nil
	if err := d.readFlushed(); err != nil {
		return err
	}
	if err != nil {
		d.cleanEpoch = -1
		return ignoreMissing(err)
	}
	stop := cleanStop{BrokerEpoch: -1}
	_ = json.Unmarshal(data, &stop) // only the existence of the file matters
	d.cleanEpoch = stop.BrokerEpoch
	if err := d.env.fs.Remove(name); err != nil {
		return err
	}
	return d.env.fs.SyncDir(d.path)
}

func (d *dir) partitionPath(key partitionKey) string {
	return filepath.Join(d.path, partitionDirName(key.topic, key.partition))
}

// loadDir opens every partition of a dir. An error of the dir itself takes it offline.
// Only other errors are returned; they end the open of the Manager.
func (m *Manager) loadDir(ctx context.Context, d *dir) error {
	keys, err := d.partitions()
	if err != nil {
		_ = d.fail(err)
		return m.anyOnline()
	}
	width := int(m.options.Logs.RecoveryThreadsPerDir)
	if m.options.manual {
		width = 1
	}
	errs := make([]error, len(keys))
	parallel(len(keys), max(1, width), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil && d.failed() == nil {
			errs[i] = m.loadLog(d, keys[i])
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if m.env.durable && d.failed() == nil {
		d.flushLoaded(m.list(d))
	}
	return m.anyOnline()
}

func (m *Manager) anyOnline() error {
	var last error
	for _, d := range m.dirs {
		err := d.failed()
		if err == nil {
			return nil
		}
		last = err
	}
	return fmt.Errorf("every log dir failed: %w", last)
}

// partitions lists the folders of partitions in use. Folders of deleted partitions go
// to the trash. Strays, replicas that were being moved, the metadata log and other
// folders are ignored.
func (d *dir) partitions() ([]partitionKey, error) {
	entries, err := d.env.fs.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var keys []partitionKey
	for _, e := range entries {
		name := e.Name()
		topic, partition, ok := parsePartitionDir(name)
		switch {
		case !e.IsDir() || topic == metadataTopic:
		case ok:
			keys = append(keys, partitionKey{topic, partition})
		case strings.HasSuffix(name, deleteDirSuffix) && strings.Contains(name, "."):
			d.trash.add(trashItem{path: filepath.Join(d.path, name)})
		default:
			d.env.log.Info("leaving a folder alone that is no partition in use", "folder", filepath.Join(d.path, name))
		}
	}
	return keys, nil
}

// loadLog opens one partition. If it is damaged, only this partition stays closed. A
// disk error takes the dir offline.
func (m *Manager) loadLog(d *dir, key partitionKey) error {
	c, known := m.options.Default, false
	if m.options.TopicConfig != nil {
		if own, ok := m.options.TopicConfig(key.topic); ok {
			c, known = own, true
		}
	}
	l := newLog(d, TopicPartition{Topic: key.topic, Partition: key.partition}, d.partitionPath(key), c)
	l.configured = known
	if cleaned, ok := d.cleaned[key]; ok {
		l.cleaned = cleaned
	}
	point := d.points[key]
	if d.clean {
		point = afterCleanStop
	}
	err := l.readTopicID()
	if err == nil {
		err = l.load(point, d.written(key))
	}
	if err == nil && d.clean {
		err = l.checkEnd(d.points[key])
	}
	if err != nil {
		l.retire(ErrClosed)
		if isFatal(err) {
			_ = d.fail(err)
			return nil
		}
		m.env.log.Error("a partition cannot be opened", "partition", l.name(), "dir", d.path, "err", err)
	} else {
		l.SetHighWatermark(d.highWatermarks[key])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if other := m.logs[key]; other != nil {
		return fmt.Errorf("partition %s has two folders, in %s and in %s: remove the one that is older", l.name(), other.dir.path, d.path)
	}
	if err != nil {
		m.broken[key] = err
	} else {
		m.logs[key] = l
		d.logs++
	}
	return nil
}

// flushLoaded makes the data above the recovery points durable. After kill -9 it is
// only in the page cache, and it must not count before the flush.
func (d *dir) flushLoaded(logs []*Log) {
	for _, l := range logs {
		if l.flushed < l.end || l.names != l.namesSynced || l.newFolder || l.active().pinned != nil {
			d.flusher.add(l)
		}
	}
	d.flusher.round()
}

// retiredPath returns an unused folder name.
func (d *dir) retiredPath(tp TopicPartition, suffix string) string {
	for {
		path := filepath.Join(d.path, retiredDirName(tp.Topic, tp.Partition, d.env.newID(), suffix))
		if _, err := d.env.fs.Stat(path); err != nil {
			return path
		}
	}
}

// farFuture is a time at which every item is due.
var farFuture = time.Unix(1<<40, 0)

// emptyTrash removes the items that are due, and on a full disk all items. If a removal
// fails, it is retried after the next start.
func (d *dir) emptyTrash(now time.Time) {
	if d.reserve.gone.Load() {
		now = farFuture
	}
	for _, item := range d.trash.take(now) {
		if err := d.env.fs.RemoveAll(item.path); err != nil {
			d.env.log.Warn("cannot remove what was deleted", "path", item.path, "err", err)
		}
	}
}

// close flushes and closes the logs of the dir and marks it as cleanly
// stopped.
func (d *dir) close(brokerEpoch int64) error {
	d.flusher.end()
	logs := d.manager.list(d)
	err := d.failed()
	if err == nil {
		err = d.stop(logs, brokerEpoch)
	}
	for _, l := range logs {
		l.retire(ErrClosed)
	}
	return errors.Join(err, d.flusher.close(), d.reserve.close(), d.lock.Close())
}

func (d *dir) stop(logs []*Log, brokerEpoch int64) error {
	for _, l := range logs {
		d.flusher.add(l)
	}
	d.flusher.round()
	if err := d.failed(); err != nil {
		return err
	}
	err := d.checkpoint(true)
	if IsNoSpace(err) {
		err = d.checkpoint(true) // the reserve has made space
	}
	if err != nil {
		return err
	}
	if err := d.removeFlushed(); err != nil {
		return err
	}
	data, err := json.Marshal(cleanStop{BrokerEpoch: brokerEpoch})
	if err != nil {
		return err
	}
	if err := vfs.WriteFileAtomic(d.env.fs, filepath.Join(d.path, cleanName), data, 0o644); err != nil {
		return d.writeFailed(err)
	}
	return nil
}
