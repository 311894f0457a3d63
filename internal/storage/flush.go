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
	path       string
}

type flushSegment struct {
	segment *segment
	file    vfs.File
	size    int64
}

// Flush makes durable what was appended before the call, and tells
// NotifyFlushed. A flush that fails takes the dir offline: the kernel may have
// dropped what it could not write, so it is never tried again.
func (l *Log) Flush() error { return l.flush(true) }

func (l *Log) flush(tell bool) error {
	l.flushing.Lock()
	job, err := l.capture()
	if err == nil {
		err = job.run()
		l.settle(job, err)
	}
	l.flushing.Unlock()
	if err == nil && tell {
		l.tellFlushed()
	}
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
		syncNames: l.names != l.namesSynced, files: l.newFiles,
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

// clean tells that there is nothing to do.
func (j *flushJob) clean() bool {
	return len(j.segments) == 0 && !j.syncNames && len(j.files) == 0
}

// run makes everything durable: content before the names that lead to it, the
// older segment before the newer.
func (j *flushJob) run() error {
	for _, s := range j.segments {
		if err := s.file.Sync(); err != nil {
			return j.log.dir.fail(err)
		}
	}
	for _, name := range j.files {
		if err := syncFile(j.log.env.fs, filepath.Join(j.path, name)); err != nil {
			return j.log.dir.fail(err)
		}
	}
	if !j.syncNames {
		return nil
	}
	if err := j.log.env.fs.SyncDir(j.path); err != nil {
		return j.log.dir.fail(err)
	}
	if len(j.files) == 0 {
		return nil
	}
	// The folder itself is new.
	if err := j.log.env.fs.SyncDir(filepath.Dir(j.path)); err != nil {
		return j.log.dir.fail(err)
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
		if s.segment.synced == s.segment.size {
			s.segment.unpin()
		}
	}
	l.namesSynced = max(l.namesSynced, j.names)
	if len(j.files) > 0 {
		l.newFiles = nil
	}
	l.flushed = max(l.flushed, j.end)
	l.flushedMs = l.env.nowMs()
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
