package replica

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/storage"
)

// TestPendingWaitsForAll checks that one channel covers several partitions.
func TestPendingWaitsForAll(t *testing.T) {
	a, b := newTestPartition(t, true), newTestPartition(t, true)
	a.apply(led(self, 3, self), topicConfig())
	b.apply(led(self, 3, self), topicConfig())
	pending := NewPending()
	i := pending.Add(a, mustAppend(t, a, 2))
	j := pending.Add(b, mustAppend(t, b, 3))
	done := pending.Start(time.Hour)
	mustFlush(t, a)
	if closed(done) {
		t.Fatal("done before the second partition")
	}
	mustFlush(t, b)
	if !closed(done) || pending.Err(i) != nil || pending.Err(j) != nil {
		t.Errorf("done %t, %v, %v", closed(done), pending.Err(i), pending.Err(j))
	}
	if len(a.acks.waits)+len(b.acks.waits) != 0 {
		t.Error("waits were not removed")
	}
	pending.Cancel() // too late to have an effect
	if pending.Err(i) != nil {
		t.Error("an outcome changed")
	}

	// If a flush and the timer both decide a wait, the first one counts.
	twice := &ackWait{owner: &Pending{left: 2}}
	twice.decide(ErrTimedOut)
	twice.decide(nil)
	if !errors.Is(twice.err, ErrTimedOut) || twice.owner.left != 1 {
		t.Errorf("decided twice: %v, %d left", twice.err, twice.owner.left)
	}

	empty := NewPending()
	if !closed(empty.Start(time.Hour)) {
		t.Error("it waits although there is nothing to wait for")
	}
	reached := NewPending()
	k := reached.Add(a, storage.Appended{LeaderEpoch: 3})
	if !closed(reached.Start(time.Hour)) || reached.Err(k) != nil {
		t.Error("it waits although the offset was reached before")
	}
}

// TestPendingTimesOut checks that outcomes before the timeout are kept, and
// that no wait is left.
func TestPendingTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newTestPartition(t, true), newTestPartition(t, true)
		a.apply(led(self, 3, self), topicConfig())
		b.apply(led(self, 3, self), topicConfig())
		pending, other := NewPending(), NewPending()
		i := pending.Add(a, mustAppend(t, a, 1))
		j := pending.Add(b, mustAppend(t, b, 1))
		k := other.Add(b, storage.Appended{LeaderEpoch: 3})
		mustFlush(t, a)
		begin := time.Now()
		<-pending.Start(3 * time.Second)
		if waited := time.Since(begin); waited != 3*time.Second {
			t.Errorf("waited %v", waited)
		}
		if pending.Err(i) != nil || !errors.Is(pending.Err(j), ErrTimedOut) {
			t.Errorf("outcomes %v, %v", pending.Err(i), pending.Err(j))
		}
		synctest.Wait()
		if len(b.acks.waits) != 1 {
			t.Errorf("%d waits are left, want the other request's", len(b.acks.waits))
		}
		mustFlush(t, b)
		if !errors.Is(pending.Err(j), ErrTimedOut) || !closed(other.Start(0)) || other.Err(k) != nil {
			t.Error("the flush came after the timeout")
		}
	})
}

// TestWaitersLearnOfTheEnd checks that waiting requests are answered whenever
// this node stops leading a partition, for every reason.
func TestWaitersLearnOfTheEnd(t *testing.T) {
	gone := errors.New("gone")
	for _, test := range []struct {
		name string
		end  func(p *Partition)
		want error
	}{
		{"another leader", func(p *Partition) { p.apply(led(other, 4, other), topicConfig()) }, ErrNotLeader},
		{"closed", func(p *Partition) { p.close(gone) }, gone},
		{"failed", func(p *Partition) { p.fail(gone); p.fail(errors.New("again")) }, gone},
	} {
		p := newTestPartition(t, true)
		p.apply(led(self, 3, self), topicConfig())
		pending, waiter := NewPending(), NewWaiter()
		i := pending.Add(p, mustAppend(t, p, 1))
		waiter.Watch(p, 7, ReadCommitted, p.progress(3))
		done := pending.Start(time.Hour)
		if closed(done) || len(waiter.C) != 0 {
			t.Fatalf("%s: woken before", test.name)
		}
		test.end(p)
		if !closed(done) || !errors.Is(pending.Err(i), test.want) {
			t.Errorf("%s: produce got %v", test.name, pending.Err(i))
		}
		if len(waiter.C) != 1 || !slices.Equal(waiter.Changed(), []int{7}) {
			t.Errorf("%s: the fetch was not woken", test.name)
		}
		late := NewPending()
		k := late.Add(p, storage.Appended{LastOffset: 99, LeaderEpoch: 3})
		if !closed(late.Start(time.Hour)) || !errors.Is(late.Err(k), test.want) {
			t.Errorf("%s: a late produce got %v", test.name, late.Err(k))
		}
		if _, err := p.Read(ReadOptions{CurrentLeaderEpoch: NoEpoch}); !errors.Is(err, test.want) {
			t.Errorf("%s: Read: %v", test.name, err)
		}
		waiter.Close()
	}
}

