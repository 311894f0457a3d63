package crash

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watch is a consumer that records what it has read.
type watch struct {
	seen map[position]string // may be read after halt
	done chan struct{}
	stop context.CancelFunc
}

// startWatch reads a topic from its beginning and keeps reading.
func startWatch(addr, topic string) (*watch, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{seen: make(map[position]string), done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(w.done)
		defer cl.Close()
		for ctx.Err() == nil {
			cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { // ignore errors
				w.seen[position{r.Partition, r.Offset}] = string(r.Value)
			})
		}
	}()
	return w, nil
}

// halt stops the consumer and returns the records that it has read.
func (w *watch) halt() map[position]string {
	w.stop()
	<-w.done
	return w.seen
}
