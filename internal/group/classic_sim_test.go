package group

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/coordinator"
	"ottla/internal/protocol"
)

const (
	simPartitions = 6
	simRebalance  = 10 * time.Second
	simSession    = 6 * time.Second
)

// TestClassicSimulation lets members of one group join, sync, beat, commit,
// leave, crash, pause and lag, makes appends fail and moves the partition, all
// by a seed, and checks after every step:
//
//	G1  a partition has at most one owner in a generation
//	G2  generations grow
//	G3  a generation has one leader and one protocol
//	G4  a commit is let in from the newest generation alone
//	G8  no request waits longer than the rebalance timeout
//	G9  a fenced static member is never taken for alive
//
// and that the log, whole or compacted, gives the durable state. At the end
// everybody behaves, and all partitions have to find an owner.
func TestClassicSimulation(t *testing.T) {
	seeds, steps := uint64(30), 1500
	if os.Getenv("OTTLA_TEST") == "long" {
		seeds, steps = 600, 4000
	}
	for seed := range seeds {
		newClassicSim(t, seed).run(steps)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// classicSim is the simulation.
type classicSim struct {
	*room
	rng     *rand.Rand
	clients []*simClient
	calm    bool

	identity map[string]string // member id → instance id, or the member id
	owners   map[int32]map[string]string
	leaders  map[int32][2]string // of this coordinator's generations
	synced   int32               // the newest generation that was written
	newest   int32               // of this coordinator
	since    map[coordinator.Ticket]time.Duration
	fenced   map[string]bool
	dirty    bool // an append failed since the last one that did not
}

// simClient is a process that is a member, or wants to be.
type simClient struct {
	name     string
	instance *string

	memberID   string
	generation int32
	members    []string // what the leader was told
	phase      string   // "join", "sync", "member"
	paused     time.Duration

	request int // the number of the request whose reply counts
	waiting bool
	inbox   []func()
}

func newClassicSim(t testing.TB, seed uint64) *classicSim {
	s := &classicSim{
		room: newRoom(t, seed), rng: rand.New(rand.NewPCG(seed, 3)), identity: map[string]string{},
		owners: map[int32]map[string]string{}, leaders: map[int32][2]string{}, synced: -1,
		since: map[coordinator.Ticket]time.Duration{}, fenced: map[string]bool{},
	}
	for i := range 6 {
		c := &simClient{name: string(rune('A' + i)), generation: -1, phase: "join"}
		if i < 3 {
			instance := "static" + c.name
			c.instance = &instance
		}
		s.clients = append(s.clients, c)
	}
	s.wrote = func(r coordinator.Record) {
		s.dirty = false
		var v kmsg.GroupMetadataValue
		if err := v.ReadFrom(r.Value); err != nil {
			t.Fatal(err)
		}
		if v.Generation < s.synced {
			t.Errorf("G2: generation %d is written after %d", v.Generation, s.synced)
		}
		s.synced = v.Generation
	}
	return s
}

func (s *classicSim) run(steps int) {
	for range steps {
		s.act(s.clients[s.rng.IntN(len(s.clients))])
		s.advance(time.Duration(s.rng.IntN(400)) * time.Millisecond)
		s.check()
		if s.t.Failed() {
			return
		}
	}
	s.calm = true
	for range 1000 {
		for _, c := range s.clients {
			s.act(c)
		}
		s.advance(200 * time.Millisecond)
		s.check()
	}
	g := s.m.classicGroup("g")
	owned := map[string]bool{}
	for p := range s.owners[g.generation] {
		owned[p] = true
	}
	if g.current != classicStable || len(g.inOrder) != len(s.clients) || len(owned) != simPartitions {
		s.t.Errorf("when all behave: %s, %d members, owners %v", g.current, len(g.inOrder), s.owners[g.generation])
	}
}

// act is what a client does next, or what becomes of it.
func (s *classicSim) act(c *simClient) {
	if !s.calm {
		switch dice := s.rng.IntN(1000); {
		case dice < 4:
			s.reload()
			return
		case dice < 12:
			s.failing = true
		case dice < 20:
			c.crash()
			return
		case dice < 28:
			c.paused = s.now + time.Duration(s.rng.IntN(15))*time.Second
		case dice < 36:
			c.request++ // gives up what it waits for, and says it again
			c.waiting = false
		case dice < 44 && c.phase == "member":
			s.leave(c)
			return
		case dice < 50:
			s.zombie()
			return
		}
		if c.paused > s.now || s.rng.IntN(4) == 0 { // or the network lags
			return
		}
	}
	if len(c.inbox) > 0 {
		next := c.inbox[0]
		c.inbox = c.inbox[1:]
		next()
		return
	}
	if c.waiting {
		return
	}
	switch c.phase {
	case "join":
		s.join(c)
	case "sync":
		s.sync(c)
	default:
		s.commit(c)
		s.beat(c)
	}
}

// crash is the end of a process, and the start of the next.
func (c *simClient) crash() {
	*c = simClient{name: c.name, instance: c.instance, generation: -1, phase: "join", request: c.request + 1, paused: c.paused}
}

// send gives a ticket whose reply reaches the client later, if it still waits. A
// reply that cannot be given is nil. seen sees it when it is given.
func (s *classicSim) send(c *simClient, seen, handle func(kmsg.Response)) coordinator.Ticket {
	c.request++
	c.waiting = true
	request := c.request
	var to coordinator.Ticket
	to = s.ticket(func(r kmsg.Response) {
		delete(s.since, to)
		if r != nil && seen != nil {
			seen(r)
		}
		c.inbox = append(c.inbox, func() {
			if c.request == request {
				c.waiting = false
				handle(r)
			}
		})
	})
	s.since[to] = s.now
	return to
}

func (s *classicSim) do(out coordinator.Output) {
	s.dirty = s.dirty || s.failing && len(out.Records) > 0
	s.room.do(out)
}

// failed does what a client does after an error.
func (c *simClient) failed(code protocol.Code) {
	c.phase = "join"
	switch code {
	case protocol.UnknownMemberID, protocol.IllegalGeneration:
		c.memberID, c.generation = "", -1
	case protocol.FencedInstanceID:
		c.crash()
	}
}

func (s *classicSim) join(c *simClient) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = 9
	req.Group, req.ProtocolType, req.MemberID, req.InstanceID = "g", "consumer", c.memberID, c.instance
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(simSession.Milliseconds()), int32(simRebalance.Milliseconds())
	names := []string{"range", "sticky"}
	if s.rng.IntN(8) == 0 {
		names = []string{"sticky", "range"}
	}
	for _, name := range names {
		metadata := kmsg.ConsumerMemberMetadata{Topics: []string{"t"}}
		req.Protocols = append(req.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: metadata.AppendTo(nil)})
	}
	if g := s.m.classicGroup("g"); c.instance != nil && c.memberID == "" && g != nil && g.statics[*c.instance] != nil {
		s.fenced[g.statics[*c.instance].id] = true
	}
	to := s.send(c, func(r kmsg.Response) { s.joined(c, r.(*kmsg.JoinGroupResponse)) }, func(r kmsg.Response) {
		if r == nil {
			return
		}
		resp := r.(*kmsg.JoinGroupResponse)
		switch code := protocol.Code(resp.ErrorCode); code {
		case protocol.None:
			c.memberID, c.generation, c.phase, c.members = resp.MemberID, resp.Generation, "sync", nil
			if resp.LeaderID == resp.MemberID && !resp.SkipAssignment {
				for _, m := range resp.Members {
					c.members = append(c.members, m.MemberID)
				}
			}
		case protocol.MemberIDRequired:
			c.memberID = resp.MemberID
		default:
			c.failed(code)
		}
	})
	s.do(s.m.JoinGroup(s.at(), to, Client{ID: c.name}, req))
	if s.failing = false; c.instance != nil {
		s.unfence()
	}
}

