package storage

import (
	"path/filepath"

	"ottla/internal/vfs"
)

// flushJob is what one flush of a log makes durable, captured before it.
type flushJob struct {
	log        *Log
	generation uint64
	end        int64
	names      uint64
	segments   []flushSegment
	files      []string
	syncNames  bool
	newFolder  bool
	path       string
}

type flushSegment struct {
	segment *segment
	file    vfs.File
	size    int64
}

// dirty tells whether the log has records that are not on disk.
func (l *Log) dirty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushed < l.end
}

// Flush makes durable what was appended before the call, and tells
// NotifyFlushed. A flush that fails takes the dir offline: the kernel may have
// dropped what it could not write, so it is never tried again.
func (l *Log) Flush() error { return l.flush(true) }

func (l *Log) flush(tell bool) error {
	l.flushing.Lock()
	err := l.flushHeld()
	l.flushing.Unlock()
	if err == nil && tell {
		l.tellFlushed()
	}
	return err
}

// flushHeld is a flush for a caller that holds flushing.
func (l *Log) flushHeld() error {
	job, err := l.capture()
	if err != nil {
		return err
	}
	err = job.run()
	l.settle(job, err)
	return err
}

// capture lists what is dirty and holds its files open.
func (l *Log) capture() (flushJob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return flushJob{}, err
	}
	job := flushJob{
		log: l, generation: l.generation, end: l.end, names: l.names, path: l.path,
		syncNames: l.names != l.namesSynced, files: l.newFiles, newFolder: l.newFolder,
	}
	for _, s := range l.segments {
		if s.synced == s.size {
			continue
		}
		h, err := s.file.acquire() // pinned: no file is opened under mu
		if err != nil {
			job.release()
			return flushJob{}, l.dir.fail(err)
		}
		job.segments = append(job.segments, flushSegment{s, h, s.size})
	}
	return job, nil
}

// run makes everything durable: content before the names that lead to it, the
// older segment before the newer.
func (j *flushJob) run() error {
	for _, s := range j.segments {
		if err := s.file.Sync(); err != nil {
			return j.log.dir.fail(err)
		}
	}
	return j.runNames()
}

// runNames makes the names durable that lead to the log's files.
func (j *flushJob) runNames() error {
	for _, name := range j.files {
		if err := syncFile(j.log.env.fs, filepath.Join(j.path, name)); err != nil {
			return j.log.dir.fail(err)
		}
	}
	if j.syncNames {
		if err := j.log.env.fs.SyncDir(j.path); err != nil {
			return j.log.dir.fail(err)
		}
	}
	if j.newFolder {
		if err := j.log.env.fs.SyncDir(filepath.Dir(j.path)); err != nil {
			return j.log.dir.fail(err)
		}
	}
	return nil
}

// settle notes what a flush achieved. After a truncation in between it says
// nothing: what it captured may be gone, and other bytes in its place.
func (l *Log) settle(j flushJob, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.release()
	if err != nil || j.generation != l.generation {
		return
	}
	for _, s := range j.segments {
		s.segment.synced = max(s.segment.synced, s.size)
		s.segment.unpinSynced()
	}
	l.namedUpTo(j)
	l.flushed = max(l.flushed, j.end)
	l.flushedMs = l.env.nowMs()
}

// namedUpTo notes that the names that a flush captured are durable. The caller
// holds mu.
func (l *Log) namedUpTo(j flushJob) {
	l.namesSynced = max(l.namesSynced, j.names)
	if j.newFolder {
		l.newFiles, l.newFolder = nil, false
	}
}

func (j *flushJob) release() {
	for _, s := range j.segments {
		s.segment.file.release()
	}
}

// tellFlushed calls the owner back if the flushed offset moved since last time.
func (l *Log) tellFlushed() {
	l.mu.Lock()
	f, offset := l.notify, l.flushed
	moved := offset != l.notified
	l.notified = offset
	l.mu.Unlock()
	if f != nil && moved {
		f(offset)
	}
}
