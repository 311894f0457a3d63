package api

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"ottla/internal/protocol"
)

// sessionClock is a clock that a test moves.
type sessionClock struct{ now time.Time }

func newTestSessions(most int) (*FetchSessions, *sessionClock) {
	clock := &sessionClock{now: time.UnixMilli(1_000_000)}
	return NewFetchSessions(func() time.Time { return clock.now }, rand.New(rand.NewPCG(1, 2)), 0, func() int { return most }), clock
}

// wanted makes the partitions 0 to n−1 of a topic.
func wanted(topic string, n int) []fetchPartition {
	var list []fetchPartition
	for i := range n {
		list = append(list, fetchPartition{fetchKey: fetchKey{topic: topic, partition: int32(i)}, maxBytes: 1 << 20})
	}
	return list
}

func open(t *testing.T, c *FetchSessions, partitions []fetchPartition) *fetchSession {
	t.Helper()
	s := c.create(false, partitions)
	if s == nil {
		t.Fatal("no slot for a session")
	}
	c.release(s)
	return s
}

func order(s *fetchSession) []int32 {
	var ids []int32
	for _, p := range s.partitions {
		ids = append(ids, p.partition)
	}
	return ids
}

// KIP-227: an incremental request changes, adds and forgets partitions; what it
// does not name stays as it was.
func TestSessionRemembersWhatARequestDoesNotName(t *testing.T) {
	c, _ := newTestSessions(10)
	s := open(t, c, wanted("a", 3))
	changed := []fetchPartition{
		{fetchKey: fetchKey{topic: "a", partition: 1}, offset: 7, maxBytes: 5},
		{fetchKey: fetchKey{topic: "a", partition: 9}, offset: 1},
	}
	again, err := c.resume(s.id, 1, false, changed, []fetchKey{{topic: "a", partition: 0}})
	if err != nil || again != s {
		t.Fatalf("resume: %v, %v", again, err)
	}
	defer c.release(again)
	if got, want := order(s), []int32{1, 2, 9}; !slices.Equal(got, want) {
		t.Errorf("partitions %v, want %v", got, want)
	}
	if p := s.index[fetchKey{topic: "a", partition: 1}]; p.offset != 7 || p.maxBytes != 5 {
		t.Errorf("partition 1 was not changed: %+v", p)
	}
}

// KIP-227: each request carries the next epoch; others are refused, and so is
// one that names its partitions in another way.
func TestSessionEpochs(t *testing.T) {
	c, _ := newTestSessions(10)
	s := open(t, c, wanted("a", 1))
	for _, step := range []struct {
		name  string
		id    int32
		epoch int32
		byID  bool
		want  error
	}{
		{"unknown session", s.id + 1, 1, false, protocol.FetchSessionIDNotFound},
		{"epoch of the past", s.id, 0, false, protocol.InvalidFetchSessionEpoch},
		{"epoch of the future", s.id, 2, false, protocol.InvalidFetchSessionEpoch},
		{"topic ids in a session of names", s.id, 1, true, protocol.FetchSessionTopicIDError},
		{"the first", s.id, 1, false, nil},
		{"the same again", s.id, 1, false, protocol.InvalidFetchSessionEpoch},
		{"the second", s.id, 2, false, nil},
	} {
		got, err := c.resume(step.id, step.epoch, step.byID, nil, nil)
		if !errors.Is(err, step.want) {
			t.Errorf("%s: %v, want %v", step.name, err, step.want)
		}
		if err == nil {
			c.release(got)
		}
	}
	s.epoch = 1<<31 - 1
	if got, err := c.resume(s.id, 1<<31-1, false, nil, nil); err != nil || got.epoch != 1 {
		t.Errorf("after the last epoch comes 1: %v, %v", got, err)
	}
}

// A second request before the answer to the first cannot know the next epoch.
func TestSessionInUseIsRefused(t *testing.T) {
	c, _ := newTestSessions(10)
	s := c.create(false, wanted("a", 1))
	if _, err := c.resume(s.id, 1, false, nil, nil); !errors.Is(err, protocol.InvalidFetchSessionEpoch) {
		t.Errorf("resume of a session in use: %v", err)
	}
	c.release(s)
	if _, err := c.resume(s.id, 1, false, nil, nil); err != nil {
		t.Errorf("resume after the answer: %v", err)
	}
}

func TestSessionWithoutPartitionsEnds(t *testing.T) {
	c, _ := newTestSessions(10)
	s := open(t, c, wanted("a", 1))
	got, err := c.resume(s.id, 1, false, nil, []fetchKey{{topic: "a"}})
	if got != nil || err != nil {
		t.Fatalf("resume: %v, %v, want neither session nor error", got, err)
	}
	if _, err := c.resume(s.id, 2, false, nil, nil); !errors.Is(err, protocol.FetchSessionIDNotFound) {
		t.Errorf("the session is still there: %v", err)
	}
}

