package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// TestFaults runs random operations with one I/O after the other failing: by an
// error, by a full disk with a reserve and without one, or after a part of what
// it should have written. Then
//
//   - no operation panics or hangs, and every error is ErrStorage;
//   - a full disk leaves the dir online, anything else takes it offline;
//   - what is there after a restart is a prefix of what was appended, and holds
//     everything that was told to be flushed (P12).
func TestFaults(t *testing.T) {
	faults := 0
	for _, fault := range []struct {
		name    string
		rule    vfs.Rule
		reserve int64
	}{
		{"EIO", vfs.Rule{Op: vfs.OpAny, Err: syscall.EIO}, 0},
		{"ENOSPC", vfs.Rule{Op: vfs.OpCreate | vfs.OpWrite | vfs.OpRename | vfs.OpMkdir, Err: syscall.ENOSPC, Short: 13}, 0},
		{"EDQUOT with a reserve", vfs.Rule{Op: vfs.OpCreate | vfs.OpWrite | vfs.OpRename | vfs.OpMkdir, Err: syscall.EDQUOT, Short: 13}, 8192},
		{"short write", vfs.Rule{Op: vfs.OpWrite, Err: syscall.EIO, Short: 40}, 8192},
	} {
		t.Run(fault.name, func(t *testing.T) {
			clean := newFaultRun(t, 5, fault.reserve)
			clean.run()
			total := clean.fs.Count(fault.rule.Op)
			for i := range total {
				f := newFaultRun(t, 5, fault.reserve)
				rule := fault.rule
				rule.Skip, rule.Count = i, 1
				f.fs.Add(rule)
				f.run()
				f.after(fmt.Sprintf("%s at I/O %d of %d", fault.name, i, total))
				faults++
			}
		})
	}
	t.Logf("%d faults", faults)
}

// faultRun is a short life of a node with one partition.
type faultRun struct {
	t        *testing.T
	mem      *vfs.Mem
	fs       *vfs.Fault
	o        Options
	appended []record.Batch
	flushed  int64
	start    int64
	offline  bool
	failed   []error
}

func newFaultRun(t *testing.T, seed uint64, reserve int64) *faultRun {
	f := &faultRun{t: t, mem: vfs.NewMem()}
	f.fs = vfs.NewFault(f.mem)
	f.o = testOptions(f.fs)
	f.o.Default.SegmentBytes, f.o.Default.IndexIntervalBytes, f.o.Seed = 1500, 200, seed
	f.o.ReserveBytes = reserve
	f.o.OnDirFailure = func(DirFailure) { f.offline = true }
	return f
}

// check notes an error, which must be one of the disk.
func (f *faultRun) check(err error) bool {
	f.t.Helper()
	if err == nil {
		return true
	}
	f.failed = append(f.failed, err)
	if !errors.Is(err, ErrStorage) && !errors.Is(err, ErrClosed) {
		f.t.Fatalf("%v is no storage error", err)
	}
	return false
}

// run does two lives with a clean stop between, whatever fails.
func (f *faultRun) run() {
	for range 2 {
		m, err := OpenManager(context.Background(), f.o)
		if err != nil {
			f.failed = append(f.failed, err)
			continue
		}
		f.life(m)
		if err := m.Close(-1); err != nil {
			f.failed = append(f.failed, err)
		}
		f.offline = f.offline || len(m.Dirs()) == 0
	}
}

func (f *faultRun) life(m *Manager) {
	l := m.Log("t", 0)
	if l == nil {
		var err error
		if l, err = m.Create(TopicPartition{Topic: "t", TopicID: [16]byte{1}}, f.o.Default, [16]byte{}); err != nil {
			f.failed = append(f.failed, err)
			return
		}
	}
	if l.EndOffset() < f.flushed {
		f.t.Fatalf("the log ends at %d, but %d was flushed", l.EndOffset(), f.flushed)
	}
	// A truncation that failed in the life before may have happened.
	f.appended = slices.DeleteFunc(f.appended, func(b record.Batch) bool { return b.LastOffset() >= l.EndOffset() })
	l.NotifyFlushed(func(offset int64) { f.flushed = offset })
	for i := range 40 {
		f.append(l)
		switch i % 10 {
		case 3:
			f.check(l.Flush())
		case 5:
			f.check(m.Checkpoint())
		case 7:
			l.SetHighWatermark(l.FlushedOffset())
			if f.check(l.IncrementStartOffset(l.HighWatermark() / 2)) {
				f.start = max(f.start, l.StartOffset())
			}
		case 9:
			_, err := m.CheckRetention()
			f.check(err)
			f.truncate(l)
		}
		m.dirs[0].flusher.round()
	}
}

