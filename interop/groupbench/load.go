package groupbench

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/wire"
)

// seat is a member of a classic group on a connection.
type seat struct {
	conn   *wire.Conn
	group  string
	member string
	gen    int32
	leader bool
}

// ask sends a request of the given version and passes the response to read.
func ask[R kmsg.Response](c *wire.Conn, req kmsg.Request, version int16) (R, error) {
	req.SetVersion(version)
	a, err := c.Request(req)
	if err != nil {
		var none R
		return none, err
	}
	return a.Response.(R), nil
}

// join joins or rejoins and waits until the group has a generation. It uses
// version 3, in which a member gets its id without a second request.
func (s *seat) join() error {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = s.group, s.member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 290_000, 290_000 // no heartbeats are sent while the other side is measured
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", subscription
	req.Protocols = append(req.Protocols, p)
	resp, err := ask[*kmsg.JoinGroupResponse](s.conn, req, 3)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("joining %s: %w", s.group, err)
	}
	s.member, s.gen, s.leader = resp.MemberID, resp.Generation, resp.MemberID == resp.LeaderID
	return nil
}

var subscription = (&kmsg.ConsumerMemberMetadata{Version: 1, Topics: []string{"bench"}}).AppendTo(nil)

// sync gets the assignment of the generation. The leader computes it: each
// partition is assigned to one member.
func (s *seat) sync(members []*seat, partitions int) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = s.group, s.member, s.gen
	if s.leader {
		for i, m := range members {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID = m.member
			t := kmsg.NewConsumerMemberAssignmentTopic()
			t.Topic = "bench"
			for p := i; p < partitions; p += len(members) {
				t.Partitions = append(t.Partitions, int32(p))
			}
			a.MemberAssignment = (&kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{t}}).AppendTo(nil)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	resp, err := ask[*kmsg.SyncGroupResponse](s.conn, req, 2)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("syncing %s: %w", s.group, err)
	}
	return nil
}

func (s *seat) heartbeat() error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = s.group, s.member, s.gen
	resp, err := ask[*kmsg.HeartbeatResponse](s.conn, req, 2)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	return err
}

func (s *seat) awaitRebalance() error {
	for {
		if err := s.heartbeat(); errors.Is(err, kerr.RebalanceInProgress) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// rebalance lets all members of one group join (again) and sync. In a stable
// group the leader joins first. The others join when their heartbeat response
// reports the rebalance; earlier they would get the old generation.
func rebalance(members []*seat, partitions int) error {
	err := each(members, func(s *seat) error {
		if s.member != "" && !s.leader {
			if err := s.awaitRebalance(); err != nil {
				return err
			}
		}
		return s.join()
	})
	if err != nil {
		return err
	}
	return each(members, func(s *seat) error { return s.sync(members, partitions) })
}

// each calls do for all elements concurrently.
func each[T any](all []T, do func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, x := range all {
		wg.Go(func() { errs[i] = do(x) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// commit commits one offset of a group without members.
func commit(c *wire.Conn, group string, offset int64) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = "bench"
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := ask[*kmsg.OffsetCommitResponse](c, req, 8)
	if err == nil {
		err = kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	}
	return err
}

// during repeats do on every worker until the time is over, and counts the
// calls.
func during[T any](d time.Duration, workers []T, do func(T) error) (int64, error) {
	counts := make([]int64, len(workers))
	index := make([]int, len(workers))
	for i := range index {
		index[i] = i
	}
	end := time.Now().Add(d)
	err := each(index, func(i int) error {
		for time.Now().Before(end) {
			if err := do(workers[i]); err != nil {
				return err
			}
			counts[i]++
		}
		return nil
	})
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return sum, err
}

// crew are the members that share one connection. They send heartbeats in turn.
type crew struct {
	seats []*seat
	next  int
}

func (c *crew) heartbeat() error {
	s := c.seats[c.next%len(c.seats)]
	c.next++
	return s.heartbeat()
}

// dialAll opens n connections.
func dialAll(addr string, n int) ([]*wire.Conn, error) {
	conns := make([]*wire.Conn, 0, n)
	for range n {
		c, err := wire.Dial(addr)
		if err != nil {
			return conns, err
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// awaitCoordinator waits until the offsets topic exists and is loaded.
func awaitCoordinator(addr string) error {
	c, err := wire.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	retry := time.NewTicker(100 * time.Millisecond)
	defer retry.Stop()
	for range 600 {
		if err = findAndCommit(c); err == nil {
			return nil
		}
		<-retry.C
	}
	return err
}

// findAndCommit requests the coordinator, which creates its topic, and commits.
func findAndCommit(c *wire.Conn) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = "bench-0"
	resp, err := ask[*kmsg.FindCoordinatorResponse](c, req, 3)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return err
	}
	return commit(c, "warm", 1)
}

// Commits commits offsets on the given number of connections for d, each for
// its share of the groups in turn. First it makes one commit for every group.
// It counts the commits within d. The topic "bench" must exist. before is
// called at the start of d.
func Commits(addr string, connections, groups int, d time.Duration, before func() error) (commits int64, err error) {
	if err := awaitCoordinator(addr); err != nil {
		return 0, err
	}
	conns, err := dialAll(addr, min(connections, groups))
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	if err != nil {
		return 0, err
	}
	type clerk struct {
		conn   *wire.Conn
		groups []string
		next   int64
	}
	clerks := make([]*clerk, len(conns))
	for i, c := range conns {
		clerks[i] = &clerk{conn: c}
		for g := i; g < groups; g += len(conns) {
			clerks[i].groups = append(clerks[i].groups, fmt.Sprintf("bench-%d", g))
		}
	}
	turn := func(c *clerk) error {
		c.next++
		return commit(c.conn, c.groups[c.next%int64(len(c.groups))], c.next)
	}
	if err := each(clerks, func(c *clerk) error {
		for range c.groups {
			if err := turn(c); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return 0, err
	}
	if err := before(); err != nil {
		return 0, err
	}
	return during(d, clerks, turn)
}
