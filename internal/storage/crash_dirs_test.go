package storage

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestCrashOfTwoDirs lets one of two log dirs fail for good at one of its I/Os,
// while the other goes on, and looks before every I/O of either at what a power
// loss would leave. What was told to be flushed is there in both dirs, what is
// there is what was appended, and nobody who writes to the sound dir notices.
func TestCrashOfTwoDirs(t *testing.T) {
	points, step := 0, 1
	if raceEnabled {
		step = 7
	}
	for at := 0; ; at += step {
		j := newTwoDirs(t, at)
		failed := j.run()
		points += j.io
		if !failed {
			break
		}
	}
	t.Logf("%d crash points", points)
	if points < 1500/step {
		t.Errorf("only %d crash points", points)
	}
}

type twoDirs struct {
	*oneLog
	at   int // the I/O of /data from which on it fails
	io   int
	logs []*heldLog
}

// heldLog is a log with what it must hold.
type heldLog struct {
	*Log
	tp       TopicPartition
	appended [][]byte
	flushed  int64
}

func newTwoDirs(t *testing.T, at int) *twoDirs {
	j := &twoDirs{at: at}
	j.oneLog = newLogTest(t, func(o *Options) {
		o.Dirs = []string{"/data", "/sound"}
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 500, 100
	})
	second := TopicPartition{Topic: "u", TopicID: [16]byte{2}}
	sound := must(j.m.Create(second, j.o.Default, j.m.dirs[1].id))(t)
	j.logs = []*heldLog{{Log: j.Log, tp: j.tp}, {Log: sound, tp: second}}
	for _, h := range j.logs {
		if err := h.Flush(); err != nil {
			t.Fatal(err)
		}
		h.NotifyFlushed(func(offset int64) { h.flushed = max(h.flushed, offset) })
	}
	j.fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) { j.crash(e) }})
	j.fs.Add(vfs.Rule{Op: vfs.OpChange, Path: "/data/", Skip: at, Err: syscall.EIO})
	return j
}

// run writes to both dirs, with rolls, checkpoints and a truncation, and tells
// whether the first one failed.
func (j *twoDirs) run() (failed bool) {
	for i := range 16 {
		for n, h := range j.logs {
			b := batch(j.t, 1, record.BuilderOptions{}, fmt.Sprint("value ", i))
			_, err := h.AppendAsLeader(bytes.Clone(b), AppendOptions{})
			if err == nil {
				record.Batch(b).SetBaseOffset(int64(len(h.appended)))
				record.Batch(b).SetLeaderEpoch(0)
				h.appended = append(h.appended, b)
				err = h.Flush()
			}
			j.allowed(n, err)
		}
		if i%5 == 4 {
			j.allowed(0, j.m.Checkpoint())
		}
	}
	sound := j.logs[1]
	if sound.flushed != 16 {
		j.t.Fatalf("%d: only %d records of the sound dir are flushed", j.at, sound.flushed)
	}
	return len(j.m.Dirs()) == 1
}

// allowed ends the test at an error that nobody may see in dir number n.
func (j *twoDirs) allowed(n int, err error) {
	j.t.Helper()
	if err != nil && (n != 0 || !errors.Is(err, ErrStorage)) {
		j.t.Fatalf("a failure at I/O %d of /data: dir %d: %v", j.at, n, err)
	}
}

// crash looks at what a power loss before this I/O leaves.
func (j *twoDirs) crash(e vfs.Event) {
	j.io++
	keep := survivals[j.io%len(survivals)]
	clone := j.mem.CrashClone(vfs.CrashOptions{Seed: uint64(j.at)<<32 + uint64(j.io), KeepProbability: keep})
	what := fmt.Sprintf("failure at %d, crash at %d before %v of %s, %g kept", j.at, j.io, e.Op, e.Path, keep)
	o := j.o
	o.FS = clone
	m := openManager(j.t, o)
	defer m.abandon()
	if broken := m.Broken(); len(broken) > 0 || len(m.Dirs()) != 2 {
		j.t.Fatalf("%s: %v", what, broken)
	}
	for _, h := range j.logs {
		l := m.Log(h.tp.Topic, 0)
		if l == nil && h.flushed == 0 {
			continue // the folder is made with the first record
		}
		if l == nil || l.EndOffset() < h.flushed {
			j.t.Fatalf("%s: of %s less than %d records are there", what, h.tp.Topic, h.flushed)
		}
		n := 0
		for b, err := range l.Batches(0, l.EndOffset()) {
			// The append under way may be there, which is not noted yet.
			if err != nil || n > len(h.appended) || n < len(h.appended) && !bytes.Equal(b, h.appended[n]) {
				j.t.Fatalf("%s: %s: batch %d is %v: %v", what, h.tp.Topic, n, b, err)
			}
			n++
		}
	}
}
