package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/api"
	"ottla/internal/config"
	"ottla/internal/protocol"
)

func TestMaxConnectionsPerIP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.MaxConnectionsPerIP = 2
		x.options.Config.Network.MaxConnectionsPerIPOverrides = map[string]int32{"10.0.0.9": 1, "named": 3}
		x.options.Resolve = func(host string) ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("10.0.0.8")}, nil }
		for ip, allowed := range map[string]int{"10.0.0.1": 2, "10.0.0.9": 1, "10.0.0.8": 3, "[fd00::1]": 2} {
			var open []*client
			for i := range allowed {
				c := x.connectFrom(fmt.Sprintf("%s:%d", ip, 1000+i))
				c.echo(1, "in")
				c.expect(1, "in")
				open = append(open, c)
			}
			x.connectFrom(ip + ":2000").expectClosed()
			synctest.Wait()
			x.expectOne("connection refused", ip+":2000", fmt.Sprintf("max=%d", allowed))
			open[0].nc.Close()
			synctest.Wait()
			c := x.connectFrom(ip + ":3000")
			c.echo(2, "again")
			c.expect(2, "again")
		}
	})
}

func TestOverridesThatCannotBeResolved(t *testing.T) {
	x := newTest(t)
	x.options.Config.Network.MaxConnectionsPerIPOverrides = map[string]int32{"some.host": 1}
	if _, err := New(*x.options); err == nil || !strings.Contains(err.Error(), "max.connections.per.ip.overrides: some.host") {
		t.Fatal(err)
	}
	x.options.Config.Network.MaxConnectionsPerIPOverrides = map[string]int32{"localhost": 5}
	s, err := New(*x.options)
	if err != nil || s.limits[0].overrides[netip.MustParseAddr("127.0.0.1")] != 5 || s.limits[0].overrides[netip.MustParseAddr("::1")] != 5 {
		t.Fatal(err)
	}
}

// At max.connections new ones wait until one closes.
func TestMaxConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.MaxConnections = 2
		first, second := x.connect(), x.connect()
		for _, c := range []*client{first, second} {
			c.echo(1, "in")
			c.expect(1, "in")
		}
		third := x.connect()
		answered := make(chan struct{})
		go func() {
			third.echo(3, "waited")
			third.expect(3, "waited")
			close(answered)
		}()
		synctest.Wait()
		select {
		case <-answered:
			t.Fatal("a third connection is served")
		default:
		}
		first.nc.Close()
		<-answered
	})
}

// Brokers of the cluster are never kept out: the quietest client goes.
func TestProtectedListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.MaxConnections = 2
		x.options.Config.InterBrokerListener = "INTERNAL"
		x.options.Config.Listeners = append(x.options.Config.Listeners, config.Listener{Name: "INTERNAL", Protocol: plaintext})
		internal := newPipeListener()
		clients, opened := x.options.Listen, false
		x.options.Listen = func(network, addr string) (net.Listener, error) {
			if opened {
				return internal, nil
			}
			opened = true
			return clients(network, addr)
		}
		quiet := x.connect()
		<-time.After(5 * time.Second)
		busy := x.connect()
		for _, c := range []*client{busy, quiet, busy} {
			c.echo(1, "in")
			c.expect(1, "in")
			<-time.After(5 * time.Second)
		}
		x.pipe, internal = internal, x.pipe
		broker := x.connect()
		broker.echo(2, "a broker")
		broker.expect(2, "a broker")
		quiet.expectClosed()
		busy.echo(3, "stays")
		busy.expect(3, "stays")
		synctest.Wait()
		x.expectOne("max.connections is exceeded")
	})
}

func TestIdleConnectionsClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.MaxIdle = 10 * time.Second
		busy, quiet := x.connect(), x.connect()
		closed := make(chan time.Duration)
		begin := time.Now()
		go func() {
			quiet.expectClosed()
			closed <- time.Since(begin)
		}()
		for i := range int32(10) {
			<-time.After(4 * time.Second)
			busy.echo(i, "")
			busy.expect(i, "")
		}
		if took := <-closed; took < 10*time.Second || took > 14*time.Second {
			t.Fatalf("closed after %v", took)
		}
		if lines := x.log.take(); len(lines) > 0 {
			t.Fatalf("log: %q", lines)
		}
	})
}

