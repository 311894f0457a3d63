package group

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// keptBy counts anew what a machine keeps.
func keptBy(m *Machine) (n int) {
	for id, g := range m.groups {
		n += keptGroup + len(id)
		switch g := g.(type) {
		case *classicGroup:
			for _, c := range g.inOrder {
				n += c.size()
			}
		case *consumerGroup:
			for _, c := range g.members {
				n += c.size()
			}
		}
	}
	for _, offsets := range m.offsets {
		for topic, partitions := range offsets.committed {
			n += keptTopic + len(topic)
			for _, c := range partitions {
				n += offsetSize(topic, c, false)
			}
		}
	}
	return n
}

func checkKept(t interface{ Errorf(string, ...any) }, m *Machine) {
	if got, want := m.kept.bytes.Load(), int64(keptBy(m)); got != want {
		t.Errorf("%d bytes are counted, %d are kept", got, want)
	}
}

// When the memory for groups is used up, what would keep more is refused with an
// error after which clients wait, and what is there goes on.
func TestMemoryOfGroupsIsBounded(t *testing.T) {
	e := newRoom(t, 1)
	var most int64
	e.m.kept.full = func(more int64) bool { return e.m.kept.bytes.Load()+more > most }
	join := func(group string, size int) protocol.Code {
		var got protocol.Code
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 3, group, "consumer", 10_000, 10_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p", Metadata: make([]byte, size)}}
		out := e.m.JoinGroup(e.at(), 1, Client{ID: "c"}, req)
		for _, r := range out.Replies {
			if resp, ok := r.Response.(*kmsg.JoinGroupResponse); ok {
				got = protocol.Code(resp.ErrorCode)
			}
		}
		checkKept(t, e.m)
		return got
	}
	most = 1 << 20
	if code := join("a", 100_000); code != 0 {
		t.Fatal(code)
	}
	if code := join("b", 1_000_000); code != protocol.CoordinatorLoadInProgress || e.m.groups["b"] != nil {
		t.Errorf("without room: %v", code)
	}
	if code := join("c", 100_000); code != 0 {
		t.Errorf("with room: %v", code)
	}
	most = 1 << 40
	if code := join("a", maxGroupBytes); code != protocol.GroupMaxSizeReached {
		t.Errorf("a group that is too large: %v", code)
	}
}

// Ids have a length: beyond it nothing is asked of a shard.
func TestLongIDs(t *testing.T) {
	long := strings.Repeat("x", maxID+1)
	c := &Coordinator{}
	if _, err := c.begin(t.Context(), long, nil).Wait(); !errors.Is(err, protocol.InvalidGroupID) {
		t.Errorf("a long group id: %v", err)
	}
	e := newRoom(t, 1)
	if id := e.m.newMemberID(strings.Repeat("c", 30_000)); len(id) > maxID+37 {
		t.Errorf("a member id of %d bytes", len(id))
	}
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = 1, "g", long, 1000, []string{"t"}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if refused := checkHeartbeat(req, nil); refused == nil || refused.code != protocol.InvalidRequest {
		t.Errorf("a long member id: %v", refused)
	}
}
