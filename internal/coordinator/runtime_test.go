package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/record"
)

func TestReplyWaitsForTheHighWatermark(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.must(w.write("a"))
		w.disk.change(func() { w.disk.lag = true })
		wrote, read := make(chan error, 1), make(chan int, 1)
		go func() { wrote <- w.write("b") }()
		synctest.Wait()
		go func() {
			n, err := w.read()
			w.want(err, nil, "a read behind a write")
			read <- n
		}()
		synctest.Wait()
		w.wantValues("a", "b") // decided on the tip
		if len(wrote)+len(read) > 0 {
			t.Fatal("a reply left before its record was committed")
		}
		w.disk.catchUp()
		w.must(<-wrote)
		if n := <-read; n != 2 {
			t.Errorf("read %d values, want 2", n)
		}
	})
}

func TestReplyTimesOut(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.disk.change(func() { w.disk.lag = true })
		began := time.Now()
		w.want(w.write("a"), ErrTimedOut, "a write that is not committed")
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("timed out after %v", took)
		}
		_, err := w.read() // it saw what may be lost
		w.want(err, ErrTimedOut, "a read behind it")
		w.disk.lag = false
		w.disk.catchUp()
		w.must(w.write("b"))
		w.wantValues("a", "b")
	})
}

func TestFailedAppendChangesNothing(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		disaster := errors.New("disaster")
		w.must(w.write("a"))
		w.disk.failures = []error{disaster}
		w.want(w.write("b", "c"), disaster, "a failed append")
		w.wantValues("a")
		w.must(w.write("d"))
		w.wantValues("a", "d")
		// A batch that cannot even be made.
		w.codec = 15
		if w.write("e") == nil {
			t.Error("written with a codec that does not exist")
		}
		w.codec = record.None
		w.must(w.write("f"))
		w.wantValues("a", "d", "f")
		// What nobody asked for: the node's log tells.
		w.disk.failures = []error{disaster}
		_, err := w.do(func(m *toy, at Moment, to Ticket) Output {
			m.timers.Set("x", at.Mono+time.Second)
			return Answer(to, count(0))
		})
		w.must(err)
		<-time.After(time.Second)
		w.wantValues("a", "d", "f")
		if !strings.Contains(w.log.String(), disaster.Error()) {
			t.Errorf("the log of the node says %q", w.log.String())
		}
	})
}

// A list that is split keeps what was appended before the failure; one that is
// not is appended as a whole or not at all.
func TestSplit(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.disk.max = 1000
		var all []string
		for i := range 100 {
			all = append(all, strings.Repeat("x", 50)+fmt.Sprint(i))
		}
		var invalid *record.InvalidError
		if err := w.write(all...); !errors.As(err, &invalid) || len(w.disk.batches) > 0 {
			t.Fatalf("too large a batch: %v, %d batches", err, len(w.disk.batches))
		}
		split := func(_ *toy, _ Moment, to Ticket) Output {
			out := write(to, all...)
			out.Split = true
			return out
		}
		_, err := w.do(split)
		w.must(err)
		if n := len(w.disk.batches); n < 6 || n > 15 {
			t.Errorf("%d batches", n)
		}
		w.wantValues(all...)
		if got := w.disk.values(t); fmt.Sprint(got) != fmt.Sprint(all) {
			t.Errorf("the log has %v", got)
		}
		disaster := errors.New("disaster")
		w.disk.failures = []error{nil, disaster}
		_, err = w.do(split)
		w.want(err, disaster, "the second batch fails")
		w.wantValues(w.disk.values(t)...)
	})
}

