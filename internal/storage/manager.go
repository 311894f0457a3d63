package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"ottla/internal/config"
	"ottla/internal/vfs"
)

// Manager owns the log dirs of a node and the logs in them. All methods may be
// called by several goroutines.
type Manager struct {
	options Options
	env     *env
	cleaner *Cleaner
	dirs    []*dir // dirs that were online at open
	offline []DirFailure

	mu     sync.Mutex
	logs   map[partitionKey]*Log
	broken map[partitionKey]error
	// reserved has the partitions that are being created.
	reserved map[partitionKey]bool
	cordoned []string // dirs that take no new partitions
	closed   bool

	stop  chan struct{}
	tasks sync.WaitGroup // periodic tasks
	tells sync.WaitGroup // calls of OnDirFailure
}

// Dir is an online log dir.
type Dir struct {
	ID   [16]byte
	Path string
}

// OpenManager locks and opens every dir, recovers all partitions, several at once, and
// makes the recovered state durable. It returns an error if a dir is used by another
// process, or belongs to another node or cluster, or if no dir can be opened. A dir
// that fails in another way is offline from the start. Broken lists the partitions
// whose folder could not be opened.
func OpenManager(ctx context.Context, o Options) (*Manager, error) {
	m := &Manager{options: o, logs: make(map[partitionKey]*Log), broken: make(map[partitionKey]error), reserved: make(map[partitionKey]bool), stop: make(chan struct{})}
	fsys := o.FS
	if o.ReserveBytes > 0 {
		fsys = vfs.Roomy{FS: o.FS, More: m.makeRoom}
	}
	m.env = newEnv(&env{
		fs: fsys, now: o.Now, log: o.Log, codecs: o.Codecs,
		durable:   o.Durability == config.Fsync,
		scanBytes: o.scanBytes,
		metrics:   o.Metrics,
	}, o.OpenFilesMax, o.OpenFilesLimit, o.Seed)
	m.env.producerExpiryMs.Store(o.Producers.IDExpiration.Milliseconds())
	m.env.limit.set(int64(o.Producers.IDsMax))
	m.cordoned = o.Logs.CordonedDirs
	m.cleaner = newCleaner(m)
	if err := m.open(ctx); err != nil {
		m.abandon()
		return nil, err
	}
	m.trimProducers()
	m.start()
	return m, nil
}

func (m *Manager) open(ctx context.Context) error {
	for _, path := range m.options.Dirs {
		d, err := m.openDir(path)
		switch {
		case err == nil:
			m.dirs = append(m.dirs, d)
		case errors.Is(err, vfs.ErrLocked) || errors.Is(err, errForeignDir):
			return err
		default:
			m.env.log.Error("a log dir cannot be opened, going on without it", "dir", path, "err", err)
			m.offline = append(m.offline, DirFailure{Path: path, Err: err})
		}
	}
	if len(m.dirs) == 0 {
		return fmt.Errorf("no log dir can be opened: %w", m.offlineError())
	}
	errs := make([]error, len(m.dirs))
	parallel(len(m.dirs), len(m.dirs), func(i int) { errs[i] = m.loadDir(ctx, m.dirs[i]) })
	return errors.Join(errs...)
}

func (m *Manager) offlineError() error {
	if len(m.offline) == 0 {
		return errors.New("none is configured")
	}
	return m.offline[0].Err
}

// start starts the flushers and the periodic tasks.
func (m *Manager) start() {
	for _, f := range m.offline {
		m.tell(f)
	}
	o := &m.options
	if o.manual {
		return
	}
	for _, d := range m.dirs {
		d.flusher.start()
	}
	m.every(o.Logs.RetentionCheckInterval, func() { _, _ = m.CheckRetention() })
	m.every(o.Logs.RecoveryCheckpointInterval, func() { _ = m.Checkpoint() })
	if o.Logs.RecoveryCheckpointInterval > 0 {
		m.every(recentInterval, func() { _ = m.eachDir((*dir).writeRecent) })
		m.every(flushedInterval, func() { _ = m.eachDir((*dir).writeFlushed) })
	}
	m.every(o.Logs.StartOffsetCheckpointInterval, func() { _ = m.eachDir((*dir).writeStarts) })
	m.every(o.HighWatermarkInterval, func() { _ = m.eachDir((*dir).writeHighWatermarks) })
	m.every(o.Producers.IDExpirationCheck, m.ExpireProducers)
	if o.Durability == config.PageCache {
		m.every(o.Logs.FlushSchedulerInterval, m.FlushOverdue)
	}
	if o.Logs.CleanerEnable {
		m.cleaner.resize(int(o.Logs.CleanerThreads))
	}
	if o.Logs.RetentionCheckInterval > 0 {
		m.every(trashInterval, m.relieve)
	}
}

