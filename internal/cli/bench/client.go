package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ClientProduce is a load of records through a client, as in an application.
type ClientProduce struct {
	Topic       string
	RecordBytes int
	// Keys is the number of different keys; 0: records have no key.
	Keys int
	// Rate is in records per second; 0: as fast as the client's buffer drains.
	Rate float64
	Span Span
}

// Run runs the load on a client, whose options set acks, linger and
// compression. The latency of a record counts from its due time to the callback
// of its acknowledgement.
func (l *ClientProduce) Run(ctx context.Context, client *kgo.Client, report func(Progress)) (*Result, error) {
	left := allowance{span: &l.Span}
	return unasked(run(ctx, l.Span, 1, report, func(ctx context.Context, m *meter, _ int) error {
		late, cancel := lingering(ctx)
		defer cancel()
		values := newValues(l.RecordBytes)
		pace := newPace(l.Rate, 0, 1)
		for i := 0; left.take(1, int64(l.RecordBytes)); i++ {
			due, err := pace.due(ctx, func() error { return nil })
			if err != nil {
				break // the duration has passed
			}
			r := &kgo.Record{Topic: l.Topic, Value: values.next(), Key: key(i, l.Keys)}
			client.Produce(late, r, func(r *kgo.Record, err error) {
				switch {
				case err == nil:
					m.done(int(r.Partition), due, 1, int64(len(r.Key)+len(r.Value)))
				case !errors.Is(err, context.Canceled):
					m.fail(err)
				}
			})
		}
		return client.Flush(late)
	}))
}

// unasked is the result of a load that does not know its requests, because a
// client sent them.
func unasked(r *Result, err error) (*Result, error) {
	if r != nil {
		r.Requests = 0
	}
	return r, err
}

// values generates record values. Each value is a slice of one random block, so
// that generating values takes no time.
type values struct {
	block []byte
	size  int
	rng   *rand.Rand
}

func newValues(size int) *values {
	v := &values{size: size, rng: rand.New(rand.NewPCG(1, 2)), block: make([]byte, size+64<<10)}
	for i := range v.block {
		v.block[i] = 'a' + byte(v.rng.Uint32()%26)
	}
	return v
}

func (v *values) next() []byte {
	at := v.rng.IntN(len(v.block) - v.size)
	return v.block[at : at+v.size]
}

// key returns one of n keys, nil if n is 0.
func key(i, n int) []byte {
	if n == 0 {
		return nil
	}
	k := uint32(i) * 2654435761 % uint32(n) // spreads the numbers over the keys
	return []byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}
}

// ClientConsume is a load of reads through a client.
type ClientConsume struct {
	// Until is the end offset (exclusive) of each partition; nil: read until
	// the span ends.
	Until map[int32]int64
	Span  Span
}

// Run reads a topic. connect creates the client that consumes it from the start
// position. It is called late, because a client starts to read ahead at once.
// The latencies are those of polls.
func (l *ClientConsume) Run(ctx context.Context, connect func() (*kgo.Client, error), report func(Progress)) (*Result, error) {
	span := l.Span
	if l.Until != nil && span.Duration <= 0 {
		span.Duration = 1<<63 - 1 // the load ends with the last record
	}
	return unasked(run(ctx, span, 1, report, func(ctx context.Context, m *meter, _ int) error {
		client, err := connect()
		if err != nil {
			return err
		}
		defer client.Close()
		open := 0
		for _, until := range l.Until {
			if until > 0 {
				open++
			}
		}
		for l.Until == nil || open > 0 {
			asked := time.Now()
			fetches := client.PollFetches(ctx)
			if err := fetches.Err0(); err != nil {
				return err
			}
			fetches.EachPartition(func(p kgo.FetchTopicPartition) {
				if p.Err != nil {
					m.fail(p.Err)
				}
				bytes := 0
				for _, r := range p.Records {
					bytes += len(r.Key) + len(r.Value)
				}
				if len(p.Records) == 0 {
					return
				}
				m.done(int(p.Partition), asked, int64(len(p.Records)), int64(bytes))
				if until := l.Until[p.Partition]; until > 0 && p.Records[len(p.Records)-1].Offset+1 >= until {
					open--
				}
			})
		}
		return nil
	}))
}
