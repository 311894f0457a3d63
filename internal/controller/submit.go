package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/raft"
)

// maxRecordsPerBatch bounds one batch of the metadata log, as in Kafka. What a
// user asks for is one atomic batch or refused with POLICY_VIOLATION; what a
// broker causes (its partitions lose and find leaders) is cut into several.
//
// Kafka wraps larger operations in Begin- and EndTransactionRecords, because
// its batches are cut by bytes on their way into the log. Here one proposal is
// one entry of raft and one batch on disk, whole or not there at all, so no
// transaction records are written. (They are understood: see metadata.)
const maxRecordsPerBatch = 10_000

// errTooLarge is how Kafka refuses a request whose records would not fit.
var errTooLarge = protocol.Errorf(protocol.PolicyViolation, "Unable to perform excessively large batch operation.")

// outcome is what a decision returns.
type outcome[R any] struct {
	// records are to be committed; none when nothing changes.
	records []metadata.Message
	// reply leaves once the records, and all that the decision saw, are
	// committed.
	reply R
	// proposed is called, if set, when the records were handed to the quorum;
	// the last of them is at the offset. It keeps soft state, such as sessions.
	proposed func(lastOffset int64)
}

// waiter is a reply that waits until the Image has reached an offset.
type waiter struct {
	offset   int64
	done     chan error   // one value, by Apply or LeaderChanged
	proposal <-chan error // one value, by the quorum; nil when not of interest
}

// submit runs one request:
//
//  1. take a token, or refuse: too many requests are inside;
//  2. decide on the tip: the committed Image of the moment this epoch began,
//     with everything that was proposed since. Being immutable, the tip is
//     dropped as a whole when the leadership is lost;
//  3. propose, and make the tip that the records lead to;
//  4. wait until the committed Image has caught up with what was decided on,
//     even for a reply without records: it may tell of an uncommitted topic.
//
// Deciding on the committed Image instead would let two requests create the
// same topic while the first one is on its way.
func submit[R any](ctx context.Context, c *Controller, decide func(*view) (outcome[R], error)) (reply R, err error) {
	select {
	case c.pending <- struct{}{}:
		defer func() { <-c.pending }()
	default:
		return reply, protocol.RequestTimedOut
	}
	w, reply, err := decideAndPropose(ctx, c, decide)
	if err != nil {
		return reply, err
	}
	return reply, c.wait(ctx, w)
}

// wait returns when the Image has what the reply tells of, or will not have it;
// or when ctx is done.
func (c *Controller) wait(ctx context.Context, w *waiter) error {
	defer c.forget(w)
	for {
		select {
		case err := <-w.done:
			return err
		case err := <-w.proposal:
			if err != nil {
				return c.refused(err)
			}
			w.proposal = nil // committed; Apply is on its way
		case <-ctx.Done():
			return protocol.RequestTimedOut
		}
	}
}

// submitWithin is submit for the requests that carry a timeout. As in Kafka,
// one that leaves no time at all is not even looked at.
func submitWithin[R any](ctx context.Context, c *Controller, timeoutMs int32, decide func(*view) (outcome[R], error)) (reply R, err error) {
	if timeoutMs <= 0 {
		return reply, protocol.RequestTimedOut
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(timeoutMs)*time.Millisecond)
	defer cancel()
	return submit(ctx, c, decide)
}

func decideAndPropose[R any](ctx context.Context, c *Controller, decide func(*view) (outcome[R], error)) (w *waiter, reply R, err error) {
	c.deciding.Lock()
	defer c.deciding.Unlock()
	epoch, err := c.prepareTip()
	if err != nil {
		return nil, reply, err
	}
	v := c.view()
	v.done = func() bool { return ctx.Err() != nil }
	if err := v.gaveUp(); err != nil { // while it waited for its turn
		return nil, reply, err
	}
	out, err := decide(v)
	if err != nil {
		return nil, reply, err
	}
	done, err := c.propose(epoch, out.records)
	if err != nil {
		return nil, reply, err
	}
	if out.proposed != nil {
		out.proposed(c.tip.Offset)
	}
	return c.park(epoch, c.tip.Offset, done), out.reply, nil
}

// view is what a decision sees of the tip. The caller holds deciding.
func (c *Controller) view() *view {
	return &view{img: c.tip, kraftVersion: c.KRaftVersion(), bootstrap: c.o.Bootstrap, nodeID: c.o.NodeID, clusterID: c.o.ClusterID, cfg: c.o.Config, rand: c.o.Rand}
}

