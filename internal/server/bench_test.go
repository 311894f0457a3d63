package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"

	"ottla/internal/api"
)

// benchServer serves Produce over a socket; nil echoes.
func benchServer(b *testing.B, produce func(context.Context, *api.Request) (api.Reply, error)) net.Conn {
	b.Helper()
	x := newTest(&testing.T{})
	x.produce = produce
	x.options.poison = false
	x.onSockets()
	s, err := New(*x.options)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		b.Fatal(err)
	}
	s.Serve()
	b.Cleanup(func() { _ = s.Shutdown(b.Context()) })
	nc, err := net.Dial("tcp", s.Addr("PLAINTEXT").String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { nc.Close() })
	return nc
}

// nothing answers with 8 bytes.
func nothing(context.Context, *api.Request) (api.Reply, error) {
	return api.Reply{Encode: func(dst []byte) (api.Payload, error) {
		return api.Payload{Bytes: append(dst, 0, 0, 0, 0, 0, 0, 0, 0)}, nil
	}}, nil
}

// BenchmarkRequest is the floor of a request: one socket, a handler that does
// nothing, requests in flight as named.
func BenchmarkRequest(b *testing.B) {
	for _, inFlight := range []int{1, 5} {
		for _, size := range []int{100, 100_000} {
			b.Run(fmt.Sprintf("inflight=%d/size=%d", inFlight, size), func(b *testing.B) {
				nc := benchServer(b, nothing)
				load(b, nc, size, inFlight)
			})
		}
	}
}

// load sends requests of a size, so many in flight.
func load(b *testing.B, nc net.Conn, size, inFlight int) {
	frame := request(testProduce, 3, 1, make([]byte, size))
	b.SetBytes(int64(size))
	b.ReportAllocs()
	sent := make(chan struct{}, inFlight)
	go func() {
		for range b.N {
			sent <- struct{}{}
			if _, err := nc.Write(frame); err != nil {
				return
			}
		}
	}()
	buf := make([]byte, 100)
	for range b.N {
		readResponse(b, nc, buf)
		<-sent
	}
}

func readResponse(b *testing.B, nc net.Conn, buf []byte) {
	b.Helper()
	if _, err := io.ReadFull(nc, buf[:4]); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(nc, buf[:binary.BigEndian.Uint32(buf)]); err != nil {
		b.Fatal(err)
	}
}

// A request over a socket allocates nothing, but for what its handler does.
func TestRequestAllocatesNothing(t *testing.T) {
	if poisonOnRelease {
		t.Skip("the race detector allocates by itself")
	}
	x := newTest(t)
	answer := api.Reply{Encode: func(dst []byte) (api.Payload, error) { return api.Payload{Bytes: append(dst, 0, 0, 0, 0)}, nil }}
	x.produce = func(context.Context, *api.Request) (api.Reply, error) { return answer, nil }
	x.onSockets()
	c := x.dial()
	frame, buf := request(testProduce, 3, 1, make([]byte, 200)), make([]byte, 12)
	if n := testing.AllocsPerRun(200, func() {
		c.write(frame)
		if _, err := io.ReadFull(c.nc, buf); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkRegion sends one region of a file in each response, by pread or by
// sendfile.
func BenchmarkRegion(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 255 << 10, 256 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			file, _ := testFile(b, size)
			answer := api.Reply{Encode: func(dst []byte) (api.Payload, error) {
				return api.Payload{Bytes: dst, Regions: []api.Region{{At: len(dst), Source: &fileRegion{file, 0, size}}}}, nil
			}}
			nc := benchServer(b, func(context.Context, *api.Request) (api.Reply, error) { return answer, nil })
			frame := request(testProduce, 3, 1, nil)
			b.SetBytes(int64(size))
			buf := make([]byte, size+100)
			for b.Loop() {
				if _, err := nc.Write(frame); err != nil {
					b.Fatal(err)
				}
				readResponse(b, nc, buf)
			}
		})
	}
}

// BenchmarkFloor is what the machine needs at least: the same requests, and a
// loop that reads a frame and writes a response, nothing else.
func BenchmarkFloor(b *testing.B) {
	for _, size := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("inflight=1/size=%d", size), func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { l.Close() })
			go floor(l, size+100)
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { nc.Close() })
			load(b, nc, size, 1)
		})
	}
}

func floor(l net.Listener, size int) {
	nc, err := l.Accept()
	if err != nil {
		return
	}
	defer nc.Close()
	buf := make([]byte, size)
	for {
		n, err := io.ReadAtLeast(nc, buf, 4)
		if err != nil {
			return
		}
		if _, err := io.ReadFull(nc, buf[n:4+binary.BigEndian.Uint32(buf)]); err != nil {
			return
		}
		if _, err := nc.Write([]byte("\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00")); err != nil {
			return
		}
	}
}
