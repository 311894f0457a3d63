package raft

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// testLog makes the log under a test's store.
func testLog(o storage.LogOptions) (segmentLog, error) { return storage.OpenLog(o) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// testOptions are the options of node 1 on a file system.
func testOptions(fsys vfs.FS) Options {
	begin := time.Now()
	return Options{
		FS: fsys, Dir: "data", NodeID: 1, DirectoryID: metadata.UUID{1: 7},
		Endpoints: []metadata.VoterEndpoint{{Name: "CONTROLLER", Host: "localhost", Port: 9093}},
		Now:       func() time.Time { return time.UnixMilli(1_700_000_000_000) },
		Elapsed:   func() time.Duration { return time.Since(begin) },
		Log:       quiet, Codecs: record.NewCodecs(), Tick: time.Millisecond,
	}
}

// owner is a state machine over NoOp-free records: it records the names of the
// topics in the order of their records.
type owner struct {
	mu        sync.Mutex
	names     []string
	last      int64
	epoch     int32
	leader    int32
	leads     chan int32 // epochs that this node began
	snapshots int
}

func newOwner() *owner { return &owner{last: -1, leader: -1, leads: make(chan int32, 100)} }

func (o *owner) apply(c Committed) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.Snapshot {
		o.names = nil
		o.snapshots++
	} else if c.BaseOffset != o.last+1 {
		return fmt.Errorf("offset %d follows %d", c.BaseOffset, o.last)
	}
	if c.Epoch < o.epoch {
		return fmt.Errorf("epoch %d follows %d", c.Epoch, o.epoch)
	}
	o.last, o.epoch = c.LastOffset, c.Epoch
	for _, m := range c.Records {
		if t, ok := m.(*metadata.TopicRecord); ok {
			o.names = append(o.names, t.Name)
		}
	}
	if c.LeaderChange != nil {
		o.leads <- c.Epoch
	}
	return nil
}

// source returns the state as records.
func (o *owner) source() iter.Seq[metadata.Message] {
	o.mu.Lock()
	defer o.mu.Unlock()
	names := append([]string(nil), o.names...)
	return func(yield func(metadata.Message) bool) {
		for _, name := range names {
			if !yield(&metadata.TopicRecord{Name: name}) {
				return
			}
		}
	}
}

func (o *owner) list() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.names...)
}

// topics makes the records of topics.
func topics(names ...string) []metadata.Message {
	var list []metadata.Message
	for _, name := range names {
		list = append(list, &metadata.TopicRecord{Name: name})
	}
	return list
}

func startNode(t *testing.T, o Options, owner *owner) *Node {
	t.Helper()
	n, err := open(o, testLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(owner.apply); err != nil {
		t.Fatal(err)
	}
	return n
}

// bubble runs a test in a synctest bubble. All its goroutines must end, and its
// clock advances when all of them wait.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

func closeNode(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// untilLeads waits for the term that the node leads now.
func untilLeads(n *Node, o *owner) int32 {
	for term := range o.leads {
		if id, epoch := n.Leader(); id == 1 && epoch == term {
			return term
		}
	}
	return -1
}

func TestNodeProposesAndReplays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := testOptions(vfs.NewMem())
		var want []string
		for start := range 4 {
			owner := newOwner()
			n := startNode(t, o, owner)
			term := untilLeads(n, owner)
			if int(term) != start+1 {
				t.Fatalf("start %d leads term %d", start, term)
			}
			var waits []<-chan error
			for i := range 10 {
				names := []string{fmt.Sprintf("t%d.%d", start, i), "second"}
				offset, done := n.Propose(term, metadata.CurrentLevel, topics(names...))
				if wantOffset := int64(start*21 + 1 + 2*i + 1); offset != wantOffset {
					t.Fatalf("start %d: proposal %d ends at offset %d, want %d", start, i, offset, wantOffset)
				}
				waits = append(waits, done)
				want = append(want, names...)
			}
			for _, done := range waits {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			if got := owner.list(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("start %d: applied %v, want %v", start, got, want)
			}
			closeNode(t, n)
		}
	})
}

