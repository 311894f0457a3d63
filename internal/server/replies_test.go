package server

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/api"
	"ottla/internal/leaks"
)

// parking handles Produce with replies that wait for the test, and counts.
type parking struct {
	mu       sync.Mutex // where the test does not wait for the server to stand still
	handled  int
	done     []chan struct{}
	released atomic.Int32
}

func (p *parking) produce(_ context.Context, r *api.Request) (api.Reply, error) {
	done := make(chan struct{})
	p.mu.Lock()
	p.handled++
	p.done = append(p.done, done)
	p.mu.Unlock()
	answer := reply([]byte("reply " + string(r.Body)))
	answer.Done, answer.Release = done, func() { p.released.Add(1) }
	return answer, nil
}

func TestRepliesLeaveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = p.produce
		c := x.connect()
		for i := range int32(3) {
			c.produce(i, strconv.Itoa(int(i)))
		}
		synctest.Wait()
		if p.handled != 3 {
			t.Fatalf("%d of 3 requests are handled while replies wait", p.handled)
		}
		got := make(chan int32)
		go func() {
			for range 3 {
				correlation, _ := c.read()
				got <- correlation
			}
			close(got)
		}()
		close(p.done[2])
		close(p.done[1])
		synctest.Wait()
		select {
		case early := <-got:
			t.Fatalf("reply %d left before the first", early)
		default:
		}
		close(p.done[0])
		for want := range int32(3) {
			if correlation := <-got; correlation != want {
				t.Fatalf("reply %d, want %d", correlation, want)
			}
		}
		synctest.Wait()
		if int(p.released.Load()) != 3 {
			t.Fatalf("%d replies are released", p.released.Load())
		}
		// Nobody is left who writes; the connection goes on as before.
		if n := leaks.Count("server.(*"); n != 3 { // watch, accept and the connection
			t.Fatalf("%d goroutines", n)
		}
		c.echo(9, "still there")
		c.expect(9, "still there")
	})
}

// A reply that is ready waits behind one that is not.
func TestReadyReplyWaitsItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = func(ctx context.Context, r *api.Request) (api.Reply, error) {
			if len(r.Body) == 0 {
				return reply(nil), nil
			}
			return p.produce(ctx, r)
		}
		c := x.connect()
		c.produce(1, "waits")
		c.produce(2, "")
		synctest.Wait()
		go close(p.done[0])
		c.expect(1, "reply waits")
		c.expect(2, "")
	})
}

// Any API but Produce waits until the parked replies are out.
func TestOtherRequestsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = p.produce
		handled := false
		x.echo = func(context.Context, *api.Request) (api.Reply, error) {
			handled = true
			if int(p.released.Load()) != 1 {
				t.Error("handled before the parked reply was out")
			}
			return reply(nil), nil
		}
		c := x.connect()
		c.produce(1, "")
		c.echo(2, "")
		synctest.Wait()
		if handled {
			t.Fatal("handled while a reply is parked")
		}
		close(p.done[0])
		c.expect(1, "reply ")
		c.expect(2, "")
	})
}

// A handler that is not pipelined may return a reply that is not ready.
func TestOtherRepliesMayWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		done := make(chan struct{})
		x.echo = func(context.Context, *api.Request) (api.Reply, error) {
			p := reply([]byte("later"))
			p.Done = done
			return p, nil
		}
		c := x.connect()
		c.echo(1, "")
		synctest.Wait()
		close(done)
		c.expect(1, "later")
	})
}

func TestAtMost64RepliesAreParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = p.produce
		c := x.connect()
		go func() {
			for i := range int32(100) {
				c.produce(i, "")
			}
		}()
		synctest.Wait()
		// One more than are parked: it was handled to know that its reply waits.
		if p.handled != 64+1 {
			t.Fatalf("%d requests are handled", p.handled)
		}
		close(p.done[0])
		c.expect(0, "reply ")
		synctest.Wait()
		if p.handled != 64+2 {
			t.Fatalf("%d requests are handled after one reply", p.handled)
		}
		for i := int32(1); i < 100; i++ {
			synctest.Wait()
			close(p.done[i])
			c.expect(i, "reply ")
		}
	})
}