func TestLoad(t *testing.T) {
	bubble(t, func(w *world) {
		txn := func(id int64) record.BuilderOptions {
			return record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: id}}
		}
		build := func(o record.BuilderOptions, key string, values ...string) {
			b := record.NewBuilder(o)
			for _, v := range values {
				b.Append(1, []byte(key), []byte(v))
			}
			w.disk.add(b.Build())
		}
		end := func(id int64, commit bool) {
			w.disk.add(record.EndTxnBatch(record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, BaseSequence: -1}}, 1, record.EndTxnMarker{Commit: commit}))
		}
		build(record.BuilderOptions{}, "k", "a", "b")
		build(record.BuilderOptions{Compression: record.Zstd, Codecs: record.NewCodecs()}, "k", "c")
		build(txn(1), "k", "committed")
		build(txn(2), "k", "aborted")
		build(txn(3), "k", "open")
		build(record.BuilderOptions{}, "bad", "skipped")
		end(1, true)
		end(2, false)
		w.lead(self)
		w.wantValues("a", "b", "c", "committed")
		if len(w.machine.pending) != 1 || fmt.Sprint(w.machine.pending[3]) != "[open]" {
			t.Errorf("pending %v", w.machine.pending)
		}
		if !strings.Contains(w.log.String(), "offset=6") || strings.Count(w.log.String(), "\n") != 1 {
			t.Errorf("the log of the node says %q", w.log.String())
		}
		w.must(w.write("d"))
		w.wantValues("a", "b", "c", "committed", "d")
	})
}

func TestErrorsWhileItIsNotThere(t *testing.T) {
	bubble(t, func(w *world) {
		w.want(w.write("a"), ErrNotCoordinator, "before the topic exists")
		w.lead(2)
		w.want(w.write("a"), ErrNotCoordinator, "where another leads")
		for range loadingMost { // nobody gets a turn to load
			w.runtime.loads <- struct{}{}
		}
		w.lead(self)
		synctest.Wait()
		w.want(w.write("a"), ErrLoading, "while it loads (G7)")
		for range loadingMost {
			<-w.runtime.loads
		}
		synctest.Wait()
		w.must(w.write("a"))
		w.lead(2)
		w.want(w.write("a"), ErrNotCoordinator, "after another took over")
	})
}

func TestEpochEndsEverything(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.must(w.write("kept"))
		w.disk.change(func() { w.disk.lag = true })
		results := make(chan error, 3)
		go func() { results <- w.write("lost") }()
		go func() {
			_, err := w.do(func(m *toy, _ Moment, to Ticket) Output {
				m.parked = append(m.parked, to) // as a member that waits for a rebalance
				return Output{}
			})
			results <- err
		}()
		synctest.Wait()
		w.disk.change(func() { w.disk.truncate(w.disk.hw) })
		w.lead(2)
		for range 2 {
			w.want(<-results, ErrNotCoordinator, "who waits when the leader changes")
		}
		w.lead(self)
		w.wantValues("kept")
		w.disk.change(func() { w.disk.lag = false })
		w.must(w.write("more"))
	})
}

// A shard whose epoch is over cannot write, although nobody has told it yet.
func TestZombieCannotWrite(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.disk.mu.Lock()
		w.disk.epoch++ // the replica knows, the runtime does not
		w.disk.mu.Unlock()
		w.want(w.write("a"), errStale, "a write of a zombie")
		if len(w.disk.batches) > 0 {
			t.Error("a zombie wrote")
		}
	})
}

func TestLogFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.disk.change(func() { w.disk.closed = errors.New("the log dir is offline") })
		synctest.Wait()
		_, err := w.read()
		w.want(err, ErrNotCoordinator, "after the log dir failed")
		if !strings.Contains(w.log.String(), "the log dir is offline") {
			t.Errorf("the log of the node says %q", w.log.String())
		}
	})
}

