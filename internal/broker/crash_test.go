package broker

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
	"ottla/internal/vfs"
)

// promise is what a node has told its clients so far.
type promise struct {
	mu      sync.Mutex
	cluster string
	topics  map[string]bool
	deleted map[string]bool
	// sent and acked are the values of each partition, in order.
	sent, acked map[string][]string
	ids         []int64 // producer ids
}

func newPromise() *promise {
	return &promise{topics: map[string]bool{}, deleted: map[string]bool{}, sent: map[string][]string{}, acked: map[string][]string{}}
}

// note changes the promise.
func (p *promise) note(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// copy is the promise as it is now.
func (p *promise) copy() *promise {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := newPromise()
	c.cluster, c.ids = p.cluster, slices.Clone(p.ids)
	c.topics, c.deleted = maps.Clone(p.topics), maps.Clone(p.deleted)
	for k, v := range p.sent {
		c.sent[k] = slices.Clone(v)
	}
	for k, v := range p.acked {
		c.acked[k] = slices.Clone(v)
	}
	return c
}

// crash is a file system as a power loss, or a kill, would leave it, and what
// had been promised by then.
type crash struct {
	point   int
	kept    int // halves of what was not flushed
	op      vfs.Event
	mem     *vfs.Mem
	promise *promise
}

// crashAnywhere runs a story and returns a crash at each of its I/Os: with
// everything that was not flushed lost, with some of it, or with all of it
// there, as after a kill; in the long form with each of these.
func crashAnywhere(t *testing.T, story func(w *world, p *promise)) []crash {
	t.Helper()
	return crashFrom(t, func(*world) {}, story)
}

// crashFrom is crashAnywhere for a story that begins on prepared files.
func crashFrom(t *testing.T, prepare func(w *world), story func(w *world, p *promise)) []crash {
	t.Helper()
	var crashes []crash
	bubble(t, func(_ *testing.T, w *world) {
		prepare(w)
		p := newPromise()
		var mu sync.Mutex
		point := 0
		w.faults.Add(vfs.Rule{Op: vfs.OpChange, Hook: func(e vfs.Event) {
			mu.Lock()
			defer mu.Unlock()
			promised := p.copy() // before the clone: what is told later does not count
			for kept := range 3 {
				if kept != point%3 && os.Getenv("OTTLA_TEST") != "long" {
					continue
				}
				clone := w.mem.CrashClone(vfs.CrashOptions{Seed: uint64(point), KeepProbability: float64(kept) / 2})
				crashes = append(crashes, crash{point, kept, e, clone, promised.copy()}) // each check adds to its own
			}
			point++
		}})
		story(w, p)
	})
	return crashes
}

// write sends values to a partition by acks=all and notes the ack.
func (p *promise) write(c *client, topic string, partition int32, values ...string) {
	c.Helper()
	key := fmt.Sprint(topic, "-", partition)
	p.note(func() { p.sent[key] = append(p.sent[key], values...) })
	c.mustProduce(topic, partition, values...)
	p.note(func() { p.acked[key] = append(p.acked[key], values...) })
}

// producerID takes a producer id.
func (c *client) producerID() int64 {
	c.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	resp := ask[*kmsg.InitProducerIDResponse](c, 4, req)
	wantCode(c, "init producer id", resp.ErrorCode, protocol.None)
	return resp.ProducerID
}

// A crash at any I/O of a node's life: what was acknowledged is there, once and
// in order, what is there was sent, and the node goes on (P12, T1).
func TestCrashAnywhere(t *testing.T) {
	crashes := crashAnywhere(t, func(w *world, p *promise) {
		n := w.start()
		p.note(func() { p.cluster = n.ClusterID() })
		c := w.connect(n)
		for _, topic := range []string{"a", "b"} {
			c.mustCreate(topic, 2)
			p.note(func() { p.topics[topic] = true })
			for i := range 3 {
				p.write(c, topic, int32(i%2), fmt.Sprint(topic, i, "x"), fmt.Sprint(topic, i, "y"))
			}
			id := c.producerID()
			p.note(func() { p.ids = append(p.ids, id) })
		}
		w.close(n)
		n = w.start()
		c = w.connect(n)
		p.write(c, "a", 0, "again")
		id := c.producerID()
		p.note(func() { p.ids = append(p.ids, id) })
		w.close(n)
	})
	if len(crashes) < 150 {
		t.Fatalf("%d I/Os: too few to be true", len(crashes))
	}
	t.Logf("%d crashes", len(crashes))
	for _, x := range crashes {
		bubble(t, func(t *testing.T, w *world) {
			w.mem, w.faults = x.mem, vfs.NewFault(x.mem)
			n := w.start()
			x.check(t, w, n)
			w.close(n)
			// A second start finds the same.
			n = w.start()
			x.check(t, w, n)
			w.close(n)
			if t.Failed() {
				t.Fatalf("crash %d, before %v of %s, kept %v/2\n%s", x.point, x.op.Op, x.op.Path, x.kept, w.log)
			}
		})
	}
}

// check compares a node with what was promised, and uses it a little.
func (x *crash) check(t *testing.T, w *world, n *Node) {
	t.Helper()
	p := x.promise
	if p.cluster != "" && n.ClusterID() != p.cluster {
		t.Errorf("cluster %s became %s", p.cluster, n.ClusterID())
	}
	c := w.connect(n)
	for _, topic := range []string{"a", "b"} {
		for id := range int32(2) {
			key := fmt.Sprint(topic, "-", id)
			got, code := c.fetch(topic, id)
			if code == protocol.UnknownTopicOrPartition && !p.topics[topic] {
				continue
			}
			if code != protocol.None {
				t.Errorf("%s: %v", key, code)
			}
			sent, acked := p.sent[key], p.acked[key]
			if len(got) < len(acked) || len(got) > len(sent) || !slices.Equal(got, sent[:len(got)]) {
				t.Errorf("%s holds %q; sent %q, of which the first %d are acknowledged", key, got, sent, len(acked))
			}
			if code == protocol.None {
				c.mustProduce(topic, id, "after")
				p.note(func() {
					p.sent[key] = append(slices.Clone(got), "after")
					p.acked[key], p.topics[topic] = p.sent[key], true
				})
			}
		}
	}
	id := c.producerID()
	if slices.Contains(p.ids, id) {
		t.Errorf("producer id %d is handed out again", id)
	}
	p.note(func() { p.ids = append(p.ids, id) })
}

// A topic that is deleted and made again under its name: whenever the node
// dies, the new one never shows a record of the old one, and what was deleted
// does not come back (P14, M13).
func TestCrashAroundADeletion(t *testing.T) {
	crashes := crashAnywhere(t, func(w *world, p *promise) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("t", 1)
		p.note(func() { p.topics["t"] = true })
		p.write(c, "t", 0, "old0", "old1")
		c.delete("t")
		p.note(func() { p.deleted["t"] = true })
		c.mustCreate("t", 1)
		p.write(c, "t", 0, "new0")
		p.write(c, "t", 0, "new1")
		w.close(n)
	})
	for _, x := range crashes {
		bubble(t, func(t *testing.T, w *world) {
			w.mem, w.faults = x.mem, vfs.NewFault(x.mem)
			n := w.start()
			got, code := w.connect(n).fetch("t", 0)
			sent, acked := x.promise.sent["t-0"], x.promise.acked["t-0"]
			old, fresh := []string{"old0", "old1"}, []string{"new0", "new1"}
			isOld := len(got) > 0 && len(got) <= 2 && slices.Equal(got, old[:len(got)])
			isNew := len(got) <= 2 && slices.Equal(got, fresh[:len(got)])
			ackedNew := max(0, len(acked)-2)
			switch {
			case code == protocol.UnknownTopicOrPartition:
				if ackedNew > 0 || x.promise.topics["t"] && !x.promise.deleted["t"] && len(sent) < 2 {
					t.Errorf("the topic is not there; acknowledged %q", acked)
				}
			case code != protocol.None:
				t.Errorf("%v", code)
			case isOld && x.promise.deleted["t"], !isOld && !isNew, isNew && len(got) < ackedNew:
				t.Errorf("holds %q; deleted %v, acknowledged %q", got, x.promise.deleted["t"], acked)
			}
			if code == protocol.None {
				w.connect(n).mustProduce("t", 0, "after")
			}
			w.close(n)
			if t.Failed() {
				t.Fatalf("crash %d, before %v of %s, kept %v/2\n%s", x.point, x.op.Op, x.op.Path, x.kept, w.log)
			}
		})
	}
	t.Logf("%d crashes", len(crashes))
}

