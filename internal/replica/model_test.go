package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ottla/internal/storage"
)

// model is the expected state of a partition: the same rules without log, locks
// or waiters.
type model struct {
	durable             bool
	start, end, flushed int64
	hw                  int64
	epoch, change       int32
	isr                 []int32
	minISR              int
	remotes             map[int32]int64
}

func (m *model) under() bool { return len(m.isr) < min(m.minISR, 3) }

func (m *model) advance() {
	if m.under() {
		return
	}
	next := m.end
	if m.durable {
		next = m.flushed
	}
	for _, id := range m.isr {
		if id != self {
			offset, ok := m.remotes[id]
			if !ok {
				return
			}
			next = min(next, offset)
		}
	}
	m.hw = max(m.hw, next)
}

// story runs two partitions with their waiters, and their models.
type story struct {
	t      *testing.T
	rng    *rand.Rand
	trace  []string
	real   [2]*Partition
	model  [2]*model
	pends  []*modelPending
	fetchs []*modelFetch
}

type modelPending struct {
	real *Pending
	done <-chan struct{}
	// want is the outcome of each partition; nil pointer: still waiting.
	want []*error
	at   []int
	off  []int64
}

type modelFetch struct {
	real      *Waiter
	isolation Isolation
	seen      [2]model
}

func newStory(t *testing.T, seed uint64) *story {
	s := &story{t: t, rng: rand.New(rand.NewPCG(seed, 7))}
	for i := range s.real {
		durable := s.rng.IntN(2) == 0
		s.real[i] = newTestPartition(t, durable)
		s.model[i] = &model{durable: durable, epoch: 1, change: 1, isr: []int32{self}, minISR: 1, remotes: map[int32]int64{}}
		s.metadata(i)
	}
	return s
}

func (s *story) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

// metadata applies the model's state to the real partition.
func (s *story) metadata(i int) {
	m := s.model[i]
	part := led(self, m.epoch, m.isr...)
	part.PartitionEpoch = m.change
	c := topicConfig()
	c.MinInsyncReplicas = int32(m.minISR)
	s.real[i].apply(part, c)
}

// step performs one random action on both sides.
func (s *story) step() {
	i := s.rng.IntN(2)
	p, m := s.real[i], s.model[i]
	switch op := s.rng.IntN(20); {
	case op < 5:
		s.append(i)
	case op < 8:
		mustFlush(s.t, p)
		m.flushed = m.end
		s.note("%d flush to %d", i, m.end)
	case op < 11:
		s.fetched(i)
	case op < 12:
		isr := [][]int32{{self}, {self, other}, {other, self, third}, {third, self}}
		m.isr, m.change = isr[s.rng.IntN(len(isr))], m.change+1
		s.note("%d isr %v", i, m.isr)
		s.metadata(i)
	case op < 13:
		m.epoch, m.change, m.remotes = m.epoch+1, m.change+1, map[int32]int64{}
		s.note("%d epoch %d", i, m.epoch)
		s.metadata(i)
	case op < 14:
		m.minISR = 1 + s.rng.IntN(4)
		c := topicConfig()
		c.MinInsyncReplicas = int32(m.minISR)
		s.note("%d min isr %d", i, m.minISR)
		p.configure(c)
	case op < 15:
		s.deleteRecords(i)
	case op < 16 && len(s.pends) > 0:
		s.cancel(s.rng.IntN(len(s.pends)))
	case op < 18:
		s.fetch()
	default:
		s.produce()
	}
	m.advance()
}

func (s *story) append(i int) {
	m, n := s.model[i], 1+s.rng.IntN(5)
	acks := []int16{AcksLeader, AcksAll}[s.rng.IntN(2)]
	a, err := s.real[i].Append(batch(s.t, n), AppendOptions{Acks: acks})
	s.note("%d append %d acks %d", i, n, acks)
	if refused := acks == AcksAll && m.under(); refused != errors.Is(err, ErrNotEnoughReplicas) {
		s.fail("append: %v", err)
	} else if refused {
		return
	}
	if a.BaseOffset != m.end || a.LastOffset != m.end+int64(n)-1 {
		s.fail("appended at [%d, %d], want %d", a.BaseOffset, a.LastOffset, m.end)
	}
	m.end += int64(n)
}

func (s *story) fetched(i int) {
	m := s.model[i]
	id := []int32{other, third}[s.rng.IntN(2)]
	epoch, offset := m.epoch-int32(s.rng.IntN(4)/3), s.rng.Int64N(m.end+3)
	s.note("%d replica %d fetched %d in epoch %d", i, id, offset, epoch)
	err := s.real[i].ReplicaFetched(id, epoch, offset)
	if (err == nil) != (epoch == m.epoch) {
		s.fail("ReplicaFetched: %v", err)
	}
	if err == nil {
		m.remotes[id] = max(m.remotes[id], offset)
	}
}