func TestLoadFails(t *testing.T) {
	bubble(t, func(w *world) {
		w.disk.add(record.NewBuilder(record.BuilderOptions{}).Build())
		w.disk.failRead = errors.New("bad sector")
		w.lead(self)
		synctest.Wait()
		w.want(w.write("a"), ErrNotCoordinator, "when the log cannot be read")
		w.runtime.Retry() // only what was not opened
		synctest.Wait()
		w.want(w.write("a"), ErrNotCoordinator, "when the log cannot be read")
		w.disk.failRead = nil
		w.disk.failOpen = errors.New("disk full")
		w.lead(self)
		synctest.Wait()
		w.want(w.write("a"), ErrNotCoordinator, "when the log cannot be opened")
		w.disk.failOpen = nil
		w.runtime.Retry()
		synctest.Wait()
		w.must(w.write("a"))
	})
}

// TestLoadOfBadBatches: a log whose batches hold no records, or whose markers do
// not parse, is no state to go on from.
func TestLoadOfBadBatches(t *testing.T) {
	one := func(key string) record.Batch {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(1, []byte(key), []byte("v"))
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return append(record.Batch(nil), batch...)
	}
	batch, marker := one("k"), one("\x00")
	batch[record.HeaderLen] = 0x7f // the length of its record
	marker[22] |= 0x20             // attributes: a control batch
	for what, bad := range map[string]record.Batch{"a record beyond its batch": batch, "a marker with half a type": marker} {
		bubble(t, func(w *world) {
			w.disk.add(bad, nil)
			w.lead(self)
			synctest.Wait()
			w.want(w.write("a"), ErrNotCoordinator, what)
			if !strings.Contains(w.log.String(), "load __toys-0") {
				t.Errorf("%s: the log of the node says %q", what, w.log.String())
			}
		})
	}
}

// TestEndOfALoad: a shard that is not wanted any more stops reading.
func TestEndOfALoad(t *testing.T) {
	bubble(t, func(w *world) {
		for range 3 {
			b := record.NewBuilder(record.BuilderOptions{})
			b.Append(1, []byte("k"), []byte("v"))
			w.disk.add(b.Build())
		}
		read, goOn := make(chan struct{}), make(chan struct{})
		w.disk.reading = func() { read <- struct{}{}; <-goOn }
		w.lead(self)
		<-read
		loading := w.machine
		w.lead(self + 1)
		close(goOn)
		synctest.Wait()
		if len(loading.values) != 0 || loading.loads != 0 {
			t.Errorf("it went on to read %v", loading.values)
		}
	})
}

// TestNothingToFollow: what does not concern a shard, and what comes after the
// end, changes nothing.
func TestNothingToFollow(t *testing.T) {
	bubble(t, func(w *world) {
		w.runtime.Retry() // the topic does not exist
		w.lead(self)
		synctest.Wait()
		w.must(w.write("a"))
		before := w.machine
		told := len(before.topics)
		w.publish(&metadata.ConfigRecord{ResourceType: metadata.ResourceTopic, ResourceName: topic, Name: "k"})
		synctest.Wait()
		if len(before.topics) != told {
			t.Errorf("of a change without topics it was told %v", before.topics[told:])
		}
		change := metadata.NewPartitionChangeRecord()
		change.PartitionID, change.TopicID, change.ISR = 0, topicID, []int32{1}
		w.publish(change)
		synctest.Wait()
		if w.machine != before || len(before.topics) != told+1 {
			t.Errorf("the shard is another, or was told %v", before.topics)
		}
		w.must(w.write("b"))
		w.runtime.Close()
		w.lead(self)
		w.runtime.Retry()
		w.want(w.write("c"), ErrNotCoordinator, "after the end")
		if w.machine != before || len(w.runtime.Led()) != 0 {
			t.Error("a shard began after the end")
		}
	})
}

func TestDeletedTopic(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		w.must(w.write("a"))
		w.publish(&metadata.RemoveTopicRecord{TopicID: topicID})
		w.want(w.write("b"), ErrNotCoordinator, "after the topic was deleted")
	})
}

