package raft

import (
	"fmt"
	"iter"
	"sync/atomic"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

// save processes tasks in order. When it returns nil, all of them are durable
// and their responses may be sent. Entries of consecutive tasks are written
// together: tasks that accumulated during one fsync share the next (group
// commit). Within a task the vote is saved first, so that the log never
// contains a term that quorum-state does not have.
func (s *store) save(tasks []*saveTask) error {
	var waiting []entry
	flush := func() error {
		if len(waiting) == 0 {
			return nil
		}
		entries := waiting
		waiting = nil
		return s.append(entries)
	}
	for _, task := range tasks {
		apart := task.snapshot != nil ||
			len(task.entries) > 0 && len(waiting) > 0 && task.entries[0].index != waiting[len(waiting)-1].index+1
		if apart {
			if err := flush(); err != nil {
				return err
			}
		}
		if task.term >= 0 {
			if err := s.vote.save(task.term, task.vote); err != nil {
				return err
			}
		}
		if task.snapshot != nil {
			var err error
			if task.installed, err = s.install(*task.snapshot); err != nil {
				return err
			}
		}
		waiting = append(waiting, task.entries...)
	}
	return flush()
}

// applier hands committed batches to the owner, one at a time.
type applier struct {
	apply  func(Committed) error
	source func() iter.Seq[metadata.Message]
	codecs *record.Codecs
	now    func() time.Time
	policy snapshotPolicy
	began  *atomic.Int32 // see core.began
	// last is the position after the last applied batch.
	last      anchor
	timestamp int64
}

func newApplier(o *Options, c *core) *applier {
	return &applier{source: o.SnapshotSource, codecs: o.Codecs, now: o.Now, policy: newSnapshotPolicy(o), began: c.began}
}

// run processes one task and returns a snapshot job if a snapshot is due. The
// core adds the voters to the job.
func (a *applier) run(task *applyTask) (*snapshotJob, error) {
	if task.snapshot != nil {
		if err := a.restore(task.snapshot); err != nil {
			return nil, err
		}
	}
	for _, e := range task.entries {
		if err := a.one(e); err != nil {
			return nil, err
		}
	}
	return a.checkpoint(), nil
}

// restore hands a snapshot to the owner.
func (a *applier) restore(s *snapshot) error {
	a.last, a.timestamp = s.anchor(), s.timestamp
	a.policy.taken(a.now())
	return a.apply(Committed{
		LastOffset: s.id.EndOffset - 1, Epoch: s.id.Epoch, Timestamp: s.timestamp,
		Records: s.records, Snapshot: true,
	})
}

func (a *applier) one(e entry) error {
	c, err := committed(e.batch, a.codecs)
	if err != nil {
		return fmt.Errorf("raft: the committed batch at offset %d: %w", e.batch.BaseOffset(), err)
	}
	if c.LeaderChange != nil {
		a.began.Store(c.Epoch)
	}
	if err := a.apply(c); err != nil {
		return fmt.Errorf("raft: applying the batch at offset %d: %w", e.batch.BaseOffset(), err)
	}
	a.last, a.timestamp = anchor{e.index, e.term(), e.batch.NextOffset()}, e.batch.MaxTimestamp()
	a.policy.applied += int64(len(e.batch))
	return nil
}

// checkpoint takes the owner's state for a snapshot if one is due.
func (a *applier) checkpoint() *snapshotJob {
	now := a.now()
	if a.source == nil || !a.policy.due(now) {
		return nil
	}
	a.policy.taken(now)
	return &snapshotJob{
		snapshotMeta: snapshotMeta{
			id:        SnapshotID{a.last.offset, a.last.term},
			index:     a.last.index,
			timestamp: a.timestamp,
		},
		nowMs:   now.UnixMilli(),
		records: a.source(),
	}
}
