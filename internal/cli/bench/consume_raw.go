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
	// Readers read the whole topic each, with one connection for each broker.
	Readers int
	// MaxBytes is the limit of a response, PartitionMaxBytes of one partition
	// in it.
	MaxBytes, PartitionMaxBytes int32
	// From has the offset to begin with for each partition, Until the one to end
	// before. At the end a reader begins again, unless Once is set.
	From, Until map[int32]int64
	Once        bool
	Span        Span
}

// fetchVersion is the newest that names topics by name.
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

// fetching is one connection of the load. It asks for all its partitions at
// once and goes on where the last answer ended; the offsets are patched into
// the request, which is made once.
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

// once sends one request and reads its answer; false when the load ends.
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

// fetch asks for what follows in the partitions and counts what came.
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
	// Begin behind the partition that was asked first last time: answers are
	// filled in order.
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

// take counts what an answer holds and moves the offsets.
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

// countRecords hops over the batches of an answer, the last of which may be cut
// off, and returns the offset that follows them.
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