func TestProposeRefuses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		owner := newOwner()
		n, err := open(testOptions(vfs.NewMem()), testLog)
		if err != nil {
			t.Fatal(err)
		}
		refused := func(want error, term int32, records ...metadata.Message) {
			t.Helper()
			if offset, done := n.Propose(term, metadata.CurrentLevel, records); offset != -1 {
				t.Errorf("got the offset %d", offset)
			} else if err := <-done; !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		refused(ErrClosed, 1, topics("before Start")...)
		if err := n.Start(owner.apply); err != nil {
			t.Fatal(err)
		}
		term := untilLeads(n, owner)
		refused(ErrNotLeader, term+1, topics("later term")...)
		refused(ErrNotLeader, term-1, topics("earlier term")...)
		refused(ErrTooLarge, term, topics(strings.Repeat("x", MaxBatchBytes))...)
		if offset, done := n.Propose(term, metadata.CurrentLevel, nil); offset != -1 || <-done == nil {
			t.Error("an empty proposal was taken")
		}
		closeNode(t, n)
		refused(ErrClosed, term, topics("after Close")...)
		if n.Start(owner.apply) == nil {
			t.Error("started after Close")
		}
		if s := n.Status(); s.LeaderID != -1 {
			t.Errorf("a closed node shows %+v", s)
		}
	})
}

// TestProposeInApply checks that an owner may propose from apply as soon as it
// sees the LeaderChange of its own term.
func TestProposeInApply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, err := open(testOptions(vfs.NewMem()), testLog)
		if err != nil {
			t.Fatal(err)
		}
		waits := make(chan (<-chan error), 1)
		if err := n.Start(func(c Committed) error {
			if c.LeaderChange != nil {
				_, done := n.Propose(c.Epoch, metadata.CurrentLevel, topics("first"))
				waits <- done
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := <-<-waits; err != nil {
			t.Fatal(err)
		}
		closeNode(t, n)
	})
}

// TestQueueIsBounded fills the queue while the disk is slow.
func TestQueueIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := testOptions(vfs.NewMem())
		faults := vfs.NewFault(o.FS)
		o.FS = faults
		owner := newOwner()
		n := startNode(t, o, owner)
		term := untilLeads(n, owner)
		faults.Add(vfs.Rule{Op: vfs.OpSync, Delay: time.Second, Count: 1})
		var waits []<-chan error
		for i := range maxParked {
			offset, done := n.Propose(term, metadata.CurrentLevel, topics(fmt.Sprint(i)))
			if offset < 0 {
				t.Fatalf("proposal %d was refused: %v", i, <-done)
			}
			waits = append(waits, done)
		}
		if _, done := n.Propose(term, metadata.CurrentLevel, topics("one too many")); !errors.Is(<-done, ErrBusy) {
			t.Fatal("the queue has no bound")
		}
		for _, done := range waits {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if _, done := n.Propose(term, metadata.CurrentLevel, topics("later")); <-done != nil {
			t.Fatal("refused although the queue is empty")
		}
		closeNode(t, n)
	})
}

