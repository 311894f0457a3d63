package broker

import (
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// fewGroups keeps __consumer_offsets small, for what looks at each I/O.
const fewGroups = "offsets.topic.num.partitions=2"

// coordinated repeats a request until its coordinator is there, for at most a
// minute.
func (c *client) coordinated(what string, request func() protocol.Code) {
	c.Helper()
	var code protocol.Code
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		code = request()
		switch code {
		case protocol.CoordinatorLoadInProgress, protocol.CoordinatorNotAvailable, protocol.NotCoordinator:
			continue
		}
		break
	}
	if code != protocol.None {
		c.Fatalf("%s: %v", what, code)
	}
}

// findCoordinator makes __consumer_offsets, at the latest.
func (c *client) findCoordinator(group string) {
	c.Helper()
	c.coordinated("find the coordinator of "+group, func() protocol.Code {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKeys = []string{group}
		return protocol.Code(ask[*kmsg.FindCoordinatorResponse](c, 4, req).Coordinators[0].ErrorCode)
	})
}

// commit commits the offset of partition 0 of a topic.
func (c *client) commit(group, topic string, offset int64) {
	c.Helper()
	c.coordinated("commit of "+group, func() protocol.Code {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = group, -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = topic
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset = offset
		t.Partitions = append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		return protocol.Code(ask[*kmsg.OffsetCommitResponse](c, 9, req).Topics[0].Partitions[0].ErrorCode)
	})
}

// committed is the committed offset of partition 0 of a topic, -1 for none.
func (c *client) committed(group, topic string) (offset int64) {
	c.Helper()
	c.coordinated("offsets of "+group, func() protocol.Code {
		req := kmsg.NewPtrOffsetFetchRequest()
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = group, []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
		req.Groups = append(req.Groups, g)
		answer := ask[*kmsg.OffsetFetchResponse](c, 9, req).Groups[0]
		if answer.ErrorCode == 0 {
			offset = answer.Topics[0].Partitions[0].Offset
		}
		return protocol.Code(answer.ErrorCode)
	})
	return offset
}

// A commit that was acknowledged is there after a crash at any I/O (G5), and an
// offset never goes back (G6).
func TestCrashAroundCommits(t *testing.T) {
	crashes := crashAnywhere(t, func(w *world, p *promise) {
		n := w.start(fewGroups)
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.findCoordinator("g")
		write := func(offset int64) {
			text := strconv.FormatInt(offset, 10)
			p.note(func() { p.sent["g"] = append(p.sent["g"], text) })
			c.commit("g", "a", offset)
			p.note(func() { p.acked["g"] = append(p.acked["g"], text) })
		}
		write(1)
		write(2)
		w.close(n)
		n = w.start(fewGroups)
		c = w.connect(n)
		write(3)
		write(4)
		w.close(n)
	})
	t.Logf("%d crashes", len(crashes))
	for _, x := range crashes {
		bubble(t, func(t *testing.T, w *world) {
			w.mem, w.faults = x.mem, vfs.NewFault(x.mem)
			for round := range 2 {
				n := w.start(fewGroups)
				c := w.connect(n)
				c.findCoordinator("g")
				low, high := int64(len(x.promise.acked["g"])), int64(len(x.promise.sent["g"]))
				if round > 0 {
					low, high = 5, 5
				}
				if got := c.committed("g", "a"); max(got, 0) < low || got > high {
					t.Errorf("round %d: the offset is %d; %d was acknowledged, %d sent", round, got, low, high)
				}
				if round == 0 {
					if code := c.create("a", 1); code != protocol.None && code != protocol.TopicAlreadyExists {
						t.Errorf("create: %v", code)
					}
					c.commit("g", "a", 5)
				}
				w.close(n)
			}
			if t.Failed() {
				t.Fatalf("crash %d, before %v of %s, kept %v/2\n%s", x.point, x.op.Op, x.op.Path, x.kept, w.log)
			}
		})
	}
}

// A node that restarts, cleanly or not, loads what its groups committed.
func TestGroupsAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		groups := []string{"", "g", "h", "ä", "a much longer name of a group"}
		for i, g := range groups {
			c.findCoordinator(g)
			c.commit(g, "a", int64(i+1))
		}
		for range 2 {
			w.close(n)
			n = w.start()
			c = w.connect(n)
			for i, g := range groups {
				if got := c.committed(g, "a"); got != int64(i+1) {
					t.Errorf("%q: offset %d, want %d", g, got, i+1)
				}
			}
		}
		synctest.Wait() // until all partitions are loaded: this asks all of them
		list := ask[*kmsg.ListGroupsResponse](c, 5, kmsg.NewPtrListGroupsRequest())
		if len(list.Groups) != len(groups) {
			t.Errorf("%d groups are listed: %+v", len(list.Groups), list)
		}
		// The topic of the groups goes, and with it what they knew.
		c.delete("__consumer_offsets")
		c.findCoordinator("g")
		if got := c.committed("g", "a"); got != -1 {
			t.Errorf("the offset outlived its topic: %d", got)
		}
	})
}

// A disk that fails takes the coordinator along: nobody is told that it
// committed.
func TestCommitOnAFailedDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("a", 1)
		c.findCoordinator("g")
		c.commit("g", "a", 1)
		w.faults.Add(vfs.Rule{Op: vfs.OpSync | vfs.OpSyncFS, Err: syscall.EIO})
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 9, "g", -1
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "a", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 2}}}}
		resp, err := c.try(req)
		if err == nil {
			wantCode(t, "a commit", resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode, protocol.NotCoordinator)
		}
		if err := n.Wait(); err == nil {
			t.Error("the node lives on without its only disk")
		}
	})
}

// TestLargeMembersJoin: members whose requests together take more than the memory
// of requests come to be in one generation: who waits for the others holds none
// of it. Meanwhile somebody else writes.
func TestLargeMembersJoin(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start(fewGroups, "queued.max.request.bytes=1048576", "socket.request.max.bytes=1048576")
		defer w.close(n)
		c := w.connect(n)
		c.mustCreate("t", 1)
		c.findCoordinator("g")
		c.commit("g", "t", 0) // the coordinator is there
		const members = 12
		answers := make(chan *kmsg.JoinGroupResponse)
		for i := range members {
			member := w.connect(n)
			go func() {
				req := kmsg.NewPtrJoinGroupRequest()
				req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = "g", "consumer", 30_000, 60_000
				metadata := make([]byte, 200_000)
				metadata[0] = byte(i)
				req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata}}
				answers <- ask[*kmsg.JoinGroupResponse](member, 3, req)
			}()
		}
		synctest.Wait()
		c.mustProduce("t", 0, string(make([]byte, 100_000)))
		for range members {
			a := <-answers
			if a.ErrorCode != 0 || a.Generation != 1 {
				t.Errorf("joined generation %d: %v", a.Generation, protocol.Code(a.ErrorCode))
			}
			if a.LeaderID == a.MemberID && len(a.Members) != members {
				t.Errorf("the leader sees %d members, want %d", len(a.Members), members)
			}
		}
	})
}
