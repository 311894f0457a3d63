package controller

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/metadata"
	"ottla/internal/protocol"
	"ottla/internal/raft"
)

func createRequest(names ...string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 60_000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, t)
	}
	return req
}

// TestRepliesWaitForTheCommit: a reply leaves when its records are committed
// and every subscriber knows; one without records waits for what it tells of.
func TestRepliesWaitForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		q.held = true
		var order []string
		c.Subscribe(func(_ *metadata.Image, d *metadata.Delta) {
			pass(time.Second) // the bubble's: every reply that could leave would
			for _, td := range d.Topics {
				order = append(order, "subscriber: "+td.New.Name)
			}
		})
		var mu sync.Mutex
		answer := func(name string) {
			r := c.CreateTopics(context.Background(), createRequest("a")).Topics[0]
			mu.Lock()
			defer mu.Unlock()
			order = append(order, fmt.Sprintf("%s: %s", name, protocol.Code(r.ErrorCode).Name()))
		}
		go answer("first")
		synctest.Wait()
		go answer("second") // decided on the uncommitted tip: the topic is there
		synctest.Wait()
		if len(order) != 0 || c.Image().NumTopics() != 0 {
			t.Fatalf("before the commit: %q, %d topics", order, c.Image().NumTopics())
		}
		q.commit()
		synctest.Wait()
		if slices.Sort(order[1:]); !slices.Equal(order, []string{"subscriber: a", "first: NONE", "second: TOPIC_ALREADY_EXISTS"}) {
			t.Errorf("order %q", order)
		}
	})
}

// TestLostLeadership: what waits fails, and what was decided is forgotten with
// the tip, so that the next epoch begins from what is committed.
func TestLostLeadership(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		q.held = true
		var first, second *kmsg.CreateTopicsResponse
		go func() { first = c.CreateTopics(context.Background(), createRequest("a")) }()
		synctest.Wait()
		go func() { second = c.CreateTopics(context.Background(), createRequest("a")) }() // without records
		synctest.Wait()
		q.depose(7)
		synctest.Wait()
		want := failure{"deposed", "", protocol.NotController, "The active controller appears to be node 7."}
		for _, resp := range []*kmsg.CreateTopicsResponse{first, second} {
			if resp == nil {
				t.Fatal("a reply still waits")
			}
			want.check(t, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)
		}
		resp := c.CreateTopics(context.Background(), createRequest("a"))
		want.check(t, resp.Topics[0].ErrorCode, resp.Topics[0].ErrorMessage)

		q.held = false
		q.lead()
		synctest.Wait()
		if r := c.CreateTopics(context.Background(), createRequest("a")).Topics[0]; r.ErrorCode != 0 {
			t.Errorf("in the next epoch: %+v", r)
		}
	})
}

// TestRefusedProposals: what the quorum refuses leaves no trace in the tip.
func TestRefusedProposals(t *testing.T) {
	c, q := oneNode(t)
	for _, row := range []struct {
		err  error
		want failure
	}{
		{raft.ErrBusy, failure{"busy", "", protocol.RequestTimedOut, "<null>"}},
		{raft.ErrTooLarge, failure{"too large", "", protocol.PolicyViolation, "Unable to perform excessively large batch operation."}},
		{raft.ErrNotLeader, failure{"not the leader", "", protocol.NotController, "No controller appears to be active."}},
		{fmt.Errorf("wrapped: %w", raft.ErrClosed), failure{"closed", "", protocol.NotController, "No controller appears to be active."}},
	} {
		q.refuseWith(row.err)
		untouched(t, c, func() {
			r := c.CreateTopics(context.Background(), createRequest("a")).Topics[0]
			row.want.check(t, r.ErrorCode, r.ErrorMessage)
		})
	}
	q.refuseWith(nil)
	if r := c.CreateTopics(context.Background(), createRequest("a")).Topics[0]; r.ErrorCode != 0 {
		t.Errorf("afterwards: %+v", r)
	}
}

