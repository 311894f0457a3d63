package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// BenchmarkHeartbeat is one heartbeat among 10,000 members of 1,000 groups, which
// beat by turns.
func BenchmarkHeartbeat(b *testing.B) {
	e := newRoom(b, 1)
	var requests []*kmsg.HeartbeatRequest
	for i := range 1000 {
		var members []*peer
		for range 10 {
			p := e.peer()
			p.group = fmt.Sprintf("group-%d", i)
			members = append(members, p)
		}
		e.stable(members...)
		for _, p := range members {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Version, req.Group, req.MemberID, req.Generation = 4, p.group, p.id, p.generation()
			requests = append(requests, req)
		}
	}
	at := e.at()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at.Mono += time.Microsecond
		out := e.m.Heartbeat(at, 1, requests[i%len(requests)])
		if out.Replies[0].Response.(*kmsg.HeartbeatResponse).ErrorCode != 0 {
			b.Fatal("not alive")
		}
	}
}

// BenchmarkRebalance is a rebalance of 100 members: each joins and syncs, and the
// record is applied.
func BenchmarkRebalance(b *testing.B) {
	e := newRoom(b, 1)
	var members []*peer
	var assignments []string
	for range 100 {
		members = append(members, e.peer())
	}
	e.stable(members...)
	for i, p := range members {
		assignments = append(assignments, p.id, fmt.Sprintf("t-%d", i))
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range members {
			p.join()
		}
		for _, p := range members[1:] {
			p.sync()
		}
		members[0].sync(assignments...)
		e.log = e.log[:0]
	}
	if e.g().current != classicStable {
		b.Fatal(e.g().current)
	}
}
