package storage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
	"ottla/internal/xsync"
)

// survivals are the chances of an unsynced block or name to survive a crash.
var survivals = []float64{0, 0.1, 0.5, 1}

// TestCrash runs random operations and, before every I/O that changes
// something, looks at what a power loss at this moment would leave: a clone of
// the file system for each chance of survival is opened like a node that
// starts, and compared with the model:
//
//   - everything that was told to be flushed is there, and what is there is a
//     batch-prefix of what was appended (P12), read back byte for byte (P3);
//   - indexes are equal to indexes built anew (P9), producers, transactions and
//     leader epochs to a fold of the batches;
//   - in durable mode all of it counts as flushed only after it is;
//   - an append works, a clean stop works, and Verify finds nothing;
//   - all of this also when the start itself crashes at one of its I/Os.
//
// Within a pass of compaction other operations are done between its I/Os, with
// crash points of their own: see beside.
//
// A failure prints seed, I/O and chance; CRASH=seed:io:chance repeats it alone.
// SEEDS runs more of them, SEQUENCE=2 and so on gives each other operations.
func TestCrash(t *testing.T) {
	only := os.Getenv("CRASH")
	var points, passes, beside atomic.Int64
	seeds, steps := crashSeeds(), 110
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				c := newCrashes(t, seed, only)
				for range steps {
					c.step()
				}
				c.doing = "close"
				c.must(c.m.Close(-1))
				points.Add(c.points)
				passes.Add(int64(c.passes))
				beside.Add(int64(c.inPasses))
			})
		}
	})
	t.Logf("%d crash points, %d passes of compaction with %d other operations inside", points.Load(), passes.Load(), beside.Load())
	if want := int64(seeds) * 1250; only == "" && points.Load() < want {
		t.Errorf("only %d crash points, the test has lost its bite", points.Load())
	}
	if only == "" && seeds > 2 && passes.Load() < 2 {
		t.Errorf("only %d passes of compaction", passes.Load())
	}
	if only == "" && seeds > 2 && beside.Load() < 20 {
		t.Errorf("only %d operations within a pass of compaction", beside.Load())
	}
}

// crashes is a world that crashes at every I/O.
type crashes struct {
	*world
	seed   uint64
	io     int
	points int64
	only   string
	// nested tells that an operation within a pass of compaction is under way;
	// inPasses counts them.
	nested   bool
	inPasses int
}

func newCrashes(t *testing.T, seed uint64, only string) *crashes {
	c := &crashes{seed: seed, only: only}
	c.world = newWorld(t, seed, config.Durability(seed%4/3)) // one of four in page-cache mode
	c.fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) { c.crash(e) }})
	return c
}

// crash looks at all that a crash before this I/O can leave.
func (c *crashes) crash(e vfs.Event) {
	c.io++
	for i, keep := range survivals {
		name := fmt.Sprintf("%d:%d:%g", c.seed, c.io, keep)
		if c.only != "" && c.only != name {
			continue
		}
		c.points++
		n := c.io*len(survivals) + i
		clone := c.mem.CrashClone(vfs.CrashOptions{Seed: c.seed<<32 + uint64(n), KeepProbability: keep})
		what := fmt.Sprintf("crash %s before %v of %s during %s", name, e.Op, e.Path, c.doing)
		if n%5 == 0 {
			clone = c.crashAgain(clone, what, n/5)
			what += ", and again during the start"
		}
		found := c.reopen(clone, what)
		found.survived()
		if n%7 == 0 {
			found.goOn()
		} else {
			found.m.abandon()
		}
		if c.t.Failed() {
			c.fatal("stopping")
		}
	}
	c.beside()
}

// beside does an operation on a random partition in the middle of a pass of
// compaction, if its locks are free as they would be for another goroutine: an
// append always, what removes segments but during the swap of its log.
func (c *crashes) beside() {
	if c.doing != "clean" || c.nested || c.rng.IntN(8) > 0 {
		return
	}
	c.nested = true
	defer func() { c.nested, c.doing = false, "clean" }()
	p := c.pick()
	l, d := c.log(p), c.m.dirs[0]
	if !free(&d.checkpoints, &d.writing) {
		return // within a checkpoint
	}
	if !free(&l.write, &l.flushing) {
		c.fatal("compaction holds the lock of appends over an I/O")
	}
	c.inPasses++
	switch n := c.rng.IntN(12); {
	case n < 4:
		c.append(p)
	case n < 6:
		c.appendFollower(p)
	case n < 8:
		c.flush()
	case n < 9:
		c.deleteRecords(p)
	case !c.reshapable():
		c.append(p)
	case n < 10:
		c.doing = "checkpoint"
		c.must(c.m.Checkpoint())
	case n < 11:
		c.truncate(p)
	case c.rng.IntN(2) == 0:
		c.restart(p)
	default:
		c.retention()
	}
}

// reshapable tells whether no log is in the middle of a swap.
func (c *crashes) reshapable() bool {
	for _, l := range c.m.list(nil) {
		if !free(&l.reshaping) {
			return false
		}
	}
	return true
}