func TestIdleIsNeverWhenNotPositive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.MaxIdle = -time.Millisecond
		c := x.connect()
		<-time.After(24 * time.Hour)
		c.echo(1, "still there")
		c.expect(1, "still there")
	})
}

func TestRequestThatStopsArriving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, size := range []int{100, 100_000} {
			x := newTest(t)
			c := x.connect()
			c.write(request(testEcho, 0, 1, make([]byte, size))[:50])
			begin := time.Now()
			c.expectClosed()
			if took := time.Since(begin); took < 30*time.Second || took > 35*time.Second {
				t.Fatalf("cut off after %v", took)
			}
			synctest.Wait()
			x.expectOne("stopped arriving")
		}
	})
}

// The memory of a request is taken as its bytes arrive.
func TestBufferGrowsWithBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		c := x.connect()
		frame := request(testProduce, 3, 1, make([]byte, 50<<20))
		c.write(frame[:60<<10])
		synctest.Wait()
		if used := x.server.budget.used; used != 64<<10 {
			t.Fatalf("%d bytes are taken for 60 KiB of 50 MiB", used)
		}
		c.write(frame[60<<10 : 100<<10])
		synctest.Wait()
		if used := x.server.budget.used; used != 128<<10 {
			t.Fatalf("%d bytes are taken for 100 KiB of 50 MiB", used)
		}
		go c.write(frame[100<<10:])
		if _, body := c.read(); len(body) != 50<<20 {
			t.Fatal(len(body))
		}
		synctest.Wait()
		if used := x.server.budget.used; used != 0 {
			t.Fatalf("%d bytes are kept", used)
		}
	})
}

func TestBudgetHoldsUpReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 200 << 10
		x.options.Config.Network.MaxIdle = -1
		var handled atomic.Int32
		gate := make(chan struct{})
		x.produce = func(context.Context, *api.Request) (api.Reply, error) {
			handled.Add(1)
			<-gate
			return reply(nil), nil
		}
		small := x.connect()
		answered := make(chan int32)
		for i := range int32(3) {
			c := x.connect()
			go func() {
				c.write(request(testProduce, 3, i, make([]byte, 10<<10))) // 16 KiB and three times its length
				correlation, _ := c.read()
				answered <- correlation
			}()
		}
		synctest.Wait()
		if handled.Load() != 3 {
			t.Fatalf("%d requests are handled", handled.Load())
		}
		late := x.connect()
		go func() {
			late.write(request(testProduce, 3, 9, make([]byte, 190<<10)))
			correlation, _ := late.read()
			answered <- correlation
		}()
		synctest.Wait()
		if handled.Load() != 3 || !x.server.budget.waiting() {
			t.Fatalf("%d requests are handled, %+v", handled.Load(), x.server.budget)
		}
		small.echo(1, "small requests need no budget")
		small.expect(1, "small requests need no budget")
		<-time.After(time.Hour) // waiting for memory is not the client's fault
		close(gate)
		seen := map[int32]bool{}
		for range 4 {
			seen[<-answered] = true
		}
		if len(seen) != 4 {
			t.Fatal(seen)
		}
	})
}

// A sender that trickles holds nobody up for long.
func TestSlowRequestWhileMemoryIsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 100 << 10
		x.options.Config.Network.MaxIdle = -1
		slow, other := x.connect(), x.connect()
		slow.write(request(testProduce, 3, 1, make([]byte, 1<<20))[:60<<10])
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				<-time.After(10 * time.Second)
				if _, err := slow.nc.Write([]byte{0}); err != nil {
					return
				}
			}
		}()
		<-time.After(time.Hour) // nobody minds
		if n := x.server.Connections(); n != 2 {
			t.Fatalf("%d connections", n)
		}
		begin := time.Now()
		go other.produce(2, strings.Repeat("x", 50<<10))
		other.read()
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("answered after %v", took) // the hour before counts against the slow one
		}
		synctest.Wait()
		x.expectOne("too slowly")
		<-ended
	})
}

