package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// reading prints the records of a plan until there is nothing left, count
// records are printed, or the user interrupts.
type reading struct {
	app    *App
	client *kgo.Client
	print  formatter // nil: envelopes
	// each takes the records instead of printing them; nil prints.
	each  func(*kgo.Record)
	left  map[partition]*partitionPlan
	count int64 // 0: no limit
	done  int64
	idle  time.Duration   // how long nothing may come before the leaders are asked
	stop  func(partition) // makes the client leave a partition alone
	out   *bufio.Writer
	buf   []byte
}

func (r *reading) run(ctx context.Context) error {
	assign := map[string]map[int32]kgo.Offset{}
	for p, plan := range r.left {
		if plan.until >= 0 && plan.next >= plan.until {
			delete(r.left, p)
			continue
		}
		if assign[p.topic] == nil {
			assign[p.topic] = map[int32]kgo.Offset{}
		}
		assign[p.topic][p.number] = kgo.NewOffset().At(plan.next)
	}
	r.client.AddConsumePartitions(assign)
	for len(r.left) > 0 {
		fetches, idle := r.poll(ctx)
		if interrupted(ctx) {
			return nil // as one ends an endless reading
		}
		if idle {
			if err := r.checkTails(ctx); err != nil {
				return err
			}
			continue
		}
		if err := r.errors(fetches); err != nil {
			return err
		}
		if full, err := r.records(fetches); full || err != nil {
			return err
		}
		if r.out == nil {
			continue
		}
		if err := r.out.Flush(); err != nil {
			return fmt.Errorf("printing records: %w", err)
		}
	}
	return nil
}

// errors tells of data that was lost and goes on; what the client cannot mend
// by itself ends the reading.
func (r *reading) errors(fetches kgo.Fetches) error {
	var fatal error
	fetches.EachError(func(topic string, number int32, err error) {
		var lost *kgo.ErrDataLoss
		if errors.As(err, &lost) {
			r.app.Notef("ottla: %s [%d]: records up to offset %d were lost, going on at %d", topic, number, lost.ConsumedTo, lost.ResetTo)
			return
		}
		if r.left[partition{topic, number}] != nil || number < 0 {
			fatal = errors.Join(fatal, fmt.Errorf("%s [%d]: %s", topic, number, newProblem(err, "")))
		}
	})
	return fatal
}

// records prints what was fetched; full tells that count is reached.
func (r *reading) records(fetches kgo.Fetches) (full bool, err error) {
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		p := partition{f.Topic, f.Partition}
		plan := r.left[p]
		if plan == nil || full || err != nil {
			return
		}
		broker, _ := r.leader(p)
		for _, rec := range f.Records {
			if plan.until >= 0 && rec.Offset >= plan.until {
				break
			}
			plan.next = rec.Offset + 1
			if rec.Attrs.IsControl() {
				continue
			}
			if err = r.one(rec, broker); err != nil {
				return
			}
			if full = r.count > 0 && r.done >= r.count; full {
				return
			}
		}
		r.finish(p, plan, f.Records)
	})
	return full, err
}

// leader is the node id and the epoch of a partition's leader as the client
// knows it, -1 when it does not.
func (r *reading) leader(p partition) (id, epoch int32) {
	id, epoch, err := r.client.PartitionLeader(p.topic, p.number)
	if err != nil {
		return -1, -1
	}
	return id, epoch
}

// interrupted tells whether the user wants the command to end.
func interrupted(ctx context.Context) bool { return ctx.Err() != nil }

// finish gives a partition up that is read to its bound. A record at or behind
// the bound shows that too: the offsets before it may be compacted away.
func (r *reading) finish(p partition, plan *partitionPlan, records []*kgo.Record) {
	if plan.until < 0 || len(records) == 0 {
		return
	}
	if records[len(records)-1].Offset+1 < plan.until {
		return
	}
	r.giveUp(p)
}

func (r *reading) one(rec *kgo.Record, broker int32) error {
	if r.each != nil {
		r.each(rec)
		r.done++
		return nil
	}
	if r.print == nil {
		r.buf = appendEnvelope(r.buf[:0], rec, broker)
		if r.app.format == "yaml" {
			doc, err := toYAML(r.buf)
			if err != nil {
				return fmt.Errorf("printing records: %w", err)
			}
			r.buf = append(append(r.buf[:0], "---\n"...), doc...)
		}
	} else {
		r.buf = r.print.append(r.buf[:0], rec)
	}
	r.done++
	if _, err := r.out.Write(r.buf); err != nil {
		return fmt.Errorf("printing records: %w", err)
	}
	return nil
}
