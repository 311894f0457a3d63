package crash

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// churn creates topics one after the other, writes one record to each and
// deletes the oldest. It records how far each topic came.
type churn struct {
	topics []*churned
	count  atomic.Int64  // number of topics with their record
	more   chan struct{} // gets a token after each
	done   chan struct{} // closed when run has returned
	stop   context.CancelFunc
	err    error
}

// churned is a topic of a churn. deleting is set before the request; the other
// fields are set after the broker has acknowledged.
type churned struct {
	name       string
	partitions int32
	created    bool   // acknowledged by the broker
	value      string // acknowledged at offset 0 of partition 0, or ""
	deleting   bool
	deleted    bool // acknowledged by the broker
}

// churnKeeps is the number of topics that are kept before the oldest is
// deleted.
const churnKeeps = 12

// startChurn starts a churn of the topics PREFIX-0, PREFIX-1 and so on.
func startChurn(addr, prefix string) (*churn, error) {
	// Not idempotent: an idempotent producer would wait without limit for the
	// response.
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &churn{more: make(chan struct{}, 1), done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(c.done)
		defer cl.Close()
		c.err = c.run(ctx, cl, prefix)
	}()
	return c, nil
}

// await returns when n topics have their record, or when ctx is done.
func (c *churn) await(ctx context.Context, n int64) error {
	for c.count.Load() < n {
		select {
		case <-c.more:
		case <-c.done:
			return fmt.Errorf("%d of %d topics: %w", c.count.Load(), n, c.err)
		case <-ctx.Done():
			return fmt.Errorf("%d of %d topics: %w", c.count.Load(), n, ctx.Err())
		}
	}
	return nil
}

// halt stops the churn, at the latest when the broker is down. After it the
// topics can be read. The error is the error of a failed step.
func (c *churn) halt() error {
	c.stop()
	<-c.done
	return c.err
}

func (c *churn) run(ctx context.Context, cl *kgo.Client, prefix string) error {
	admin := kadm.NewClient(cl)
	for n := 0; ctx.Err() == nil; n++ {
		topic := &churned{name: fmt.Sprintf("%s-%d", prefix, n), partitions: int32(n%3 + 1)}
		c.topics = append(c.topics, topic)
		if _, err := admin.CreateTopic(ctx, topic.partitions, 1, nil, topic.name); err != nil {
			return err
		}
		topic.created = true
		value := "first of " + topic.name
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic.name, Value: []byte(value)}).FirstErr(); err != nil {
			return err
		}
		topic.value = value
		c.count.Add(1)
		select {
		case c.more <- struct{}{}:
		default:
		}
		if n < churnKeeps {
			continue
		}
		oldest := c.topics[n-churnKeeps]
		oldest.deleting = true
		if _, err := admin.DeleteTopic(ctx, oldest.name); err != nil {
			return err
		}
		oldest.deleted = true
	}
	return nil
}

// faults compares the existing topics with the acknowledged steps.
func (c *churn) faults(ctx context.Context, addr string) ([]string, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	there, err := kadm.NewClient(cl).ListTopics(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, topic := range c.topics {
		partitions := int32(0)
		if detail, ok := there[topic.name]; ok {
			partitions = int32(len(detail.Partitions))
		}
		fault := topic.fault(partitions)
		if fault == "" && partitions > 0 && topic.value != "" {
			fault, err = topic.record(ctx, addr)
		}
		if err != nil {
			return out, err
		}
		if fault != "" {
			out = append(out, fault)
		}
	}
	return out, nil
}

// fault checks a topic that now has the given number of partitions; 0: it does
// not exist.
func (t *churned) fault(partitions int32) string {
	switch {
	case t.deleted && partitions > 0:
		return fmt.Sprintf("topic %s was deleted but exists", t.name)
	case t.created && !t.deleting && partitions == 0:
		return fmt.Sprintf("topic %s was created but is lost", t.name)
	case partitions != 0 && partitions != t.partitions:
		return fmt.Sprintf("topic %s has %d partitions, want %d", t.name, partitions, t.partitions)
	}
	return ""
}

// record checks the acknowledged record.
func (t *churned) record(ctx context.Context, addr string) (fault string, err error) {
	records, err := readAll(ctx, addr, t.name)
	switch {
	case err != nil:
		return "", errors.Join(fmt.Errorf("reading topic %s", t.name), err)
	case len(records) != 1 || string(records[0].Value) != t.value || records[0].Offset != 0:
		return fmt.Sprintf("topic %s holds %d records, want only %q at offset 0", t.name, len(records), t.value), nil
	}
	return "", nil
}