// Reconfigure applies the configs that can change at run time: log.cleaner.* except
// enable, cordoned.log.dirs and producer.id.expiration.ms. Other fields of logs and
// producers are ignored. The broker's defaults for topics are set by
// Log.UpdateConfig.
func (m *Manager) Reconfigure(logs config.Logs, producers config.Producers) {
	m.cleaner.reconfigure(&logs)
	m.env.producerExpiryMs.Store(producers.IDExpiration.Milliseconds())
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cordoned = slices.Clone(logs.CordonedDirs)
	if m.options.Logs.CleanerEnable && !m.options.manual && !m.closed {
		m.cleaner.resize(int(logs.CleanerThreads))
	}
}

// trashInterval is the precision of file.delete.delay.ms.
const trashInterval = time.Second

// every calls do at an interval until Close. On an error do has taken the dir offline,
// or the next call retries.
func (m *Manager) every(interval time.Duration, do func()) {
	if interval <= 0 {
		return
	}
	m.tasks.Go(func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				do()
			case <-m.stop:
				return
			}
		}
	})
}

func (m *Manager) tell(f DirFailure) {
	if m.options.OnDirFailure != nil {
		m.tells.Go(func() { m.options.OnDirFailure(f) })
	}
}

// Dirs lists the online log dirs.
func (m *Manager) Dirs() []Dir {
	var dirs []Dir
	for _, d := range m.dirs {
		if d.failed() == nil {
			dirs = append(dirs, Dir{d.id, d.path})
		}
	}
	return dirs
}

// Usage returns the space of the file system of a dir.
func (m *Manager) Usage(d Dir) (vfs.Usage, error) { return m.env.fs.Usage(d.Path) }

// CleanStop tells whether every dir was closed cleanly, and returns the broker epoch of
// the clean stop, -1 if the dirs have different ones.
func (m *Manager) CleanStop() (brokerEpoch int64, clean bool) {
	clean = len(m.offline) == 0
	for i, d := range m.dirs {
		clean = clean && d.clean
		if i > 0 && d.cleanEpoch != m.dirs[0].cleanEpoch {
			return -1, clean
		}
	}
	return m.dirs[0].cleanEpoch, clean
}

// Log returns the log of a partition, nil if there is none.
func (m *Manager) Log(topic string, partition int32) *Log {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.logs[partitionKey{topic, partition}]
}

// All iterates over the logs, by topic and partition.
func (m *Manager) All() iter.Seq[*Log] { return slices.Values(m.list(nil)) }

// Broken lists the partitions whose folder could not be opened because it is damaged,
// with the reason. Their files are unchanged.
func (m *Manager) Broken() map[TopicPartition]error {
	m.mu.Lock()
	defer m.mu.Unlock()
	broken := make(map[TopicPartition]error, len(m.broken))
	for k, err := range m.broken {
		broken[TopicPartition{Topic: k.topic, Partition: k.partition}] = err
	}
	return broken
}

// list returns the logs of a dir, or of all, sorted.
func (m *Manager) list(d *dir) []*Log {
	m.mu.Lock()
	logs := make([]*Log, 0, len(m.logs))
	for _, l := range m.logs {
		if d == nil || l.dir == d {
			logs = append(logs, l)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(logs, func(a, b *Log) int {
		if c := strings.Compare(a.tp.Topic, b.tp.Topic); c != 0 {
			return c
		}
		return int(a.tp.Partition) - int(b.tp.Partition)
	})
	return logs
}

// Create makes the log of a new partition in the dir with an id. For the zero id it
// chooses the dir with the fewest logs. The first append creates the files (see
// create.go).
func (m *Manager) Create(tp TopicPartition, c config.Topic, dirID [16]byte) (*Log, error) {
	key := partitionKey{tp.Topic, tp.Partition}
	d, err := m.reserve(key, dirID)
	if err != nil {
		return nil, err
	}
	l := newLog(d, tp, d.partitionPath(key), c)
	err = l.create()
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.reserved, key)
	if err == nil && m.closed {
		l.retire(ErrClosed)
		err = ErrClosed
	}
	if err != nil {
		d.logs--
		return nil, err
	}
	m.logs[key] = l
	return l, nil
}

// reserve chooses the dir of a new partition and reserves its name.
func (m *Manager) reserve(key partitionKey, dirID [16]byte) (*dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.creatable(key); err != nil {
		return nil, err
	}
	d, err := m.chooseDir(dirID)
	if err == nil {
		m.reserved[key] = true
		d.logs++
	}
	return d, err
}

func (m *Manager) creatable(key partitionKey) error {
	switch {
	case m.closed:
		return ErrClosed
	case m.logs[key] != nil || m.reserved[key]:
		return fmt.Errorf("%w: %s-%d", ErrExists, key.topic, key.partition)
	case m.broken[key] != nil:
		return fmt.Errorf("%w: %s-%d could not be opened: %w", ErrStorage, key.topic, key.partition, m.broken[key])
	}
	return nil
}

// chooseDir returns the dir with an id or, for the zero id, the dir with the fewest
// logs. The caller holds mu.
func (m *Manager) chooseDir(id [16]byte) (*dir, error) {
	var best *dir
	for _, d := range m.dirs {
		if d.failed() != nil {
			continue
		}
		if id != [16]byte{} {
			if d.id == id {
				return d, nil
			}
			continue
		}
		if slices.Contains(m.cordoned, d.path) {
			continue
		}
		if best == nil || d.worth(d.logs) < best.worth(best.logs) {
			best = d
		}
	}
	if best == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownDir, formatID(id))
	}
	return best, nil
}

