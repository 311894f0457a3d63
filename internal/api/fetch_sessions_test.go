package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// consumer is a client with a fetch session.
type consumer struct {
	x       *fixture
	version int16
	id      int32
	epoch   int32
}

// told is what an answer says: for each partition its values, or its error.
func told(x *fixture, resp *kmsg.FetchResponse) map[string]string {
	x.Helper()
	out := map[string]string{}
	for _, topic := range resp.Topics {
		name := topic.Topic
		if name == "" {
			name = fmt.Sprintf("%x", topic.TopicID[:2])
		}
		for _, p := range topic.Partitions {
			what := strings.Join(values(x, p.RecordBatches), " ")
			if p.ErrorCode != 0 {
				what = protocol.Code(p.ErrorCode).Name()
			}
			out[fmt.Sprintf("%s-%d", name, p.Partition)] = what
		}
	}
	return out
}

// fetch sends the next request of the session and checks the answer.
func (c *consumer) fetch(what string, req *kmsg.FetchRequest, want map[string]string) {
	c.x.Helper()
	req.SessionID, req.SessionEpoch = c.id, c.epoch
	resp := ask[*kmsg.FetchResponse](c.x, c.version, req)
	wantCode(c.x, what, resp.ErrorCode, protocol.None)
	if c.id != 0 && resp.SessionID != c.id || resp.SessionID == 0 {
		c.x.Errorf("%s: session %d became %d", what, c.id, resp.SessionID)
	}
	c.id, c.epoch = resp.SessionID, c.epoch+1
	got := told(c.x, resp)
	if len(got) != len(want) {
		c.x.Errorf("%s: told %v, want %v", what, got, want)
		return
	}
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			c.x.Errorf("%s: told %v, want %v", what, got, want)
			return
		}
	}
}

// refused sends a request of the session that must be refused as a whole.
func (c *consumer) refused(what string, version int16, id, epoch int32, want protocol.Code) {
	c.x.Helper()
	req := fetchOf(version)
	req.SessionID, req.SessionEpoch = id, epoch
	resp := ask[*kmsg.FetchResponse](c.x, version, req)
	wantCode(c.x, what, resp.ErrorCode, want)
	if len(resp.Topics) > 0 || resp.SessionID != 0 {
		c.x.Errorf("%s: the refusal holds %+v", what, resp)
	}
}

