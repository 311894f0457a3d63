package crash

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// loadOptions configure a load.
type loadOptions struct {
	addr       string
	topic      string
	partitions int32
	first      int // number of the first producer; each number is used once in the history of a topic
	idempotent int // number of producers that retry until a record is acknowledged, exactly once
	plain      int // number of producers that do not retry records in flight when the broker is killed
	pad        int // producers write values of different lengths, up to this many additional bytes
}

// load is a set of producers that write with acks=all until they are stopped,
// and the list of acknowledged records.
type load struct {
	loadOptions
	clients []*kgo.Client
	stop    context.CancelFunc
	running sync.WaitGroup

	acks atomic.Int64  // number of acknowledgements
	more chan struct{} // gets a token after acknowledgements

	mu    sync.Mutex
	acked map[position]string // position → the value acknowledged there
	errs  []error
}

type position struct {
	partition int32
	offset    int64
}

// window is the maximum number of unacknowledged records of one producer.
const window = 200

// loadCodecs are the compressions of the producers, in turn.
var loadCodecs = []kgo.CompressionCodec{
	kgo.SnappyCompression(), kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.GzipCompression(),
}

// startLoad starts to write to all partitions of a topic.
func startLoad(ctx context.Context, o loadOptions) (*load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{loadOptions: o, stop: cancel, acked: make(map[position]string), more: make(chan struct{}, 1)}
	for i := range o.idempotent + o.plain {
		opts := []kgo.Opt{
			kgo.SeedBrokers(o.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.MaxBufferedRecords(window), kgo.ProducerBatchMaxBytes(10_000),
			kgo.ProducerBatchCompression(loadCodecs[i%len(loadCodecs)]),
		}
		if i >= o.idempotent {
			opts = append(opts, kgo.DisableIdempotentWrite(), kgo.RecordRetries(0))
		}
		cl, err := kgo.NewClient(opts...)
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, cl)
		if i < o.idempotent {
			// franz-go fails if the broker is killed before the producer has an
			// id.
			if _, _, err := cl.ProducerID(ctx); err != nil {
				l.close()
				return nil, err
			}
		}
		done := l.done
		if i >= o.idempotent {
			done = l.doneOrLost
		}
		l.running.Go(func() { l.write(ctx, cl, o.first+i, done) })
	}
	return l, nil
}

// write produces the values "PRODUCER PARTITION NUMBER", numbered per
// partition, with leading zeros. MaxBufferedRecords makes Produce wait while
// the broker is down.
func (l *load) write(ctx context.Context, cl *kgo.Client, producer int, done func(*kgo.Record, error)) {
	width := 1 + l.pad*(producer%4)/3
	for n := 0; ctx.Err() == nil; n++ {
		for partition := range l.partitions {
			value := fmt.Appendf(nil, "%0*d %d %d", width, producer, partition, n)
			cl.Produce(context.Background(), &kgo.Record{Topic: l.topic, Partition: partition, Value: value}, done)
		}
	}
}

// doneOrLost is done for a producer that does not retry: a failed record may or
// may not be in the log.
func (l *load) doneOrLost(r *kgo.Record, err error) {
	if err == nil {
		l.done(r, nil)
	}
}

func (l *load) done(r *kgo.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	l.acked[position{r.Partition, r.Offset}] = string(r.Value)
	l.acks.Add(1)
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// await returns when n records were acknowledged, or when ctx is done.
func (l *load) await(ctx context.Context, n int64) error {
	for l.acks.Load() < n {
		select {
		case <-l.more:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d records acknowledged: %w", l.acks.Load(), n, ctx.Err())
		}
	}
	return nil
}

// finish stops the producers and waits until all their records are acknowledged
// or have failed.
func (l *load) finish(ctx context.Context) error {
	l.stop()
	l.running.Wait()
	defer l.close()
	for _, cl := range l.clients {
		if err := cl.Flush(ctx); err != nil {
			return fmt.Errorf("flushing: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.errs) > 0 {
		return fmt.Errorf("%d records failed, the first: %w", len(l.errs), l.errs[0])
	}
	return nil
}

func (l *load) close() {
	l.stop()
	for _, cl := range l.clients {
		cl.Close()
	}
}

// abandon drops all unacknowledged records.
func (l *load) abandon(ctx context.Context) error {
	var errs []error
	for _, cl := range l.clients {
		errs = append(errs, cl.AbortBufferedRecords(ctx))
	}
	l.running.Wait()
	l.close()
	return errors.Join(errs...)
}
