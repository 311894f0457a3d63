package storage

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// oneLog is a partition of a Manager on a file system in memory, whose config
// a test may change.
type oneLog struct {
	*Log
	t    testing.TB
	mem  *vfs.Mem
	fs   *vfs.Fault
	o    Options
	m    *Manager
	time *clock
}

func newLogTest(t testing.TB, change func(*Options)) *oneLog {
	t.Helper()
	o := &oneLog{t: t, mem: vfs.NewMem(), time: &clock{startMs}}
	o.fs = vfs.NewFault(o.mem)
	o.o = testOptions(o.fs)
	o.o.Now = o.time.now
	if change != nil {
		change(&o.o)
	}
	o.m = openManager(t, o.o)
	l, err := o.m.Create(TopicPartition{Topic: "t", TopicID: [16]byte{1}}, o.o.Default, [16]byte{})
	if err != nil {
		t.Fatal(err)
	}
	o.Log = l
	return o
}

// made is the log with a folder, though it has had no record.
func (o *oneLog) made() *oneLog {
	o.t.Helper()
	makeFolder(o.t, o.Log)
	return o
}

// makeFolder does what the first append does before it writes.
func makeFolder(t testing.TB, l *Log) {
	t.Helper()
	l.write.Lock()
	defer l.write.Unlock()
	if err := l.putOnDisk(); err != nil {
		t.Fatal(err)
	}
}

// reopen closes cleanly, verifies the folder, and opens again.
func (o *oneLog) reopen() {
	o.t.Helper()
	o.close()
	o.m = openManager(o.t, o.o)
	o.Log = o.m.Log("t", 0)
	if o.Log == nil {
		o.t.Fatalf("not opened: %v", o.m.Broken())
	}
}

func (o *oneLog) close() {
	o.t.Helper()
	if err := o.m.Close(-1); err != nil {
		o.t.Fatal(err)
	}
	verifyClean(o.t, o.mem)
}

// kill ends the process and starts another one.
func (o *oneLog) kill() {
	o.t.Helper()
	o.m.abandon()
	o.m = openManager(o.t, o.o)
	if o.Log = o.m.Log("t", 0); o.Log == nil {
		o.t.Fatalf("not opened: %v", o.m.Broken())
	}
}

func verifyClean(t testing.TB, fsys vfs.FS) {
	t.Helper()
	problems, err := Verify("/data", VerifyOptions{FS: fsys, Codecs: record.NewCodecs()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error("verify:", p)
	}
}

// write appends n records of a client and returns where.
func (o *oneLog) write(n int, b record.BuilderOptions) Appended {
	o.t.Helper()
	a, err := o.append(n, b)
	if err != nil {
		o.t.Fatal(err)
	}
	return a
}

func (o *oneLog) append(n int, b record.BuilderOptions) (Appended, error) {
	o.t.Helper()
	return o.AppendAsLeader(batch(o.t, n, b, "v"), AppendOptions{LeaderEpoch: max(0, o.LatestEpoch())})
}

func (o *oneLog) from(id int64, epoch int16, seq int32, n int) (Appended, error) {
	o.t.Helper()
	return o.append(n, record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, Epoch: epoch, BaseSequence: seq}})
}

func (o *oneLog) mark(id int64, epoch int16, commit bool, coordinator int32) error {
	o.t.Helper()
	b, err := record.EndTxnBatch(record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, Epoch: epoch, BaseSequence: record.NoSequence}},
		o.time.ms, record.EndTxnMarker{Commit: commit, CoordinatorEpoch: coordinator})
	if err != nil {
		o.t.Fatal(err)
	}
	_, err = o.AppendAsLeader(b, AppendOptions{LeaderEpoch: max(0, o.LatestEpoch()), Origin: record.Coordinator})
	return err
}