// No step sees an image before the machine was told what changed.
func TestTopicsChanged(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		other := metadata.UUID{9, 15: 1}
		for i := range 20 {
			name := fmt.Sprint("t", i)
			busy := make(chan struct{})
			w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output { <-busy; return Answer(to, count(0)) })
			synctest.Wait()
			w.publish(&metadata.TopicRecord{Name: name, TopicID: other})
			call := w.runtime.Begin(context.Background(), 0, func(m *toy, at Moment, to Ticket) Output {
				if at.Image.TopicByName(name) != nil && (len(m.topics) == 0 || m.topics[len(m.topics)-1] != name) {
					t.Errorf("a step sees %s, the machine was told of %v", name, m.topics)
				}
				return Answer(to, count(0))
			})
			close(busy)
			_, err := call.Wait()
			w.must(err)
			w.publish(&metadata.RemoveTopicRecord{TopicID: other})
		}
		synctest.Wait()
		if got := w.machine.topics[len(w.machine.topics)-1]; got != "no t19" {
			t.Errorf("the last word is %q", got)
		}
		// More than can be listed.
		release := make(chan struct{})
		w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output { <-release; return Answer(to, count(0)) })
		synctest.Wait()
		for i := range maxDeltas + 1 {
			w.publish(&metadata.TopicRecord{Name: fmt.Sprint("u", i), TopicID: metadata.UUID{1, byte(i >> 8), byte(i), 15: 1}})
		}
		close(release)
		synctest.Wait()
		if got := w.machine.topics[len(w.machine.topics)-1]; got != "everything" {
			t.Errorf("the last word is %q", got)
		}
	})
}

// The image is the one that the changes led to, however Follow and the shard
// meet: by an older one, a topic that went would be there yet.
func TestTopicsChangedWithTheirImage(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		for i := range 1000 {
			other := metadata.UUID{9, byte(i >> 8), byte(i), 15: 1}
			w.publish(&metadata.TopicRecord{Name: "t", TopicID: other})
			w.must(w.write("a"))
			w.publish(&metadata.RemoveTopicRecord{TopicID: other})
			w.must(w.write("b"))
		}
		synctest.Wait()
		if len(w.machine.topics) < 2000 || len(w.machine.strange) > 0 {
			t.Errorf("told of %d changes, of which %d differ from the image", len(w.machine.topics), len(w.machine.strange))
		}
	})
}

func TestTick(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		_, err := w.do(func(m *toy, at Moment, to Ticket) Output {
			for i := range 3 {
				m.timers.Set(fmt.Sprint(i), at.Mono+time.Duration(i/2+1)*time.Hour) // 0 and 1 at once
			}
			return Answer(to, count(0))
		})
		w.must(err)
		<-time.After(time.Hour)
		w.wantValues("due 0", "due 1")
		<-time.After(time.Hour)
		w.wantValues("due 0", "due 1", "due 2")
		if w.machine.ticks != 3 {
			t.Errorf("%d ticks for 3 deadlines", w.machine.ticks)
		}
	})
}

// A deadline comes after the requests that were in the queue when it was found
// to be over, and before those that came later.
func TestTickAfterTheQueue(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		_, err := w.do(func(m *toy, at Moment, to Ticket) Output {
			m.timers.Set("alive", at.Mono+time.Second)
			m.timers.Set("dead", at.Mono+time.Second)
			return Answer(to, count(0))
		})
		w.must(err)
		hold := make(chan struct{})
		begin := func(step Step[*toy]) { w.runtime.Begin(context.Background(), 0, step) }
		begin(func(_ *toy, _ Moment, to Ticket) Output { <-hold; return Answer(to, count(0)) })
		begin(func(m *toy, at Moment, to Ticket) Output {
			m.timers.Set("alive", at.Mono+time.Hour)
			return write(to, "alive")
		})
		late := 0
		var another Step[*toy]
		another = func(_ *toy, _ Moment, to Ticket) Output {
			if late++; late < 100 {
				begin(another)
			}
			return write(to, "request")
		}
		begin(another)
		<-time.After(2 * time.Second)
		close(hold)
		synctest.Wait()
		w.machine.mu.Lock()
		defer w.machine.mu.Unlock()
		if got := fmt.Sprint(w.machine.values[:min(4, len(w.machine.values))]); got != "[alive request due dead request]" || len(w.machine.values) != 102 {
			t.Errorf("%d values, first %s", len(w.machine.values), got)
		}
	})
}

