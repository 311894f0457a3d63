package replica

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"ottla/internal/record"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

func TestHighWatermarkNeedsTheFlush(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 5)
	wantHW(t, p, 0, "written, not flushed")
	mustFlush(t, p)
	wantHW(t, p, 5, "flushed")
	mustAppend(t, p, 2)
	wantHW(t, p, 5, "more written")

	p = newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 5)
	wantHW(t, p, 5, "page cache: written is enough")
}

// TestHighWatermarkIsTheLowestOfTheISR checks R6, R7 and P10.
func TestHighWatermarkIsTheLowestOfTheISR(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self, other), topicConfig())
	mustAppend(t, p, 10)
	wantHW(t, p, 0, "the follower has not fetched")
	if err := p.ReplicaFetched(other, 3, 4); err != nil {
		t.Fatal(err)
	}
	wantHW(t, p, 4, "the follower has 4")
	if err := p.ReplicaFetched(third, 3, 2); err != nil {
		t.Fatal(err)
	}
	wantHW(t, p, 4, "a replica outside the ISR does not count")
	if err := p.ReplicaFetched(other, 3, 1); err != nil {
		t.Fatal(err)
	}
	wantHW(t, p, 4, "never back")
	if err := p.ReplicaFetched(other, 3, 99); err != nil {
		t.Fatal(err)
	}
	wantHW(t, p, 10, "the leader's own end bounds it")
	for name, call := range map[string]error{
		"older epoch":  p.ReplicaFetched(other, 2, 50),
		"newer epoch":  p.ReplicaFetched(other, 4, 50),
		"no replica":   p.ReplicaFetched(7, 3, 50),
		"itself":       p.ReplicaFetched(self, 3, 50),
		"epoch absent": p.ReplicaFetched(other, NoEpoch, 50),
	} {
		if call == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	mustAppend(t, p, 1)
	shrunk := led(self, 3, self)
	shrunk.PartitionEpoch = 4
	p.apply(shrunk, topicConfig())
	wantHW(t, p, 11, "the ISR shrank to the leader")
}

// TestMinISR checks P16.
func TestMinISR(t *testing.T) {
	p := newTestPartition(t, false)
	c := topicConfig()
	c.MinInsyncReplicas = 2
	p.apply(led(self, 3, self), c)
	if _, err := p.Append(batch(t, 1), AppendOptions{Acks: AcksAll}); !errors.Is(err, ErrNotEnoughReplicas) || p.log.EndOffset() != 0 {
		t.Errorf("acks=all below min.insync.replicas: %v", err)
	}
	mustAppend(t, p, 3)
	wantHW(t, p, 0, "frozen below min.insync.replicas")
	if !p.UnderMinISR() {
		t.Error("UnderMinISR is false")
	}
	c.MinInsyncReplicas = 1
	p.configure(c)
	wantHW(t, p, 3, "the new config frees it")
	c.MinInsyncReplicas = 2
	p.configure(c)
	pending := NewPending()
	i := pending.Add(p, storage.Appended{LastOffset: 1, LeaderEpoch: p.LeaderEpoch()})
	if !closed(pending.Start(0)) || !errors.Is(pending.Err(i), ErrNotEnoughReplicasAfterAppend) {
		t.Errorf("the ISR is too small now: %v", pending.Err(i))
	}

	// A value above the number of replicas requires all of them.
	c.MinInsyncReplicas = 9
	alone := led(self, 4, self)
	alone.Replicas = []int32{self}
	p.apply(alone, c)
	mustAppend(t, p, 1)
	wantHW(t, p, 4, "one replica of one")
}

