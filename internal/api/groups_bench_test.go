package api

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/group"
	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/record"
)

// BenchmarkOffsetCommit commits one offset at a time, from several connections,
// through handler, shard and log; the file system is in memory.
func BenchmarkOffsetCommit(b *testing.B) {
	for _, groups := range []int{1, 16} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			x := newFixture(b, map[string]string{"log.retention.check.interval.ms": "3600000"})
			id := x.topic("a", 1)
			var names []string
			for i := range groups {
				names = append(names, fmt.Sprint("group-", i))
			}
			x.coordinated(names...)
			x.loaded(names...)
			b.ReportAllocs()
			b.ResetTimer()
			b.SetParallelism(max(groups/2, 1))
			b.RunParallel(func(pb *testing.PB) {
				name := names[rand.IntN(groups)] //nolint:gosec // any group will do
				for pb.Next() {
					resp := x.h.Groups.OffsetCommit(context.Background(), group.Client{}, version9(commitRequest(name, "a", id, 5)))
					if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
						b.Error(protocol.Code(code))
						return
					}
				}
			})
		})
	}
}

func version9(req *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitRequest {
	req.Version = 9
	return req
}

// loaded waits until the shards of groups have loaded.
func (x *fixture) loaded(groups ...string) {
	x.Helper()
	for _, g := range groups {
		for {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups = []string{g}
			if ask[*kmsg.DescribeGroupsResponse](x, 5, req).Groups[0].ErrorCode == 0 {
				break
			}
			<-time.After(time.Millisecond)
		}
	}
}

// BenchmarkGroupsLoad loads 1,000 groups with 100 offsets each, from the logs
// of 50 partitions.
func BenchmarkGroupsLoad(b *testing.B) {
	x := newFixture(b, map[string]string{"log.retention.check.interval.ms": "3600000"})
	id := x.topic("a", 100)
	x.coordinated("g")
	x.loaded("g")
	offsets := make([]int64, 100)
	for i := range 1000 {
		name := fmt.Sprint("group-", i)
		if i < 50 {
			x.loaded(name)
		}
		resp := x.h.Groups.OffsetCommit(context.Background(), group.Client{}, version9(commitRequest(name, "a", id, offsets...)))
		if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
			b.Fatal(protocol.Code(code))
		}
	}
	img := x.controller.Image()
	begin := time.Now()
	b.ResetTimer()
	for range b.N {
		c := group.NewCoordinator(group.Options{
			NodeID: 1, Replicas: x.h.Replicas, Config: x.config.Load, Now: time.Now, Elapsed: func() time.Duration { return time.Since(begin) },
			Random: rand.New(rand.NewPCG(1, 2)), Codecs: record.NewCodecs(), Log: slog.New(slog.DiscardHandler), Code: CoordinatorCode,
		})
		c.Follow(img, metadata.Diff(metadata.Empty(), img))
		for {
			resp := c.ListGroups(context.Background(), nil, kmsg.NewPtrListGroupsRequest())
			if resp.ErrorCode == 0 && len(resp.Groups) == 1000 {
				break
			}
			<-time.After(time.Millisecond)
		}
		b.StopTimer()
		c.Close()
		b.StartTimer()
	}
}
