package cli

import (
	"context"
	"maps"

	"github.com/twmb/franz-go/pkg/kgo"
)

// firstRecords returns the first record at or after an offset of each
// partition. A partition without such a record is missing from the answer: that
// is known when nothing more comes for idleTime. client must consume nothing
// yet, with KeepControlRecords; it consumes nothing afterwards either.
func firstRecords(ctx context.Context, client *kgo.Client, at map[partition]int64) (map[partition]*kgo.Record, error) {
	found := map[partition]*kgo.Record{}
	wanted := maps.Clone(at)
	assign := map[string]map[int32]kgo.Offset{}
	for p, offset := range at {
		if assign[p.topic] == nil {
			assign[p.topic] = map[int32]kgo.Offset{}
		}
		assign[p.topic][p.number] = kgo.NewOffset().At(offset)
	}
	client.AddConsumePartitions(assign)
	for len(wanted) > 0 {
		fetches, idle := pollFor(ctx, client)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		fetches.EachPartition(func(f kgo.FetchTopicPartition) {
			p := partition{f.Topic, f.Partition}
			if offset, ok := wanted[p]; ok && len(f.Records) > 0 && f.Records[0].Offset >= offset {
				found[p] = f.Records[0]
				delete(wanted, p)
				client.RemoveConsumePartitions(map[string][]int32{p.topic: {p.number}})
			}
		})
		if idle {
			break
		}
	}
	for p := range wanted {
		client.RemoveConsumePartitions(map[string][]int32{p.topic: {p.number}})
	}
	return found, nil
}

// pollFor polls for at most idleTime; idle tells that nothing came.
func pollFor(ctx context.Context, client *kgo.Client) (fetches kgo.Fetches, idle bool) {
	ctx, cancel := context.WithTimeout(ctx, idleTime)
	defer cancel()
	fetches = client.PollFetches(ctx)
	return fetches, ctx.Err() != nil && fetches.NumRecords() == 0
}
