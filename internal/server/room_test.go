package server

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/api"
)

// crowded is a server with room for four responses of unreadSize bytes, whose
// handler answers a request with a body of "large" with so many bytes, and any
// other with the body.
type crowded struct {
	*test
	handled, encoded atomic.Int64
	repeatable       bool
}

const (
	unreadSize = 200_000
	unreadRoom = 4
)

func newCrowded(t *testing.T) *crowded {
	t.Helper()
	x := &crowded{test: newTest(t), repeatable: true}
	x.options.Config.Network.QueuedMaxRequestBytes = unreadRoom * leavingShare << 18
	x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
		x.handled.Add(1)
		body := bytes.Clone(r.Body)
		if strings.HasPrefix(string(body), "large") {
			body = bytes.Repeat([]byte{'x'}, unreadSize)
		}
		return api.Reply{Repeatable: x.repeatable, Encode: func(dst []byte) (api.Payload, error) {
			x.encoded.Add(1)
			return api.Payload{Bytes: append(dst, body...)}, nil
		}}, nil
	}
	return x
}

// ask opens connections that send a request each and read nothing.
func (x *crowded) ask(n int, body func(i int) string) (asked []*client) {
	x.Helper()
	for i := range n {
		c := x.connect()
		c.echo(int32(i), body(i))
		asked = append(asked, c)
	}
	synctest.Wait()
	return asked
}

func same(int) string { return "large" }

// holds checks how many responses hold room, and how many wait for it.
func (x *crowded) holds(responses, waiters int) {
	x.Helper()
	b := x.server.leaving
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used != int64(responses)<<18 || len(b.waiters) != waiters {
		x.Errorf("%d bytes are held and %d wait, want %d responses and %d", b.used, len(b.waiters), responses, waiters)
	}
}

// writers are the connections that write a response: all of them, before the
// first is killed, since its room lets another one write.
func (x *crowded) writers() (writers []*conn) {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()
	for c := range x.server.conns {
		if c.writing.Load() != 0 {
			writers = append(writers, c)
		}
	}
	return writers
}

// TestUnreadLargeResponses: however many clients ask for large answers and do
// not read, no more lies in memory than there is room for; small answers and
// Produce go on; and when they do read, everybody gets what he asked for.
func TestUnreadLargeResponses(t *testing.T) {
	for _, body := range []func(int) string{same, func(i int) string { return fmt.Sprint("large ", i) }} {
		synctest.Test(t, func(t *testing.T) {
			const clients = 30
			x := newCrowded(t)
			asked := x.ask(clients, body)
			x.holds(unreadRoom, clients-unreadRoom)
			good := x.connect()
			for i := range int32(5) {
				good.echo(i, "small")
				good.expect(i, "small")
				good.produce(i, "a record")
				good.expect(i, "a record")
			}
			x.holds(unreadRoom, clients-unreadRoom)
			var readers sync.WaitGroup
			for i, c := range asked {
				readers.Go(func() { c.expect(int32(i), strings.Repeat("x", unreadSize)) })
			}
			readers.Wait()
			synctest.Wait()
			x.holds(0, 0)
		})
	}
}

// TestForeseenResponse: a request that was answered with much before waits for
// room before its handler runs; after a small answer it does not.
func TestForeseenResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		x.ask(unreadRoom, same)
		before := x.handled.Load()
		waits := x.ask(1, same)[0]
		if n := x.handled.Load() - before; n != 0 {
			t.Errorf("the handler ran %d times while there was no room", n)
		}
		x.holds(unreadRoom, 1)
		unknown := x.ask(1, func(int) string { return "large, but nobody knows" })[0]
		if n := x.handled.Load() - before; n != 1 {
			t.Errorf("the handler of an unknown request ran %d times", n)
		}
		encoded := x.encoded.Load()
		for _, c := range x.writers() {
			c.kill(errIdle)
		}
		for _, c := range []*client{waits, unknown} {
			c.expect(0, strings.Repeat("x", unreadSize))
		}
		if n, handled := x.encoded.Load()-encoded, x.handled.Load()-before; n != 2 || handled != 2 {
			t.Errorf("once there was room: encoded %d times, handled %d, want 2 and 2", n, handled)
		}
		synctest.Wait()
		x.holds(0, 0)
	})
}