// A sender that was kept waiting for memory is not cut off as slow when it gets
// some, whoever waits behind it.
func TestWaitingForMemoryIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 300 << 10
		x.options.Config.Network.MaxIdle = -1
		first, second := x.connect(), x.connect()
		held := share{budget: x.server.budget}
		held.take(300<<10, nil)
		answered := make(chan int, 2)
		for _, c := range []*client{first, second} {
			go func() {
				frame := request(testProduce, 3, 1, make([]byte, 100<<10))
				c.write(frame[:40<<10])
				<-time.After(5 * time.Second) // of its own time
				c.write(frame[40<<10:])
				_, body := c.read()
				answered <- len(body)
			}()
			synctest.Wait() // in this order
		}
		<-time.After(time.Hour)
		held.give(64 << 10) // what the first one asks for
		<-time.After(time.Minute)
		held.give(held.held)
		for range 2 {
			if n := <-answered; n != 100<<10 {
				t.Errorf("%d bytes are answered", n)
			}
		}
		if lines := x.log.take(); len(lines) > 0 {
			t.Errorf("log: %q", lines)
		}
	})
}

// A handler that has read the whole body, and goes on to wait, gives back
// everything, and the body is gone.
func TestConsumedRequestHoldsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 1 << 20
		gate := make(chan struct{})
		var before, after int64
		x.produce = func(_ context.Context, r *api.Request) (api.Reply, error) {
			before = x.server.budget.used
			r.Consumed()
			after = x.server.budget.used
			if r.Consumed != nil {
				t.Error("it could be given back twice")
			}
			if body := r.Body[:1]; body[0] != poisonByte {
				t.Errorf("the body is still there: %x", body)
			}
			<-gate
			return reply(nil), nil
		}
		c, other := x.connect(), x.connect()
		c.produce(1, strings.Repeat("x", 100_000))
		synctest.Wait()
		if frame := int64(128 << 10); before < frame || after != 0 {
			t.Fatalf("charged %d before and %d after", before, after)
		}
		other.echo(2, strings.Repeat("y", 200_000))
		other.expect(2, strings.Repeat("y", 200_000))
		close(gate)
		c.read()
	})
}

// A request does not hold its memory while its reply waits.
func TestWaitingReplyHoldsNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		done := make(chan struct{})
		x.echo = func(context.Context, *api.Request) (api.Reply, error) {
			p := reply(nil)
			p.Done = done
			return p, nil
		}
		c := x.connect()
		c.echo(1, strings.Repeat("x", 100_000))
		synctest.Wait()
		if used := x.server.budget.used; used != 0 {
			t.Fatalf("%d bytes are held", used)
		}
		close(done)
		c.expect(1, "")
	})
}

// What decoding may allocate is charged before the handler is called.
func TestDecodingIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var charged int64
		x.produce = func(context.Context, *api.Request) (api.Reply, error) {
			charged = x.server.budget.used
			return reply(nil), nil
		}
		c := x.connect()
		body := make([]byte, 100_000)
		c.produce(1, string(body))
		c.read()
		if frame := int64(128 << 10); charged != frame+int64(protocol.Amplification(testProduce)*len(body)) {
			t.Fatalf("charged %d", charged)
		}
	})
}

// What a connection has sent before lets it take memory ahead of the bytes only
// as long as there is plenty: who announces and does not send keeps nobody out.
func TestAnnouncedRequestsHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 1 << 20
		frame := request(testProduce, 3, 1, make([]byte, 200<<10))
		var idle []*client
		for range 5 {
			c := x.connect()
			go c.write(frame)
			c.read()
			idle = append(idle, c)
		}
		for range 30 {
			idle = append(idle, x.connect())
		}
		for _, c := range idle {
			c.write(frame[:20])
			synctest.Wait() // in this order
		}
		if used := x.server.budget.used; used != 2*256<<10+33*scarceBuffer {
			t.Errorf("%d bytes are taken for what was announced", used)
		}
		begin, other := time.Now(), x.connect()
		go other.produce(2, strings.Repeat("x", 40_000))
		other.read()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a request that was sent is answered after %v", took)
		}
	})
}