// prepareTip returns the epoch in which this node is the active controller, and
// begins a new tip when it is a new one. A cluster without a metadata.version
// is a new one: its first records go before all others.
func (c *Controller) prepareTip() (epoch int32, err error) {
	c.mu.Lock()
	r := c.role
	if !r.active {
		err = c.notController()
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if c.tipEpoch != r.epoch {
		// Nothing was proposed in this epoch yet, so the Image is the log's end.
		c.tip, c.tipEpoch = c.image.Load(), r.epoch
	}
	if c.tip.MetadataVersion() == 0 {
		if _, err := c.propose(r.epoch, bootstrapRecords(c.view())); err != nil {
			return 0, err
		}
	}
	return r.epoch, nil
}

// propose hands records to the quorum in batches of at most maxRecordsPerBatch
// and moves the tip along. done is the last batch's, nil when it is committed.
func (c *Controller) propose(epoch int32, records []metadata.Message) (done <-chan error, err error) {
	for len(records) > 0 {
		n := min(len(records), maxRecordsPerBatch)
		if done, err = c.proposeBatch(epoch, records[:n:n]); err != nil {
			return nil, err
		}
		records = records[n:]
	}
	return done, nil
}

func (c *Controller) proposeBatch(epoch int32, records []metadata.Message) (done <-chan error, err error) {
	level := c.tip.MetadataVersion()
	if records, err = metadata.AtLevel(records, level); err != nil {
		return nil, fmt.Errorf("decided records cannot be written at metadata.version %d: %w", level, err)
	}
	// Apply first: records that do not fit must not reach the log, where every
	// node would stop over them.
	next, _, err := c.tip.Apply(records, c.tip.Offset+int64(len(records)), epoch)
	if err != nil {
		c.o.Log.Error("a decision does not fit the metadata that it was made on", "error", err)
		return nil, fmt.Errorf("decided records do not apply: %w", err)
	}
	last, done := c.quorum.Propose(epoch, level, records)
	select {
	case err := <-done:
		if err != nil {
			return nil, c.refused(err)
		}
		done = nil // committed already
	default:
	}
	if last != next.Offset { // batches of raft's own lie in between
		moved := *next
		moved.Offset = last
		next = &moved
	}
	c.tip = next
	return done, nil
}

// refused turns a refusal of the quorum into what clients are told.
func (c *Controller) refused(err error) error {
	switch {
	case errors.Is(err, raft.ErrTooLarge):
		return errTooLarge
	case errors.Is(err, raft.ErrBusy):
		return protocol.RequestTimedOut
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.notController()
}

// park makes a reply wait for an offset of an epoch. The caller holds deciding,
// so waiters are parked in the order of their offsets.
func (c *Controller) park(epoch int32, offset int64, proposal <-chan error) *waiter {
	w := &waiter{offset: offset, done: make(chan error, 1), proposal: proposal}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.role.epoch != epoch || !c.role.active:
		w.done <- c.notController()
	case c.appliedOffset >= offset:
		w.done <- nil
	default:
		c.waiters = append(c.waiters, w)
	}
	return w
}

// forget takes out a waiter that gave up: nothing may be committed for long, and
// requests that give up come again.
func (c *Controller) forget(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, _ := slices.BinarySearchFunc(c.waiters, w.offset, func(x *waiter, offset int64) int { return cmp.Compare(x.offset, offset) })
	for ; at < len(c.waiters) && c.waiters[at].offset == w.offset; at++ {
		if c.waiters[at] == w {
			c.waiters = slices.Delete(c.waiters, at, at+1)
			return
		}
	}
}

// failWaiters ends all that wait. The caller holds mu.
func (c *Controller) failWaiters(err error) {
	for _, w := range c.waiters {
		w.done <- err
	}
	c.waiters = nil
}

// notController is Kafka's answer of a controller that is not the active one.
// The caller holds mu.
func (c *Controller) notController() error {
	if c.role.leader < 0 || c.role.leader == c.o.NodeID {
		return protocol.Errorf(protocol.NotController, "No controller appears to be active.")
	}
	return protocol.Errorf(protocol.NotController, "The active controller appears to be node %d.", c.role.leader)
}