// TestForeseenTooMuch: what was taken for a large answer is given back when it is
// small this time, and not taken again.
func TestForeseenTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		large := true
		x.echo = func(context.Context, *api.Request) (api.Reply, error) {
			if large {
				return reply(make([]byte, unreadSize)), nil
			}
			return reply([]byte("small")), nil
		}
		c := x.connect()
		c.echo(1, "?")
		c.read()
		large = false
		for range 2 {
			c.echo(1, "?")
			c.expect(1, "small")
			synctest.Wait()
			x.holds(0, 0)
		}
		known := &x.server.expected
		r := api.Request{Body: []byte("?")}
		r.Header.Key = testEcho
		if n := known.charge(known.fingerprint(&r)); n != 0 {
			t.Errorf("%d bytes are still expected", n)
		}
	})
}

// TestForeseenMore: what is more than the answer takes is given back while it is
// written.
func TestForeseenMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		size := unreadSize
		x.echo = func(context.Context, *api.Request) (api.Reply, error) { return reply(make([]byte, size)), nil }
		c := x.ask(1, same)[0]
		x.holds(1, 0)
		c.read()
		size = 100_000
		c = x.ask(1, same)[0]
		if held := x.server.leaving.used; held != 1<<17 {
			t.Errorf("%d bytes are held for %d", held, size)
		}
		c.read()
	})
}

// TestUnrepeatableResponse: one that can be encoded once only waits as it is.
func TestUnrepeatableResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		x.repeatable = false
		asked := x.ask(unreadRoom+2, func(i int) string { return fmt.Sprint("large ", i) })
		x.holds(unreadRoom, 2)
		var readers sync.WaitGroup
		for i, c := range asked {
			readers.Go(func() { c.expect(int32(i), strings.Repeat("x", unreadSize)) })
		}
		readers.Wait()
		if n := x.encoded.Load(); n != unreadRoom+2 {
			t.Errorf("encoded %d times", n)
		}
	})
}

// TestResponseLargerThanRoom: it is served, alone.
func TestResponseLargerThanRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		want := strings.Repeat("y", 5<<20)
		large := x.echo
		x.echo = func(ctx context.Context, r *api.Request) (api.Reply, error) {
			if string(r.Body) == "huge" {
				return api.Reply{Repeatable: true, Encode: reply([]byte(want)).Encode}, nil
			}
			return large(ctx, r)
		}
		asked := x.ask(1, same)[0]
		huge := x.ask(1, func(int) string { return "huge" })[0]
		x.holds(1, 1)
		later := x.ask(1, same)[0]
		x.holds(1, 2)
		asked.expect(0, strings.Repeat("x", unreadSize))
		huge.expect(0, want)
		later.expect(0, strings.Repeat("x", unreadSize))
		synctest.Wait()
		x.holds(0, 0)
	})
}

// TestUnreadIsCutSooner: who holds room and does not read is cut off sooner while
// others wait, and not before.
func TestUnreadIsCutSooner(t *testing.T) {
	for _, others := range []int{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			x := newCrowded(t)
			x.options.timing = timing{write: time.Minute, idle: 5 * time.Minute, round: time.Second}
			begin := time.Now()
			asked := x.ask(unreadRoom, same)
			var waiting []*client
			if others > 0 {
				waiting = x.ask(others, same)
			}
			for i, c := range waiting {
				c.expect(int32(i), strings.Repeat("x", unreadSize))
			}
			asked[0].expectEnd()
			least, most := 5*time.Minute, 304*time.Second
			if others > 0 {
				least, most = 10*time.Second, 14*time.Second
			}
			if took := time.Since(begin); took < least || took > most {
				t.Errorf("with %d waiting they are cut off after %v", others, took)
			}
			synctest.Wait()
			if lines := x.log.take(); len(lines) != unreadRoom || !strings.Contains(lines[0], "does not read") {
				t.Errorf("%d lines in the log: %s", len(lines), lines)
			}
		})
	}
}

// expectEnd waits until the server has closed the connection, without reading.
func (c *client) expectEnd() {
	c.x.Helper()
	for {
		if _, err := c.nc.Write([]byte{0}); err != nil {
			return
		}
	}
}
