package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// RawEndToEnd is EndToEnd without a client. One connection sends prepared
// batches of one record; another fetches from the end of the partition. It
// measures the broker and the network.
//
// The record does not contain its due time. Records arrive in the order in
// which they were sent, so the due times wait in a queue. No other producer may
// write to the partition at the same time.
type RawEndToEnd struct {
	Topic  string
	Broker Broker // only its first partition is used
	// End is the current end offset of the partition.
	End         int64
	RecordBytes int
	// Acks is 1 or -1. Timeout is the request timeout for -1.
	Acks    int16
	Timeout time.Duration
	// Rate is in records per second.
	Rate float64
	Span Span
}

// mostDue bounds the sent records that have not been received: about one minute
// at 1,000 records/s. At the bound the load stops sending until records arrive.
const mostDue = 1 << 16

// Run runs the load.
func (l *RawEndToEnd) Run(ctx context.Context, report func(Progress)) (*Result, error) {
	if l.Rate <= 0 {
		return nil, errors.New("an end-to-end load needs a rate")
	}
	batch, err := (&RawProduce{RecordsPerBatch: 1, RecordBytes: l.RecordBytes}).batch()
	if err != nil {
		return nil, err
	}
	due := make(chan time.Time, mostDue)
	sent := make(chan struct{})
	left := allowance{span: &l.Span}
	work := []func(context.Context, *meter, *wire) error{
		func(ctx context.Context, _ *meter, w *wire) error {
			defer close(sent)
			return l.send(ctx, w, batch, due, &left)
		},
		func(ctx context.Context, m *meter, w *wire) error { return l.receive(ctx, m, w, due, sent) },
	}
	return unasked(run(ctx, l.Span, len(work), report, func(ctx context.Context, m *meter, number int) error {
		w, err := dialWire(ctx, l.Broker.Addr)
		if err != nil {
			return err
		}
		defer w.conn.Close() //nolint:errcheck // the load is over
		defer w.limit(ctx)()
		return work[number](ctx, m, w)
	}))
}

// send sends records at their due times, and reads the responses concurrently.
func (l *RawEndToEnd) send(ctx context.Context, w *wire, batch []byte, due chan<- time.Time, left *allowance) error {
	p := producing{load: &RawProduce{Topic: l.Topic, BatchesPerRequest: 1, RecordsPerBatch: 1, Acks: l.Acks, Timeout: l.Timeout}, wire: w}
	p.prepare(batch, l.Broker.Partitions[:1])
	answers := make(chan error, 1)
	sent := make(chan struct{}, mostDue)
	go func() { answers <- l.answers(w, sent) }()
	err := l.sendAll(ctx, w, &p.frames[0], due, sent, left)
	close(sent)
	return cmp.Or(<-answers, err) // a refusal also ends the sender
}

func (l *RawEndToEnd) sendAll(ctx context.Context, w *wire, r *preparedRequest, due chan<- time.Time, sent chan<- struct{}, left *allowance) error {
	pace := newPace(l.Rate, 0, 1)
	for left.take(r.records, r.bytes) {
		at, err := pace.due(ctx, func() error { return nil })
		if err != nil {
			return err // the duration has passed
		}
		select {
		case due <- at:
			sent <- struct{}{} // answers always drains this channel, also after an error
		case <-ctx.Done():
			return nil
		}
		if err := w.send(r.frame); err != nil {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

// answers reads one response per request. A refused record will never arrive,
// so a refusal ends the load.
func (l *RawEndToEnd) answers(w *wire, sent <-chan struct{}) error {
	var resp kmsg.ProduceResponse
	for range sent {
		err := w.receiveProduce(&resp)
		if err == nil {
			err = produceFailure(&resp)
		}
		if err != nil {
			_ = w.conn.Close() // ends the sender
			for range sent {   // until the sender has ended
			}
			return err
		}
	}
	return nil
}

// receive counts the received records. It ends when it has received the number
// of records in the limit, or when the duration has passed and all sent records
// were received.
func (l *RawEndToEnd) receive(ctx context.Context, m *meter, w *wire, due <-chan time.Time, sent <-chan struct{}) error {
	partitions := l.Broker.Partitions[:1]
	f := fetching{
		load: &RawConsume{
			Topic: l.Topic, MaxBytes: 1 << 20, PartitionMaxBytes: 1 << 20, Until: map[int32]int64{partitions[0]: math.MaxInt64},
		},
		wire: w, next: map[int32]int64{partitions[0]: l.End},
	}
	for got := int64(0); l.Span.Records == 0 || got < l.Span.Records; {
		if ctx.Err() != nil {
			<-sent
			if len(due) == 0 {
				return nil
			}
		}
		records, bytes, err := f.fetch(partitions)
		if err != nil {
			for len(due) > 0 {
				m.waited(0, <-due)
			}
			return err
		}
		for range records {
			select {
			case at := <-due:
				m.done(0, at, 1, bytes/records)
			default:
				return fmt.Errorf("%s-%d: another client writes to it", l.Topic, partitions[0])
			}
		}
		got += records
	}
	return nil
}
