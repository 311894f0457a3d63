package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// EndToEnd measures how long a record takes from the moment when it is due to
// be sent until a consumer has it.
type EndToEnd struct {
	Topic       string
	RecordBytes int // at least 8
	// Rate is records a second.
	Rate float64
	Span Span
}

// Run sends with producer and reads with consumer, which must be at the end of
// the topic. The moment is in the first eight bytes of each value.
func (l *EndToEnd) Run(ctx context.Context, producer, consumer *kgo.Client, report func(Progress)) (*Result, error) {
	if l.Rate <= 0 {
		return nil, errors.New("an end-to-end load needs a rate")
	}
	began := time.Now()
	left := allowance{span: &l.Span}
	return unasked(run(ctx, l.Span, 2, report, func(ctx context.Context, m *meter, number int) error {
		if number == 0 {
			return l.send(ctx, m, producer, began, &left)
		}
		return l.receive(ctx, m, consumer, began)
	}))
}

func (l *EndToEnd) send(ctx context.Context, m *meter, producer *kgo.Client, began time.Time, left *allowance) error {
	pace := newPace(l.Rate, 0, 1)
	for left.take(1, int64(l.RecordBytes)) {
		due, err := pace.due(ctx, func() error { return nil })
		if err != nil {
			return err // the time is over
		}
		value := make([]byte, max(8, l.RecordBytes))
		binary.BigEndian.PutUint64(value, uint64(due.Sub(began)))
		producer.Produce(ctx, &kgo.Record{Topic: l.Topic, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil && !errors.Is(err, context.Canceled) {
				m.fail(err)
			}
		})
	}
	return producer.Flush(ctx)
}

// receive counts what arrives, until the time is over or as much came as may be
// sent.
func (l *EndToEnd) receive(ctx context.Context, m *meter, consumer *kgo.Client, began time.Time) error {
	got := int64(0)
	for l.Span.Records == 0 || got < l.Span.Records {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if len(r.Value) < 8 {
				return // somebody else's
			}
			got++
			due := began.Add(time.Duration(binary.BigEndian.Uint64(r.Value)))
			m.done(0, due, 1, int64(len(r.Value)))
		})
	}
	return nil
}