// unfence: a static member whose replacement could not be written is itself
// again.
func (s *classicSim) unfence() {
	if g := s.m.classicGroup("g"); g != nil {
		for _, c := range g.statics {
			delete(s.fenced, c.id)
		}
	}
}

// joined checks G3 on a reply that leaves.
func (s *classicSim) joined(c *simClient, r *kmsg.JoinGroupResponse) {
	if r.ErrorCode != 0 {
		return
	}
	s.identity[r.MemberID] = r.MemberID
	if c.instance != nil {
		s.identity[r.MemberID] = *c.instance
	}
	leader, ok := s.identity[r.LeaderID]
	if !ok { // its own reply comes later
		leader = r.LeaderID
		if m := s.m.classicGroup("g").byID[r.LeaderID]; m != nil && m.instanceID != nil {
			leader = *m.instanceID
		}
	}
	got := [2]string{leader, *r.Protocol}
	if was, ok := s.leaders[r.Generation]; ok && was != got {
		s.t.Errorf("G3: generation %d had leader and protocol %v, now %v", r.Generation, was, got)
	}
	s.leaders[r.Generation] = got
	if leads := r.LeaderID == r.MemberID; leads != (len(r.Members) > 0) {
		s.t.Errorf("G3: %s gets %d members in generation %d, led by %s", r.MemberID, len(r.Members), r.Generation, r.LeaderID)
	}
}

