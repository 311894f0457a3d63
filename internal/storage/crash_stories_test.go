package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// everyCrash does something and, before each of its I/Os that change something,
// lets check look at what starts after a power loss, for many selections of
// what survives.
func (o *oneLog) everyCrash(do func() error, check func(l *Log, what string)) {
	o.t.Helper()
	io := 0
	o.fs.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
		io++
		for n := range 24 {
			keep := survivals[n%len(survivals)]
			what := fmt.Sprintf("crash %d of %g before I/O %d, %v of %s", n, keep, io, e.Op, e.Path)
			options := o.o
			options.FS = o.mem.CrashClone(vfs.CrashOptions{Seed: uint64(io<<8 + n), KeepProbability: keep})
			m, err := OpenManager(context.Background(), options)
			if err != nil {
				o.t.Fatalf("%s: %v", what, err)
			}
			l := m.Log("t", 0)
			if l == nil {
				o.t.Fatalf("%s: %v", what, m.Broken())
			}
			check(l, what)
			m.abandon()
		}
	}})
	if err := do(); err != nil {
		o.t.Fatal(err)
	}
	o.fs.Clear()
	if io == 0 {
		o.t.Fatal("nothing was written")
	}
}

// aborting is a log of four segments with an aborted transaction in each, all
// below the recovery point.
func aborting(t *testing.T) *oneLog {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 400, 100 })
	for seq := int32(0); len(o.bases()) < 4; seq++ {
		o.write(1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 1, BaseSequence: seq}})
		if err := o.mark(1, 0, false, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.m.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestCrashKeepsAborted: whatever a truncation that a crash interrupts leaves of
// the log, its aborted transactions are known.
func TestCrashKeepsAborted(t *testing.T) {
	for name, do := range map[string]func(o *oneLog) error{
		"TruncateTo":              func(o *oneLog) error { return o.TruncateTo(1) },
		"TruncateFullyAndStartAt": func(o *oneLog) error { return o.TruncateFullyAndStartAt(100) },
	} {
		t.Run(name, func(t *testing.T) {
			o := aborting(t)
			o.everyCrash(func() error { return do(o) }, func(l *Log, what string) {
				aborted, err := l.AbortedTxns(l.StartOffset(), l.EndOffset())
				if markers := (l.EndOffset() - l.StartOffset()) / 2; err != nil || int64(len(aborted)) != markers {
					t.Fatalf("%s: aborted below %d: %v, %v", what, l.EndOffset(), aborted, err)
				}
			})
			o.close()
		})
	}
}

// TestCrashOfRestart: TruncateFullyAndStartAt of a compacted log leaves all of
// it or nothing, wherever the new start lies.
func TestCrashOfRestart(t *testing.T) {
	for _, offset := range []int64{0, 20, 1000} {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			c := filled(t)
			c.clean(1)
			end, producers := c.EndOffset(), fmt.Sprint(c.Producers())
			want := committed(t, c.Log, c.o.Codecs)
			both := [2]bool{}
			c.everyCrash(func() error { return c.TruncateFullyAndStartAt(offset) }, func(l *Log, what string) {
				switch {
				case l.StartOffset() == l.EndOffset():
					both[0] = true
					if p := l.Producers(); len(p) > 0 {
						t.Fatalf("%s: empty, but producers %v", what, p)
					}
				case l.EndOffset() != end || fmt.Sprint(l.Producers()) != producers || committed(t, l, c.o.Codecs) != want:
					t.Fatalf("%s: the log reaches from %d to %d, with %v", what, l.StartOffset(), l.EndOffset(), l.Producers())
				default:
					both[1] = true
				}
			})
			if both != [2]bool{true, true} {
				t.Fatal("no crash in between")
			}
			if c.StartOffset() != offset || c.EndOffset() != offset {
				t.Fatal(c.StartOffset(), c.EndOffset())
			}
			c.kill()
			if c.StartOffset() != offset || c.EndOffset() != offset {
				t.Fatal("after a kill:", c.StartOffset(), c.EndOffset())
			}
			c.close()
		})
	}
}

