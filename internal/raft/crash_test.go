package raft

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

// singleRun is a single voter that proposes, makes snapshots and restarts.
// Before every I/O that changes anything, it checks what a crash would leave.
type singleRun struct {
	*cluster
	node     *simNode
	proposed []string // in order
	acked    int      // how many of them are acknowledged
	led      int32    // the last term that it led
	crashes  int
}

// TestCrashAtEveryIO clones the file system at every I/O of a run, with 0, 10,
// 50 and 100 % of the unsynced data surviving, and opens the clone. All
// acknowledged proposals must be there, the state must be a prefix of the
// proposals, and the new term must never have been led before (P12, M2, M4,
// M8).
func TestCrashAtEveryIO(t *testing.T) {
	crashes, rounds := 0, 50
	if raceDetector {
		rounds = 5
	}
	for seed := range uint64(2) {
		r := newSingleRun(t, seed, seed%2 == 1)
		r.watch()
		for range 3 {
			for range rounds {
				r.proposeSome()
				r.work(r.random.IntN(4))
			}
			r.drain()
			r.reopen()
		}
		crashes += r.crashes
		r.checkStatic()
	}
	t.Logf("%d crashes", crashes)
	if crashes < 80*rounds {
		t.Fatal("too few crashes for a meaningful test")
	}
}

// checkStatic checks the files: with static voters no snapshot and no
// quorum-state has the form of kraft.version 1.
func (r *singleRun) checkStatic() {
	r.t.Helper()
	s, static := r.node.core.store, r.node.options.Static
	if got := s.kraft.Load() == 0; got != static || len(s.snapshots) == 0 {
		r.t.Fatalf("kraft.version %d, static voters %t, %d snapshots", s.kraft.Load(), static, len(s.snapshots))
	}
	for _, f := range s.snapshots {
		snap, err := loadSnapshot(s.fs, s.folder, f.id, s.codecs)
		if err != nil || snap.static != static || (snap.voters == nil) != static {
			r.t.Fatalf("snapshot %s: static %t, voters %v, %v; want static %t", f.id, snap.static, snap.voters, err, static)
		}
	}
	content, err := vfs.ReadFile(s.fs, s.vote.file)
	want := fmt.Sprintf(`{"clusterId":"","leaderId":-1,"leaderEpoch":%d,"votedId":0,"appliedOffset":0,"currentVoters":[{"voterId":0}],"data_version":0}`, s.vote.epoch)
	if err != nil || static && string(content) != want {
		r.t.Fatalf("quorum-state is %s, %v", content, err)
	}
}

// TestCrashDuringTheFirstStart checks that a start works after a crash at any
// point of the first start.
func TestCrashDuringTheFirstStart(t *testing.T) {
	for _, static := range []bool{false, true} {
		crashDuringTheFirstStart(t, static)
	}
}

func crashDuringTheFirstStart(t *testing.T, static bool) {
	t.Helper()
	base := vfs.NewMem()
	if err := base.MkdirAll("data", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := base.SyncDir("."); err != nil {
		t.Fatal(err)
	}
	faults := vfs.NewFault(base)
	o := testOptions(faults)
	o.Static = static
	crashes := 0
	faults.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
		for seed := range uint64(40) {
			crashes++
			again := testOptions(base.CrashClone(vfs.CrashOptions{Seed: seed, KeepProbability: float64(seed%5) / 4}))
			again.Static = static
			if _, term, err := recoverState(&again); err != nil || term < 1 {
				t.Fatalf("after a crash before %v of %s: term %d, %v", e.Op, e.Path, term, err)
			}
		}
	}})
	if _, _, err := recoverState(&o); err != nil {
		t.Fatal(err)
	}
	if crashes < 500 {
		t.Fatalf("only %d crashes", crashes)
	}
}

// TestCrashOfAGroup tears a group of a hundred proposals of 1 KiB that
// accumulated during one fsync. Whatever blocks survive, the result is a torn
// tail, never corruption.
func TestCrashOfAGroup(t *testing.T) {
	for seed := range uint64(20) {
		r := newSingleRun(t, seed, seed%2 == 1)
		r.node.options.SegmentBytes, r.node.options.SnapshotSource = 1<<20, nil
		r.reopen()
		r.watch()
		for range 100 {
			r.proposeOne(strings.Repeat("x", 1000))
		}
		r.drain()
		if r.acked != 100 || r.crashes < 20 {
			t.Fatalf("%d proposals are acknowledged after %d crashes", r.acked, r.crashes)
		}
	}
}

