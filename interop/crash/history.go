package crash

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readAll reads every record of a topic up to the current end offsets.
func readAll(ctx context.Context, addr, topic string) ([]*kgo.Record, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	missing := int64(0)
	ends.Each(func(o kadm.ListedOffset) { missing += o.Offset })
	var out []*kgo.Record
	for int64(len(out)) < missing {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return out, fmt.Errorf("after %d of %d records: %w", len(out), missing, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out, nil
}

// judge compares the log with the acknowledged records. Each record must be
// where the broker said, no value may occur twice, offsets must have no gaps,
// and the values of one producer must be in the order in which it wrote them.
func judge(records []*kgo.Record, acked map[position]string) []string {
	var faults []string
	at := make(map[position]string, len(records))
	seen := make(map[string]position, len(records))
	next := make(map[int32]int64)
	last := make(map[string]int) // producer and partition → number
	for _, r := range records {
		pos, value := position{r.Partition, r.Offset}, string(r.Value)
		at[pos] = value
		if before, ok := seen[value]; ok {
			faults = append(faults, fmt.Sprintf("%q is there twice: %v and %v", value, before, pos))
		}
		seen[value] = pos
		if r.Offset != next[r.Partition] {
			faults = append(faults, fmt.Sprintf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1))
		}
		next[r.Partition] = r.Offset + 1
		faults = append(faults, outOfOrder(value, pos, last)...)
	}
	for pos, value := range acked {
		if got, ok := at[pos]; !ok {
			faults = append(faults, fmt.Sprintf("%q was acknowledged at %v and is lost", value, pos))
		} else if got != value {
			faults = append(faults, fmt.Sprintf("%q was acknowledged at %v, where %q is", value, pos, got))
		}
	}
	return faults
}

func outOfOrder(value string, pos position, last map[string]int) []string {
	i := strings.LastIndexByte(value, ' ')
	var n int
	if _, err := fmt.Sscan(value[i+1:], &n); i < 0 || err != nil {
		return []string{fmt.Sprintf("%q at %v is no value of this test", value, pos)}
	}
	stream := value[:i]
	before, ok := last[stream]
	last[stream] = n
	if ok && n <= before {
		return []string{fmt.Sprintf("%q at %v comes after %d", value, pos, before)}
	}
	return nil
}
