package replica

import (
	"fmt"

	"ottla/internal/metrics"
	"ottla/internal/record"
	"ottla/internal/storage"
)

// The acks of a produce request.
const (
	AcksNone   int16 = 0
	AcksLeader int16 = 1
	AcksAll    int16 = -1
)

// AppendOptions say how to append.
type AppendOptions struct {
	// Acks is AcksNone, AcksLeader or AcksAll.
	Acks   int16
	Origin record.Origin
}

// Append writes the batches of records, whose headers it changes, at the end
// of the log. It returns when they are written; for AcksAll the caller lets a
// Pending wait for LastOffset+1, also when the batch was a duplicate.
//
// Errors: ErrNotLeader, ErrNotEnoughReplicas (nothing is written), those of a
// partition that is closed, and all of storage.Log.AppendAsLeader.
func (p *Partition) Append(records []byte, o AppendOptions) (storage.Appended, error) {
	return p.AppendInEpoch(NoEpoch, records, o)
}

// AppendInEpoch is Append for a coordinator, which knows only what was written
// until its leader epoch began: in another epoch nothing is written. Errors
// besides those of Append: ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch.
func (p *Partition) AppendInEpoch(leaderEpoch int32, records []byte, o AppendOptions) (storage.Appended, error) {
	epoch, err := p.beginAppend(leaderEpoch, o.Acks)
	if err != nil {
		p.countAppend(0, 0, false)
		return storage.Appended{}, err
	}
	appended, err := p.log.AppendAsLeader(records, storage.AppendOptions{LeaderEpoch: epoch, Origin: o.Origin})
	p.endAppend(appended, err == nil)
	switch {
	case err != nil:
		p.countAppend(0, 0, false)
	case appended.Duplicate:
		p.countAppend(0, 0, true)
	default:
		p.countAppend(len(records), appended.LastOffset-appended.BaseOffset+1, true)
	}
	return appended, err
}

// countAppend counts a request to append, and what was written.
func (p *Partition) countAppend(bytes int, messages int64, ok bool) {
	for _, t := range [...]*metrics.Topic{p.topic, p.all} {
		t.ProduceRequests.Add(1)
		if !ok {
			t.FailedProduce.Add(1)
			continue
		}
		t.BytesIn.Add(int64(bytes))
		t.MessagesIn.Add(messages)
	}
}

// CountFetch counts a request to read, and the bytes that answer it.
func (p *Partition) CountFetch(bytes int, ok bool) {
	for _, t := range [...]*metrics.Topic{p.topic, p.all} {
		t.FetchRequests.Add(1)
		if !ok {
			t.FailedFetch.Add(1)
			continue
		}
		t.BytesOut.Add(int64(bytes))
	}
}

// beginAppend lets an append in, while this node leads in the epoch that the
// caller names, or in any.
func (p *Partition) beginAppend(wanted int32, acks int16) (epoch int32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed != nil {
		return 0, p.closed
	}
	if err := p.checkEpoch(wanted); err != nil {
		return 0, err
	}
	switch {
	case !p.leading:
		return 0, p.notLeader()
	case acks == AcksAll && p.state.underMinISR():
		return 0, fmt.Errorf("%w: %d of at least %d for %s-%d", ErrNotEnoughReplicas, len(p.state.isr), p.state.minISR(), p.tp.Topic, p.tp.Partition)
	}
	p.appending++
	return p.state.leaderEpoch, nil
}

// endAppend lets an append out. What was written counts at once unless it must
// be flushed first.
func (p *Partition) endAppend(appended storage.Appended, written bool) {
	counts := written && !p.durable
	p.mu.Lock()
	if p.appending--; p.appending == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
	if counts {
		p.counting = max(p.counting, appended.LastOffset+1)
	}
	p.mu.Unlock()
	if counts {
		p.advance()
	}
	if written {
		p.wake(LogEnd)
	}
}