// A topic that was deleted stays deleted, and one of the same name begins
// empty, over clean restarts as well.
func TestDeletedTopicStaysGone(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := w.start()
		c := w.connect(n)
		c.mustCreate("t", 1)
		c.mustCreate("other", 1)
		c.mustProduce("t", 0, "old")
		c.delete("t")
		w.close(n)
		n = w.start()
		c = w.connect(n)
		if _, code := c.fetch("t", 0); code != protocol.UnknownTopicOrPartition {
			t.Errorf("after a restart: %v", code)
		}
		c.mustCreate("t", 1)
		if got, code := c.fetch("t", 0); code != 0 || len(got) > 0 {
			t.Errorf("the new one holds %q (%v)", got, code)
		}
		c.mustProduce("t", 0, "new")
		w.close(n)
		n = w.start()
		if got, code := w.connect(n).fetch("t", 0); code != 0 || !slices.Equal(got, []string{"new"}) {
			t.Errorf("after another restart it holds %q (%v)", got, code)
		}
	})
}

// Producer ids are handed out once, over restarts and beyond a block (T1).
func TestProducerIDs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		last := int64(0)
		take := func(c *client, count int) {
			t.Helper()
			for range count {
				id := c.producerID()
				if id <= last {
					t.Fatalf("id %d after %d", id, last)
				}
				last = id
			}
		}
		n := w.start()
		take(w.connect(n), 200) // a block has some 17
		w.close(n)
		n = w.start()
		take(w.connect(n), 10)
		killed := w.mem.CrashClone(vfs.CrashOptions{Seed: 1, KeepProbability: 1})
		w.close(n)
		w.mem, w.faults = killed, vfs.NewFault(killed)
		n = w.start()
		take(w.connect(n), 10)
	})
}
