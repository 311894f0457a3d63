package storage

import (
	"errors"
	"slices"
	"sync"

	"ottla/internal/config"
	"ottla/internal/vfs"
)

// flusher makes the logs of one dir durable. One round flushes all dirty logs (group
// commit). During a round appends continue, and their logs are queued for the next
// round. So a round includes everything that arrived while the disk was busy, without
// a timer, and a single append waits for a single flush.
//
//  1. Take the queue and capture the state of each log: end offset, dirty segments,
//     generation.
//  2. Few logs: fdatasync each of them, several at once. Many logs: one syncfs, which
//     needs one journal commit for all (ottla.flush.method).
//  3. Record for each log what is durable now, unless it was truncated meanwhile.
//     Notify its owner without holding a lock.
//  4. Wake appenders that were faster than the disk. Unflushed data is at most
//     unflushedMax bytes plus one batch per appender.
//
// Rejected: one flusher per log. It needs as many journal commits as there are logs.
// Also rejected: a delay to collect more appends. It slows down a single producer,
// and with many producers a round collects enough without it.
type flusher struct {
	dir    *dir
	method config.FlushMethod
	syncer vfs.Syncer // nil: not supported
	// serial flushes one log at a time, for tests that count I/Os.
	serial bool

	mu    sync.Mutex
	queue []*Log
	spare []*Log // the queue of the previous round, for reuse
	// bytes were appended since the current round began, taken before that.
	bytes, taken, limit int64
	// all requests a round of every dirty log. begun and done count rounds.
	all         bool
	begun, done int64
	settled     sync.Cond // a round ended
	ended       bool

	wake    chan struct{}
	stop    chan struct{}
	running sync.WaitGroup
}

const (
	// syncfsLogs is the number of dirty logs from which one syncfs is faster than
	// fdatasync of each; see BenchmarkFlush.
	syncfsLogs = 8
	// flushWidth is the number of files that are flushed at once.
	flushWidth = 16
	// unflushedMax limits the unflushed bytes of a dir. Otherwise producers with
	// acks=1 could fill the memory while the disk does not respond.
	unflushedMax = 64 << 20
)

func newFlusher(d *dir, method config.FlushMethod) (*flusher, error) {
	f := &flusher{dir: d, method: method, limit: unflushedMax, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	f.settled.L = &f.mu
	if method == config.FlushFdatasync {
		return f, nil
	}
	syncer, err := d.env.fs.OpenSyncer(d.path)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) && method == config.FlushAuto {
			return f, nil
		}
		return nil, err
	}
	f.syncer = syncer
	return f, nil
}

// add queues a log for the next round.
func (f *flusher) add(l *Log) {
	f.mu.Lock()
	if !l.queued {
		l.queued = true
		f.queue = append(f.queue, l)
	}
	f.mu.Unlock()
	f.signal()
}

// appended queues a log after an append of bytes, and waits while too many bytes are
// unflushed. The caller holds no lock.
func (f *flusher) appended(l *Log, bytes int64) {
	f.mu.Lock()
	f.bytes += bytes
	f.mu.Unlock()
	f.add(l)
	if f.serial {
		return // the caller itself does the rounds
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.bytes+f.taken > f.limit && !f.ended && f.dir.failed() == nil {
		f.settled.Wait()
	}
}

// relieve waits for a round that flushes every dirty log of the dir, also those that
// requested no flush, because each keeps a file open. The caller holds no lock.
func (f *flusher) relieve() {
	if f.serial {
		return // the caller itself does the rounds
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = true
	f.signal()
	for next := f.begun + 1; f.done < next && !f.ended && f.dir.failed() == nil; {
		f.settled.Wait()
	}
}

// signal wakes the flusher.
func (f *flusher) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// start starts the flushing, which continues until end.
func (f *flusher) start() {
	f.running.Go(func() {
		for {
			select {
			case <-f.wake:
				f.round()
			case <-f.stop:
				return
			}
		}
	})
}

// end waits for the current round. Queued logs stay dirty.
func (f *flusher) end() {
	close(f.stop)
	f.running.Wait()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.settled.Broadcast()
}

// close closes the descriptor for syncfs.
func (f *flusher) close() error {
	if f.syncer == nil {
		return nil
	}
	return f.syncer.Close()
}

// round flushes the queued logs. An error takes the dir offline, which informs the
// owners.
func (f *flusher) round() {
	logs := f.take()
	start := f.dir.env.now()
	if f.bulk(len(logs)) {
		f.flushTogether(logs)
	} else {
		f.flushEach(logs)
	}
	if len(logs) > 0 {
		f.dir.env.metrics.Flush.Observe(f.dir.env.now().Sub(start))
	}
	clear(logs)
	f.mu.Lock()
	f.spare, f.taken = logs[:0], 0
	f.done++
	f.mu.Unlock()
	f.settled.Broadcast()
}

// take begins a round.
func (f *flusher) take() []*Log {
	f.mu.Lock()
	f.begun++
	all := f.all
	f.all = false
	f.mu.Unlock()
	var others []*Log
	if all {
		others = slices.DeleteFunc(f.dir.manager.list(f.dir), func(l *Log) bool { return !l.dirty() })
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	logs := f.queue
	for _, l := range others {
		if !l.queued {
			logs = append(logs, l)
		}
	}
	f.queue, f.spare = f.spare[:0], nil
	f.taken, f.bytes = f.bytes, 0
	for _, l := range logs {
		l.queued = false
	}
	return logs
}

// bulk tells whether n logs are flushed with syncfs.
func (f *flusher) bulk(n int) bool {
	return f.syncer != nil && (f.method == config.FlushSyncfs || n >= syncfsLogs)
}

// width returns the number of files that are processed at once.
func (f *flusher) width() int {
	if f.serial {
		return 1
	}
	return flushWidth
}

func (f *flusher) flushEach(logs []*Log) {
	parallel(len(logs), f.width(), func(i int) { _ = logs[i].Flush() })
}

func (f *flusher) flushTogether(logs []*Log) {
	jobs := make([]flushJob, 0, len(logs))
	for _, l := range logs {
		if job, err := l.capture(); err == nil {
			jobs = append(jobs, job)
		}
	}
	if len(jobs) == 0 {
		return
	}
	err := f.syncer.Sync()
	if err != nil {
		err = f.dir.fail(err)
	}
	for i := range jobs {
		jobs[i].log.settle(jobs[i], err)
		if err == nil {
			jobs[i].log.tellFlushed()
		}
	}
}

// parallel calls do for 0 to n-1, with at most width calls at once. If one is enough,
// it uses only the caller's goroutine.
func parallel(n, width int, do func(i int)) {
	width = min(n, width)
	if width <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	var next counter
	var wg sync.WaitGroup
	for range width {
		wg.Go(func() {
			for i := next.take(); i < n; i = next.take() {
				do(i)
			}
		})
	}
	wg.Wait()
}

// counter returns 0, 1, 2 …
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) take() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n - 1
}
