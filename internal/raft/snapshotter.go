package raft

import (
	"errors"
	"io/fs"
	"iter"
	"slices"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// Kafka's defaults of metadata.log.max.record.bytes.between.snapshots,
// metadata.max.retention.bytes and metadata.max.retention.ms.
const (
	defaultSnapshotBytes  = 20 << 20
	defaultRetentionBytes = 100 << 20
	defaultRetentionAge   = 7 * 24 * time.Hour
)

// noRecords is the state of an empty cluster.
func noRecords(func(metadata.Message) bool) {}

// snapshotPolicy decides when the next snapshot is due: after a number of bytes
// of batches, or after an interval if anything was applied in it.
type snapshotPolicy struct {
	bytes    int64
	interval time.Duration // 0: never by time

	applied int64 // bytes since the last snapshot
	last    time.Time
}

func newSnapshotPolicy(o *Options) snapshotPolicy {
	p := snapshotPolicy{bytes: o.SnapshotBytes, interval: o.SnapshotInterval, last: o.Now()}
	if p.bytes == 0 {
		p.bytes = defaultSnapshotBytes
	}
	return p
}

// due tells whether a snapshot must be made now.
func (p *snapshotPolicy) due(now time.Time) bool {
	return p.applied >= p.bytes || p.interval > 0 && p.applied > 0 && now.Sub(p.last) >= p.interval
}

// taken resets the counters.
func (p *snapshotPolicy) taken(now time.Time) { p.applied, p.last = 0, now }

// snapshotJob is a snapshot to be written.
type snapshotJob struct {
	snapshotMeta
	nowMs   int64
	records iter.Seq[metadata.Message]
}

// retention decides which old snapshots are removed.
type retention struct {
	bytes int64         // negative: no limit
	age   time.Duration // negative: no limit
}

func newRetention(o *Options) retention {
	r := retention{o.RetentionBytes, o.RetentionAge}
	if r.bytes == 0 {
		r.bytes = defaultRetentionBytes
	}
	if r.age == 0 {
		r.age = defaultRetentionAge
	}
	return r
}

// snapshot writes a snapshot and then removes what retention does not keep. It
// runs concurrently with everything else, one call at a time.
func (s *store) snapshot(job *snapshotJob, r retention) error {
	if job.id.compare(s.newestSnapshot().id) <= 0 {
		return nil // a snapshot of another voter is newer
	}
	if err := writeSnapshot(s.fs, s.folder, job.snapshotMeta, job.nowMs, job.records); err != nil {
		return err
	}
	if err := s.learn(job.id, &job.snapshotMeta); err != nil {
		return err
	}
	return s.clean(r, job.nowMs)
}

// learn adds a file to the list; m, if not nil, becomes the newest snapshot.
func (s *store) learn(id SnapshotID, m *snapshotMeta) error {
	info, err := s.fs.Stat(id.file(s.folder))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearchFunc(s.snapshots, id, func(f snapshotFile, id SnapshotID) int { return f.id.compare(id) })
	if found {
		s.snapshots[at].size = info.Size()
	} else {
		s.snapshots = slices.Insert(s.snapshots, at, snapshotFile{id, info.Size()})
	}
	if m != nil && m.id.compare(s.newest.id) > 0 {
		s.newest = *m
	}
	return nil
}

// clean removes the oldest snapshots, and the log up to the end of the oldest
// one kept, as long as
//
//  1. log and snapshots together exceed the limit of bytes, or
//  2. the oldest one's last record is older than the limit of age,
//
// and always keeps the newest. Kafka does the same.
func (s *store) clean(r retention, nowMs int64) error {
	for {
		oldest, next, total, ok := s.oldestTwo()
		if !ok {
			return nil
		}
		remove := r.bytes >= 0 && total+s.log.Size() > r.bytes
		if !remove && r.age >= 0 {
			written, err := s.snapshotTimestamp(oldest)
			if err != nil {
				return err
			}
			remove = nowMs-written > r.age.Milliseconds()
		}
		if !remove {
			return nil
		}
		if err := s.removeBefore(next); err != nil {
			return err
		}
	}
}

// oldestTwo returns the two oldest snapshots and the total size of all. It
// returns false if there are fewer than two up to the newest one known to be
// intact.
func (s *store) oldestTwo() (oldest, next SnapshotID, total int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.snapshots {
		total += f.size
	}
	if len(s.snapshots) < 2 || s.snapshots[1].id.compare(s.newest.id) > 0 {
		return oldest, next, total, false
	}
	return s.snapshots[0].id, s.snapshots[1].id, total, true
}

// snapshotTimestamp reads from a snapshot's header when the last batch in it
// was appended, in ms. A header that cannot be read counts as timestamp 0: the
// file is useless.
func (s *store) snapshotTimestamp(id SnapshotID) (int64, error) {
	r, err := openBatches(s.fs, id.file(s.folder))
	if err != nil {
		return 0, err
	}
	defer r.close()
	batch, err := r.next()
	snap := &snapshot{}
	if err == nil {
		err = controlRecords(batch, func(t record.ControlType, value []byte) error {
			if t != record.ControlSnapshotHeader {
				return nil
			}
			return (&snapshotReader{snapshot: snap}).header(value)
		})
	}
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return 0, err
	}
	return snap.timestamp, nil // 0 when the header cannot be read
}

// removeBefore removes the snapshots older than id and the log up to id. The
// table drops the entries first, so that raft does not read what is being
// removed. The snapshot files are removed last, so that a crash in between
// leaves too much rather than too little.
func (s *store) removeBefore(id SnapshotID) error {
	s.mu.Lock()
	if at, found := s.index.find(id.EndOffset); found {
		s.index.dropTo(at.index)
	}
	n := 0
	for n < len(s.snapshots) && s.snapshots[n].id.compare(id) < 0 {
		n++
	}
	gone := s.snapshots[:n]
	s.snapshots = slices.Clone(s.snapshots[n:])
	s.mu.Unlock()
	if id.EndOffset > s.log.StartOffset() {
		if err := s.log.IncrementStartOffset(id.EndOffset); err != nil {
			return err
		}
		if _, err := s.log.DeleteBelowStart(); err != nil {
			return err
		}
	}
	for _, f := range gone {
		if err := s.fs.Remove(f.id.file(s.folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
