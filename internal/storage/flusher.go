package storage

import (
	"errors"
	"slices"
	"sync"

	"ottla/internal/config"
	"ottla/internal/vfs"
)

// flusher makes the logs of one dir durable, all that are dirty in one round:
// group commit. While a round runs, appends go on and the logs that they touch
// gather for the next one; so a round takes along what came while the disk was
// busy, without a timer, and one append alone waits for one flush alone.
//
//  1. Take the queue. What each log has at this moment is captured: end offset,
//     dirty segments, generation.
//  2. Few logs: fdatasync each, several at once. Many: one syncfs, which costs
//     the disk one journal commit for all (ottla.flush.method).
//  3. Note for each log what is durable now, unless it was truncated meanwhile,
//     and tell its owner, without any lock held.
//  4. Let those go on who appended more than the disk can follow: what is not on
//     disk is at most unflushedMax bytes and one batch of each appender.
//
// Rejected: one flusher for each log, which is as many journal commits as logs;
// and a delay that gathers more, which costs the lone producer what the busy
// ones gain by themselves.
type flusher struct {
	dir    *dir
	method config.FlushMethod
	syncer vfs.Syncer // nil: there is none
	// serial flushes one log after the other, for tests that count I/Os.
	serial bool

	mu    sync.Mutex
	queue []*Log
	spare []*Log // the queue of the round before, for reuse
	// bytes were appended since the round that is under way began, taken before.
	bytes, taken, limit int64
	// all asks for a round of every dirty log; begun and done count the rounds.
	all         bool
	begun, done int64
	settled     sync.Cond // a round ended
	ended       bool

	wake    chan struct{}
	stop    chan struct{}
	running sync.WaitGroup
}

const (
	// syncfsLogs is how many dirty logs make one syncfs cheaper than a
	// fdatasync of each; see BenchmarkFlush.
	syncfsLogs = 8
	// flushWidth is how many files are flushed at once.
	flushWidth = 16
	// unflushedMax bounds the bytes of a dir that are not on disk yet: producers
	// with acks=1 would else fill the memory while the disk stands still.
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

// add puts a log into the next round.
func (f *flusher) add(l *Log) {
	f.mu.Lock()
	if !l.queued {
		l.queued = true
		f.queue = append(f.queue, l)
	}
	f.mu.Unlock()
	f.signal()
}

// appended puts a log into the next round that has bytes more, and waits while
// too many are not on disk. The caller holds no lock.
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

// relieve waits for a round that flushes every log of the dir that is not on disk,
// asked for or not: each keeps a file open. The caller holds no lock.
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

// start flushes from now on until end.
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

// end waits for the round that is under way; what is in the queue stays dirty.
func (f *flusher) end() {
	close(f.stop)
	f.running.Wait()
	f.mu.Lock()
	f.ended = true
	f.mu.Unlock()
	f.settled.Broadcast()
}

// close gives the descriptor of syncfs back.
func (f *flusher) close() error {
	if f.syncer == nil {
		return nil
	}
	return f.syncer.Close()
}

// round flushes the logs in the queue. An error has taken the dir offline, so
// that the owners learn it from there.
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

// bulk tells whether n logs are flushed by syncfs.
func (f *flusher) bulk(n int) bool {
	return f.syncer != nil && (f.method == config.FlushSyncfs || n >= syncfsLogs)
}

// width is how many files are worked on at once.
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

// parallel calls do for 0 to n-1 with at most width calls at once, in the
// caller's goroutine alone when one is enough.
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

// counter hands out 0, 1, 2 …
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