// TestProduceWhileTheLeaderResigns checks that a request that starts to wait
// while the partition waits for an append in flight is answered with the
// others, not by its timeout.
func TestProduceWhileTheLeaderResigns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestPartition(t, true)
		p.apply(led(self, 3, self), topicConfig())
		appended := mustAppend(t, p, 1)
		if _, err := p.beginAppend(NoEpoch, AcksAll); err != nil {
			t.Fatal(err)
		}
		go p.apply(led(other, 4, other), topicConfig())
		synctest.Wait() // until apply waits for the append
		pending := NewPending()
		i := pending.Add(p, appended)
		done := pending.Start(time.Hour)
		p.endAppend(storage.Appended{}, false)
		synctest.Wait()
		if !closed(done) || !errors.Is(pending.Err(i), ErrNotLeader) {
			t.Errorf("answered %t, %v", closed(done), pending.Err(i))
		}
		pending.Cancel()
	})
}

// TestProduceOutlivesAnEpoch checks that the same leader in a new epoch still
// answers.
func TestProduceOutlivesAnEpoch(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	pending := NewPending()
	i := pending.Add(p, mustAppend(t, p, 1))
	done := pending.Start(time.Hour)
	p.apply(led(self, 4, self), topicConfig())
	if closed(done) {
		t.Fatalf("answered with %v", pending.Err(i))
	}
	mustFlush(t, p)
	if !closed(done) || pending.Err(i) != nil {
		t.Errorf("done %t, %v", closed(done), pending.Err(i))
	}
}

// TestProduceOfAnEarlierTerm checks a request that starts to wait after another
// node has led and truncated its records: it gets no ack for the records that
// are there now.
func TestProduceOfAnEarlierTerm(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self, other), topicConfig())
	lost := mustAppend(t, p, 2)
	p.apply(led(other, 4, self, other), topicConfig())
	if err := p.log.TruncateTo(0); err != nil {
		t.Fatal(err)
	}
	p.apply(led(self, 5, self), topicConfig())
	kept := mustAppend(t, p, 2)
	p.apply(led(self, 6, self), topicConfig())
	wantHW(t, p, 2, "of other records")
	pending := NewPending()
	i, j := pending.Add(p, lost), pending.Add(p, kept)
	if !closed(pending.Start(time.Hour)) || !errors.Is(pending.Err(i), ErrNotLeader) || pending.Err(j) != nil {
		t.Errorf("the lost records: %v, the current records: %v", pending.Err(i), pending.Err(j))
	}
}

func TestWaiter(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	consumer, replica := NewWaiter(), NewWaiter()
	seen := p.progress(3)
	consumer.Watch(p, 0, ReadUncommitted, seen)
	replica.Watch(p, 1, LogEnd, seen)
	woken := func(name string, c, r bool) {
		t.Helper()
		for w, want := range map[*Waiter]bool{consumer: c, replica: r} {
			select {
			case <-w.C:
				if !want || len(w.Changed()) != 1 {
					t.Errorf("%s: woken", name)
				}
			default:
				if want {
					t.Errorf("%s: not woken", name)
				}
			}
		}
	}
	woken("nothing happened", false, false)
	mustAppend(t, p, 1)
	woken("appended, not flushed", false, true)
	mustAppend(t, p, 1)
	mustAppend(t, p, 1)
	woken("appended twice", false, true)
	mustFlush(t, p)
	woken("flushed", true, true)
	if _, err := p.DeleteRecords(1); err != nil {
		t.Fatal(err)
	}
	woken("records deleted", true, true)
	p.apply(led(self, 4, self), topicConfig())
	woken("a new epoch", true, true)

	// A change between reading and watching is not lost.
	late := NewWaiter()
	late.Watch(p, 5, ReadUncommitted, seen)
	if len(late.C) != 1 || !slices.Equal(late.Changed(), []int{5}) || late.Changed() != nil {
		t.Error("the change before Watch is lost")
	}
	late.Close()
	consumer.Close()
	replica.Close()
	replica.Close()
	if len(p.watches) != 0 {
		t.Errorf("%d watches are left", len(p.watches))
	}
	p.close(ErrNotLeader)
	consumer.Watch(p, 0, ReadUncommitted, p.progress(4))
	if len(consumer.C) != 1 {
		t.Error("a closed partition lets a fetch wait")
	}
	consumer.Close()
}

// TestManyWatches removes watches in another order than they were added.
func TestManyWatches(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	var waiters []*Waiter
	for i := range 20 {
		w := NewWaiter()
		w.Watch(p, i, ReadUncommitted, p.progress(3))
		waiters = append(waiters, w)
	}
	for i := 0; i < 20; i += 2 {
		waiters[i].Close()
	}
	mustAppend(t, p, 1)
	for i, w := range waiters {
		if want := i % 2; len(w.C) != want {
			t.Errorf("waiter %d: %d tokens, want %d", i, len(w.C), want)
		}
	}
	if len(p.watches) != 10 {
		t.Errorf("%d watches", len(p.watches))
	}
}

// TestAckQueue checks that the queue is sorted for any order of insertion.
func TestAckQueue(t *testing.T) {
	var q ackQueue
	waits := map[int64]*ackWait{}
	for _, offset := range []int64{5, 3, 9, 3, 7} {
		w := &ackWait{offset: offset}
		waits[offset] = w
		q.add(w)
	}
	q.remove(waits[7])
	q.remove(waits[7])
	if got := q.take(2); got != nil {
		t.Errorf("take(2) = %v", got)
	}
	if got := q.take(5); len(got) != 3 || got[0].offset != 3 || got[2].offset != 5 {
		t.Errorf("take(5) = %v", got)
	}
	if got := q.takeAll(); len(got) != 1 || got[0].offset != 9 {
		t.Errorf("takeAll = %v", got)
	}
}
