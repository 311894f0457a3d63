package server

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"testing"

	"ottla/internal/api"
	"ottla/internal/protocol"
)

// FuzzConnection sends raw bytes to a server that decodes every request for
// real. Whatever they are, the connection ends, memory stays within what was
// charged for, everything that was taken is given back, and a second connection
// notices nothing.
func FuzzConnection(f *testing.F) {
	f.Add(request(testEcho, 0, 1, []byte{0, 0, 0, 0}))
	f.Add(request(testVersions, 3, 1, []byte{0, 2, 'a', 2, 'b', 0}))
	f.Add(append(request(testProduce, 3, 1, []byte("park")), request(testProduce, 3, 2, []byte("none"))...))
	f.Add(append(request(testProduce, 3, 1, []byte("fail")), request(testLarge, 2, 2, make([]byte, 5000))...))
	f.Add(request(testLarge, 7, 1, []byte{0, 0xff, 0xff, 0xff, 0xff, 7}))
	f.Add([]byte{0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, input []byte) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 1 << 20
		var taken, released atomic.Int64
		x.produce = func(_ context.Context, r *api.Request) (api.Reply, error) {
			taken.Add(1)
			return fuzzReply(r, func() { released.Add(1) }), nil
		}
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			if !x.server.endpoint(r.Header.Key).Serves(r.Header.Version) {
				return reply(nil), nil
			}
			_, err := protocol.Decode(r.Header.Key, r.Header.Version, r.Body)
			return reply(nil), err
		}
		other := x.connect()
		c := x.connect()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go func() {
			_, _ = c.nc.Write(input)
			_ = c.nc.Close()
		}()
		_, _ = io.Copy(io.Discard, c.nc)
		other.echo(1, "\x00\x00\x00\x00")
		other.expect(1, "")
		x.stop()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > uint64(1<<20+64*len(input)) {
			t.Fatalf("%d bytes allocated for %d", grown, len(input))
		}
		if taken.Load() != released.Load() {
			t.Fatalf("%d of %d replies are released", released.Load(), taken.Load())
		}
		x.log.take()
	})
}

// fuzzReply answers Produce in one of the ways in which it can be answered.
func fuzzReply(r *api.Request, release func()) api.Reply {
	done := make(chan struct{})
	p := reply([]byte("answer"))
	p.Done, p.Release = done, release
	switch {
	case len(r.Body) < 4:
		p.Done = nil
	case string(r.Body[:4]) == "none":
		p = api.Reply{None: true, Release: release}
	case string(r.Body[:4]) == "fail":
		p = api.Reply{None: true, Release: release, Encode: func([]byte) (api.Payload, error) { return api.Payload{}, errors.New("failed") }}
	default:
		go close(done)
	}
	return p
}
