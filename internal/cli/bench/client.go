package bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// ClientProduce is a load of records through a client, as an application makes
// it.
type ClientProduce struct {
	Topic       string
	RecordBytes int
	// Keys is from how many different keys each record gets one; 0: no key.
	Keys int
	// Rate is records a second; 0: as fast as the client's buffer drains.
	Rate float64
	Span Span
}

// Run runs the load on a client, which has acks, linger and compression. A
// record's latency counts from the moment when it was due to the callback of
// its acknowledgement.
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
				break // the time is over
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

// unasked is the result of a load that does not know its requests: a client
// made them.
func unasked(r *Result, err error) (*Result, error) {
	if r != nil {
		r.Requests = 0
	}
	return r, err
}

// values are the values of records: one block of random bytes that each takes a
// piece of, so that no time goes into making them.
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

// key is one of n keys, nil when there are none.
func key(i, n int) []byte {
	if n == 0 {
		return nil
	}
	k := uint32(i) * 2654435761 % uint32(n) // spread over the keys
	return []byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}
}

// ClientConsume reads records through a client.
type ClientConsume struct {
	// Until is the offset to end before for each partition; nil: read what
	// comes until the span ends.
	Until map[int32]int64
	Span  Span
}

// Run reads with a client that consumes the topic from where it is to begin.
// connect makes it: a client reads ahead as soon as there is one. There is no
// latency in it but that of a poll.
func (l *ClientConsume) Run(ctx context.Context, connect func() (*kgo.Client, error), report func(Progress)) (*Result, error) {
	span := l.Span
	if l.Until != nil && span.Duration <= 0 {
		span.Duration = 1<<63 - 1 // it ends with the last record
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