func (s *classicSim) sync(c *simClient) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = 5
	req.Group, req.MemberID, req.InstanceID, req.Generation = "g", c.memberID, c.instance, c.generation
	given := make([][]string, len(c.members))
	for p := range simPartitions {
		if len(given) > 0 {
			i := (p + s.rng.IntN(len(given))) % len(given)
			given[i] = append(given[i], fmt.Sprint(p))
		}
	}
	for i, m := range c.members {
		a := kmsg.SyncGroupRequestGroupAssignment{MemberID: m, MemberAssignment: []byte(strings.Join(given[i], ","))}
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	memberID, generation := c.memberID, c.generation
	to := s.send(c, func(r kmsg.Response) { s.owns(memberID, generation, r.(*kmsg.SyncGroupResponse)) }, func(r kmsg.Response) {
		if r == nil {
			c.phase = "join"
			return
		}
		if code := protocol.Code(r.(*kmsg.SyncGroupResponse).ErrorCode); code != protocol.None {
			c.failed(code)
			return
		}
		c.phase = "member"
	})
	s.do(s.m.SyncGroup(s.at(), to, req))
	s.failing = false
}

// owns checks G1 on an assignment that leaves.
func (s *classicSim) owns(memberID string, generation int32, r *kmsg.SyncGroupResponse) {
	if r.ErrorCode != 0 || len(r.MemberAssignment) == 0 {
		return
	}
	if s.owners[generation] == nil {
		s.owners[generation] = map[string]string{}
	}
	for _, p := range strings.Split(string(r.MemberAssignment), ",") {
		owner := s.owners[generation][p]
		if owner != "" && owner != s.identity[memberID] {
			s.t.Errorf("G1: in generation %d partition %s belongs to %s and to %s", generation, p, owner, memberID)
		}
		s.owners[generation][p] = s.identity[memberID]
	}
	if generation != s.synced {
		s.t.Errorf("G3: an assignment of generation %d is given, %d is the newest written", generation, s.synced)
	}
}

func (s *classicSim) beat(c *simClient) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID, req.Generation = "g", c.memberID, c.instance, c.generation
	to := s.send(c, nil, func(r kmsg.Response) {
		if r == nil {
			return
		}
		if code := protocol.Code(r.(*kmsg.HeartbeatResponse).ErrorCode); code != protocol.None {
			c.failed(code)
		}
	})
	s.do(s.m.Heartbeat(s.at(), to, req))
}

// commit tries this generation and an older one.
func (s *classicSim) commit(c *simClient) {
	g := s.m.groups["g"]
	for _, generation := range []int32{c.generation, c.generation - 1 - s.rng.Int32N(3)} {
		if generation < 0 {
			continue
		}
		if _, err := g.checkCommit(commitBy{memberID: c.memberID, instanceID: c.instance, generation: generation}); err != nil {
			continue
		}
		g.touch(s.at(), c.memberID)
		if generation < s.synced || s.fenced[c.memberID] {
			s.t.Errorf("G4: %s commits in generation %d, %d is written, fenced %t", c.memberID, generation, s.synced, s.fenced[c.memberID])
		}
	}
}