// TestFetchSession is the life of a session (KIP-227), in the versions that
// name topics and in those that give ids.
func TestFetchSession(t *testing.T) {
	for version := int16(7); version <= 18; version++ {
		story(t, nil, func(t *testing.T, x *fixture) {
			a, b := x.topic("a", 2), x.topic("b", 1)
			ids := map[string][16]byte{"a": a, "b": b}
			names := map[string]string{"a": "a", "b": "b"}
			if version >= 13 {
				names["a"], names["b"] = fmt.Sprintf("%x", a[:2]), fmt.Sprintf("%x", b[:2])
			}
			at := func(topic string, partition int32) string { return fmt.Sprintf("%s-%d", names[topic], partition) }
			of := func(parts ...fetchPart) *kmsg.FetchRequest {
				for i := range parts {
					parts[i].id = ids[parts[i].topic]
				}
				return fetchOf(version, parts...)
			}
			c := &consumer{x: x, version: version}
			c.fetch("a new session hears of all", of(fetchPart{topic: "a"}, fetchPart{topic: "a", partition: 1}), map[string]string{at("a", 0): "", at("a", 1): ""})
			c.fetch("nothing is new", of(), nil)
			x.produce("a", 1, batch("v"))
			c.fetch("records", of(), map[string]string{at("a", 1): "v"})
			c.fetch("the same offset again", of(), map[string]string{at("a", 1): "v"})
			c.fetch("the next offset", of(fetchPart{topic: "a", partition: 1, offset: 1}), nil)
			c.refused("a future epoch", version, c.id, c.epoch+4, protocol.InvalidFetchSessionEpoch)
			c.refused("an epoch of the past", version, c.id, c.epoch-1, protocol.InvalidFetchSessionEpoch)
			x.produce("b", 0, batch("w"))
			c.fetch("a partition more", of(fetchPart{topic: "b"}), map[string]string{at("b", 0): "w"})
			forget := of()
			gone := kmsg.NewFetchRequestForgottenTopic()
			gone.Topic, gone.TopicID, gone.Partitions = "b", ids["b"], []int32{0}
			forget.ForgottenTopics = append(forget.ForgottenTopics, gone)
			c.fetch("a partition less", forget, nil)
			c.fetch("an unknown partition", of(fetchPart{topic: "a", partition: 5}), map[string]string{at("a", 5): "UNKNOWN_TOPIC_OR_PARTITION"})
			c.fetch("is told again", of(), map[string]string{at("a", 5): "UNKNOWN_TOPIC_OR_PARTITION"})
			x.deleteRecords("a", 1, 1)
			c.fetch("the log start moved", of(), map[string]string{at("a", 5): "UNKNOWN_TOPIC_OR_PARTITION", at("a", 1): ""})
			if other := int16(13); version < 13 {
				c.refused("ids in a session of names", other, c.id, c.epoch, protocol.FetchSessionTopicIDError)
			} else {
				c.refused("names in a session of ids", 12, c.id, c.epoch, protocol.FetchSessionTopicIDError)
			}
			end := of(fetchPart{topic: "a", partition: 1, offset: 1})
			end.SessionID, end.SessionEpoch = c.id, -1
			if resp := ask[*kmsg.FetchResponse](x, version, end); resp.SessionID != 0 || len(resp.Topics) != 1 {
				t.Errorf("version %d: the last fetch of a session: %+v", version, resp)
			}
			c.refused("a session that ended", version, c.id, c.epoch, protocol.FetchSessionIDNotFound)
			c.refused("a session that never was", version, c.id+1, 1, protocol.FetchSessionIDNotFound)
		})
	}
}

// A full fetch that names an old session ends it, and a request that leaves a
// session without partitions ends it, too.
func TestFetchSessionEnds(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		c := &consumer{x: x, version: 12}
		c.fetch("new", fetchOf(12, fetchPart{topic: "a"}), map[string]string{"a-0": ""})
		old := c.id
		again := fetchOf(12, fetchPart{topic: "a"})
		again.SessionID, again.SessionEpoch = old, 0
		resp := ask[*kmsg.FetchResponse](x, 12, again)
		if resp.SessionID == 0 || resp.SessionID == old {
			t.Errorf("session %d instead of %d", resp.SessionID, old)
		}
		c.refused("the old one", 12, old, 1, protocol.FetchSessionIDNotFound)

		forget := fetchOf(12)
		gone := kmsg.NewFetchRequestForgottenTopic()
		gone.Topic, gone.Partitions = "a", []int32{0}
		forget.ForgottenTopics = append(forget.ForgottenTopics, gone)
		forget.SessionID, forget.SessionEpoch = resp.SessionID, 1
		if last := ask[*kmsg.FetchResponse](x, 12, forget); last.ErrorCode != 0 || last.SessionID != 0 || len(last.Topics) > 0 {
			t.Errorf("the session without partitions: %+v", last)
		}
		c.refused("the empty one", 12, resp.SessionID, 2, protocol.FetchSessionIDNotFound)
	})
}

// Without a slot a client gets no session, and everything it asks for.
func TestFetchSessionCacheIsFull(t *testing.T) {
	story(t, map[string]string{"max.incremental.fetch.session.cache.slots": "1"}, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		c := &consumer{x: x, version: 12}
		c.fetch("the first", fetchOf(12, fetchPart{topic: "a"}), map[string]string{"a-0": ""})
		second := fetchOf(12, fetchPart{topic: "a"})
		second.SessionEpoch = 0
		if resp := ask[*kmsg.FetchResponse](x, 12, second); resp.SessionID != 0 || len(resp.Topics) != 1 {
			t.Errorf("the second: %+v", resp)
		}
		c.fetch("the first goes on", fetchOf(12), nil)
	})
}