// Checkpoint writes the recovery points of all logs and the data that a recovery needs.
// The error is that of the last dir that failed.
func (m *Manager) Checkpoint() error {
	return m.eachDir(func(d *dir) error { return d.checkpoint(false) })
}

// eachDir calls do for the online dirs and returns the last error.
func (m *Manager) eachDir(do func(*dir) error) error {
	var failed error
	for _, d := range m.dirs {
		if d.failed() != nil {
			continue
		}
		if err := do(d); err != nil {
			m.env.log.Error("a checkpoint of a log dir failed", "dir", d.path, "err", err)
			failed = err
		}
	}
	return failed
}

// CheckRetention removes the segments that have expired by retention.ms,
// retention.bytes or the log start, and returns their number. Every log's new start is
// made durable before files are removed, so a crash never leaves a visible gap.
func (m *Manager) CheckRetention() (int, error) {
	removed := 0
	err := m.eachDir(func(d *dir) error {
		var failed error
		for _, l := range m.list(d) {
			if _, err := l.retireSegments(); err != nil && !errors.Is(err, ErrClosed) {
				failed = err
			}
		}
		if err := d.writeStarts(); err != nil {
			return err
		}
		for _, l := range m.list(d) {
			n, err := l.DeleteBelowStart()
			if removed += n; err != nil && !errors.Is(err, ErrClosed) {
				failed = err
			}
		}
		return failed
	})
	m.EmptyTrash()
	return removed, err
}

// EmptyTrash removes the files and folders whose delay has passed.
func (m *Manager) EmptyTrash() {
	for _, d := range m.dirs {
		if d.failed() == nil {
			d.emptyTrash(m.env.now())
		}
	}
}

// ExpireProducers removes the producers of all logs that were idle for
// producer.id.expiration.ms.
func (m *Manager) ExpireProducers() {
	for _, l := range m.list(nil) {
		l.ExpireProducers()
	}
}

// FlushOverdue flushes the logs whose flush.ms has passed, in page-cache mode.
func (m *Manager) FlushOverdue() {
	now := m.env.nowMs()
	for _, l := range m.list(nil) {
		l.mu.Lock()
		overdue := l.flushed < l.end && now-l.flushedMs >= l.config.Load().FlushMs
		l.mu.Unlock()
		if overdue {
			l.dir.flushSoon(l)
		}
	}
}

// Close flushes and closes all logs. It marks each dir without an error as cleanly
// stopped, with the broker's epoch, -1 for none.
func (m *Manager) Close(brokerEpoch int64) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	close(m.stop)
	m.tasks.Wait()
	errs := make([]error, len(m.dirs))
	parallel(len(m.dirs), len(m.dirs), func(i int) { errs[i] = m.dirs[i].close(brokerEpoch) })
	m.tells.Wait()
	return errors.Join(errs...)
}

// abandon releases the resources of a failed open.
func (m *Manager) abandon() {
	for _, l := range m.list(nil) {
		l.retire(ErrClosed)
	}
	for _, d := range m.dirs {
		if d.flusher != nil && d.flusher.syncer != nil {
			_ = d.flusher.syncer.Close()
		}
		_ = d.reserve.close() // the error of the open is returned
		_ = d.lock.Close()
	}
	m.tells.Wait()
}
