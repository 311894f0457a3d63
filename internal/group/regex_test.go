package group

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/pattern"
	"ottla/internal/protocol"
)

// subscribing is a request of a member of a group with a regular expression.
func subscribing(group, id, regex string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := joining(id)
	req.Group, req.SubscribedTopicRegex = group, &regex
	return req
}

// TestRegexOffTheShard: who waits for the matching of a regular expression keeps
// nobody else waiting, is heard of meanwhile, and gets its partitions at once.
func TestRegexOffTheShard(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		if s.Partition("g") != s.Partition("i") {
			t.Fatal("two shards")
		}
		join := joining("other", "u")
		join.Group = "i"
		other := later("other", s.ConsumerGroupHeartbeat(s.Context(), s.me, join).MemberEpoch)
		other.Group = "i"
		s.matcher.turn <- struct{}{} // somebody matches
		gone, leave := context.WithCancel(s.Context())
		left := make(chan *kmsg.ConsumerGroupHeartbeatResponse, 1)
		go func() { left <- s.ConsumerGroupHeartbeat(gone, s.me, subscribing("g", "left", "t.*")) }()
		joined := make(chan *kmsg.ConsumerGroupHeartbeatResponse, 1)
		go func() { joined <- s.ConsumerGroupHeartbeat(s.Context(), s.me, subscribing("g", "m", "t.*")) }()
		synctest.Wait()
		if resp := s.ConsumerGroupHeartbeat(s.Context(), s.me, other); resp.ErrorCode != 0 {
			t.Errorf("another member: %s", showReply(resp))
		}
		leave()
		if resp := <-left; resp.ErrorCode == 0 {
			t.Errorf("who left: %s", showReply(resp))
		}
		if len(joined) > 0 {
			t.Fatal("answered without matches")
		}
		<-s.matcher.turn
		resp := <-joined
		if resp.ErrorCode != 0 || resp.Assignment == nil || len(resp.Assignment.Topics) != 1 {
			t.Fatalf("joined: %+v", resp)
		}

		// A member that waits is heard of.
		<-time.After(40 * time.Second)
		s.matcher.turn <- struct{}{}
		req := subscribing("g", "m", "u.*")
		req.MemberEpoch = resp.MemberEpoch
		go func() { joined <- s.ConsumerGroupHeartbeat(s.Context(), s.me, req) }()
		<-time.After(40 * time.Second)
		<-s.matcher.turn
		if resp := <-joined; resp.ErrorCode != 0 {
			t.Errorf("after the wait: %s", showReply(resp))
		}
	})
}

// TestRegexMatchedAgain: the heartbeat that finds new metadata does not wait for
// the matching; the next one has its result.
func TestRegexMatchedAgain(t *testing.T) {
	onShards(t, func(s *shards) {
		s.begin()
		joined := s.ConsumerGroupHeartbeat(s.Context(), s.me, subscribing("g", "m", "t.*"))
		beat := func(epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
			return s.ConsumerGroupHeartbeat(s.Context(), s.me, later("m", epoch))
		}
		beat(joined.MemberEpoch)
		synctest.Wait()
		s.commit(s.node.Topic("t2", metadata.UUID{3, 15: 1}, 1)...)
		<-time.After(11 * time.Second)
		s.matcher.turn <- struct{}{}
		for range 3 {
			if resp := beat(joined.MemberEpoch); resp.ErrorCode != 0 || resp.MemberEpoch != joined.MemberEpoch {
				t.Errorf("while it is matched: %s", showReply(resp))
			}
		}
		if n := len(s.matcher.places); n != 1 {
			t.Errorf("matched %d times at once", n)
		}
		<-s.matcher.turn
		synctest.Wait()
		if resp := beat(joined.MemberEpoch); resp.MemberEpoch == joined.MemberEpoch || resp.Assignment == nil || len(resp.Assignment.Topics) != 2 {
			t.Errorf("after it was matched: %+v", resp)
		}
		if len(s.matcher.places) != 0 {
			t.Error("a place is left taken")
		}
	})
}

// TestMatchingsAreBounded: those that no heartbeat waits for are few, and end
// with the Coordinator.
func TestMatchingsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMatcher()
		ran := 0
		for range 2 * matchedAtOnce {
			m.later(func(ctx context.Context) {
				<-ctx.Done()
				m.mu.Lock()
				defer m.mu.Unlock()
				ran++
			})
		}
		m.close()
		m.later(func(context.Context) { t.Error("begun after the end") })
		if ran != matchedAtOnce {
			t.Errorf("%d ran", ran)
		}
	})
}

// TestMatchInTurns: a large matching lets a small one go first.
func TestMatchInTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newConsumerRoom(t, 1)
		for i := range 12 {
			e.topic(fmt.Sprintf("%03d%s", i, strings.Repeat("a", 200)), 1)
		}
		m := newMatcher()
		var turns atomic.Int64
		done := make(chan int64, 1)
		m.begun = func() {
			if turns.Add(1) == 1 {
				go func() {
					if _, err := m.match(context.Background(), e.image, []string{"a"}); err != nil {
						t.Error(err)
					}
					done <- turns.Load()
				}()
				synctest.Wait()
			}
		}
		found, err := m.match(context.Background(), e.image, []string{strings.Repeat(".?", 2700)})
		if err != nil || len(found.found) != 1 {
			t.Fatal(err)
		}
		for _, one := range found.found {
			if one.err != nil || len(one.topics) != 12 {
				t.Errorf("%d topics, %v", len(one.topics), one.err)
			}
		}
		if at := <-done; at > 7 || turns.Load() < 12 {
			t.Errorf("the small one was done after %d turns of %d", at, turns.Load())
		}
	})
}

// TestMatchGivesUp: a matching ends with the request that waits for it.
func TestMatchGivesUp(t *testing.T) {
	e := newConsumerRoom(t, 1)
	for i := range 10 {
		e.topic(fmt.Sprintf("%03d%s", i, strings.Repeat("a", 200)), 1)
	}
	m := newMatcher()
	ctx, cancel := context.WithCancel(context.Background())
	turns := 0
	m.begun = func() {
		if turns++; turns == 3 {
			cancel()
		}
	}
	if _, err := m.match(ctx, e.image, []string{strings.Repeat(".?", 2700)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if turns > 4 { // a turn that is free may still be taken
		t.Errorf("%d turns", turns)
	}
}

// TestRegexTooLarge: what would take long is refused, with a short text; a regular
// expression that is only invalid is not shown as a whole either.
func TestRegexTooLarge(t *testing.T) {
	e := newConsumerRoom(t, 1)
	for i := range 540 {
		e.topic(fmt.Sprintf("%03d%s", i, strings.Repeat("a", 246)), 1)
	}
	m := newMatcher()
	turns := 0
	m.begun = func() { turns++ }
	if _, err := m.matchOne(context.Background(), e.image, "(?:abcdefg){1000}"); !errors.Is(err, pattern.ErrTooLarge) || turns != 1 {
		t.Errorf("%v after %d turns", err, turns)
	}
	for _, regex := range []string{strings.Repeat(".?", 16_000) + "x", "(?:abcdefg){1000}", strings.Repeat("ä", 4000) + "("} {
		resp := e.beat(subscribing("g", "m", regex))
		if resp.ErrorCode != int16(protocol.InvalidRegularExpression) || len(*resp.ErrorMessage) > 600 {
			t.Errorf("%.20s: %.600s", regex, showReply(resp))
		}
		if e.consumers() != nil {
			t.Error("the group is there")
		}
	}
}