// TestDiskFull checks that on a full disk proposals wait until there is room,
// nothing is lost, and the node keeps running.
func TestDiskFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		o := testOptions(fsys)
		owner := newOwner()
		o.SnapshotSource, o.SnapshotBytes, o.SegmentBytes = owner.source, 400, 2000
		n := startNode(t, o, owner)
		term := untilLeads(n, owner)
		usage, err := fsys.Usage("")
		if err != nil {
			t.Fatal(err)
		}
		fsys.SetCapacity(int64(usage.Total-usage.Free) + 3*vfs.BlockSize)
		var waits []<-chan error
		for i := range 40 {
			_, done := n.Propose(term, metadata.CurrentLevel, topics(fmt.Sprintf("topic-%d-%s", i, strings.Repeat("x", 500))))
			waits = append(waits, done)
		}
		synctest.Wait()
		<-time.After(time.Second)
		select {
		case err := <-waits[39]:
			t.Fatalf("committed on a full disk: %v", err)
		case <-n.Done():
			t.Fatalf("a full disk stopped the node: %v", n.Err())
		default:
		}
		fsys.SetCapacity(0)
		for _, done := range waits {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		closeNode(t, n)
		again := newOwner()
		n = startNode(t, o, again)
		untilLeads(n, again)
		if got := again.list(); len(got) != 40 {
			t.Fatalf("found %d proposals, want 40", len(got))
		}
		closeNode(t, n)
	})
}

// TestFailedSync checks that a failed fsync is never retried. The node stops,
// and waiting proposals get an error.
func TestFailedSync(t *testing.T) {
	for _, path := range []string{".log", quorumStateFile, partialSuffix} {
		bubble(t, func(t *testing.T) {
			o := testOptions(vfs.NewMem())
			faults := vfs.NewFault(o.FS)
			o.FS = faults
			owner := newOwner()
			o.SnapshotSource, o.SnapshotBytes = owner.source, 1000
			n := startNode(t, o, owner)
			term := untilLeads(n, owner)
			faults.Add(vfs.Rule{Op: vfs.OpSync, Path: path, Count: 1, Err: syscall.EIO})
			if path == quorumStateFile {
				if err := n.do(func(c *core) error { // another candidate of a later term
					c.step(ReplicaKey{2, metadata.UUID{2}}, &Message{
						Type: raftpb.MsgVote.Enum(), From: new(ReplicaKey{2, metadata.UUID{2}}.RaftID()), To: new(c.id),
						Term: new(uint64(term + 1)), Index: new(uint64(100)), LogTerm: new(uint64(term)), Context: []byte("CampaignTransfer"),
					})
					return nil
				}); err != nil {
					t.Fatal(err)
				}
			}
			var done <-chan error
			for i := range 20 {
				_, done = n.Propose(term, metadata.CurrentLevel, topics(fmt.Sprint(i, strings.Repeat("x", 100))))
			}
			<-n.Done()
			if err := n.Err(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: the node stopped with %v", path, err)
			}
			if err := <-done; err == nil && path == ".log" {
				t.Errorf("%s: committed although the disk failed", path)
			}
			if err := n.Close(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: Close returned %v", path, err)
			}
		})
	}
}

func TestOwnerFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fault := errors.New("cannot apply")
		n, err := open(testOptions(vfs.NewMem()), testLog)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(func(c Committed) error {
			if c.LeaderChange != nil {
				return fault
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		<-n.Done()
		if !errors.Is(n.Err(), fault) || !errors.Is(n.Close(), fault) {
			t.Fatalf("stopped with %v", n.Err())
		}
	})
}

// TestSnapshotPolicies checks that snapshots are made by bytes and by time, and
// never without a change.
func TestSnapshotPolicies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		o := testOptions(fsys)
		o.Now = time.Now
		owner := newOwner()
		o.SnapshotSource, o.SnapshotBytes, o.SnapshotInterval = owner.source, 10_000, time.Hour
		o.Tick = time.Second
		n := startNode(t, o, owner)
		term := untilLeads(n, owner)
		count := func() int {
			synctest.Wait()
			ids, _, err := listSnapshots(fsys, testFolder)
			if err != nil {
				t.Fatal(err)
			}
			return len(ids)
		}
		propose := func(times int) {
			for range times {
				if _, done := n.Propose(term, metadata.CurrentLevel, topics(strings.Repeat("x", 900))); <-done != nil {
					t.Fatal("not committed")
				}
			}
		}
		propose(5)
		if got := count(); got != 1 {
			t.Fatalf("%d snapshots before anything is due", got)
		}
		propose(10)
		if got := count(); got != 2 {
			t.Fatalf("%d snapshots after 10,000 bytes, want 2", got)
		}
		<-time.After(61 * time.Minute)
		if got := count(); got != 3 {
			t.Fatalf("%d snapshots after an hour with changes, want 3", got)
		}
		<-time.After(10 * time.Hour)
		if got := count(); got != 3 {
			t.Fatalf("%d snapshots after hours without a change, want 3", got)
		}
		propose(1)
		if got := count(); got != 4 {
			t.Fatalf("%d snapshots after another change, want 4", got)
		}
		closeNode(t, n)
	})
}