// However many announce at the same moment, they take half of the memory and no
// more: the rest is for what was sent.
func TestAnnouncedAtOnce(t *testing.T) {
	const connections, each = 8, 250
	for range 3000 {
		b := newBudget(1000)
		var taken atomic.Int64
		var all sync.WaitGroup
		begin := make(chan struct{})
		for range connections {
			all.Go(func() {
				s := share{budget: b}
				<-begin
				if s.takeAhead(each) {
					taken.Add(s.held)
				}
			})
		}
		close(begin)
		all.Wait()
		if taken.Load() != 500 || b.used != 500 {
			t.Fatalf("%d bytes of 1000 are taken, counted as %d", taken.Load(), b.used)
		}
	}
}

// Many requests that are together far beyond the budget all come through,
// although each holds a part of it while it waits for more.
func TestBudgetIsNoDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 256 << 10
		answered := make(chan int)
		for i := range 20 {
			c := x.connect()
			go func() {
				body := make([]byte, 100<<10*(1+i%7))
				c.write(request(testProduce, 3, int32(i), body))
				_, got := c.read()
				answered <- len(got) - len(body)
			}()
		}
		for range 20 {
			if <-answered != 0 {
				t.Fatal("another body")
			}
		}
		synctest.Wait()
		if used := x.server.budget.used; used != 0 {
			t.Fatalf("%d bytes are kept", used)
		}
	})
}

// A connection that dies while it waits for memory leaves the queue.
func TestBudgetForgetsTheDead(t *testing.T) {
	b := newBudget(100)
	holder, waiter, next := &share{budget: b}, &share{budget: b}, &share{budget: b}
	dead := make(chan struct{})
	if !holder.take(100, nil) {
		t.Fatal("not granted")
	}
	close(dead)
	if waiter.take(50, dead) {
		t.Fatal("granted beyond the capacity")
	}
	if next.tryTake(1) {
		t.Fatal("granted beyond the capacity")
	}
	holder.give(100)
	if !next.tryTake(100) || b.waiting() {
		t.Fatalf("%+v", b)
	}
}

// Only one connection at a time goes beyond the capacity.
func TestBudgetFavoursOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		shares := []*share{{budget: b}, {budget: b}, {budget: b}}
		for _, s := range shares {
			if !s.take(30, nil) {
				t.Fatal("not granted")
			}
		}
		// Each asks for more; when the last one does, nobody could give back.
		finished, most := make(chan int, 3), make(chan int64, 3)
		for i, s := range shares {
			synctest.Wait()
			go func() {
				s.take(50, nil)
				s.take(50, nil)
				b.mu.Lock()
				most <- b.used
				b.mu.Unlock()
				finished <- i
				s.give(s.held)
			}()
		}
		synctest.Wait()
		if first := <-finished; first != 0 || len(finished) != 2 {
			t.Fatalf("%d came first, %d others through, %+v", first, len(finished), b)
		}
		// One has its 130 bytes, the others the 30 they held before.
		if used := <-most; used > 130+30+30 {
			t.Fatalf("%d bytes were taken", used)
		}
		if b.used != 0 || b.blocked != 0 || b.favored != nil {
			t.Fatalf("%+v", b)
		}
	})
}

func TestBudgetBytes(t *testing.T) {
	for _, test := range []struct{ queued, memory, want int64 }{
		{-1, 0, 128 << 20}, {1000, 0, 1000}, {1000, 8000, 1000}, {-1, 8000, 2000}, {-1, 64 << 30, 128 << 20}, {1 << 30, 8000, 1 << 30},
	} {
		c := &config.Broker{Network: config.Network{QueuedMaxRequestBytes: test.queued}, Ottla: config.Own{MemoryMax: test.memory}}
		if got := budgetBytes(c); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func TestBuffersHaveOneOwner(t *testing.T) {
	p := &buffers{poison: true}
	for n, want := range map[int]int{0: 4096, 1: 4096, 4096: 4096, 4097: 8192, 1 << 22: 1 << 22, 1<<22 + 1: 1<<22 + 1} {
		b := p.get(n)
		if len(b.b) != want {
			t.Errorf("get(%d) has %d bytes", n, len(b.b))
		}
		p.put(b)
		if want > 0 && b.b[0] != poisonByte {
			t.Errorf("%d: not poisoned", n)
		}
	}
	p.put(nil)
	b := p.get(1)
	p.put(b)
	defer func() {
		if recover() == nil {
			t.Error("a second release went unnoticed")
		}
	}()
	p.put(b)
}
