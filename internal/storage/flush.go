package storage

import (
	"path/filepath"

	"ottla/internal/vfs"
)

// flushJob is the state of a log that one flush makes durable, captured before it.
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

// dirty tells whether the log has records that are not durable.
func (l *Log) dirty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flushed < l.end
}

// Flush makes all records durable that were appended before the call, and notifies
// the function of NotifyFlushed. If a flush fails, the dir goes offline: the kernel
// may have dropped the data that it could not write, so a flush is never retried.
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

// flushHeld is Flush for a caller that holds flushing.
func (l *Log) flushHeld() error {
	job, err := l.capture()
	if err != nil {
		return err
	}
	err = job.run()
	l.settle(job, err)
	return err
}

// capture lists the dirty segments and keeps their files open.
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

// run makes everything durable: content before names, older segments before newer
// ones.
func (j *flushJob) run() error {
	for _, s := range j.segments {
		if err := s.file.Sync(); err != nil {
			return j.log.dir.fail(err)
		}
	}
	return j.runNames()
}

// runNames makes the names of the log's files durable.
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

// settle records the result of a flush. If the log was truncated meanwhile, the
// result is ignored: the captured bytes may have been replaced by others.
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

// namedUpTo records that the captured names are durable. The caller holds mu.
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

// tellFlushed calls the owner's function if the flushed offset has moved.
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