func (f *faultRun) append(l *Log) {
	f.t.Helper()
	b := batch(f.t, 1, record.BuilderOptions{Producer: &record.ProducerInfo{ID: 1, Epoch: int16(len(f.failed)), BaseSequence: 0}}, fmt.Sprint("value ", len(f.appended)))
	a, err := l.AppendAsLeader(b, AppendOptions{Origin: record.Coordinator})
	if f.check(err) {
		if want := f.end(); a.BaseOffset != want {
			f.t.Fatalf("appended at %d, not at %d", a.BaseOffset, want)
		}
		f.appended = append(f.appended, bytes.Clone(b))
	}
}

func (f *faultRun) end() int64 {
	if len(f.appended) == 0 {
		return 0
	}
	return f.appended[len(f.appended)-1].NextOffset()
}

func (f *faultRun) truncate(l *Log) {
	to := max(l.HighWatermark(), f.end()-3)
	if to >= f.end() {
		return
	}
	f.flushed = min(f.flushed, to)
	if f.check(l.TruncateTo(to)) {
		f.flushed = min(f.flushed, to)
		f.appended = slices.DeleteFunc(f.appended, func(b record.Batch) bool { return b.LastOffset() >= to })
	}
}

// after compares the dir's state with the fault, and what a restart finds with
// what was appended.
func (f *faultRun) after(what string) {
	f.t.Helper()
	for _, err := range f.failed {
		if IsNoSpace(err) && f.offline && !slices.ContainsFunc(f.failed, func(err error) bool { return !IsNoSpace(err) }) {
			f.t.Fatalf("%s: a full disk took the dir offline: %v", what, f.failed)
		}
	}
	f.fs.Clear()
	for _, keep := range []float64{0, 1} {
		options := f.o
		options.FS = f.mem.CrashClone(vfs.CrashOptions{Seed: 1, KeepProbability: keep})
		options.OnDirFailure = nil
		m, err := OpenManager(context.Background(), options)
		if err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
		f.compare(what, m)
		if err := m.Close(-1); err != nil {
			f.t.Fatalf("%s: %v", what, err)
		}
		problems, err := Verify("/data", VerifyOptions{FS: options.FS, Codecs: f.o.Codecs})
		if err != nil || len(problems) > 0 {
			f.t.Fatalf("%s, of what was not flushed %g survive: %v, %v", what, keep, problems, err)
		}
	}
}

func (f *faultRun) compare(what string, m *Manager) {
	f.t.Helper()
	l := m.Log("t", 0)
	if l == nil {
		if f.flushed > 0 {
			f.t.Fatalf("%s: the partition is gone: %v", what, m.Broken())
		}
		return
	}
	if l.EndOffset() < f.flushed {
		f.t.Fatalf("%s: ends at %d, but %d was flushed", what, l.EndOffset(), f.flushed)
	}
	i := 0
	for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
		if err != nil {
			f.t.Fatal(what, err)
		}
		for i < len(f.appended) && f.appended[i].BaseOffset() < b.BaseOffset() {
			i++
		}
		if i < len(f.appended) && !bytes.Equal(b, f.appended[i]) && b.BaseOffset() < f.flushed {
			f.t.Fatalf("%s: %v is not what was appended", what, b)
		}
	}
}

