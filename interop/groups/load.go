package groups

import (
	"context"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The timeouts of members, in ms.
const (
	sessionMillis   = 6000
	heartbeatMillis = 300
)

// partitions is the number of partitions of a story's topic.
const partitions = 6

// load writes to all partitions of a topic until it is finished.
type load struct {
	client *kgo.Client
	topic  string
	cancel context.CancelFunc
	done   chan struct{}

	mu   sync.Mutex
	ends map[string]int64 // the offset after the last acknowledged record
	errs []error
}

// loadInterval is the time between two records of a partition.
const loadInterval = 50 * time.Millisecond

func startLoad(t testing.TB, addr, topic string) *load {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression())) // kafkajs does not support snappy
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{client: cl, topic: topic, cancel: cancel, done: make(chan struct{}), ends: map[string]int64{}}
	t.Cleanup(func() { cancel(); <-l.done; cl.Close() })
	go l.run(ctx)
	return l
}

func (l *load) run(ctx context.Context) {
	defer close(l.done)
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for p := range int32(partitions) {
			r := &kgo.Record{Topic: l.topic, Partition: p, Value: strconv.AppendInt(nil, int64(i), 10)}
			l.client.Produce(context.WithoutCancel(ctx), r, l.acknowledged)
		}
	}
}

func (l *load) acknowledged(r *kgo.Record, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.errs = append(l.errs, err)
		return
	}
	at := place(r.Topic, r.Partition)
	l.ends[at] = max(l.ends[at], r.Offset+1)
}

// acked returns the lower bounds of the end offsets.
func (l *load) acked() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.ends)
}

// finish stops writing and returns the end offsets.
func (l *load) finish(t testing.TB) map[string]int64 {
	t.Helper()
	l.cancel()
	<-l.done
	if err := l.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends, err := kadm.NewClient(l.client).ListEndOffsets(t.Context(), l.topic)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, err := range l.errs {
		t.Errorf("producing: %v", err)
	}
	all := map[string]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			t.Errorf("end of %s-%d: %v", o.Topic, o.Partition, o.Err)
		}
		all[place(o.Topic, o.Partition)] = o.Offset
	})
	return all
}
