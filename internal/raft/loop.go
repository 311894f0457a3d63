package raft

import (
	"errors"
	"slices"
	"time"

	"ottla/internal/storage"
)

// loop is the state of run about its workers.
type loop struct {
	*Node
	saving, applying, snapshotting bool
	job                            *snapshotJob // the next job of the snapshotter
	unsaved                        []*saveTask  // failed because the disk is full; retried at the next tick
	full                           bool         // a full disk was logged
	changed                        bool         // something was applied since the last snapshot
}

// run is the node's goroutine.
func (n *Node) run() {
	l := &loop{Node: n}
	l.stop(guard(l.serve))
}

// serve handles one event at a time until the node is closed or fails.
func (l *loop) serve() error {
	ticker := time.NewTicker(l.tick)
	defer ticker.Stop()
	if err := l.core.campaignAlone(); err != nil {
		return err
	}
	for {
		if err := l.dispatch(); err != nil {
			return err
		}
		l.core.watch.turn(false)
		select {
		case <-l.closing:
			return nil
		case <-ticker.C:
			l.core.watch.turn(true)
			l.core.tick()
			l.checkpoint()
			l.retry()
		case f := <-l.inbox:
			l.core.watch.turn(true)
			l.drain(f)
		case r := <-l.results:
			l.core.watch.turn(true)
			if err := l.take(r); err != nil {
				return err
			}
		}
	}
}

// drain runs all waiting calls, so that proposals that arrived together are
// written together.
func (l *loop) drain(f func(*core)) {
	f(l.core)
	for range inboxSize {
		select {
		case f := <-l.inbox:
			f(l.core)
		default:
			return
		}
	}
}

// take passes the result of a worker to the core.
func (l *loop) take(r result) error {
	switch {
	case r.saved != nil:
		return l.takeSaved(r)
	case r.applied != nil:
		return l.takeApplied(r)
	}
	l.snapshotting = false
	if storage.IsNoSpace(r.err) {
		l.logger.Warn("no room for a snapshot of the metadata log; it is tried again later", "error", r.err)
		return nil
	}
	return r.err
}

// takeSaved processes the saver's result. When the disk is full, all changes
// wait: entries that raft has decided to store cannot be withdrawn, and no
// message about them was sent. The whole work is retried at each tick.
func (l *loop) takeSaved(r result) error {
	var full *noRoomError
	if errors.As(r.err, &full) {
		if !l.full {
			l.logger.Error("no room for the metadata log; changes of metadata wait", "error", r.err)
		}
		l.unsaved, l.full = r.saved, true
		return nil
	}
	l.saving, l.full = false, false
	if r.err != nil {
		return r.err
	}
	return l.core.saved(r.saved)
}

// retry hands the tasks that failed on a full disk to the saver again.
func (l *loop) retry() {
	if l.unsaved != nil {
		l.saves <- l.unsaved
		l.unsaved = nil
	}
}

func (l *loop) takeApplied(r result) error {
	l.applying = false
	if r.err != nil {
		return r.err
	}
	if err := l.core.finished(r.applied); err != nil {
		return err
	}
	l.changed = l.changed || len(r.applied.entries) > 0
	if r.job != nil {
		// These are the voters at the job's index: nothing was applied since.
		r.job.voters, r.job.static = l.core.voters, l.core.static
		l.job, l.changed = r.job, false
	}
	return l.core.campaignAlone()
}

// checkpoint makes the idle applier check whether a snapshot is due by time.
func (l *loop) checkpoint() {
	if l.changed && !l.applying && len(l.core.toApply) == 0 {
		l.core.toApply = append(l.core.toApply, &applyTask{})
	}
}

// dispatch hands pending work to idle workers and messages to the network.
func (l *loop) dispatch() error {
	c := l.core
	if err := c.collect(); err != nil {
		return err
	}
	l.publishLeader()
	if len(c.toSend) > 0 {
		if l.send != nil {
			l.send(slices.Clone(c.toSend))
		}
		c.toSend = nil
	}
	if !l.saving && len(c.toSave) > 0 {
		l.saving = true
		l.saves <- c.toSave
		c.toSave = nil
	}
	if !l.applying && len(c.toApply) > 0 {
		l.applying = true
		l.applies <- c.toApply[0]
		c.toApply = slices.Delete(c.toApply, 0, 1)
	}
	if !l.snapshotting && l.job != nil {
		l.snapshotting = true
		l.jobs <- l.job
		l.job = nil
	}
	return nil
}

// stop ends the workers, fails waiting proposals, and closes done.
func (l *loop) stop(err error) {
	close(l.served)
	close(l.saves)
	close(l.applies)
	close(l.jobs)
	l.workers.Wait()
	for len(l.results) > 0 {
		r := <-l.results
		err = errors.Join(err, r.err)
	}
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
	why := ErrClosed
	if err != nil {
		why = errors.Join(ErrClosed, err)
	}
	l.core.failParked(why)
	l.core.leader = -1
	l.publishLeader()
	close(l.done)
}

// saver runs the saves that the loop hands over.
func (n *Node) saver() {
	for tasks := range n.saves {
		n.results <- result{saved: tasks, err: n.store.save(tasks)}
	}
}

// applying hands committed batches to the owner.
func (n *Node) applying() {
	for task := range n.applies {
		job, err := n.applier.run(task)
		n.results <- result{applied: task, job: job, err: err}
	}
}

// snapshotter writes snapshots.
func (n *Node) snapshotter() {
	for job := range n.jobs {
		n.results <- result{snapshotted: true, err: n.store.snapshot(job, n.retention)}
	}
}