// While the process stands still no deadline comes nearer.
func TestTickAfterAPause(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		_, err := w.do(func(m *toy, at Moment, to Ticket) Output {
			m.timers.Set("x", at.Mono+10*time.Second)
			return Answer(to, count(0))
		})
		w.must(err)
		<-time.After(time.Second)
		w.stood.Store(int64(15 * time.Second))
		<-time.After(15 * time.Second)
		w.must(w.write("late"))
		<-time.After(9*time.Second - 1)
		w.wantValues("late")
		<-time.After(1)
		w.wantValues("late", "due x")
	})
}

// Who waits for a deadline is told when it comes, whether or not something was
// written then.
func TestTickAnswers(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		for _, silent := range []bool{true, false} {
			began := time.Now()
			_, err := w.do(func(m *toy, at Moment, to Ticket) Output {
				m.parked, m.silent = append(m.parked, to), silent
				m.timers.Set("answer", at.Mono+time.Second)
				return Output{}
			})
			w.must(err)
			if took := time.Since(began); took != time.Second {
				t.Errorf("the answer came after %v", took)
			}
		}
	})
}

func TestCallerLeaves(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		park := func(m *toy, _ Moment, to Ticket) Output {
			m.parked = append(m.parked, to)
			return Output{}
		}
		why := errors.New("connection closed")
		for range 10 * minSweep {
			ctx, cancel := context.WithCancelCause(context.Background())
			call := w.runtime.Begin(ctx, 0, park)
			synctest.Wait()
			cancel(why)
			_, err := call.Wait()
			w.want(err, why, "a caller that left")
		}
		synctest.Wait()
		if n := len(w.runtime.shards[0].waiting); n > minSweep {
			t.Errorf("%d requests of callers that left are kept", n)
		}
		// A late answer goes nowhere, and the step of one that left does not run.
		_, err := w.do(func(m *toy, _ Moment, to Ticket) Output {
			out := Answer(to, count(0))
			for _, late := range m.parked {
				out.Replies = append(out.Replies, Reply{late, count(1)})
			}
			return out
		})
		w.must(err)
	})
}

// A step does not run once its caller has gone on.
func TestStepOfGoneCaller(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		release := make(chan struct{})
		w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output { <-release; return Answer(to, count(0)) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(context.Background())
		call := w.runtime.Begin(ctx, 0, func(*toy, Moment, Ticket) Output {
			t.Error("the step ran")
			return Output{}
		})
		cancel()
		_, err := call.Wait()
		w.want(err, context.Canceled, "a caller that left")
		close(release)
		synctest.Wait()
	})
}

func TestQueueIsBounded(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		release := make(chan struct{})
		var calls []*Call[*toy]
		for i := range maxQueued + 2 {
			calls = append(calls, w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output {
				if i == 0 {
					<-release
				}
				return Answer(to, count(0))
			}))
			if i == 0 {
				synctest.Wait() // it is out of the queue
			}
		}
		_, err := calls[maxQueued+1].Wait()
		w.want(err, ErrLoading, "one too many")
		close(release)
		for _, c := range calls[:maxQueued+1] {
			_, err := c.Wait()
			w.must(err)
		}
	})
}

