package raft

import (
	"bytes"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// cluster is a few voters in one loop without goroutines. One seed decides what
// happens next, what the network loses and what survives a crash. After each
// step the invariants are checked (M1 to M4, M7, M8).
type cluster struct {
	t      *testing.T
	random *rand.Rand
	nowMs  int64
	nodes  []*simNode
	wire   []wireMessage
	codecs *record.Codecs

	// lossy makes the network lose, repeat and reorder messages. apart is a
	// voter whose messages are all lost, nil for none. survive is the chance of
	// an unsynced block or name to survive a crash.
	lossy   bool
	apart   *simNode
	survive float64

	leaders   map[int32]int32     // term → node (M1)
	votes     map[[2]int64]uint64 // node, term → candidate (M2)
	committed []record.Batch      // by index-1, as first applied anywhere
	acked     map[string]bool     // proposals that were reported committed
	installs  int                 // snapshots that replaced a log
	cuts      int                 // conflicting entries that were cut off
	crashes   int
	asked     int                     // proposals so far
	waiting   map[string]<-chan error // by name
}

type wireMessage struct {
	from ReplicaKey
	m    *Message
}

type simNode struct {
	key     ReplicaKey
	options Options
	fs      *vfs.Mem
	faults  *vfs.Fault // in front of fs, if not nil
	term    int32      // the highest term in which it voted or acknowledged (M2)

	core    *core
	applier *applier
	owner   *simOwner
	jobs    []*snapshotJob
}

// simOwner is the state machine of a node.
type simOwner struct {
	c     *cluster
	names []string
	index uint64 // index of the last applied entry
	next  int64
}

func newCluster(t *testing.T, seed uint64, size int, survive float64) *cluster {
	c := &cluster{
		t: t, random: rand.New(rand.NewPCG(seed, 99)), nowMs: 1_700_000_000_000, survive: survive,
		leaders: map[int32]int32{}, votes: map[[2]int64]uint64{}, acked: map[string]bool{}, waiting: map[string]<-chan error{},
		codecs: record.NewCodecs(),
	}
	var voters []metadata.Voter
	for i := range size {
		voters = append(voters, metadata.Voter{VoterID: int32(i), VoterDirectoryID: metadata.UUID{1, byte(i)}})
	}
	for _, v := range voters {
		n := &simNode{key: keyOf(&v), fs: vfs.NewMem()}
		n.options = testOptions(n.fs)
		n.options.NodeID, n.options.DirectoryID = v.VoterID, v.VoterDirectoryID
		n.options.InitialVoters, n.options.Endpoints = voters, nil
		n.options.Now = func() time.Time { return time.UnixMilli(c.nowMs) }
		n.options.Elapsed = func() time.Duration { return time.Duration(c.nowMs) * time.Millisecond }
		n.options.SegmentBytes = 2000
		n.options.SnapshotBytes = 1500
		n.options.RetentionBytes = 4000
		n.options.SnapshotSource = func() iter.Seq[metadata.Message] { return n.owner.source() }
		c.nodes = append(c.nodes, n)
		if err := n.fs.MkdirAll("data", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := n.fs.SyncDir("."); err != nil {
			t.Fatal(err)
		}
		c.start(n)
	}
	return c
}

// start opens a node on its file system.
func (c *cluster) start(n *simNode) {
	c.t.Helper()
	n.options.FS = n.fs
	if n.faults != nil {
		n.options.FS = n.faults
	}
	s, snap, err := openStore(&n.options, testLog)
	if err != nil {
		c.t.Fatalf("opening %s: %v", n.key, err)
	}
	if n.core, err = newCore(&n.options, s); err != nil {
		c.t.Fatalf("opening %s: %v", n.key, err)
	}
	n.jobs = nil
	n.owner = &simOwner{c: c}
	n.applier = newApplier(&n.options, n.core)
	n.applier.apply = n.owner.apply
	if err := n.applier.restore(snap); err != nil {
		c.t.Fatal(err)
	}
	n.owner.index = snap.index
	c.after(n)
}

// crash simulates a power loss and starts again from what survived.
func (c *cluster) crash(n *simNode) {
	c.crashes++
	n.core.failParked(ErrClosed)
	n.fs = n.fs.CrashClone(vfs.CrashOptions{Seed: c.random.Uint64(), KeepProbability: c.survive})
	c.start(n)
}

// apply checks that every node applies the same batches (M3, M4, M7).
func (o *simOwner) apply(got Committed) error {
	c := o.c
	if got.Snapshot {
		o.names = nil
	} else {
		if got.BaseOffset != o.next {
			return fmt.Errorf("offset %d was applied after %d", got.BaseOffset, o.next-1)
		}
		o.index++
	}
	for _, m := range got.Records {
		if t, ok := m.(*metadata.TopicRecord); ok {
			o.names = append(o.names, t.Name)
		}
	}
	o.next = got.LastOffset + 1
	if got.Snapshot {
		want := c.replay(o.next)
		if fmt.Sprint(want) != fmt.Sprint(o.names) {
			return fmt.Errorf("a snapshot up to offset %d holds %v, the log %v", o.next, o.names, want)
		}
	}
	return nil
}

func (o *simOwner) source() iter.Seq[metadata.Message] {
	names := slices.Clone(o.names)
	return func(yield func(metadata.Message) bool) {
		for _, name := range names {
			if !yield(&metadata.TopicRecord{Name: name}) {
				return
			}
		}
	}
}

// replay computes the state up to an offset from the committed batches (M8).
func (c *cluster) replay(end int64) []string {
	var names []string
	for _, batch := range c.committed {
		if batch.BaseOffset() >= end {
			break
		}
		got, err := committed(batch, c.codecs)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, m := range got.Records {
			if t, ok := m.(*metadata.TopicRecord); ok {
				names = append(names, t.Name)
			}
		}
	}
	return names
}

// after collects a node's work and checks its messages and its state.
func (c *cluster) after(n *simNode) {
	c.t.Helper()
	if err := n.core.collect(); err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	for _, m := range n.core.toSend {
		c.checkMessage(n, m)
		if len(c.wire) < 500 {
			c.wire = append(c.wire, wireMessage{n.key, m})
		}
	}
	n.core.toSend = nil
	if n.core.epoch < n.term {
		c.t.Fatalf("%s went back from term %d to %d", n.key, n.term, n.core.epoch)
	}
	if n.core.leads != 0 {
		if who, ok := c.leaders[n.core.epoch]; ok && who != n.key.NodeID {
			c.t.Fatalf("%d and %s lead term %d", who, n.key, n.core.epoch)
		}
		c.leaders[n.core.epoch] = n.key.NodeID
	}
	for name, done := range c.waiting {
		select {
		case err := <-done:
			delete(c.waiting, name)
			if err == nil {
				c.acked[name] = true
			}
		default:
		}
	}
}

// checkMessage checks that no node votes twice in a term (M2), and records the
// terms that a node must remember: those of votes and acknowledgements.
func (c *cluster) checkMessage(n *simNode, m *Message) {
	if m.GetType() == raftpb.MsgVoteResp || m.GetType() == raftpb.MsgAppResp {
		n.term = max(n.term, int32(m.GetTerm()))
	}
	for _, e := range m.GetEntries() {
		if err := checkWireEntry(e); err != nil {
			c.t.Fatalf("%s sends an entry that is no batch: %v", n.key, err)
		}
	}
	if m.GetType() != raftpb.MsgVoteResp || m.GetReject() {
		return
	}
	at := [2]int64{int64(n.key.NodeID), int64(m.GetTerm())}
	if before, ok := c.votes[at]; ok && before != m.GetTo() {
		c.t.Fatalf("%s voted for %x and %x in term %d", n.key, before, m.GetTo(), m.GetTerm())
	}
	c.votes[at] = m.GetTo()
}

func (c *cluster) byID(id uint64) *simNode {
	for _, n := range c.nodes {
		if n.key.RaftID() == id {
			return n
		}
	}
	return nil
}

// deliver delivers, loses or repeats a random message.
func (c *cluster) deliver() {
	if len(c.wire) == 0 {
		return
	}
	at := 0
	if c.lossy {
		at = c.random.IntN(len(c.wire))
	}
	w := c.wire[at]
	if !c.lossy || c.random.IntN(10) > 0 {
		c.wire = slices.Delete(c.wire, at, at+1)
	}
	to := c.byID(w.m.GetTo())
	if c.apart != nil && (to == c.apart || w.from == c.apart.key) || c.lossy && c.random.IntN(12) == 0 {
		if w.m.GetType() == raftpb.MsgSnap {
			c.byID(w.from.RaftID()).core.reportSnapshot(to.key, false) // its connection broke
		}
		return
	}
	if w.m.GetType() == raftpb.MsgSnap {
		c.fetch(w, to)
	}
	to.core.step(w.from, w.m)
	c.after(to)
}

// fetch copies the snapshot of a message from the sender's folder.
func (c *cluster) fetch(w wireMessage, to *simNode) {
	from := c.byID(w.from.RaftID())
	id, err := ParseSnapshotID(w.m.GetSnapshot().GetData())
	if err != nil {
		c.t.Fatal(err)
	}
	content, err := vfs.ReadFile(from.fs, id.file(from.core.store.folder))
	if err != nil {
		from.core.reportSnapshot(to.key, false) // retention removed it
		return
	}
	if err := to.core.store.receive(id, bytes.NewReader(content), int64(len(content))); err != nil {
		c.t.Fatal(err)
	}
	from.core.reportSnapshot(to.key, true)
}

// save runs some work of a node's saver.
func (c *cluster) save(n *simNode) {
	if len(n.core.toSave) == 0 {
		return
	}
	k := 1 + c.random.IntN(len(n.core.toSave))
	tasks := slices.Clone(n.core.toSave[:k])
	n.core.toSave = slices.Delete(n.core.toSave, 0, k)
	end := n.core.store.end()
	if err := n.core.store.save(tasks); err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	for _, task := range tasks {
		if task.installed != nil {
			c.installs++
		}
		if len(task.entries) > 0 && task.entries[0].index <= end.index {
			c.cuts++
		}
	}
	if err := n.core.saved(tasks); err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	c.after(n)
}

// apply runs one task of a node's applier.
func (c *cluster) apply(n *simNode) {
	if len(n.core.toApply) == 0 {
		return
	}
	task := n.core.toApply[0]
	n.core.toApply = slices.Delete(n.core.toApply, 0, 1)
	for _, e := range task.entries {
		c.checkCommitted(n, e)
	}
	job, err := n.applier.run(task)
	if err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	if task.snapshot != nil {
		n.owner.index = task.snapshot.index
	}
	if err := n.core.finished(task); err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	if job != nil {
		job.voters, job.static = n.core.voters, n.core.static
		n.jobs = append(n.jobs, job)
	}
	c.after(n)
}

// checkCommitted compares a committed entry with what other nodes applied at
// its index.
func (c *cluster) checkCommitted(n *simNode, e entry) {
	switch at := int(e.index) - 1; {
	case at < len(c.committed):
		if !bytes.Equal(c.committed[at], e.batch) {
			c.t.Fatalf("%s applies %v as entry %d, another node %v", n.key, e.batch, e.index, c.committed[at])
		}
	case at == len(c.committed):
		c.committed = append(c.committed, slices.Clone(e.batch))
	default:
		c.t.Fatalf("%s applies entry %d, but only %d were applied anywhere", n.key, e.index, len(c.committed))
	}
}

func (c *cluster) snapshot(n *simNode) {
	if len(n.jobs) == 0 {
		return
	}
	job := n.jobs[0]
	n.jobs = n.jobs[1:]
	if err := n.core.store.snapshot(job, newRetention(&n.options)); err != nil {
		c.t.Fatalf("%s: %v", n.key, err)
	}
	c.after(n)
}

// propose asks a node to append a topic, whether it leads or not.
func (c *cluster) propose(n *simNode) {
	c.asked++
	name := fmt.Sprintf("topic-%d", c.asked)
	var filler []string
	for i := range c.random.IntN(3) {
		filler = append(filler, fmt.Sprintf("%s.%d", name, i))
	}
	batch, err := newDataBatch(c.nowMs, metadata.CurrentLevel, topics(append(filler, name)...))
	if err != nil {
		c.t.Fatal(err)
	}
	done := make(chan error, 1)
	if _, err := n.core.propose(n.core.epoch, batch, done); err == nil {
		c.waiting[name] = done
	}
	c.after(n)
}

// step performs one random action. Without faults it proposes nothing new
// either.
func (c *cluster) step(faults bool) {
	c.nowMs += c.random.Int64N(3)
	n := c.nodes[c.random.IntN(len(c.nodes))]
	switch c.random.IntN(40) {
	case 0, 1, 2:
		n.core.tick()
		c.after(n)
	case 3, 4, 5, 6:
		if faults {
			c.propose(n)
		}
	case 7, 8, 9, 10, 11, 12, 13:
		c.save(n)
	case 14, 15, 16, 17, 18, 19, 20:
		c.apply(n)
	case 21, 22:
		c.snapshot(n)
	case 23:
		switch {
		case !faults:
		case c.random.IntN(8) == 0:
			c.crash(n)
		case c.random.IntN(4) == 0:
			c.apart = nil
		case c.random.IntN(6) == 0:
			c.apart = n
		case c.random.IntN(6) == 0 && n.core.leads != 0:
			c.apart = n
		}
	default:
		c.deliver()
	}
}

// settle ends all faults and waits until every node applied everything (a
// liveness check: the number of steps is bounded).
func (c *cluster) settle() {
	c.lossy, c.apart = false, nil
	for range 100_000 {
		c.step(false)
		if len(c.waiting) == 0 && c.converged() {
			return
		}
	}
	for _, n := range c.nodes {
		c.t.Logf("%s: leader %d epoch %d leads %d active %t tip %v stored %v applied %v save %d apply %d jobs %d", n.key, n.core.leader, n.core.epoch, n.core.leads, n.core.active(),
			n.core.tip, n.core.store.end(), n.core.applied, len(n.core.toSave), len(n.core.toApply), len(n.jobs))
	}
	c.t.Fatalf("no agreement after 100,000 steps without faults: %d committed, %d waiting, %d on the wire", len(c.committed), len(c.waiting), len(c.wire))
}

func (c *cluster) converged() bool {
	for _, n := range c.nodes {
		if n.core.leader < 0 || n.core.applied.index != uint64(len(c.committed)) || n.core.tip.index != n.core.applied.index {
			return false
		}
	}
	return true
}

// check compares all states with the log of what was committed, and that with
// what was acknowledged.
func (c *cluster) check() {
	c.t.Helper()
	want := c.replay(1 << 60)
	seen := map[string]int{}
	for _, name := range want {
		seen[name]++
	}
	for name, times := range seen {
		if times > 1 {
			c.t.Fatalf("%s is in the state %d times", name, times)
		}
	}
	for name := range c.acked {
		if seen[name] == 0 {
			c.t.Fatalf("%s was acknowledged but is lost", name)
		}
	}
	for _, n := range c.nodes {
		if fmt.Sprint(n.owner.names) != fmt.Sprint(want) {
			c.t.Fatalf("%s holds %v, want %v", n.key, n.owner.names, want)
		}
		if len(n.core.own)+len(n.core.parked) > 0 {
			c.t.Fatalf("%s keeps %d batches and %d proposals although everything is applied", n.key, len(n.core.own), len(n.core.parked))
		}
		if s := n.core.store; s.index.before.offset != s.snapshots[0].id.EndOffset || s.log.StartOffset() != s.index.before.offset {
			c.t.Fatalf("%s: table and log begin at %d and %d, the oldest snapshot ends at %d", n.key, s.index.before.offset, s.log.StartOffset(), s.snapshots[0].id.EndOffset)
		}
	}
}

// chaos runs one seed.
func chaos(t *testing.T, seed uint64) *cluster {
	cryptotest.SetGlobalRandom(t, seed) // raft's election timeouts
	c := newCluster(t, seed, 3, []float64{0, 0.1, 0.5, 1}[seed%4])
	c.lossy = true
	for range 12_000 {
		c.step(true)
	}
	c.settle()
	c.check()
	return c
}

// TestClusterChaos runs three voters with message loss, repetition, reordering,
// and power loss with every chance of survival.
func TestClusterChaos(t *testing.T) {
	var acked, snapshots, installs, cuts, crashes, terms int
	seeds := 60
	if raceDetector {
		seeds = 5
	}
	for seed := range uint64(seeds) {
		var c *cluster
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) { c = chaos(t, seed) }) {
			return
		}
		acked += len(c.acked)
		installs += c.installs
		cuts += c.cuts
		crashes += c.crashes
		terms += len(c.leaders)
		for _, n := range c.nodes {
			if n.core.store.newestSnapshot().index > 0 {
				snapshots++
			}
		}
	}
	t.Logf("%d seeds: %d proposals acknowledged, %d leaders, %d crashes, %d conflicts cut off, %d snapshots installed, %d of %d nodes made one",
		seeds, acked, terms, crashes, cuts, installs, snapshots, 3*seeds)
	if acked < 100*seeds || snapshots < 2*seeds || installs < seeds || cuts < seeds || terms < 3*seeds {
		t.Fatal("too few of these events happened for a meaningful test")
	}
}