func (s *story) deleteRecords(i int) {
	m := s.model[i]
	offset := s.rng.Int64N(m.end + 2)
	s.note("%d delete records below %d", i, offset)
	low, err := s.real[i].DeleteRecords(offset)
	if (err == nil) != (offset <= m.hw) {
		s.fail("DeleteRecords(%d): %v", offset, err)
	}
	if err == nil {
		m.start = max(m.start, offset)
		if low != m.start {
			s.fail("low watermark %d, want %d", low, m.start)
		}
	}
}

// produce waits for the ends of one or both partitions.
func (s *story) produce() {
	w := &modelPending{real: NewPending()}
	for i, m := range s.model {
		if s.rng.IntN(3) == 0 {
			continue
		}
		offset := s.rng.Int64N(m.end + 4)
		index := w.real.Add(s.real[i], storage.Appended{LastOffset: offset - 1, LeaderEpoch: s.real[i].LeaderEpoch()})
		if index != len(w.at) {
			s.fail("index %d", index)
		}
		var want *error
		if offset <= m.hw {
			var outcome error
			if m.under() {
				outcome = ErrNotEnoughReplicasAfterAppend
			}
			want = &outcome
		}
		w.at, w.off, w.want = append(w.at, i), append(w.off, offset), append(w.want, want)
	}
	s.note("produce waits at %v for %v", w.at, w.off)
	w.done = w.real.Start(time.Hour)
	s.pends = append(s.pends, w)
}

func (s *story) cancel(k int) {
	w := s.pends[k]
	s.note("cancel the wait at %v for %v", w.at, w.off)
	w.real.Cancel()
	for j := range w.want {
		if w.want[j] == nil {
			outcome := ErrTimedOut
			w.want[j] = &outcome
		}
	}
}

// fetch starts a waiting fetch, or ends the oldest.
func (s *story) fetch() {
	if len(s.fetchs) > 5 {
		s.fetchs[0].real.Close()
		s.fetchs = s.fetchs[1:]
		return
	}
	f := &modelFetch{real: NewWaiter(), isolation: Isolation(s.rng.IntN(3))}
	for i, p := range s.real {
		f.real.Watch(p, i, f.isolation, p.progress(s.model[i].epoch))
		f.seen[i] = *s.model[i]
	}
	s.fetchs = append(s.fetchs, f)
}

// check compares both sides.
func (s *story) check() {
	for i, m := range s.model {
		got := s.real[i].progress(s.real[i].LeaderEpoch())
		want := Progress{LogStart: m.start, LastStable: m.hw, HighWatermark: m.hw, LogEnd: m.end, LeaderEpoch: m.epoch}
		if got != want {
			s.fail("partition %d is at %+v, want %+v", i, got, want)
		}
	}
	s.pends = slices.DeleteFunc(s.pends, s.checkPending)
	waiting := 0
	for _, w := range s.pends {
		for _, want := range w.want {
			if want == nil {
				waiting++
			}
		}
	}
	if queued := len(s.real[0].acks.waits) + len(s.real[1].acks.waits); queued != waiting {
		s.fail("%d waits are queued, want %d", queued, waiting)
	}
	for _, f := range s.fetchs {
		s.checkFetch(f)
	}
}

// checkPending returns true if the request is answered.
func (s *story) checkPending(w *modelPending) bool {
	open := false
	for j, i := range w.at {
		if w.want[j] == nil && w.off[j] <= s.model[i].hw {
			var none error
			w.want[j] = &none
		}
		open = open || w.want[j] == nil
	}
	if closed(w.done) == open {
		s.fail("the produce request at %v for %v: answered %t", w.at, w.off, !open)
	}
	for j, want := range w.want {
		if want != nil && !errors.Is(w.real.Err(j), *want) {
			s.fail("the produce request at %v for %v: %v, want %v", w.at, w.off, w.real.Err(j), *want)
		}
	}
	return !open
}

// checkFetch requires a wake-up for every change that is visible to the reader,
// and none for an unchanged partition.
func (s *story) checkFetch(f *modelFetch) {
	var changed []int
	select {
	case <-f.real.C:
		changed = f.real.Changed()
	default:
	}
	for i, m := range s.model {
		was := &f.seen[i]
		visible := m.hw != was.hw || m.start != was.start || m.epoch != was.epoch || f.isolation == LogEnd && m.end != was.end
		if visible && !slices.Contains(changed, i) {
			s.fail("a fetch at partition %d with isolation %d was not woken", i, f.isolation)
		}
		*was = *m
	}
}

func (s *story) fail(format string, args ...any) {
	s.t.Helper()
	last := s.trace[max(0, len(s.trace)-25):]
	s.t.Fatalf("%s\nafter:\n%v", fmt.Sprintf(format, args...), last)
}

// TestModel runs random stories. The name of a failing subtest has the seed.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			s := newStory(t, seed)
			for range 400 {
				s.step()
				s.check()
			}
		})
	}
}