// TestLateFailure: a proposal that was taken fails before its epoch is over.
func TestLateFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		q.held = true
		var resp *kmsg.CreateTopicsResponse
		go func() { resp = c.CreateTopics(context.Background(), createRequest("a")) }()
		synctest.Wait()
		q.queue[0].done <- raft.ErrClosed
		synctest.Wait()
		if resp == nil || protocol.Code(resp.Topics[0].ErrorCode) != protocol.NotController {
			t.Fatalf("%+v", resp)
		}
		q.queue[0].done = make(chan error, 1)
	})
}

// TestTimeouts: the time that a request brings, and its context, end its wait.
func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		q.held = true
		began := time.Now()
		req := createRequest("a")
		req.TimeoutMillis = 1234
		if r := c.CreateTopics(context.Background(), req).Topics[0]; protocol.Code(r.ErrorCode) != protocol.RequestTimedOut {
			t.Errorf("%+v", r)
		}
		if d := time.Since(began); d != 1234*time.Millisecond {
			t.Errorf("after %v", d)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		alter := fromJSON(t, kmsg.NewPtrIncrementalAlterConfigsRequest(), `{"Resources":[{"ResourceType":"TOPIC","ResourceName":"a"}]}`)
		if r := c.IncrementalAlterConfigs(ctx, alter).Resources[0]; protocol.Code(r.ErrorCode) != protocol.RequestTimedOut {
			t.Errorf("%+v", r)
		}
	})
}

// TestWhoLeftIsForgotten: while nothing is committed, requests come and give up;
// nothing is kept of them.
func TestWhoLeftIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		q.held = true
		stays := make(chan *kmsg.CreateTopicsResponse, 1)
		go func() { stays <- c.CreateTopics(context.Background(), createRequest("a")) }()
		synctest.Wait()
		for range 100 {
			req := createRequest("a") // which is there, but nobody may be told so yet
			req.TimeoutMillis = 10
			if r := c.CreateTopics(context.Background(), req).Topics[0]; protocol.Code(r.ErrorCode) != protocol.RequestTimedOut {
				t.Fatalf("%+v", r)
			}
		}
		if n := len(c.waiters); n != 1 {
			t.Errorf("%d requests wait, want 1", n)
		}
		q.commit()
		if r := (<-stays).Topics[0]; r.ErrorCode != 0 {
			t.Errorf("who stayed: %+v", r)
		}
	})
}

// TestQueueIsBounded: one request too many is refused at once, and there is
// room again when others are through.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		const room = 50
		c.pending = make(chan struct{}, room)
		q.held = true
		var wg sync.WaitGroup
		for i := range room {
			wg.Go(func() { c.CreateTopics(context.Background(), createRequest(fmt.Sprint("t", i))) })
		}
		synctest.Wait()
		r := c.CreateTopics(context.Background(), createRequest("more")).Topics[0]
		failure{"full", "", protocol.RequestTimedOut, "<null>"}.check(t, r.ErrorCode, r.ErrorMessage)
		q.commit()
		wg.Wait()
		q.held = false
		if r := c.CreateTopics(context.Background(), createRequest("more")).Topics[0]; r.ErrorCode != 0 {
			t.Errorf("afterwards: %+v", r)
		}
		if n := c.Image().NumTopics(); n != room+1 {
			t.Errorf("%d topics", n)
		}
	})
}

// TestOffsetsBetween: batches that raft writes for itself move the tip along, and
// a broker is unfenced only by the offset of its own registration (M12).
func TestOffsetsBetween(t *testing.T) {
	c, q := oneNode(t)
	q.gap = 3
	reg := c.RegisterBroker(context.Background(), registration(2, 1))
	beat := &kmsg.BrokerHeartbeatRequest{BrokerID: 2, BrokerEpoch: reg.BrokerEpoch, CurrentMetadataOffset: c.Image().Offset - 1}
	if resp := c.BrokerHeartbeat(context.Background(), beat); resp.ErrorCode != 0 || !resp.IsFenced || resp.IsCaughtUp {
		t.Errorf("one record behind its registration: %+v", resp)
	}
	beat.CurrentMetadataOffset++
	if resp := c.BrokerHeartbeat(context.Background(), beat); resp.ErrorCode != 0 || resp.IsFenced || !resp.IsCaughtUp {
		t.Errorf("caught up: %+v", resp)
	}
	q.gap = 2
	create(t, c, "a", 1)
	if tip, img := c.tip, c.Image(); tip.Offset != img.Offset || tip.Offset != q.end-1 {
		t.Errorf("tip %d, image %d, log end %d", tip.Offset, img.Offset, q.end)
	}
	// R12: every registration has a higher broker epoch than the one before.
	c.BrokerDisconnected(2, reg.BrokerEpoch)
	if again := c.RegisterBroker(context.Background(), registration(2, 2)); again.BrokerEpoch <= reg.BrokerEpoch {
		t.Errorf("epoch %d after %d", again.BrokerEpoch, reg.BrokerEpoch)
	}
}