func TestAcks0(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = func(ctx context.Context, r *api.Request) (api.Reply, error) {
			switch string(r.Body) {
			case "none":
				return api.Reply{None: true}, nil
			case "fails":
				return api.Reply{None: true, Encode: func([]byte) (api.Payload, error) {
					return api.Payload{}, errors.New("not leader")
				}}, nil
			case "succeeds":
				return api.Reply{None: true, Encode: func([]byte) (api.Payload, error) { return api.Payload{}, nil }}, nil
			}
			return p.produce(ctx, r)
		}
		c := x.connect()
		c.produce(1, "none")
		c.produce(2, "succeeds")
		c.echo(3, "first answer")
		c.expect(3, "first answer")
		// A failure closes the connection, after what came before is answered.
		c.produce(4, "waits")
		c.produce(5, "fails")
		c.produce(6, "never answered")
		synctest.Wait()
		if lines := x.log.take(); len(lines) > 0 {
			t.Fatalf("closed too early: %q", lines)
		}
		close(p.done[0])
		c.expect(4, "reply waits")
		c.expectClosed()
		synctest.Wait()
		x.expectOne("not leader", "api=Produce 3")
		if int(p.released.Load()) != p.handled {
			t.Fatalf("%d of %d replies are released", p.released.Load(), p.handled)
		}
	})
}

// When the connection dies, parked replies are let go without being encoded.
func TestParkedRepliesAreReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = p.produce
		c := x.connect()
		for i := range int32(5) {
			c.produce(i, "")
		}
		synctest.Wait()
		x.server.mu.Lock()
		for c := range x.server.conns {
			c.kill(errIdle)
		}
		x.server.mu.Unlock()
		c.expectClosed()
		synctest.Wait()
		if int(p.released.Load()) != 5 || x.server.Connections() != 0 {
			t.Fatalf("%d released, %d connections", p.released.Load(), x.server.Connections())
		}
	})
}

// A client that has said all it had to say still gets its answers.
func TestEndOfStreamWaitsForReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var p parking
		x.produce = p.produce
		c := x.connect()
		c.produce(1, "last")
		synctest.Wait()
		for conn := range x.server.conns {
			conn.nc.SetReadDeadline(longAgo) // reading ends, writing goes on
		}
		synctest.Wait()
		close(p.done[0])
		c.expect(1, "reply last")
		c.expectClosed()
	})
}

// A client that does not read is cut off as one that is idle; until then it holds
// what is parked and no more.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.timing = timing{idle: 10 * time.Minute}
		var p parking
		x.produce = p.produce
		c := x.connect()
		go func() {
			for i := range int32(1000) {
				if _, err := c.nc.Write(request(testProduce, 3, i, nil)); err != nil {
					return
				}
			}
		}()
		synctest.Wait()
		p.mu.Lock()
		for _, done := range p.done {
			close(done)
		}
		p.mu.Unlock()
		synctest.Wait()
		if handled := p.handled; handled > 2*maxParked+1 {
			t.Fatalf("%d requests are handled for a client that does not read", handled)
		}
		begin := time.Now()
		for x.server.Connections() > 0 {
			<-time.After(time.Second)
		}
		if took := time.Since(begin); took < 599*time.Second || took > 605*time.Second {
			t.Fatalf("cut off after %v", took)
		}
		synctest.Wait() // the line comes after the connection is counted out
		x.expectOne("does not read")
		if int(p.released.Load()) != p.handled {
			t.Fatalf("%d of %d replies are released", p.released.Load(), p.handled)
		}
	})
}

func TestPanicWhileWritingParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		done := make(chan struct{})
		x.produce = func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{Done: done, Encode: func([]byte) (api.Payload, error) { panic("a bug") }}, nil
		}
		other, c := x.connect(), x.connect()
		c.produce(1, "")
		synctest.Wait()
		close(done)
		c.expectClosed()
		synctest.Wait()
		x.expectOne("ERROR", "panic: a bug")
		other.echo(1, "unaffected")
		other.expect(1, "unaffected")
	})
}
