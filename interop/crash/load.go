package crash

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// load is a number of idempotent producers that write with acks=all until they
// are stopped, and the list of what was acknowledged.
type load struct {
	addr    string
	topic   string
	clients []*kgo.Client
	stop    context.CancelFunc
	running sync.WaitGroup

	acks atomic.Int64  // how many, for waiting
	more chan struct{} // gets a token after acknowledgements

	mu    sync.Mutex
	acked map[position]string // where → the value that was acknowledged there
	errs  []error
}

type position struct {
	partition int32
	offset    int64
}

// window is how many records of one producer may be under way.
const window = 200

// startLoad begins to write to all partitions of a topic.
func startLoad(addr, topic string, producers int, partitions int32) (*load, error) {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{addr: addr, topic: topic, stop: cancel, acked: make(map[position]string), more: make(chan struct{}, 1)}
	for p := range producers {
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.MaxBufferedRecords(window), kgo.ProducerBatchMaxBytes(10_000))
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, cl)
		l.running.Add(1)
		go func() {
			defer l.running.Done()
			l.write(ctx, cl, p, partitions)
		}()
	}
	return l, nil
}

// write produces the values "PRODUCER PARTITION NUMBER", numbered per partition.
// MaxBufferedRecords makes Produce wait while the broker is away.
func (l *load) write(ctx context.Context, cl *kgo.Client, producer int, partitions int32) {
	for n := 0; ctx.Err() == nil; n++ {
		for partition := range partitions {
			r := &kgo.Record{Topic: l.topic, Partition: partition, Value: fmt.Appendf(nil, "%d %d %d", producer, partition, n)}
			cl.Produce(context.Background(), r, l.done)
		}
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

// finish stops the producers, and waits until everything that they began is
// acknowledged or has failed.
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