// TestParkedIsBounded: while what waits for the high watermark takes too much,
// requests wait for their turn; they are served when it has passed, or when the
// replies have timed out, and are told when the shard ends.
func TestParkedIsBounded(t *testing.T) {
	const large = parkedMost/4 + 1 // the fourth one is too much
	for _, end := range []string{"committed", "timed out", "moved"} {
		bubble(t, func(w *world) {
			w.lead(self)
			synctest.Wait()
			w.disk.change(func() { w.disk.lag = true })
			first := w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output { return write(to, "first") })
			defer func() { _, _ = first.Wait() }() // it is behind the high watermark
			var served atomic.Int64
			var calls []*Call[*toy]
			for range 7 {
				calls = append(calls, w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output {
					served.Add(1)
					return Answer(to, count(large))
				}))
			}
			synctest.Wait()
			if n := served.Load(); n != 4 {
				t.Fatalf("%s: %d requests were served beside too much, want 4", end, n)
			}
			switch end {
			case "committed":
				w.disk.catchUp()
			case "timed out":
				<-time.After(6 * time.Second)
				w.disk.catchUp()
			case "moved":
				w.lead(self + 1)
			}
			for i, c := range calls {
				_, err := c.Wait()
				switch {
				case end == "moved":
					w.want(err, ErrNotCoordinator, end)
				case end == "timed out" && i < 4:
					w.want(err, ErrTimedOut, end)
				default:
					w.must(err)
				}
			}
		})
	}
}

// TestWaitingIsBounded: so many may wait for an answer that no step has given
// yet, and then room comes back.
func TestWaitingIsBounded(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		park := func(m *toy, at Moment, to Ticket) Output {
			m.parked, m.silent = append(m.parked, to), true
			m.timers.Set("answer", at.Mono+time.Hour)
			return Output{}
		}
		var calls []*Call[*toy]
		for range maxWaiting {
			calls = append(calls, w.runtime.Begin(context.Background(), 0, park))
			if len(calls)%maxQueued == 0 {
				synctest.Wait()
			}
		}
		_, err := w.read()
		w.want(err, ErrLoading, "one too many")
		for _, c := range calls {
			_, err := c.Wait()
			w.must(err)
		}
		_, err = w.read()
		w.must(err)
	})
}

// TestOutputAdd: records may be split where those of all parts may.
func TestOutputAdd(t *testing.T) {
	output := func(split bool, values ...string) Output {
		out := write(1, values...)
		out.Split = split
		return out
	}
	for what, c := range map[string]struct {
		one, other Output
		records    int
		split      bool
	}{
		"both":             {output(true, "a"), output(true, "b", "c"), 3, true},
		"the first":        {output(true, "a"), output(false, "b"), 2, false},
		"the second":       {output(false, "a"), output(true, "b"), 2, false},
		"nothing to add":   {output(true, "a"), output(false), 1, true},
		"nothing to begin": {output(false), output(true, "a"), 1, true},
	} {
		c.one.Add(c.other)
		if len(c.one.Records) != c.records || len(c.one.Replies) != 2 || c.one.Split != c.split {
			t.Errorf("%s: %d records, %d replies, split %t", what, len(c.one.Records), len(c.one.Replies), c.one.Split)
		}
	}
}

// TestEndAnswersTheQueue: who waits for a turn when the shard ends is told.
func TestEndAnswersTheQueue(t *testing.T) {
	bubble(t, func(w *world) {
		w.lead(self)
		synctest.Wait()
		release := make(chan struct{})
		var calls []*Call[*toy]
		for i := range 64 {
			calls = append(calls, w.runtime.Begin(context.Background(), 0, func(_ *toy, _ Moment, to Ticket) Output {
				if i == 0 {
					<-release
				}
				return Answer(to, count(0))
			}))
		}
		w.lead(self + 1)
		close(release)
		ended := 0
		for _, c := range calls {
			if _, err := c.Wait(); err != nil {
				w.want(err, ErrNotCoordinator, "a request in the queue")
				ended++
			}
		}
		if ended == 0 {
			t.Error("all requests were served after the shard was told to end")
		}
	})
}