// free tells whether nobody holds any of the locks.
func free(locks ...*xsync.Mutex) bool {
	for _, l := range locks {
		if !l.TryLock() {
			return false
		}
		l.Unlock()
	}
	return true
}

// crashAgain starts a node on a clone and returns what a crash before one of
// the start's own I/Os leaves.
func (c *crashes) crashAgain(clone *vfs.Mem, what string, n int) *vfs.Mem {
	at := n % 24
	var again *vfs.Mem
	fs := vfs.NewFault(clone, vfs.Rule{Op: vfs.OpChange, Skip: at, Count: 1, Hook: func(vfs.Event) {
		again = clone.CrashClone(vfs.CrashOptions{Seed: uint64(n), KeepProbability: survivals[n%len(survivals)]})
	}})
	o := c.o
	o.FS = fs
	m, err := OpenManager(context.Background(), o)
	if err != nil {
		c.t.Fatalf("%s: %v", what, err)
	}
	m.abandon()
	if again == nil { // the start needed fewer I/Os
		again = clone.CrashClone(vfs.CrashOptions{KeepProbability: 0})
	}
	return again
}

// survivor is a node that starts on what a crash left.
type survivor struct {
	*world
	original *world
}

// reopen opens a clone. The models are shared with the original and not
// changed.
func (c *crashes) reopen(clone *vfs.Mem, what string) *survivor {
	w := &world{t: c.t, rng: c.rng, mem: clone, fs: nil, time: c.time, o: c.o, partitions: c.partitions, doing: what, codecs: c.codecs, compacted: c.compacted}
	w.o.FS = clone
	var err error
	if w.m, err = OpenManager(context.Background(), w.o); err != nil {
		w.fatal("%v", err)
	}
	for tp, err := range w.m.Broken() {
		w.fatal("%v is broken: %v", tp, err)
	}
	return &survivor{w, c.world}
}

// survived compares what was found with the model.
func (s *survivor) survived() {
	for _, p := range s.partitions {
		l := s.log(p)
		if l == nil {
			if !p.creating && !p.deleting && !p.unflushed {
				s.fatal("partition %d is gone", p.tp.Partition)
			}
			continue
		}
		s.partition(p, l)
	}
}

func (s *survivor) partition(p *model, l *Log) {
	if id := l.TP().TopicID; id != p.tp.TopicID {
		if !p.unflushed && !p.restartable(id) {
			s.fatal("partition %d has topic id %x", p.tp.Partition, id)
		}
		if id != [16]byte{} {
			return // the deletion of the topic before it was not on disk; its folder is another topic's (P14)
		}
	}
	batches := slices.Concat(p.batches, p.pending)
	start, end := l.StartOffset(), l.EndOffset()
	if p.restarting >= 0 && start == end {
		return // empty, at its new start or not there yet
	}
	if end < p.guaranteed() {
		s.fatal("partition %d ends at %d, but %d is flushed", p.tp.Partition, end, p.guaranteed())
	}
	if start < p.startLow || start > max(p.start, p.startLow) {
		s.fatal("partition %d starts at %d, not within %d and %d", p.tp.Partition, start, p.startLow, p.start)
	}
	n := len(batches)
	for n > 0 && batches[n-1].LastOffset() >= end {
		n--
	}
	if n > 0 && end != max(batches[n-1].NextOffset(), l.segments[len(l.segments)-1].base) {
		s.fatal("partition %d ends at %d, not at the end of a batch, %d", p.tp.Partition, end, batches[n-1].NextOffset())
	}
	s.compare(l, batches[:n])
	if s.o.Durability == config.Fsync && l.FlushedOffset() != end {
		s.fatal("partition %d has %d flushed of %d after recovery", p.tp.Partition, l.FlushedOffset(), end)
	}
}

// guaranteed is what must be there.
func (p *model) guaranteed() int64 {
	switch {
	case p.deleting:
		return 0
	case p.cutting >= 0:
		return min(p.durable, p.cutting)
	}
	return p.durable
}

// restartable tells whether a folder without topic id is in order.
func (p *model) restartable(id [16]byte) bool { return id == [16]byte{} && p.unflushed }

// goOn uses the reopened log, stops it cleanly and verifies the folder.
func (s *survivor) goOn() {
	for _, p := range s.partitions {
		l := s.log(p)
		if l == nil {
			continue
		}
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(startMs, []byte("key"), []byte("after the crash"))
		batch, err := b.Build()
		s.must(err)
		end := l.EndOffset()
		a, err := l.AppendAsLeader(batch, AppendOptions{LeaderEpoch: l.LatestEpoch() + 1})
		s.must(err)
		if a.BaseOffset != end {
			s.fatal("an append after the crash got offset %d, not %d", a.BaseOffset, end)
		}
		for got, err := range l.Batches(end, l.EndOffset()) {
			s.must(err)
			if !bytes.Equal(got, batch) {
				s.fatal("the batch that was appended after the crash reads as %v", got)
			}
		}
	}
	s.must(s.m.Close(-1))
	s.verify(s.mem)
}

// crashSeeds is how many runs there are, each of more than a thousand crash
// points: 20,000 in all.
func crashSeeds() uint64 {
	if testing.Short() {
		return seedsOf(3)
	}
	return seedsOf(16)
}
