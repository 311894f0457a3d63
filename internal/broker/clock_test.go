package broker

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// TestClock: it runs with time while it is looked at, and stands still over a
// gap, whoever reads it first.
func TestClock(t *testing.T) {
	for _, first := range []string{"reader", "look"} {
		now := 100 * time.Second
		log := &journal{}
		c := newClock(func() time.Duration { return now }, slog.New(log))
		for range 10 {
			now += lookInterval
			c.look()
		}
		now += pauseLeast
		if got := c.Elapsed(); got != 106*time.Second {
			t.Errorf("%s: %v before the pause", first, got)
		}
		now += time.Hour
		if first == "look" {
			c.look()
		}
		if got := c.Elapsed(); got != 106*time.Second {
			t.Errorf("%s: %v after the pause", first, got)
		}
		now += lookInterval
		if got := c.Elapsed(); got != 106*time.Second+lookInterval {
			t.Errorf("%s: %v when it runs again", first, got)
		}
		if strings.Count(log.String(), "stood still") != 1 {
			t.Errorf("%s: %s", first, log)
		}
	}
}

// TestClockHeldUp: a reader that a pause holds up before it has read the time
// does not miss the pause, though another noticed it first.
func TestClockHeldUp(t *testing.T) {
	now, held := time.Hour, false
	var c *clock
	c = newClock(func() time.Duration {
		if held {
			held = false
			now += time.Hour
			c.look()
		}
		return now
	}, slog.New(slog.DiscardHandler))
	before := c.Elapsed()
	held = true
	if after := c.Elapsed(); after != before+pauseLeast {
		t.Errorf("%v after %v", after, before)
	}
}

// TestMembersOutliveAPause: the process stands still for longer than a session.
// Members whose heartbeats are served after that were not silent, whatever is
// served before; one that stays silent goes.
func TestMembersOutliveAPause(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		env, paused := w.env(), atomic.Int64{}
		running := env.Elapsed
		env.Elapsed = func() time.Duration { return running() + time.Duration(paused.Load()) }
		n, err := Start(t.Context(), load(t, fewGroups, "group.initial.rebalance.delay.ms=0"), env)
		w.must(err)
		defer w.close(n)
		c := w.connect(n)
		c.findCoordinator("g")
		member := c.member("g")
		<-time.After(2 * time.Second)
		paused.Add(int64(time.Minute))
		for range 3 {
			wantCode(t, "the heartbeat of a stranger", c.beat("g", "stranger"), protocol.UnknownMemberID)
		}
		<-time.After(2 * time.Second)
		wantCode(t, "the heartbeat of a member", c.beat("g", member), protocol.None)
		<-time.After(5 * time.Second)
		wantCode(t, "a second heartbeat", c.beat("g", member), protocol.None)
		<-time.After(7 * time.Second)
		wantCode(t, "a heartbeat after the session", c.beat("g", member), protocol.UnknownMemberID)
	})
}

// member joins a group of its own, with a session of 6 s.
func (c *client) member(group string) (id string) {
	c.Helper()
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = group, 6000, 6000, "consumer"
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "p"}}
	c.coordinated("join", func() protocol.Code {
		resp := ask[*kmsg.JoinGroupResponse](c, 3, join)
		id = resp.MemberID
		return protocol.Code(resp.ErrorCode)
	})
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = group, 1, id
	wantCode(c, "sync", ask[*kmsg.SyncGroupResponse](c, 2, sync).ErrorCode, protocol.None)
	synctest.Wait()
	return id
}

func (c *client) beat(group, member string) int16 {
	c.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.Generation, req.MemberID = group, 1, member
	return ask[*kmsg.HeartbeatResponse](c, 2, req).ErrorCode
}
