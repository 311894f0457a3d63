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

// RawEndToEnd is EndToEnd without a client: one connection sends batches of one
// record that were made beforehand, another one asks for what follows the end
// of the partition. What is measured is the broker and the way to it.
//
// The record says nothing of when it was due: records come in the order in which
// they were sent, so that the moments wait in a queue. Nobody else may write to
// the partition meanwhile.
type RawEndToEnd struct {
	Topic  string
	Broker Broker // the first of its partitions is used
	// End is the offset at which the partition ends.
	End         int64
	RecordBytes int
	// Acks is 1 or -1, Timeout how long the latter may wait at the broker.
	Acks    int16
	Timeout time.Duration
	// Rate is records a second.
	Rate float64
	Span Span
}

// mostDue bounds the records that were sent and have not come: after a minute
// of them at 1,000 a second the load stops sending until some do.
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

// send sends when a record is due, and reads the answers beside it.
func (l *RawEndToEnd) send(ctx context.Context, w *wire, batch []byte, due chan<- time.Time, left *allowance) error {
	p := producing{load: &RawProduce{Topic: l.Topic, BatchesPerRequest: 1, RecordsPerBatch: 1, Acks: l.Acks, Timeout: l.Timeout}, wire: w}
	p.prepare(batch, l.Broker.Partitions[:1])
	answers := make(chan error, 1)
	sent := make(chan struct{}, mostDue)
	go func() { answers <- l.answers(w, sent) }()
	err := l.sendAll(ctx, w, &p.frames[0], due, sent, left)
	close(sent)
	return cmp.Or(<-answers, err) // a refusal ends the sender, too
}

func (l *RawEndToEnd) sendAll(ctx context.Context, w *wire, r *preparedRequest, due chan<- time.Time, sent chan<- struct{}, left *allowance) error {
	pace := newPace(l.Rate, 0, 1)
	for left.take(r.records, r.bytes) {
		at, err := pace.due(ctx, func() error { return nil })
		if err != nil {
			return err // the time is over
		}
		select {
		case due <- at:
			sent <- struct{}{} // whoever reads the answers empties it, whatever happens
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

// answers reads an answer for each request. A refused record never comes, so
// that the load cannot go on.
func (l *RawEndToEnd) answers(w *wire, sent <-chan struct{}) error {
	var resp kmsg.ProduceResponse
	for range sent {
		err := w.receiveProduce(&resp)
		if err == nil {
			err = produceFailure(&resp)
		}
		if err != nil {
			_ = w.conn.Close() // so that the sender ends, too
			for range sent {   // until it has
			}
			return err
		}
	}
	return nil
}

// receive counts what arrives, until as much came as may be sent, or the time is
// over and all came that was sent.
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