// TestSessions: a broker that falls silent is fenced after the session timeout
// and not before; a fence that fails is tried again; a new leader gives every
// broker a whole timeout.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, q := oneNode(t)
		epoch := c.Image().Broker(1).Epoch
		beat := func() {
			req := &kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: epoch, CurrentMetadataOffset: c.Image().Offset}
			if resp := c.BrokerHeartbeat(context.Background(), req); resp.ErrorCode != 0 || resp.IsFenced {
				t.Fatalf("%+v", resp)
			}
		}
		fencedNow := func() bool { synctest.Wait(); return c.Image().Broker(1).Fenced }
		for range 5 {
			pass(8999 * time.Millisecond)
			beat()
		}
		pass(8999 * time.Millisecond)
		if fencedNow() {
			t.Fatal("fenced too early")
		}
		pass(time.Millisecond)
		if !fencedNow() {
			t.Fatal("not fenced")
		}
		beat()
		if fencedNow() {
			t.Fatal("not unfenced by its next heartbeat")
		}
		q.refuseWith(raft.ErrBusy)
		pass(10 * time.Second)
		if fencedNow() {
			t.Fatal("fenced without a quorum")
		}
		q.refuseWith(nil)
		pass(9 * time.Second)
		if !fencedNow() {
			t.Fatal("the fence was not tried again")
		}
		beat()
		pass(5 * time.Second)
		q.depose(2)
		q.lead()
		pass(8999 * time.Millisecond)
		if fencedNow() {
			t.Fatal("the new leader fenced too early")
		}
		pass(time.Millisecond)
		if !fencedNow() {
			t.Fatal("the new leader did not fence")
		}
	})
}

// TestSessionsAfterAPause: the time while the process stood still is in no
// session, though the timers went on.
func TestSessionsAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := oneNode(t)
		pass(5 * time.Second)
		c.mu.Lock()
		began, stood := time.Now().Add(-5*time.Second), 20*time.Second
		c.o.Elapsed = func() time.Duration { return max(5*time.Second, time.Since(began)-stood) }
		c.mu.Unlock()
		pass(stood + 4*time.Second - 1)
		synctest.Wait()
		if c.Image().Broker(1).Fenced {
			t.Fatal("fenced for a pause of the process")
		}
		pass(1)
		synctest.Wait()
		if !c.Image().Broker(1).Fenced {
			t.Fatal("not fenced after the rest of its session")
		}
	})
}

// TestLateFence: a broker that is heard of while the fence waits for its turn is
// not fenced: that the controller is behind is not the broker's fault.
func TestLateFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := oneNode(t)
		create(t, c, "a", 1)
		before := c.Image()
		until := func(connected bool) {
			for c.connected(1) != connected {
				runtime.Gosched()
			}
		}
		c.deciding.Lock()
		pass(9 * time.Second)
		until(false) // the session is over, and its fence waits
		beaten := make(chan *kmsg.BrokerHeartbeatResponse, 1)
		go func() {
			beaten <- c.BrokerHeartbeat(context.Background(), &kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: before.Broker(1).Epoch, CurrentMetadataOffset: before.Offset})
		}()
		until(true)
		c.deciding.Unlock()
		if resp := <-beaten; resp.ErrorCode != 0 || resp.IsFenced {
			t.Errorf("%+v", resp)
		}
		synctest.Wait()
		if c.Image() != before {
			t.Errorf("a-0 went from leader epoch %d to %d", before.TopicByName("a").Partition(0).LeaderEpoch, c.Image().TopicByName("a").Partition(0).LeaderEpoch)
		}
		pass(9 * time.Second)
		synctest.Wait()
		if !c.Image().Broker(1).Fenced {
			t.Error("not fenced when it fell silent after that")
		}
	})
}