func TestLeaderEpochs(t *testing.T) {
	p := newTestPartition(t, false)
	check := func(name string, epoch int32, want error) {
		t.Helper()
		for call, err := range map[string]error{
			"Read":                 second(p.Read(ReadOptions{CurrentLeaderEpoch: epoch, LastFetchedEpoch: NoEpoch, MaxBytes: 10})),
			"ListOffset":           second(p.ListOffset(Latest, ReadUncommitted, epoch)),
			"OffsetForLeaderEpoch": second(p.OffsetForLeaderEpoch(0, epoch)),
		} {
			if !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", name, call, err, want)
			}
		}
	}
	check("no metadata yet", NoEpoch, ErrNotLeader)
	p.apply(led(self, 3, self), topicConfig())
	check("no epoch named", NoEpoch, nil)
	check("the same epoch", 3, nil)
	check("older", 2, ErrFencedLeaderEpoch)
	check("newer", 4, ErrUnknownLeaderEpoch)
	p.apply(led(other, 5, other), topicConfig())
	check("another leads", NoEpoch, ErrNotLeader)
	check("another leads, older", 3, ErrFencedLeaderEpoch)
	if _, err := p.Append(batch(t, 1), AppendOptions{}); !errors.Is(err, ErrNotLeader) {
		t.Errorf("Append: %v", err)
	}
	if _, err := p.Producers(); !errors.Is(err, ErrNotLeader) {
		t.Errorf("Producers: %v", err)
	}
	if _, err := p.DeleteRecords(0); !errors.Is(err, ErrNotLeader) {
		t.Errorf("DeleteRecords: %v", err)
	}
	if p.Leader() != other || p.LeaderEpoch() != 5 || p.UnderMinISR() {
		t.Errorf("leader %d in epoch %d", p.Leader(), p.LeaderEpoch())
	}
	// An older state is ignored (R2).
	p.apply(led(self, 4, self), topicConfig())
	if p.Leader() != other || p.LeaderEpoch() != 5 {
		t.Errorf("an older state was applied: leader %d in epoch %d", p.Leader(), p.LeaderEpoch())
	}
}

func second[T any](_ T, err error) error { return err }

// TestEpochCache checks that a new leader's epoch begins at the log end, even
// if it writes nothing.
func TestEpochCache(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 4)
	p.apply(led(self, 5, self), topicConfig())
	if got, err := p.OffsetForLeaderEpoch(5, NoEpoch); err != nil || got != (EpochEnd{5, 4}) {
		t.Errorf("epoch 5 before its first record: %+v, %v", got, err)
	}
	p.apply(led(self, 8, self), topicConfig())
	mustAppend(t, p, 2)
	for _, test := range []struct {
		epoch int32
		want  EpochEnd
	}{{3, EpochEnd{3, 4}}, {4, EpochEnd{3, 4}}, {7, EpochEnd{p.log.EpochAt(3), 4}}, {8, EpochEnd{8, 6}}, {9, EpochEnd{-1, -1}}} {
		got, err := p.OffsetForLeaderEpoch(test.epoch, NoEpoch)
		if test.epoch == 7 {
			// Epoch 5 wrote nothing; both entries have the same offset.
			got.LeaderEpoch, test.want.LeaderEpoch = 0, 0
		}
		if err != nil || got != test.want {
			t.Errorf("epoch %d: %+v, %v, want %+v", test.epoch, got, err, test.want)
		}
	}
	if got, err := p.ListOffset(Latest, ReadUncommitted, NoEpoch); err != nil || got != (Offset{6, -1, 8}) {
		t.Errorf("Latest: %+v, %v", got, err)
	}
}

// TestAppendsOfAnEpochEndWithIt checks that a change of leadership waits for an
// append in flight and admits no other meanwhile.
func TestAppendsOfAnEpochEndWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fault := vfs.NewFault(vfs.NewMem())
		log := openLog(t, fault)
		p := newPartition(log.TP(), testOptions(false), log)
		p.apply(led(self, 3, self), topicConfig())
		goOn := make(chan struct{})
		fault.Add(vfs.Rule{Op: vfs.OpWrite, Path: ".log", Count: 1, Hook: func(vfs.Event) { <-goOn }})
		appended, changed := make(chan error, 1), make(chan struct{})
		go func() {
			_, err := p.Append(batch(t, 1), AppendOptions{})
			appended <- err
		}()
		synctest.Wait() // the append hangs in its write
		go func() {
			p.apply(led(other, 4, other), topicConfig())
			close(changed)
		}()
		synctest.Wait() // the change waits for it
		if closed(changed) || len(appended) != 0 {
			t.Error("the leadership changed during an append")
		}
		if _, err := p.Append(batch(t, 1), AppendOptions{}); !errors.Is(err, ErrNotLeader) {
			t.Errorf("an append during the change: %v", err)
		}
		close(goOn)
		if err := <-appended; err != nil {
			t.Error(err)
		}
		<-changed
		if p.log.EndOffset() != 1 || p.LeaderEpoch() != 4 {
			t.Errorf("end %d, epoch %d", p.log.EndOffset(), p.LeaderEpoch())
		}
	})
}

