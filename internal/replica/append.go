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

// AppendOptions are the options of Append.
type AppendOptions struct {
	// Acks is AcksNone, AcksLeader or AcksAll.
	Acks   int16
	Origin record.Origin
}

// Append writes the batches of records to the end of the log. It changes their
// headers. It returns when they are written. For AcksAll the caller must then
// wait for LastOffset+1 with a Pending, also if the batch was a duplicate.
//
// Errors: ErrNotLeader, ErrNotEnoughReplicas (nothing is written), those of a
// closed partition, and those of storage.Log.AppendAsLeader.
func (p *Partition) Append(records []byte, o AppendOptions) (storage.Appended, error) {
	return p.AppendInEpoch(NoEpoch, records, o)
}

// AppendInEpoch is Append for a coordinator, whose state covers only what was
// written before its leader epoch. In another epoch it writes nothing.
// Additional errors: ErrFencedLeaderEpoch, ErrUnknownLeaderEpoch.
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

// countAppend counts an append request and the written data.
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

// CountFetch counts a read request and the bytes of its response.
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

// beginAppend starts an append if this node leads in the wanted epoch, or in
// any epoch if none is given.
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

// endAppend ends an append. The written records count at once for the high
// watermark, unless they must be flushed first.
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