// TestManyPartitions: what a broker causes may fill several batches, each of
// which is a state that the cluster may be in.
func TestManyPartitions(t *testing.T) {
	c, q := oneNode(t)
	for i := range 2 {
		create(t, c, fmt.Sprint("t", i), 6000)
	}
	// What a user asks for is one batch or nothing.
	untouched(t, c, func() {
		req := createRequest("x", "y")
		req.Topics[0].NumPartitions, req.Topics[1].NumPartitions = 5000, 4999
		r := c.CreateTopics(context.Background(), req).Topics[0]
		failure{"too much", "", protocol.PolicyViolation, "Unable to perform excessively large batch operation."}.check(t, r.ErrorCode, r.ErrorMessage)
	})
	for _, subject := range []struct {
		name string
		do   func()
	}{
		{"fence", func() { fenceSilent(c, 1) }},
		{"unfence", func() {
			req := &kmsg.BrokerHeartbeatRequest{BrokerID: 1, BrokerEpoch: c.Image().Broker(1).Epoch, CurrentMetadataOffset: c.Image().Offset}
			if resp := c.BrokerHeartbeat(context.Background(), req); resp.IsFenced {
				t.Fatal(resp.ErrorCode)
			}
		}},
		{"kill -9", func() {
			c.BrokerDisconnected(1, c.Image().Broker(1).Epoch)
			if resp := c.RegisterBroker(context.Background(), registration(1, 2)); resp.ErrorCode != 0 {
				t.Fatal(resp.ErrorCode)
			}
		}},
	} {
		from := len(q.log)
		subject.do()
		sizes := []int{}
		for _, b := range q.log[from:] {
			sizes = append(sizes, len(b.Records))
		}
		if len(sizes) != 2 || slices.Max(sizes) != maxRecordsPerBatch {
			t.Errorf("%s: batches of %v records", subject.name, sizes)
		}
		if err := checkInvariants(c.Image()); err != nil {
			t.Errorf("%s: %v", subject.name, err)
		}
	}
}

// TestConcurrentRequests lets many goroutines ask, read and change the leader at
// once; the race detector judges, and every topic that was promised is there.
func TestConcurrentRequests(t *testing.T) {
	c, _ := oneNode(t)
	var last int64
	c.Subscribe(func(img *metadata.Image, _ *metadata.Delta) {
		if img.Offset <= last {
			t.Errorf("offset %d after %d", img.Offset, last)
		}
		last = img.Offset
	})
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		promised []string
	)
	for g := range 8 {
		wg.Go(func() {
			for i := range 30 {
				name := fmt.Sprintf("t-%d-%d", g%4, i) // each name is wanted twice
				r := c.CreateTopics(context.Background(), createRequest(name)).Topics[0]
				switch err := protocol.Code(r.ErrorCode); {
				case errors.Is(err, protocol.None), errors.Is(err, protocol.TopicAlreadyExists):
					if c.Image().TopicByName(name) == nil {
						t.Errorf("%s: answered, and not in the image", name)
					}
					mu.Lock()
					promised = append(promised, name)
					mu.Unlock()
				case errors.Is(err, protocol.NotController):
				default:
					t.Errorf("%s: %s", name, err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 5 {
			for c.Image().NumTopics() < 20*(i+1) {
				if err := checkInvariants(c.Image()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	wg.Wait()
	for _, name := range promised {
		if c.Image().TopicByName(name) == nil {
			t.Errorf("%s is gone", name)
		}
	}
}

// pass lets virtual time go by; it is for synctest's bubbles only.
func pass(d time.Duration) { <-time.After(d) }