// TestSequences is what a producer may send next (T2, T3, T4).
func TestSequences(t *testing.T) {
	for _, c := range []struct {
		name  string
		epoch int16
		seq   int32
		n     int
		want  error
		at    int64 // offset of the first record; of the first time if duplicate
		dup   bool
	}{
		{"the next", 3, 5, 2, nil, 5, false},
		{"the last again", 3, 3, 2, nil, 3, true},
		{"the first again", 3, 0, 3, nil, 0, true},
		{"a part of the last again", 3, 3, 1, ErrOutOfOrderSequence, 0, false},
		{"two that were sent apart in one", 3, 0, 5, ErrOutOfOrderSequence, 0, false},
		{"one left out", 3, 6, 1, ErrOutOfOrderSequence, 0, false},
		{"an older epoch", 2, 5, 1, ErrInvalidProducerEpoch, 0, false},
		{"an older epoch, again", 2, 3, 2, ErrInvalidProducerEpoch, 0, false},
		{"a newer epoch from 0", 4, 0, 1, nil, 5, false},
		{"a newer epoch not from 0", 4, 5, 1, ErrOutOfOrderSequence, 0, false},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, " restart=", restart), func(t *testing.T) {
				o := newLogTest(t, nil)
				for _, sent := range [][2]int32{{0, 3}, {3, 2}} {
					if _, err := o.from(9, 3, sent[0], int(sent[1])); err != nil {
						t.Fatal(err)
					}
				}
				if restart {
					o.reopen()
					if c.name == "the first again" {
						return // a snapshot keeps one batch
					}
				}
				end := o.EndOffset()
				a, err := o.from(9, c.epoch, c.seq, c.n)
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
					t.Fatalf("%+v, %v, want %v", a, err, c.want)
				}
				if err == nil && (a.BaseOffset != c.at || a.LastOffset != c.at+int64(c.n)-1 || a.Duplicate != c.dup) {
					t.Fatalf("%+v, want offset %d, duplicate %t", a, c.at, c.dup)
				}
				if (err != nil || c.dup) && o.EndOffset() != end {
					t.Fatal("something was appended")
				}
				o.close()
			})
		}
	}
}

// TestFiveBatches: exactly the last five are remembered.
func TestFiveBatches(t *testing.T) {
	o := newLogTest(t, nil)
	for i := range int32(7) {
		if _, err := o.from(9, 0, i, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(7) {
		a, err := o.from(9, 0, i, 1)
		if i < 2 {
			if !errors.Is(err, ErrOutOfOrderSequence) {
				t.Fatal(i, a, err)
			}
		} else if err != nil || !a.Duplicate || a.BaseOffset != int64(i) {
			t.Fatal(i, a, err)
		}
	}
}

// TestUnknownProducer: a producer that the log does not know may go on with
// any sequence, because its records may have been deleted.
func TestUnknownProducer(t *testing.T) {
	o := newLogTest(t, nil)
	if _, err := o.from(9, 5, 1234, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := o.from(9, 5, 1236, 1); !errors.Is(err, ErrOutOfOrderSequence) {
		t.Fatal(err)
	}
}

// TestSequenceWraps: 2³¹−1 is followed by 0 (T3), inside a batch and between
// batches.
func TestSequenceWraps(t *testing.T) {
	o := newLogTest(t, nil)
	for _, c := range []struct {
		seq int32
		n   int
	}{{math.MaxInt32 - 2, 2}, {math.MaxInt32, 3}, {2, 1}} {
		if _, err := o.from(9, 0, c.seq, c.n); err != nil {
			t.Fatal(c, err)
		}
	}
	if a, err := o.from(9, 0, math.MaxInt32, 3); err != nil || !a.Duplicate || a.BaseOffset != 2 {
		t.Fatal(a, err)
	}
	o.reopen()
	if _, err := o.from(9, 0, 3, 1); err != nil {
		t.Fatal(err)
	}
	for _, next := range []int32{0, 1} {
		m := batchMeta{lastSeq: next, offsetDelta: 3}
		if want := math.MaxInt32 - 2 + next; m.firstSeq() != want {
			t.Fatal(m.firstSeq(), want)
		}
	}
}

// TestTransactions follows the last stable offset and the aborted
// transactions through commits, aborts and a restart (T9, T10, T11).
func TestTransactions(t *testing.T) {
	o := newLogTest(t, nil)
	send := func(id int64, seq int32) {
		t.Helper()
		o.write(2, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: id, BaseSequence: seq}})
	}
	stable := func(want int64) {
		t.Helper()
		if got := o.LastStableOffset(o.HighWatermark()); got != want {
			t.Fatalf("last stable offset %d, want %d", got, want)
		}
	}
	committed := func() { o.SetHighWatermark(o.EndOffset()) }
	o.write(1, record.BuilderOptions{}) // 0
	send(1, 0)                          // 1, 2
	send(2, 0)                          // 3, 4
	committed()
	stable(1)
	if err := o.mark(1, 0, false, 1); err != nil { // 5
		t.Fatal(err)
	}
	stable(1) // the marker is above the high watermark
	committed()
	stable(3)
	if err := o.mark(2, 0, true, 1); err != nil { // 6
		t.Fatal(err)
	}
	committed()
	stable(7)
	send(1, 2)                                     // 7, 8
	if err := o.mark(1, 0, false, 1); err != nil { // 9
		t.Fatal(err)
	}
	send(2, 2) // 10, 11
	committed()
	aborted := func() {
		t.Helper()
		for _, c := range []struct {
			from, upTo int64
			want       string
		}{{0, 12, "[{1 1} {1 7}]"}, {0, 1, "[]"}, {2, 7, "[{1 1}]"}, {6, 7, "[]"}, {6, 8, "[{1 7}]"}, {9, 10, "[{1 7}]"}, {10, 12, "[]"}} {
			got, err := o.AbortedTxns(c.from, c.upTo)
			if err != nil || fmt.Sprint(got) != c.want {
				t.Fatalf("aborted in [%d, %d): %v, %v, want %s", c.from, c.upTo, got, err, c.want)
			}
		}
	}
	aborted()
	stable(10)
	o.reopen()
	aborted()
	stable(10)
	o.kill()
	aborted()
	if _, err := o.from(2, 0, 4, 1); !errors.Is(err, ErrInvalidTxnState) {
		t.Fatal(err)
	}
	if err := o.mark(2, 0, true, 0); !errors.Is(err, ErrCoordinatorFenced) {
		t.Fatal(err)
	}
	states := o.Producers()
	want := ProducerState{ProducerID: 2, LastSequence: 3, LastTimestamp: startMs + 1, CoordinatorEpoch: 1, TxnFirstOffset: 10}
	if len(states) != 2 || states[1] != want {
		t.Fatalf("%+v, want %+v", states, want)
	}
	o.close()
}

// TestProducerExpiry: a producer is forgotten after its time, live and at
// open; one with an open transaction is not.
func TestProducerExpiry(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Producers.IDExpiration = 1000 * 1e6 })
	if _, err := o.from(1, 0, 0, 1); err != nil {
		t.Fatal(err)
	}
	o.write(1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 2}})
	o.time.ms += 999
	o.m.ExpireProducers()
	if n := len(o.Producers()); n != 2 {
		t.Fatal(n)
	}
	before := o.time.ms
	o.time.ms++
	o.reopen()
	if p := o.Producers(); len(p) != 1 || p[0].ProducerID != 2 {
		t.Fatal(p)
	}
	o.time.ms = before
	if _, err := o.from(1, 0, 1, 1); err != nil {
		t.Fatal(err)
	}
	o.time.ms += 10_000
	o.m.ExpireProducers()
	if p := o.Producers(); len(p) != 1 || p[0].ProducerID != 2 {
		t.Fatal(p)
	}
}

