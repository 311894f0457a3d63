package bench

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/record"
)

// RawProduce is a load of Produce requests over raw connections.
type RawProduce struct {
	Topic   string
	Brokers []Broker
	// Connections is the number of connections, each with up to InFlight
	// outstanding requests.
	Connections, InFlight int
	// A request has BatchesPerRequest batches, each for a different partition.
	// A batch has RecordsPerBatch records with values of RecordBytes bytes.
	BatchesPerRequest, RecordsPerBatch, RecordBytes int
	Compression                                     record.Compression
	// Acks is 1 or -1.
	Acks int16
	// Timeout is the request timeout for acks=all.
	Timeout time.Duration
	// Rate is in requests per second over all connections; 0: as fast as
	// responses arrive.
	Rate float64
	Span Span
}

// produceVersion is supported by every Kafka since 2.4. It is the newest
// version with topic names and without fields that a raw load would have to
// fill.
const produceVersion = 9

// Run runs the load.
func (l *RawProduce) Run(ctx context.Context, report func(Progress)) (*Result, error) {
	batch, err := l.batch()
	if err != nil {
		return nil, err
	}
	left := allowance{span: &l.Span}
	return run(ctx, l.Span, l.Connections, report, func(ctx context.Context, m *meter, number int) error {
		addr, partitions := share(l.Brokers, number, l.Connections)
		w, err := dialWire(ctx, addr)
		if err != nil {
			return err
		}
		defer w.conn.Close() //nolint:errcheck // the load is over
		p := producing{load: l, wire: w, meter: m, number: number, left: &left, pending: make(chan sentRequest, l.InFlight)}
		p.prepare(batch, partitions)
		return p.run(ctx)
	})
}

// batch encodes the record batch that is sent repeatedly. Half of each value is
// random, so that compression has a realistic effect.
func (l *RawProduce) batch() ([]byte, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := record.NewBuilder(record.BuilderOptions{Compression: l.Compression, Level: record.DefaultLevel, Codecs: record.NewCodecs(), LeaderEpoch: -1})
	now := time.Now().UnixMilli()
	value := make([]byte, l.RecordBytes)
	for range l.RecordsPerBatch {
		for i := range value {
			value[i] = 'x'
			if i%2 == 0 {
				value[i] = byte(rng.Uint32())
			}
		}
		b.Append(now, nil, value)
	}
	batch, err := b.Build()
	return batch, err
}

// producing is one connection of the load.
type producing struct {
	load    *RawProduce
	wire    *wire
	meter   *meter
	number  int
	left    *allowance
	frames  []preparedRequest
	pending chan sentRequest
}

// preparedRequest is an encoded request and the size of its contents.
type preparedRequest struct {
	frame          frame
	records, bytes int64
}

// sentRequest is a request without a response yet. Responses arrive in request
// order.
type sentRequest struct {
	due            time.Time
	records, bytes int64
}

// prepare encodes the requests that the connection sends in turn.
func (p *producing) prepare(batch []byte, partitions []int32) {
	l := p.load
	for len(partitions) > 0 {
		n := min(l.BatchesPerRequest, len(partitions))
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = produceVersion, l.Acks, int32(l.Timeout.Milliseconds())
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = l.Topic
		for _, number := range partitions[:n] {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = number, batch
			topic.Partitions = append(topic.Partitions, part)
		}
		req.Topics = append(req.Topics, topic)
		p.frames = append(p.frames, preparedRequest{newFrame(req), int64(n * l.RecordsPerBatch), int64(n * len(batch))})
		partitions = partitions[n:]
	}
}

// run sends until ctx is done or the limit is reached. Then it waits for
// outstanding responses.
func (p *producing) run(ctx context.Context) error {
	defer p.wire.limit(ctx)()
	received := make(chan error, 1)
	go func() { received <- p.receive() }()
	sendErr := p.send(ctx)
	close(p.pending)
	receiveErr := <-received
	return cmp.Or(receiveErr, sendErr) // an unreadable response also ends the sender
}

func (p *producing) send(ctx context.Context) error {
	pace := newPace(p.load.Rate, p.number, p.load.Connections)
	for i := 0; ; i++ {
		r := &p.frames[i%len(p.frames)]
		if !p.left.take(r.records, r.bytes) {
			return p.wire.flush()
		}
		due, err := pace.due(ctx, p.wire.flush)
		if ctx.Err() != nil {
			return p.wire.flush()
		}
		if err != nil {
			return err
		}
		sent := sentRequest{due, r.records, r.bytes}
		select {
		case p.pending <- sent:
		default:
			if err := p.wire.flush(); err != nil {
				return err
			}
			select {
			case p.pending <- sent:
			case <-ctx.Done():
				return nil
			}
		}
		if err := p.wire.send(r.frame); err != nil {
			return err
		}
	}
}

// receive reads responses until no request is left.
func (p *producing) receive() error {
	resp := kmsg.NewPtrProduceResponse()
	for sent := range p.pending {
		if err := p.wire.receiveProduce(resp); err != nil {
			_ = p.wire.conn.Close() // ends the sender
			p.meter.waited(p.number, sent.due)
			for sent := range p.pending { // until the sender has ended
				p.meter.waited(p.number, sent.due)
			}
			return err
		}
		if err := produceFailure(resp); err != nil {
			p.meter.fail(err)
			continue
		}
		p.meter.done(p.number, sent.due, sent.records, sent.bytes)
	}
	return nil
}

// receiveProduce reads the response to a Produce request.
func (w *wire) receiveProduce(resp *kmsg.ProduceResponse) error {
	body, err := w.receive(true)
	if err != nil {
		return err
	}
	*resp = kmsg.ProduceResponse{Version: produceVersion}
	return resp.UnsafeReadFrom(body)
}

func produceFailure(resp *kmsg.ProduceResponse) error {
	for i := range resp.Topics {
		t := &resp.Topics[i]
		for j := range t.Partitions {
			if part := &t.Partitions[j]; part.ErrorCode != 0 {
				return refused(fmt.Sprintf("%s-%d", t.Topic, part.Partition), part.ErrorCode)
			}
		}
	}
	return nil
}