// newSingleRun makes a cluster of one, with static voters or recorded ones.
func newSingleRun(t *testing.T, seed uint64, static bool) *singleRun {
	r := &singleRun{cluster: newCluster(t, seed, 1, 0)}
	r.node = r.nodes[0]
	if static {
		if err := errors.Join(r.node.fs.RemoveAll(filepath.Join("data", TopicPartition)), r.node.fs.SyncDir("data")); err != nil {
			t.Fatal(err)
		}
		r.node.options.Static = true
		r.start(r.node)
	}
	r.node.faults = vfs.NewFault(r.node.fs)
	r.reopen()
	return r
}

// watch crashes a clone at each I/O from now on.
func (r *singleRun) watch() {
	r.node.faults.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
		for _, keep := range []float64{0, 0.1, 0.5, 1} {
			r.crashes++
			options := vfs.CrashOptions{Seed: r.random.Uint64(), KeepProbability: keep}
			r.verify(fmt.Sprintf("a crash before %v of %s (%v)", e.Op, e.Path, options), r.node.fs.CrashClone(options))
		}
	}})
}

// reopen closes the log and starts again, until the node leads.
func (r *singleRun) reopen() {
	if err := r.node.core.store.log.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.start(r.node)
	r.lead()
}

// lead campaigns and runs the workers until the first entry of the term is
// applied.
func (r *singleRun) lead() {
	if err := r.node.core.campaignAlone(); err != nil {
		r.t.Fatal(err)
	}
	r.after(r.node)
	r.drain()
	if !r.node.core.active() {
		r.t.Fatal("a single voter does not lead")
	}
}

func (r *singleRun) proposeSome() {
	for range 1 + r.random.IntN(3) {
		r.proposeOne("")
	}
}

func (r *singleRun) proposeOne(filler string) {
	name := fmt.Sprintf("topic-%d%s", len(r.proposed), filler)
	batch, err := newDataBatch(r.nowMs, metadata.CurrentLevel, topics(name))
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	if _, err := r.node.core.propose(r.node.core.epoch, batch, done); err != nil {
		r.t.Fatal(err)
	}
	r.proposed = append(r.proposed, name)
	r.waiting[name] = done
	r.after(r.node)
}

// work runs n steps of the workers.
func (r *singleRun) work(n int) {
	for range n {
		switch r.random.IntN(3) {
		case 0:
			r.save(r.node)
		case 1:
			r.apply(r.node)
		case 2:
			r.snapshot(r.node)
		}
		r.led = max(r.led, int32(r.node.core.leads))
		for r.acked < len(r.proposed) && r.cluster.acked[r.proposed[r.acked]] {
			r.acked++
		}
	}
}

func (r *singleRun) drain() {
	for n := r.node; len(n.core.toSave)+len(n.core.toApply)+len(n.jobs) > 0; {
		r.work(1)
	}
}

// verify opens the folder after a crash and compares the state.
func (r *singleRun) verify(what string, fsys *vfs.Mem) {
	r.t.Helper()
	o := r.node.options
	o.FS, o.SnapshotSource = fsys, nil
	state, term, err := recoverState(&o)
	if err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	if len(state) < r.acked || len(state) > len(r.proposed) || !slices.Equal(state, r.proposed[:len(state)]) {
		r.t.Fatalf("%s: %d of %d proposals are acknowledged, found are %v", what, r.acked, len(r.proposed), state)
	}
	if term <= r.led {
		r.t.Fatalf("%s: term %d begins although term %d was led", what, term, r.led)
	}
}

// recoverState opens a folder as a single voter and returns its state and term
// once it leads.
func recoverState(o *Options) ([]string, int32, error) {
	s, snap, err := openStore(o, testLog)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = s.log.Close() }()
	c, err := newCore(o, s)
	if err != nil {
		return nil, 0, err
	}
	owner := newOwner()
	a := newApplier(o, c)
	a.apply = owner.apply
	if err := a.restore(snap); err != nil {
		return nil, 0, err
	}
	if err := c.campaignAlone(); err != nil {
		return nil, 0, err
	}
	for range 1_000 {
		if err := c.runAll(a); err != nil {
			return nil, 0, err
		}
		if c.active() {
			return owner.list(), c.epoch, nil
		}
	}
	return nil, 0, errors.New("a single voter does not lead")
}

// runAll runs all pending work.
func (c *core) runAll(a *applier) error {
	if err := c.collect(); err != nil {
		return err
	}
	saves := c.toSave
	c.toSave = nil
	if err := c.store.save(saves); err != nil {
		return err
	}
	if err := c.saved(saves); err != nil {
		return err
	}
	applies := c.toApply
	c.toApply = nil
	for _, task := range applies {
		if _, err := a.run(task); err != nil {
			return err
		}
		if err := c.finished(task); err != nil {
			return err
		}
	}
	return nil
}