// TestUnreadableIndex: an error of a read concerns that read alone: the dir
// stays online.
func TestUnreadableIndex(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1000, 100 })
	for range 50 {
		o.write(1, record.BuilderOptions{})
	}
	o.fs.Add(vfs.Rule{Op: vfs.OpRead, Err: syscall.EIO})
	for name, do := range map[string]func() error{
		"read":      func() error { _, err := o.Read(3, 50, 100, true); return err },
		"timestamp": func() error { _, _, err := o.OffsetForTimestamp(startMs); return err },
		"batches": func() error {
			for _, err := range o.Batches(3, 50) {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"truncate": func() error { return o.TruncateTo(20) },
	} {
		if err := do(); !errors.Is(err, ErrStorage) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.fs.Clear()
	if len(o.m.Dirs()) != 1 {
		t.Fatal("the dir is offline")
	}
	if s := must(o.Read(3, 50, 100, true))(t); s.Len() == 0 {
		t.Fatal("nothing read")
	}
	o.close()
}

// TestFaultsOfOpen: every I/O of a start fails in turn; the node starts without
// that dir or not at all, changes nothing that matters, and the next start
// finds everything.
func TestFaultsOfOpen(t *testing.T) {
	o, batches := damaged(t)
	o.down(false)
	base := o.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})
	for i := 0; ; i++ {
		mem := base.CrashClone(vfs.CrashOptions{KeepProbability: 1})
		fault := vfs.NewFault(mem, vfs.Rule{Skip: i, Count: 1, Err: syscall.EIO})
		options := o.o
		options.FS, options.Durability = fault, config.Fsync
		m, err := OpenManager(context.Background(), options)
		if err == nil {
			l := m.Log("t", 0)
			m.abandon()
			if fault.Count(vfs.OpAny) <= i {
				if l == nil || i < 30 {
					t.Fatal("too few faults", i)
				}
				return
			}
		}
		o.o.FS, o.mem = mem, mem
		if err := o.up(); err != nil {
			t.Fatalf("after a fault at I/O %d: %v", i, err)
		}
		o.whole(batches)
		o.down(true)
	}
}

// TestSlowDisk: one I/O of a log after the other takes its time. Meanwhile
// whoever reads what is there, from that log too, and whoever writes and
// flushes in another dir, is not held up; and the log ends as it does without
// that.
func TestSlowDisk(t *testing.T) {
	for i := 0; ; i++ {
		o := newLogTest(t, func(o *Options) {
			o.Dirs = []string{"/data", "/fast"}
			o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 600, 100
		})
		id := o.m.dirs[1].id
		other := must(o.m.Create(TopicPartition{Topic: "other", TopicID: [16]byte{2}}, o.o.Default, id))(t)
		o.write(5, record.BuilderOptions{})
		g := newGate()
		o.fs.Add(vfs.Rule{Op: vfs.OpChange, Path: "/data", Skip: i, Count: 1, Hook: g.hook})
		done := make(chan struct{})
		go func() {
			defer close(done)
			slowLife(o)
		}()
		slow := false
		select {
		case <-g.reached:
			slow = true
			besides(t, o, other)
		case <-done:
		}
		close(g.open)
		<-done
		if o.EndOffset() != 27 || o.StartOffset() != 15 || o.FlushedOffset() != 27 {
			t.Fatal(i, o.StartOffset(), o.EndOffset(), o.FlushedOffset())
		}
		o.close()
		if !slow {
			if i < 40 {
				t.Fatal("too few I/Os", i)
			}
			return
		}
	}
}

// slowLife is what a log does that writes to the disk.
func slowLife(o *oneLog) {
	for range 25 {
		if _, err := o.append(1, record.BuilderOptions{}); err != nil {
			o.t.Error(err)
		}
	}
	err := errors.Join(o.Flush(), o.TruncateTo(27), o.m.Checkpoint())
	o.SetHighWatermark(20)
	_, retention := o.m.CheckRetention()
	if err = errors.Join(err, retention, o.IncrementStartOffset(15), o.Flush()); err != nil {
		o.t.Error(err)
	}
	if _, err := o.m.CheckRetention(); err != nil {
		o.t.Error(err)
	}
}

// besides is what a slow I/O of o must not hold up.
func besides(t *testing.T, o *oneLog, other *Log) {
	t.Helper()
	must(other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}))(t)
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	start := o.StartOffset()
	for _, err := range o.Batches(max(start, 15), o.EndOffset()) {
		if err != nil {
			t.Fatal(err)
		}
	}
	_ = o.LastStableOffset(o.HighWatermark())
}
