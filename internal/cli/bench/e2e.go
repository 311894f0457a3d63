package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// EndToEnd measures the time from the due time of a record until a consumer has
// received it.
type EndToEnd struct {
	Topic       string
	RecordBytes int // at least 8
	// Rate is in records per second.
	Rate float64
	Span Span
}

// Run sends with producer and reads with consumer, which must be at the end of
// the topic. The first eight bytes of each value contain the due time.
func (l *EndToEnd) Run(ctx context.Context, producer, consumer *kgo.Client, report func(Progress)) (*Result, error) {
	if l.Rate <= 0 {
		return nil, errors.New("an end-to-end load needs a rate")
	}
	began := time.Now()
	left := allowance{span: &l.Span}
	total := make(chan int64, 1)
	return unasked(run(ctx, l.Span, 2, report, func(ctx context.Context, m *meter, number int) error {
		if number == 0 {
			return l.send(ctx, m, producer, began, &left, total)
		}
		return l.receive(ctx, m, consumer, began, total)
	}))
}

// send sends the records, and then their number to total.
func (l *EndToEnd) send(ctx context.Context, m *meter, producer *kgo.Client, began time.Time, left *allowance, total chan<- int64) error {
	late, cancel := lingering(ctx)
	defer cancel()
	sent := int64(0)
	defer func() { total <- sent }()
	pace := newPace(l.Rate, 0, 1)
	for left.take(1, int64(l.RecordBytes)) {
		due, err := pace.due(ctx, func() error { return nil })
		if err != nil {
			break // the duration has passed
		}
		value := make([]byte, max(8, l.RecordBytes))
		binary.BigEndian.PutUint64(value, uint64(due.Sub(began)))
		sent++
		producer.Produce(late, &kgo.Record{Topic: l.Topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil && !errors.Is(err, context.Canceled) {
				m.fail(err)
			}
		})
	}
	return producer.Flush(late)
}

// receive counts the received records. It ends when it has received the number
// of records in the limit, or when the duration has passed and all sent records
// were received.
func (l *EndToEnd) receive(ctx context.Context, m *meter, consumer *kgo.Client, began time.Time, total <-chan int64) error {
	late, cancel := lingering(ctx)
	defer cancel()
	got, most := int64(0), l.Span.Records
	for poll := ctx; most == 0 || got < most; {
		fetches := consumer.PollFetches(poll)
		if err := fetches.Err0(); err != nil {
			if poll == late || ctx.Err() == nil {
				return err
			}
			poll, most = late, <-total
			if most == 0 {
				return nil
			}
			continue
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if len(r.Value) < 8 {
				return // written by another producer
			}
			got++
			due := began.Add(time.Duration(binary.BigEndian.Uint64(r.Value)))
			m.done(0, due, 1, int64(len(r.Value)))
		})
	}
	return nil
}
