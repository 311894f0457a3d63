package raft

import (
	"errors"
	"fmt"
	"slices"

	etcd "go.etcd.io/raft/v3"

	"ottla/internal/record"
)

// saved processes tasks that the saver finished, in order.
func (c *core) saved(tasks []*saveTask) error {
	c.watch.written(tasks)
	for _, task := range tasks {
		if task.installed != nil {
			c.toApply = append(c.toApply, &applyTask{snapshot: task.installed})
		}
		if err := c.deliver(task.responses); err != nil {
			return err
		}
	}
	c.observe()
	return nil
}

// deliver gives messages to this node's raft and the others to the network.
func (c *core) deliver(messages []*Message) error {
	for _, m := range messages {
		if m.GetTo() != c.id {
			c.toSend = append(c.toSend, m)
			continue
		}
		c.countVote(m)
		// A node that is no longer a voter does not count its own log.
		if err := c.raw.Step(m); err != nil && !errors.Is(err, etcd.ErrStepPeerNotFound) {
			return err
		}
	}
	return nil
}

// finished processes a task that the applier finished.
func (c *core) finished(task *applyTask) error {
	if task.snapshot != nil {
		c.applied = task.snapshot.anchor()
		c.voters, c.static = task.snapshot.voters, task.snapshot.static
	}
	for _, e := range task.entries {
		if err := c.applyVoters(e.batch); err != nil {
			return err
		}
		delete(c.own, e.index)
		c.applied = anchor{e.index, e.term(), e.batch.NextOffset()}
	}
	c.store.log.SetHighWatermark(c.applied.offset)
	if c.active() && !c.updated {
		c.updated = true
		c.updateEndpoints()
	}
	if err := c.deliver(task.responses); err != nil {
		return err
	}
	released := 0
	for released < len(c.parked) && c.parked[released].index <= c.applied.index {
		c.parked[released].done <- nil
		released++
	}
	c.parked = slices.Delete(c.parked, 0, released)
	c.observe()
	return nil
}

// applyVoters applies a change of voters to raft.
func (c *core) applyVoters(batch record.Batch) error {
	if kind, err := kindOf(batch); err != nil || kind&changesVoters == 0 {
		return err
	}
	voters, err := votersOf(batch)
	if err != nil {
		return err
	}
	change, err := confChange(c.voters, voters)
	if err != nil {
		return fmt.Errorf("raft: the voters at offset %d: %w", batch.BaseOffset(), err)
	}
	if change != nil {
		c.raw.ApplyConfChange(change)
	}
	c.voters, c.static = voters, false
	return nil
}