func TestReadBounds(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 5)
	mustFlush(t, p)
	mustAppend(t, p, 5)
	if _, err := p.DeleteRecords(2); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		offset    int64
		isolation Isolation
		want      error
		some      bool
	}{
		{1, ReadUncommitted, storage.ErrOffsetOutOfRange, false},
		{2, ReadUncommitted, nil, true},
		{4, ReadCommitted, nil, true},
		{5, ReadUncommitted, nil, false}, // the high watermark
		{7, ReadUncommitted, nil, false}, // above it, but in the log
		{7, LogEnd, nil, true},
		{10, LogEnd, nil, false},
		{11, ReadUncommitted, storage.ErrOffsetOutOfRange, false},
		{11, LogEnd, storage.ErrOffsetOutOfRange, false},
		{-1, LogEnd, storage.ErrOffsetOutOfRange, false},
	} {
		r, err := p.Read(ReadOptions{Offset: test.offset, MaxBytes: 1 << 20, Isolation: test.isolation, CurrentLeaderEpoch: 3, LastFetchedEpoch: NoEpoch})
		if !errors.Is(err, test.want) || (r.Records.Len() > 0) != test.some {
			t.Errorf("offset %d, isolation %d: %d bytes, %v", test.offset, test.isolation, r.Records.Len(), err)
		}
		if want := (Progress{LogStart: 2, LastStable: 5, HighWatermark: 5, LogEnd: 10, LeaderEpoch: 3}); r.Progress != want {
			t.Errorf("offset %d: progress %+v, want %+v", test.offset, r.Progress, want)
		}
		r.Records.Release()
	}
	// A reader below the high watermark gets nothing from above it.
	r, err := p.Read(ReadOptions{Offset: 2, MaxBytes: 1 << 20, LastFetchedEpoch: NoEpoch, CurrentLeaderEpoch: NoEpoch})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Records.Release()
	buf := make([]byte, r.Records.Len())
	if _, err := r.Records.ReadAt(buf, 0); err != nil {
		t.Fatal(err)
	}
	b, rest, err := record.Next(buf)
	if err != nil || len(rest) != 0 || b.LastOffset() != 4 {
		t.Errorf("read %v, %d bytes more, %v", b, len(rest), err)
	}
}

// TestDiverging checks the answer to a replica whose log diverges (R14).
func TestDiverging(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 4)
	p.apply(led(self, 6, self), topicConfig())
	mustAppend(t, p, 4)
	for _, test := range []struct {
		offset int64
		epoch  int32
		want   *EpochEnd
		err    error
	}{
		{8, 6, nil, nil},
		{4, 3, nil, nil},
		{6, 3, &EpochEnd{3, 4}, nil},  // more of epoch 3 than exists
		{6, 4, &EpochEnd{3, 4}, nil},  // an epoch that never existed
		{12, 3, &EpochEnd{3, 4}, nil}, // beyond the log end, with the offset to truncate to
		{4, 9, nil, storage.ErrOffsetOutOfRange},
	} {
		r, err := p.Read(ReadOptions{Offset: test.offset, MaxBytes: 1 << 20, Isolation: LogEnd, CurrentLeaderEpoch: 6, LastFetchedEpoch: test.epoch})
		if !errors.Is(err, test.err) || (r.Diverging == nil) != (test.want == nil) || test.want != nil && *r.Diverging != *test.want {
			t.Errorf("offset %d after epoch %d: %+v, %v", test.offset, test.epoch, r.Diverging, err)
		}
		if r.Diverging != nil && r.Records.Len() > 0 {
			t.Errorf("offset %d after epoch %d: data to a diverging replica", test.offset, test.epoch)
		}
		r.Records.Release()
	}
}