func (s *classicSim) leave(c *simClient) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version = 5
	req.Group = "g"
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: c.memberID, InstanceID: c.instance}}
	to := s.ticket(func(kmsg.Response) {})
	s.do(s.m.LeaveGroup(s.at(), to, req))
	s.failing = false
	c.crash()
}

// zombie is a static member's former self that beats once more (G9).
func (s *classicSim) zombie() {
	for _, c := range s.clients[:3] {
		for id := range s.fenced {
			if s.identity[id] != *c.instance {
				continue
			}
			req := kmsg.NewPtrHeartbeatRequest()
			req.Version = 4
			req.Group, req.MemberID, req.InstanceID, req.Generation = "g", id, c.instance, s.newest
			to := s.ticket(func(r kmsg.Response) {
				code := protocol.Code(r.(*kmsg.HeartbeatResponse).ErrorCode)
				if code != protocol.FencedInstanceID && code != protocol.UnknownMemberID {
					s.t.Errorf("G9: %s is fenced, its heartbeat gets %s", id, code.Name())
				}
			})
			s.room.do(s.m.Heartbeat(s.at(), to, req))
		}
	}
}

func (s *classicSim) reload() {
	g := s.m.classicGroup("g")
	if g == nil {
		return
	}
	s.room.reload()
	s.leaders = map[int32][2]string{}
	s.newest = max(s.synced, 0)
	s.dirty = false
	s.unfence()
	got := s.m.classicGroup("g")
	if got == nil && s.synced < 0 {
		return // nothing of it could be written yet
	}
	if got == nil || got.generation != max(s.synced, 0) {
		s.t.Errorf("the log has generation %d, the group loaded is %v", s.synced, durable(got))
	}
}

// check is what holds after every step.
func (s *classicSim) check() {
	g := s.m.classicGroup("g")
	if g == nil {
		return
	}
	if g.generation < s.newest {
		s.t.Errorf("G2: generation %d after %d", g.generation, s.newest)
	}
	s.newest = g.generation
	for to, since := range s.since {
		if s.now-since > simRebalance {
			s.t.Errorf("G8: request %d has waited since %v, it is %v, the group is %s", to, since, s.now, g.current)
		}
	}
	if len(s.answer) > 2*len(s.clients) {
		s.t.Errorf("%d requests wait for %d clients", len(s.answer), len(s.clients))
	}
	s.checkCounts(g)
	checkKept(s.t, s.m)
	if s.dirty || s.rng.IntN(50) > 0 {
		return
	}
	whole, compacted := durable(s.loaded(false).classicGroup("g")), durable(s.loaded(true).classicGroup("g"))
	if whole != compacted {
		s.t.Errorf("compaction changes the group:\n%s\n%s", whole, compacted)
	}
	if (g.current == classicStable || g.empty()) && durable(g) != whole {
		s.t.Errorf("the log gives another group:\nlive   %s\nloaded %s", durable(g), whole)
	}
}

// checkCounts compares what is counted with what there is.
func (s *classicSim) checkCounts(g *classicGroup) {
	joining, unsynced := 0, 0
	for _, c := range g.inOrder {
		if c.join.waits() {
			joining++
		}
		if c.unsynced {
			unsynced++
		}
		if g.byID[c.id] != c || c.instanceID != nil && g.statics[*c.instanceID] != c {
			s.t.Errorf("%s is not where it should be", c.id)
		}
	}
	if joining != g.joining || unsynced != g.unsynced || len(g.byID) != len(g.inOrder) || len(g.inOrder) > 0 && g.byID[g.leader] == nil {
		s.t.Errorf("counted %d joining, %d unsynced, there are %d and %d; leader %q", g.joining, g.unsynced, joining, unsynced, g.leader)
	}
}
