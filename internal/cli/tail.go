package cli

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A bounded reading ends when a record at or behind the bound shows up. After
// compaction there may be none: the last offsets of a partition can be gaps, or
// batches without records, which the client passes over in silence. So when
// nothing comes for a while, the leader is asked what is there.

// checkTails gives up each partition that holds no record before its bound.
func (r *reading) checkTails(ctx context.Context) error {
	for p, plan := range r.left {
		if plan.until < 0 {
			continue
		}
		empty, err := r.tailIsEmpty(ctx, p, plan)
		if err != nil {
			return fmt.Errorf("%s [%d]: %w", p.topic, p.number, err)
		}
		if empty {
			r.giveUp(p)
		}
	}
	return nil
}

// tailIsEmpty asks the leader for what it has from the next offset on.
func (r *reading) tailIsEmpty(ctx context.Context, p partition, plan *partitionPlan) (bool, error) {
	leader, epoch := r.leader(p)
	if leader < 0 {
		return false, nil // the client is looking for one
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxBytes = 1 << 20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.topic, plan.topicID
	fp := kmsg.NewFetchRequestTopicPartition()
	fp.Partition, fp.CurrentLeaderEpoch, fp.FetchOffset, fp.PartitionMaxBytes = p.number, epoch, plan.next, 1<<20
	t.Partitions = append(t.Partitions, fp)
	req.Topics = append(req.Topics, t)
	resp, err := r.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return false, err
	}
	fetch := resp.(*kmsg.FetchResponse)
	if fetch.ErrorCode != 0 || len(fetch.Topics) != 1 || len(fetch.Topics[0].Partitions) != 1 {
		return false, kerr.ErrorForCode(fetch.ErrorCode)
	}
	got := fetch.Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.HighWatermark < plan.until {
		return false, nil // the client sees the error too, and knows what to do
	}
	next, records := skipEmpty(got.RecordBatches, plan.next)
	plan.next = next
	return !records && (next >= plan.until || len(got.RecordBatches) == 0), nil
}

// The places in a batch of what skipEmpty reads: the base offset of 8 bytes,
// the length of 4 behind them, 23 the delta of the last offset, 57 the number
// of records.
const (
	batchHeader     = 61
	batchOverhead   = 12
	lastOffsetDelta = 23
	recordCount     = 57
)

// skipEmpty passes over the batches at the front that hold no records. It
// returns the offset behind them, and whether a batch with records follows.
func skipEmpty(batches []byte, next int64) (int64, bool) {
	for len(batches) >= batchHeader {
		if binary.BigEndian.Uint32(batches[recordCount:]) > 0 {
			return next, true
		}
		next = int64(binary.BigEndian.Uint64(batches)) + int64(binary.BigEndian.Uint32(batches[lastOffsetDelta:])) + 1
		size := batchOverhead + int(int32(binary.BigEndian.Uint32(batches[8:])))
		if size < batchHeader || size > len(batches) {
			break
		}
		batches = batches[size:]
	}
	return next, false
}

// giveUp stops reading a partition.
func (r *reading) giveUp(p partition) {
	delete(r.left, p)
	r.stop(p)
}

// bounded tells whether a partition is left that has a bound.
func (r *reading) bounded() bool {
	for _, plan := range r.left {
		if plan.until >= 0 {
			return true
		}
	}
	return false
}

// poll waits for records; when there is a bound, not for ever.
func (r *reading) poll(ctx context.Context) (kgo.Fetches, bool) {
	if !r.bounded() {
		return r.client.PollFetches(ctx), false
	}
	ctx, cancel := context.WithTimeout(ctx, r.idle)
	defer cancel()
	fetches := r.client.PollFetches(ctx)
	return fetches, ctx.Err() != nil && fetches.NumRecords() == 0
}