func TestListOffsets(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 5) // someTime … +4
	mustFlush(t, p)
	mustAppend(t, p, 5) // the same times again, above the high watermark
	if _, err := p.DeleteRecords(2); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name      string
		timestamp int64
		isolation Isolation
		want      Offset
	}{
		{"latest", Latest, ReadUncommitted, Offset{5, -1, 3}},
		{"latest committed", Latest, ReadCommitted, Offset{5, -1, 3}},
		{"latest of a replica", Latest, LogEnd, Offset{10, -1, 3}},
		{"earliest", Earliest, ReadUncommitted, Offset{2, -1, 3}},
		{"earliest local", EarliestLocal, ReadUncommitted, Offset{2, -1, 3}},
		{"tiered", LatestTiered, ReadUncommitted, noOffset},
		{"pending upload", EarliestPendingUpload, ReadUncommitted, noOffset},
		{"largest timestamp", MaxTimestamp, ReadUncommitted, Offset{4, someTime + 4, 3}},
		{"by time", someTime + 3, ReadUncommitted, Offset{3, someTime + 3, 3}},
		{"by time before all", 0, ReadUncommitted, Offset{2, someTime + 2, 3}},
		{"by time after all", someTime + 100, ReadUncommitted, noOffset},
	} {
		got, err := p.ListOffset(test.timestamp, test.isolation, NoEpoch)
		if err != nil || got != test.want {
			t.Errorf("%s: %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}

// TestOffsetNotAvailable checks the second half of P10: a new leader does not
// expose a lower offset than the old leader did.
func TestOffsetNotAvailable(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self, other), topicConfig())
	mustAppend(t, p, 5)
	p.apply(led(self, 4, self, other), topicConfig())
	for _, test := range []struct {
		timestamp int64
		isolation Isolation
		want      error
	}{
		{Latest, ReadUncommitted, ErrOffsetNotAvailable}, {someTime, ReadUncommitted, ErrOffsetNotAvailable}, {someTime + 99, ReadCommitted, ErrOffsetNotAvailable},
		{Earliest, ReadUncommitted, nil}, {Latest, LogEnd, nil},
	} {
		if _, err := p.ListOffset(test.timestamp, test.isolation, NoEpoch); !errors.Is(err, test.want) {
			t.Errorf("timestamp %d: %v, want %v", test.timestamp, err, test.want)
		}
	}
	if err := p.ReplicaFetched(other, 4, 5); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ListOffset(Latest, ReadUncommitted, NoEpoch); err != nil || got.Offset != 5 {
		t.Errorf("caught up: %+v, %v", got, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	p := newTestPartition(t, true)
	p.apply(led(self, 3, self), topicConfig())
	mustAppend(t, p, 6)
	mustFlush(t, p)
	mustAppend(t, p, 6)
	for _, test := range []struct {
		offset, low int64
		want        error
	}{
		{7, -1, storage.ErrOffsetOutOfRange}, {-2, -1, storage.ErrOffsetOutOfRange}, {4, 4, nil}, {2, 4, nil}, {-1, 6, nil},
	} {
		low, err := p.DeleteRecords(test.offset)
		if low != test.low || !errors.Is(err, test.want) {
			t.Errorf("DeleteRecords(%d) = %d, %v", test.offset, low, err)
		}
	}
	c := topicConfig()
	c.Delete, c.Compact = false, true
	p.configure(c)
	if _, err := p.DeleteRecords(6); !errors.Is(err, ErrPolicyViolation) {
		t.Errorf("a compacted topic: %v", err)
	}
}

// TestRestartKeepsTheHighWatermark checks that flushed records are served at
// once, and that a checkpoint ahead of the log is not used (P1).
func TestRestartKeepsTheHighWatermark(t *testing.T) {
	log := openLog(t, vfs.NewMem())
	first := newPartition(log.TP(), testOptions(true), log)
	first.apply(led(self, 3, self), topicConfig())
	mustAppend(t, first, 4)
	mustFlush(t, first)
	mustAppend(t, first, 4)
	again := newPartition(log.TP(), testOptions(true), log)
	wantHW(t, again, 4, "after the restart")
	again.apply(led(self, 4, self), topicConfig())
	wantHW(t, again, 4, "leading again")
	mustFlush(t, again)
	wantHW(t, again, 8, "after the flush")
}

func TestProducers(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	send := func() (storage.Appended, error) {
		b := record.NewBuilder(record.BuilderOptions{Producer: &record.ProducerInfo{ID: 77, Epoch: 2}})
		b.Append(someTime, nil, []byte("v"))
		built, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		return p.Append(built, AppendOptions{Acks: AcksAll})
	}
	once, err := send()
	if err != nil {
		t.Fatal(err)
	}
	twice, err := send()
	if err != nil || !twice.Duplicate || twice.BaseOffset != once.BaseOffset {
		t.Errorf("the same batch again: %+v, %v", twice, err)
	}
	list, err := p.Producers()
	if err != nil || len(list) != 1 || list[0].ProducerID != 77 || list[0].Epoch != 2 {
		t.Errorf("Producers = %+v, %v", list, err)
	}
	if p.Leader() != self || p.LastStableOffset() != 1 || p.Log() == nil || p.TopicPartition().TopicID != topicA {
		t.Error("the partition's own fields are wrong")
	}
}

// TestLogKnowsTheHighWatermark checks that the log's high watermark is never
// behind the one that readers get. Otherwise the log would refuse to delete
// records up to it.
func TestLogKnowsTheHighWatermark(t *testing.T) {
	p := newTestPartition(t, false)
	p.apply(led(self, 3, self), topicConfig())
	const batches = 5000
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for hw := int64(0); hw < batches && !t.Failed(); {
				hw = p.HighWatermark()
				if known := p.log.HighWatermark(); known < hw {
					t.Errorf("the high watermark is %d, that of the log %d", hw, known)
				}
			}
		})
	}
	for range batches {
		mustAppend(t, p, 1)
	}
	readers.Wait()
}
