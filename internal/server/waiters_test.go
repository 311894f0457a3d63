package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/api"
)

// What waits for other clients is charged until its handler returns. Without room
// a handler is told so, and answers at once; who comes later has room again.
func TestWaitersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		const each = 10 << 20
		gate := make(chan struct{})
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			if !r.Wait(each) {
				return reply([]byte("no room")), nil
			}
			<-gate
			return reply([]byte("waited")), nil
		}
		x.start()
		x.server.waiters.most = 3*each + 1
		var waiting []*client
		for i := range int32(3) {
			c := x.connect()
			c.echo(i, "")
			waiting = append(waiting, c)
		}
		synctest.Wait()
		late := x.connect()
		late.echo(7, "")
		late.expect(7, "no room")
		close(gate)
		for i, c := range waiting {
			c.expect(int32(i), "waited")
		}
		synctest.Wait()
		if used := x.server.waiters.used.Load(); used != 0 {
			t.Errorf("%d bytes are still charged", used)
		}
		late.echo(8, "")
		late.expect(8, "waited")
	})
}

// A client that closes its connection while a handler waits, even with requests
// behind that nobody has read, ends the wait.
func TestPeerThatGoesWhileAHandlerWaits(t *testing.T) {
	for name, behind := range map[string]string{"nothing": "", "a request": "x"} {
		t.Run(name, func(t *testing.T) {
			x := newTest(t)
			x.onSockets()
			x.options.timing = timing{round: time.Millisecond}
			handled, ended := make(chan struct{}, 2), make(chan error, 2)
			x.echo = func(ctx context.Context, _ *api.Request) (api.Reply, error) {
				handled <- struct{}{}
				<-ctx.Done()
				ended <- context.Cause(ctx)
				return api.Reply{}, ctx.Err()
			}
			stays, goes := x.dial(), x.dial()
			stays.echo(1, "")
			goes.echo(1, "")
			<-handled
			<-handled
			if behind != "" {
				goes.echo(2, behind)
			}
			goes.nc.Close()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			select {
			case <-ended:
				t.Error("the wait of another client ended, too")
			default:
			}
		})
	}
}

// A meter that takes room makes its handler wait for it, and gives it back with
// the answer.
func TestMeterTakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newCrowded(t)
		charged := 0
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			for range 3 {
				if err := r.Meter.Charge(100_000); err != nil {
					return api.Reply{}, err
				}
				charged++
			}
			return api.Reply{Repeatable: true, Encode: func(dst []byte) (api.Payload, error) {
				return api.Payload{Bytes: append(dst, "small after all"...)}, nil
			}}, nil
		}
		x.start()
		holder := share{budget: x.server.leaving}
		if !holder.tryTake(x.server.leaving.capacity - 200_000) {
			t.Fatal("there is no room at all")
		}
		c := x.connect()
		c.echo(1, "")
		synctest.Wait()
		if charged != 1 {
			t.Errorf("%d pieces are charged while there is room for one", charged)
		}
		holder.give(holder.held)
		c.expect(1, "small after all")
		synctest.Wait()
		if used := x.server.leaving.used; used != 0 || charged != 3 {
			t.Errorf("%d bytes are held, %d pieces charged", used, charged)
		}
	})
}
