package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/groupbench"
)

// idleMemory is the memory of an idle broker after the start, with one topic
// that was written to.
func idleMemory(c *ownCase) ([]map[kind]float64, error) {
	return c.one(func(x *side) (float64, error) {
		if err := firstAck(c.ctx, x.addr, "t"); err != nil {
			return 0, err
		}
		select {
		case <-time.After(3 * time.Second): // until it is idle
		case <-c.ctx.Done():
		}
		return residentMB(x.pid, "VmRSS")
	})
}

// startTime is the time from the start of the process on an empty folder (for
// Kafka: a formatted one) to the first acknowledged record.
func startTime(c *ownCase) ([]map[kind]float64, error) {
	return c.one(func(x *side) (float64, error) {
		if err := x.broker.Stop(); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := x.broker.Up(); err != nil {
			return 0, err
		}
		err := firstAck(c.ctx, x.addr, "t")
		return time.Since(began).Seconds() * 1000, err
	})
}

const manyPartitions = 10_000

// restart fills a broker with partitions, kills it and starts it again.
func (c *ownCase) restart(x *side) (ms float64, err error) {
	args := produceArgs(manyPartitions, 10, 10, 1, 100, "1", "--records", "10000", "--duration", "0")
	if _, err := x.load(c.ctx, args); err != nil {
		return 0, err
	}
	x.broker.Kill()
	began := time.Now()
	if err := x.broker.Up(); err != nil {
		return 0, err
	}
	x.pid = x.broker.PID()
	err = firstAck(c.ctx, x.addr, "load")
	return time.Since(began).Seconds() * 1000, err
}

func restartTime(c *ownCase) ([]map[kind]float64, error) { return c.one(c.restart) }

func restartMemory(c *ownCase) ([]map[kind]float64, error) {
	return c.one(func(x *side) (float64, error) {
		if _, err := c.restart(x); err != nil {
			return 0, err
		}
		return residentMB(x.pid, "VmRSS")
	})
}

// one is each for a case with a single figure.
func (c *ownCase) one(measure func(x *side) (float64, error)) ([]map[kind]float64, error) {
	return c.each(nil, 1, func(x *side) ([]float64, error) {
		v, err := measure(x)
		return []float64{v}, err
	})
}

// each measures all sides one after the other. It returns the given number of
// figures.
func (c *ownCase) each(set []string, figures int, measure func(x *side) ([]float64, error)) ([]map[kind]float64, error) {
	values := make([]map[kind]float64, figures)
	for i := range values {
		values[i] = map[kind]float64{}
	}
	for _, k := range c.kinds {
		own := set
		if k != ottla {
			own = nil
		}
		x, err := startSide(c.scope, k, own)
		if err != nil {
			return nil, err
		}
		found, err := measure(x)
		if err != nil {
			return nil, err
		}
		for i, v := range found {
			values[i][k] = v
		}
		x.broker.Kill()
	}
	return values, nil
}

// groupCommits is the cost of offset commits for the given number of groups, on
// 16 connections.
func groupCommits(groups int, d time.Duration) func(c *ownCase) ([]map[kind]float64, error) {
	return func(c *ownCase) ([]map[kind]float64, error) {
		return c.each(pageCache, 3, func(x *side) ([]float64, error) {
			if err := firstAck(c.ctx, x.addr, "bench"); err != nil {
				return nil, err
			}
			if _, err := groupbench.Commits(x.addr, 16, groups, d, func() error { return nil }); err != nil { // the warm-up
				return nil, err
			}
			var before float64
			n, err := groupbench.Commits(x.addr, 16, groups, d, func() (err error) {
				before, err = cpuSeconds(x.pid)
				return err
			})
			if err != nil {
				return nil, err
			}
			after, err := cpuSeconds(x.pid)
			if err != nil {
				return nil, err
			}
			resident, err := residentMB(x.pid, "VmRSS")
			return []float64{(after - before) / float64(n) * 1e6, float64(n) / d.Seconds(), resident}, err
		})
	}
}

// firstAck returns when a record is acknowledged by all replicas.
func firstAck(ctx context.Context, addr, topic string) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1), kgo.ProducerLinger(0),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return err
	}
	defer client.Close()
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("first")}).FirstErr()
}
