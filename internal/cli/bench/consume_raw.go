package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/record"
)

// RawConsume is a load of Fetch requests over raw connections.
type RawConsume struct {
	Topic   string
	Brokers []Broker
	// Readers is the number of readers. Each reads the whole topic with one
	// connection per broker.
	Readers int
	// MaxBytes is the limit of a response, PartitionMaxBytes that of one
	// partition in it.
	MaxBytes, PartitionMaxBytes int32
	// From is the start offset of each partition, Until the end offset
	// (exclusive). At the end a reader starts again, unless Once is set.
	From, Until map[int32]int64
	Once        bool
	Span        Span
}

// fetchVersion is the newest version with topic names.
const fetchVersion = 12

// Run runs the load.
func (l *RawConsume) Run(ctx context.Context, report func(Progress)) (*Result, error) {
	left := allowance{span: &l.Span}
	span := l.Span
	if l.Once && span.Duration <= 0 {
		span.Duration = 1<<63 - 1 // the readers end by themselves
	}
	return run(ctx, span, l.Readers*len(l.Brokers), report, func(ctx context.Context, m *meter, number int) error {
		b := l.Brokers[number%len(l.Brokers)]
		w, err := dialWire(ctx, b.Addr)
		if err != nil {
			return err
		}
		defer w.conn.Close() //nolint:errcheck // the load is over
		defer w.limit(ctx)()
		f := fetching{load: l, wire: w, meter: m, number: number, left: &left}
		return f.run(ctx, b.Partitions)
	})
}

// fetching is one connection of the load. Each request contains all its
// partitions and continues at the end of the last response. The request is
// encoded once; then only the offsets are patched.
type fetching struct {
	load   *RawConsume
	wire   *wire
	meter  *meter
	number int
	left   *allowance

	next map[int32]int64
}

func (f *fetching) run(ctx context.Context, partitions []int32) error {
	for {
		f.next = map[int32]int64{}
		for _, p := range partitions {
			if f.load.From[p] < f.load.Until[p] {
				f.next[p] = f.load.From[p]
			}
		}
		if len(f.next) == 0 {
			return errors.New("there is nothing to read")
		}
		for len(f.next) > 0 {
			if more, err := f.once(ctx, partitions); err != nil || !more {
				return err
			}
		}
		if f.load.Once {
			return nil
		}
	}
}

// once sends one request and reads the response. It returns false when the load
// ends.
func (f *fetching) once(ctx context.Context, partitions []int32) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	due := time.Now()
	records, bytes, err := f.fetch(partitions)
	if err != nil {
		return false, err
	}
	f.meter.done(f.number, due, records, bytes)
	return f.left.take(records, bytes), nil
}

// fetch fetches the next records of the partitions and counts them.
func (f *fetching) fetch(partitions []int32) (records, bytes int64, err error) {
	if err := f.wire.send(newFrame(f.request(partitions))); err != nil {
		return 0, 0, err
	}
	if err := f.wire.flush(); err != nil {
		return 0, 0, err
	}
	body, err := f.wire.receive(true)
	if err != nil {
		return 0, 0, err
	}
	resp := kmsg.FetchResponse{Version: fetchVersion}
	if err := resp.UnsafeReadFrom(body); err != nil {
		return 0, 0, err
	}
	return f.take(&resp)
}

func (f *fetching) request(partitions []int32) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version = fetchVersion
	req.ReplicaID, req.SessionEpoch = -1, -1
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, f.load.MaxBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = f.load.Topic
	// Start after the partition that was first in the last request: brokers
	// fill responses in request order.
	for i := range partitions {
		p := partitions[(i+int(f.wire.correlation))%len(partitions)]
		offset, ok := f.next[p]
		if !ok {
			continue
		}
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p, offset, f.load.PartitionMaxBytes
		part.CurrentLeaderEpoch = -1
		topic.Partitions = append(topic.Partitions, part)
	}
	req.Topics = append(req.Topics, topic)
	return req
}

// take counts the contents of a response and advances the offsets.
func (f *fetching) take(resp *kmsg.FetchResponse) (records, bytes int64, err error) {
	if resp.ErrorCode != 0 {
		return 0, 0, refused("fetch", resp.ErrorCode)
	}
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			p := &resp.Topics[i].Partitions[j]
			if p.ErrorCode != 0 {
				return 0, 0, refused(fmt.Sprintf("%s-%d", resp.Topics[i].Topic, p.Partition), p.ErrorCode)
			}
			n, next, err := countRecords(p.RecordBatches)
			if err != nil {
				return 0, 0, fmt.Errorf("%s-%d: %w", resp.Topics[i].Topic, p.Partition, err)
			}
			if n == 0 {
				continue
			}
			records += n
			bytes += int64(len(p.RecordBatches))
			if f.next[p.Partition] = next; next >= f.load.Until[p.Partition] {
				delete(f.next, p.Partition)
			}
		}
	}
	return records, bytes, nil
}

// countRecords skips over the batches of a response and returns the next
// offset. The last batch may be truncated.
func countRecords(b []byte) (records, next int64, err error) {
	for len(b) >= record.HeaderLen {
		batch, rest, err := record.Next(b)
		if errors.Is(err, record.ErrTruncated) || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
		records += int64(batch.Count())
		next = batch.NextOffset()
		b = rest
	}
	return records, next, nil
}