// TestStatus checks what DescribeQuorum shows for a single voter.
func TestStatus(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := testOptions(vfs.NewMem())
		owner := newOwner()
		n := startNode(t, o, owner)
		term := untilLeads(n, owner)
		if _, done := n.Propose(term, metadata.CurrentLevel, topics("a", "b", "c")); <-done != nil {
			t.Fatal("not committed")
		}
		now := o.Now().UnixMilli()
		want := Status{LeaderID: 1, LeaderEpoch: 1, HighWatermark: 4, Voters: []VoterStatus{{
			NodeID: 1, DirectoryID: o.DirectoryID, Endpoints: o.Endpoints, LogEndOffset: 4, LastFetch: now, LastCaughtUp: now,
		}}}
		if got := n.Status(); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		closeNode(t, n)
	})
}

// TestEndpointsFollow checks that a leader whose endpoints differ from the
// recorded ones writes another VotersRecord, once, and that the next snapshot
// has it.
func TestEndpointsFollow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := testOptions(vfs.NewMem())
		for _, step := range []struct {
			port uint16
			end  int64
		}{{9093, 1}, {9093, 2}, {7777, 4}, {7777, 5}} {
			o.Endpoints = []metadata.VoterEndpoint{{Name: "CONTROLLER", Host: "localhost", Port: step.port}}
			owner := newOwner()
			o.SnapshotSource, o.SnapshotBytes = owner.source, 1
			n := startNode(t, o, owner)
			untilLeads(n, owner)
			synctest.Wait()
			if s := n.Status(); s.Voters[0].Endpoints[0].Port != step.port || s.HighWatermark != step.end {
				t.Fatalf("got %+v, want port %d and the end %d", s, step.port, step.end)
			}
			newest := n.store.newestSnapshot()
			if newest.id.EndOffset != step.end || newest.voters.Voters[0].Endpoints[0].Port != step.port {
				t.Fatalf("the newest snapshot is %v with %v, want %d with the port %d", newest.id, newest.voters, step.end, step.port)
			}
			closeNode(t, n)
		}
	})
}

func TestLeaderChangedIsTold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := testOptions(vfs.NewMem())
		var told []string
		o.LeaderChanged = func(leader, epoch int32) { told = append(told, fmt.Sprint(leader, "@", epoch)) }
		owner := newOwner()
		n := startNode(t, o, owner)
		untilLeads(n, owner)
		closeNode(t, n)
		if got := strings.Join(told, " "); got != "-1@1 1@1" {
			t.Fatalf("LeaderChanged got %s", got)
		}
	})
}

// TestCloseInApply checks that an owner that calls its node from apply while
// the node stops gets ErrClosed, and that the node stops.
func TestCloseInApply(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, err := open(testOptions(vfs.NewMem()), testLog)
		if err != nil {
			t.Fatal(err)
		}
		applying, proposed := make(chan int32, 1), make(chan error, 1)
		if err := n.Start(func(c Committed) error {
			if c.LeaderChange != nil {
				applying <- c.Epoch
				synctest.Wait() // Close waits for the applier
				_, done := n.Propose(c.Epoch, metadata.CurrentLevel, topics("late"))
				n.Status()
				proposed <- <-done
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		<-applying
		closeNode(t, n)
		if err := <-proposed; !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	})
}