// When all slots are taken a new session replaces a stale one, else a smaller
// one that is not fresh, else none.
func TestSessionEviction(t *testing.T) {
	for _, c := range []struct {
		name          string
		age, idle     time.Duration // of the session that is there
		size, newSize int
		gets          bool
	}{
		{"fresh and in use", time.Second, time.Second, 1, 100, false},
		{"stale, though larger", 3 * time.Minute, 3 * time.Minute, 100, 1, true},
		{"old, in use, smaller", 3 * time.Minute, time.Second, 1, 2, true},
		{"old, in use, as large", 3 * time.Minute, time.Second, 2, 2, false},
	} {
		sessions, clock := newTestSessions(1)
		old := open(t, sessions, wanted("a", c.size))
		clock.now = clock.now.Add(c.age)
		old.used = clock.now.Add(-c.idle)
		got := sessions.create(false, wanted("b", c.newSize))
		if (got != nil) != c.gets {
			t.Errorf("%s: the new session got a slot: %v, want %v", c.name, got != nil, c.gets)
		}
		if _, there := sessions.sessions[old.id]; there == c.gets {
			t.Errorf("%s: the old session is there: %v", c.name, there)
		}
	}
}

// The client hears of a partition when something changed, and again once an
// error is over.
func TestSessionNews(t *testing.T) {
	s := &fetchSession{index: map[fetchKey]*fetchPartition{}}
	s.update(wanted("a", 1), nil)
	p := s.partitions[0]
	for i, step := range []struct {
		hw, start int64
		records   int
		failed    bool
		want      bool
	}{
		{5, 0, 0, false, true}, // nothing was told yet
		{5, 0, 0, false, false},
		{5, 0, 10, false, true}, // records
		{6, 0, 0, false, true},  // the high watermark moved
		{6, 1, 0, false, true},  // the log start moved
		{6, 1, 0, false, false},
		{6, 1, 0, true, true},  // an error
		{6, 1, 0, false, true}, // is over
		{6, 1, 0, false, false},
	} {
		if got := p.news(step.hw, step.start, step.records, step.failed); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

// Partitions that gave records go behind those that did not.
func TestSessionRotates(t *testing.T) {
	s := &fetchSession{index: map[fetchKey]*fetchPartition{}}
	s.update(wanted("a", 5), nil)
	s.rotate(func(p *fetchPartition) bool { return p.partition == 0 || p.partition == 3 })
	if got, want := order(s), []int32{1, 2, 4, 0, 3}; !slices.Equal(got, want) {
		t.Errorf("order %v, want %v", got, want)
	}
}

// The partitions of all sessions together are bounded, however they came.
func TestSessionPartitionsAreBounded(t *testing.T) {
	c, clock := newTestSessions(10)
	c.most = 10
	check := func(when string, want int) {
		t.Helper()
		all := 0
		for _, s := range c.sessions {
			all += len(s.partitions)
		}
		if all != want || c.partitions != want {
			t.Errorf("%s: %d partitions, counted as %d, want %d", when, all, c.partitions, want)
		}
	}
	a, b := open(t, c, wanted("a", 4)), open(t, c, wanted("b", 4))
	check("two sessions", 8)
	if s := c.create(false, wanted("c", 3)); s != nil {
		t.Error("a session beyond the bound was made")
	}
	again := func(s *fetchSession, changed []fetchPartition, forgotten ...fetchKey) error {
		t.Helper()
		got, err := c.resume(s.id, s.epoch, false, changed, forgotten)
		if got != nil {
			c.release(got)
		}
		return err
	}
	if err := again(a, wanted("a", 6)); err != nil {
		t.Errorf("up to the bound: %v", err)
	}
	check("one has grown", 10)
	if err := again(b, wanted("b", 4), fetchKey{topic: "b"}); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	check("one has shrunk", 9)
	if err := again(a, wanted("more", 2)); !errors.Is(err, protocol.FetchSessionIDNotFound) {
		t.Errorf("beyond the bound: %v", err)
	}
	check("one has ended", 3)
	if err := again(a, nil); !errors.Is(err, protocol.FetchSessionIDNotFound) {
		t.Errorf("the session that grew is there: %v", err)
	}
	clock.now = clock.now.Add(3 * time.Minute)
	open(t, c, wanted("d", 9))
	check("a stale one made room", 9)
	c.end(b.id)
	for id := range c.sessions {
		c.end(id)
	}
	check("all have ended", 0)
	open(t, c, wanted("e", 4))
	clock.now = clock.now.Add(3 * time.Minute)
	open(t, c, wanted("f", 4))
	if s := c.create(false, wanted("g", 9)); s != nil {
		t.Error("the stale one did not make room enough")
	}
}