// TestListOfBatches: batches of one append are checked one after the other,
// and none is appended when one is wrong.
func TestListOfBatches(t *testing.T) {
	o := newLogTest(t, nil)
	list := func(seqs ...int32) []byte {
		var all []byte
		for _, seq := range seqs {
			all = append(all, batch(t, 1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 1, BaseSequence: seq}}, "v")...)
		}
		return all
	}
	coordinator := AppendOptions{Origin: record.Coordinator}
	if a, err := o.AppendAsLeader(list(0, 1, 2), coordinator); err != nil || a.BaseOffset != 0 || a.LastOffset != 2 {
		t.Fatal(a, err)
	}
	plain := batch(t, 1, record.BuilderOptions{Producer: &record.ProducerInfo{ID: 1, BaseSequence: 3}}, "v")
	if _, err := o.AppendAsLeader(append(list(3), plain...), coordinator); !errors.Is(err, ErrInvalidTxnState) {
		t.Fatal(err)
	}
	older := batch(t, 1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 1, Epoch: 1}}, "v")
	if _, err := o.AppendAsLeader(append(older, list(3)...), coordinator); !errors.Is(err, ErrInvalidProducerEpoch) {
		t.Fatal(err)
	}
	end, err := record.EndTxnBatch(record.BuilderOptions{Producer: &record.ProducerInfo{ID: 1, BaseSequence: record.NoSequence}}, startMs, record.EndTxnMarker{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.AppendAsLeader(append(append(list(3), end...), plain...), coordinator); err != nil {
		t.Fatal(err)
	}
	if o.EndOffset() != 6 {
		t.Fatal(o.EndOffset())
	}
	o.close()
}
