package api

import (
	"context"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/group"
	"ottla/internal/protocol"
)

// TestFigures: the groups of all shards are listed piece by piece, each once, and
// not more than asked for.
func TestFigures(t *testing.T) {
	story(t, map[string]string{"offsets.topic.num.partitions": "2"}, func(t *testing.T, x *fixture) {
		id := x.topic("a", 3)
		if got, _ := x.h.Groups.Figures(context.Background(), 10); len(got) != 0 {
			t.Errorf("before the topic exists: %v", got)
		}
		x.coordinated("", "b", "c")
		const groups = 1500 // of three offsets each, in two shards: more than one piece
		for i := range groups {
			name := fmt.Sprint("g-", i)
			if i == 0 {
				name = ""
			}
			resp := ask[*kmsg.OffsetCommitResponse](x, 9, commitRequest(name, "a", id, int64(i), 1, 2))
			wantCode(t, "commit", resp.Topics[0].Partitions[0].ErrorCode, protocol.None)
		}
		seen := map[string]bool{}
		all, _ := x.h.Groups.Figures(context.Background(), 1_000_000)
		for _, f := range all {
			if seen[f.Group] || f.Members != 0 || len(f.Offsets) != 3 || f.Offsets[2] != (group.CommittedOffset{Topic: "a", Partition: 2, Offset: 2}) {
				t.Errorf("%+v", f)
			}
			seen[f.Group] = true
		}
		if len(seen) != groups || !seen[""] {
			t.Errorf("%d groups, want %d", len(seen), groups)
		}
		if got, _ := x.h.Groups.Figures(context.Background(), 7); len(got) != 3 {
			t.Errorf("%d groups for 7 offsets, want 3", len(got))
		}
		join := joinConsumer("g-7", "m", "a")
		wantCode(t, "join", ask[*kmsg.ConsumerGroupHeartbeatResponse](x, 1, join).ErrorCode, protocol.None)
		all, _ = x.h.Groups.Figures(context.Background(), 1_000_000)
		for _, f := range all {
			if want := map[bool]int{true: 1}[f.Group == "g-7"]; f.Members != want {
				t.Errorf("%s has %d members", f.Group, f.Members)
			}
		}
	})
}