// TestInterruptedRetention: of the segments below the log's start some are gone
// and some are not, all of them above the recovery point.
func TestInterruptedRetention(t *testing.T) {
	for _, c := range []struct {
		name     string
		snapshot bool // at the segment where the log begins
		left     []int64
	}{
		{"with its snapshot", true, []int64{51}},
		{"with an older one", false, []int64{34, 51}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(false)
			gone := func([]byte) []byte { return nil }
			for _, suffix := range []string{logSuffix, offsetSuffix, timeSuffix, snapshotSuffix} {
				o.edit(segmentName(17, suffix), gone)
			}
			if !c.snapshot {
				o.edit(segmentName(51, snapshotSuffix), gone)
			}
			for name, line := range map[string]string{startName: "t 0 51", recoveryName: "t 0 10"} {
				if err := writeFile(o.mem, filepath.Join("/data", name), []byte("0\n1\n"+line+"\n")); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			if o.StartOffset() != 51 || o.EndOffset() != 60 {
				t.Fatal(o.StartOffset(), o.EndOffset())
			}
			o.wantBases(c.left...)
			if c.snapshot {
				o.whole(batches)
			}
			o.down(true)
		})
	}
}

// TestCrashOfRetention: whatever a crash leaves of segments that retention
// removes above the recovery point, nothing above its start is lost and its
// producers are known.
func TestCrashOfRetention(t *testing.T) {
	o, batches := damaged(t)
	o.down(false)
	if err := o.mem.Remove(filepath.Join("/data", recoveryName)); err != nil {
		t.Fatal(err)
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.SetHighWatermark(60)
	if err := o.IncrementStartOffset(55); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, codecs: o.o.Codecs}
	o.everyCrash(func() error { _, err := o.m.CheckRetention(); return err }, func(l *Log, what string) {
		w.doing = what
		if l.EndOffset() != 60 {
			w.fatal("the log ends at %d", l.EndOffset())
		}
		w.compare(l, batches)
	})
	o.wantBases(51)
	o.close()
}

// TestCrashBelowStart: a truncation cuts the batch in which the log begins, so
// that the start goes back with the end. A crash loses no producer.
func TestCrashBelowStart(t *testing.T) {
	o := newLogTest(t, nil)
	for seq := range int32(4) {
		if _, err := o.from(int64(seq%2), 0, seq/2*10, 10); err != nil {
			t.Fatal(err)
		}
	}
	o.SetHighWatermark(37)
	if err := errors.Join(o.Flush(), o.IncrementStartOffset(35), o.m.Checkpoint(), o.m.eachDir((*dir).writeStarts)); err != nil {
		t.Fatal(err)
	}
	o.everyCrash(func() error { return o.TruncateTo(37) }, func(l *Log, what string) {
		start, end, p := l.StartOffset(), l.EndOffset(), l.Producers()
		last := map[int64]int32{40: 19, 30: 9}[end]
		if len(p) != 2 || last == 0 || p[1].LastSequence != last || start != 30 && (start != 35 || end != 40) {
			t.Fatalf("%s: the log reaches from %d to %d, with %+v", what, start, end, p)
		}
	})
	if o.StartOffset() != 30 || o.EndOffset() != 30 {
		t.Fatal(o.StartOffset(), o.EndOffset())
	}
	o.close()
}

// TestCrashAfterCheckpoint: the producer snapshot of a new segment, whose name a
// checkpoint made durable and no flush, is what retention relies on.
func TestCrashAfterCheckpoint(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 800, 50 })
	if _, err := o.from(7, 0, 0, 3); err != nil {
		t.Fatal(err)
	}
	o.write(1, record.BuilderOptions{})
	o.write(1, record.BuilderOptions{})
	if err := o.m.Checkpoint(); err != nil { // which makes the names of epochs and indexes durable
		t.Fatal(err)
	}
	for len(o.bases()) == 1 { // without that producer
		o.write(1, record.BuilderOptions{})
	}
	o.SetHighWatermark(o.FlushedOffset())
	if err := errors.Join(o.m.Checkpoint(), o.IncrementStartOffset(o.bases()[1])); err != nil {
		t.Fatal(err)
	}
	o.everyCrash(func() error { _, err := o.m.CheckRetention(); return err }, func(l *Log, what string) {
		if p := l.Producers(); len(p) != 1 || p[0].LastSequence != 2 {
			t.Fatalf("%s: the log begins at %d with %+v", what, l.StartOffset(), p)
		}
	})
	o.close()
}