// Two requests of a session at once: the second is refused, and the first one's
// epoch still counts.
func TestFetchSessionInUse(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		c := &consumer{x: x, version: 12}
		c.fetch("new", fetchOf(12, fetchPart{topic: "a"}), map[string]string{"a-0": ""})
		waits := fetchOf(12)
		waits.SessionID, waits.SessionEpoch, waits.MaxWaitMillis = c.id, 1, 1000
		answer := x.fetching(x.Context(), waits)
		c.refused("while one waits", 12, c.id, 2, protocol.InvalidFetchSessionEpoch)
		if resp := <-answer; resp.ErrorCode != 0 || resp.SessionID != c.id {
			t.Errorf("the one that waited: %+v", resp)
		}
		c.epoch = 2
		c.fetch("goes on", fetchOf(12), nil)
	})
}

// A reply that never leaves gives its session and its segments back.
func TestFetchThatIsDropped(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 1)
		x.produce("a", 0, batch("v"))
		c := &consumer{x: x, version: 12}
		c.fetch("new", fetchOf(12, fetchPart{topic: "a"}), map[string]string{"a-0": "v"})
		lost := fetchOf(12)
		lost.SessionID, lost.SessionEpoch = c.id, 1
		f, err := x.begin(x.Context(), lost)
		x.must(err)
		f.drop()
		c.refused("the epoch that was used", 12, c.id, 1, protocol.InvalidFetchSessionEpoch)
		c.epoch = 2
		c.fetch("the next one", fetchOf(12), map[string]string{"a-0": "v"})
	})
}

// With room for one batch, partitions take turns.
func TestFetchSessionTakesTurns(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		x.topic("a", 3)
		for p := range int32(3) {
			x.produce("a", p, batch(strings.Repeat("x", 100)))
		}
		parts := []fetchPart{{topic: "a"}, {topic: "a", partition: 1}, {topic: "a", partition: 2}}
		req := fetchOf(12, parts...)
		req.SessionEpoch, req.MaxBytes = 0, 1
		resp := ask[*kmsg.FetchResponse](x, 12, req)
		var order []int32
		for epoch := range int32(6) {
			for _, topic := range resp.Topics {
				for _, p := range topic.Partitions {
					if len(p.RecordBatches) > 0 {
						order = append(order, p.Partition)
					}
				}
			}
			next := fetchOf(12)
			next.SessionID, next.SessionEpoch, next.MaxBytes = resp.SessionID, epoch+1, 1
			resp = ask[*kmsg.FetchResponse](x, 12, next)
		}
		if want := []int32{0, 1, 2, 0, 1, 2}; !slices.Equal(order, want) {
			t.Errorf("served in the order %v, want %v", order, want)
		}
	})
}

// A topic that was deleted and made again is another one: a session of ids says
// so, and never shows the new one's records.
func TestFetchSessionOfATopicThatWasReplaced(t *testing.T) {
	story(t, nil, func(t *testing.T, x *fixture) {
		id := x.topic("a", 1)
		x.produce("a", 0, batch("old"))
		c := &consumer{x: x, version: 17}
		name := fmt.Sprintf("%x-0", id[:2])
		c.fetch("the old one", fetchOf(17, fetchPart{id: id}), map[string]string{name: "old"})
		x.deleteTopic("a")
		c.fetch("it is gone", fetchOf(17), map[string]string{name: "UNKNOWN_TOPIC_OR_PARTITION"})
		second := x.topic("a", 1)
		x.produce("a", 0, batch("new"))
		c.fetch("another has its name", fetchOf(17), map[string]string{name: "INCONSISTENT_TOPIC_ID"})
		c.fetch("named again", fetchOf(17, fetchPart{id: id}), map[string]string{name: "INCONSISTENT_TOPIC_ID"})
		other := fmt.Sprintf("%x-0", second[:2])
		c.fetch("the new one", fetchOf(17, fetchPart{id: second}), map[string]string{name: "INCONSISTENT_TOPIC_ID", other: "new"})
		x.deleteTopic("a")
		c.fetch("both are gone", fetchOf(17), map[string]string{name: "UNKNOWN_TOPIC_OR_PARTITION", other: "UNKNOWN_TOPIC_OR_PARTITION"})
	})
}
