package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"ottla/internal/api"
	"ottla/internal/vfs"
)

// memory is a region without a file.
type memory struct{ b []byte }

func (m *memory) Len() int { return len(m.b) }

func (m *memory) ReadAt(p []byte, off int64) (int, error) {
	n := copy(p, m.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (m *memory) File() (vfs.File, int64) { return nil, 0 }

// fileRegion is a region of a file, as storage.Slice is one.
type fileRegion struct {
	file vfs.File
	pos  int64
	n    int
}

// unread is a region that must go by sendfile.
type unread struct{ fileRegion }

func (*unread) ReadAt([]byte, int64) (int, error) { return 0, errors.New("was read") }

func (r *fileRegion) Len() int                { return r.n }
func (r *fileRegion) File() (vfs.File, int64) { return r.file, r.pos }
func (r *fileRegion) ReadAt(p []byte, off int64) (int, error) {
	return r.file.ReadAt(p[:min(len(p), r.n-int(off))], r.pos+off)
}

// testFile is a file of random bytes.
func testFile(t testing.TB, size int) (vfs.File, []byte) {
	t.Helper()
	content := make([]byte, size)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(content)
	f, err := vfs.OS{}.OpenFile(filepath.Join(t.TempDir(), "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt(content, 0); err != nil {
		t.Fatal(err)
	}
	return f, content
}

// onSockets makes the test use real sockets.
func (x *test) onSockets() {
	x.options.Listen = net.Listen
}

// dial connects by a real socket.
func (x *test) dial() *client {
	x.Helper()
	if x.server == nil {
		x.start()
	}
	nc, err := net.Dial("tcp", x.server.Addr("PLAINTEXT").String())
	if err != nil {
		x.Fatal(err)
	}
	x.Cleanup(func() { nc.Close() })
	return &client{x, nc}
}

// Responses with regions of every size are, byte by byte, the same by sendfile,
// by pread, over sockets and over pipes.
func TestRegions(t *testing.T) {
	const size = 3 << 20
	file, content := testFile(t, size)
	tests := []struct {
		name  string
		sizes []int // of the regions
	}{
		{"none", nil},
		{"empty", []int{0}},
		{"one byte", []int{1}},
		{"small", []int{1000, 2000, 3000}},
		{"fills the buffer", []int{staging - 100}},
		{"just below sendfile", []int{staging - 1}},
		{"just sendfile", []int{staging}},
		{"large", []int{size}},
		{"small and large", []int{10, staging + 1, 0, 77, 2 * staging, 5}},
		{"many small", slices.Repeat([]int{10_000}, 100)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, how := range []string{"sockets", "pipes", "sockets without files", "sockets with no memory"} {
				x := newTest(t)
				connect := x.connect
				if how != "pipes" {
					x.onSockets()
					connect = x.dial
				}
				if how == "sockets with no memory" {
					x.options.Config.Network.QueuedMaxRequestBytes = 1
				}
				payload, want := regions(file, content, test.sizes, how == "sockets without files")
				released := make(chan struct{}, 1)
				x.echo = func(context.Context, *api.Request) (api.Reply, error) {
					return api.Reply{Encode: payload, Release: func() { released <- struct{}{} }}, nil
				}
				c := connect()
				for i := range int32(2) {
					c.echo(i, "")
					if correlation, got := c.read(); correlation != i || !bytes.Equal(got, want) {
						t.Fatalf("%s: response %d of %d bytes differs from %d bytes", how, correlation, len(got), len(want))
					}
					<-released
				}
			}
		})
	}
}

// regions makes an Encode that sends regions of the file one after the other
// with bytes between them, and what it sends.
func regions(file vfs.File, content []byte, sizes []int, inMemory bool) (func([]byte) (api.Payload, error), []byte) {
	var want []byte
	pos := 0
	for i, n := range sizes {
		want = append(want, fmt.Sprintf("before %d|", i)...)
		pos = (pos + 4321) % (len(content) - n + 1)
		want = append(want, content[pos:pos+n]...)
	}
	want = append(want, "after"...)
	return func(dst []byte) (api.Payload, error) {
		p := api.Payload{Bytes: dst}
		pos := 0
		for i, n := range sizes {
			p.Bytes = append(p.Bytes, fmt.Sprintf("before %d|", i)...)
			pos = (pos + 4321) % (len(content) - n + 1)
			source := api.Source(&fileRegion{file, int64(pos), n})
			if inMemory {
				source = &memory{content[pos : pos+n]}
			}
			p.Regions = append(p.Regions, api.Region{At: len(p.Bytes), Source: source})
		}
		p.Bytes = append(p.Bytes, "after"...)
		return p, nil
	}, want
}

func TestLargeRegionsGoBySendfile(t *testing.T) {
	if !canSendfile {
		t.Log("regions are read on this system")
		return
	}
	file, content := testFile(t, 1<<20)
	x := newTest(t)
	x.onSockets()
	x.echo = func(context.Context, *api.Request) (api.Reply, error) {
		return api.Reply{Encode: func(dst []byte) (api.Payload, error) {
			return api.Payload{Bytes: dst, Regions: []api.Region{{At: len(dst), Source: &unread{fileRegion{file, 1000, staging}}}}}, nil
		}}, nil
	}
	c := x.dial()
	c.echo(1, "")
	c.expect(1, string(content[1000:1000+staging]))
}

// Responses wait for no memory, neither what requests hold nor what other
// responses do.
func TestResponsesNeedNoBudget(t *testing.T) {
	file, content := testFile(t, 1<<20)
	x := newTest(t)
	payload, want := regions(file, content, []int{100_000, 100_000}, true)
	x.echo = func(context.Context, *api.Request) (api.Reply, error) { return api.Reply{Encode: payload}, nil }
	c := x.connect()
	requests, staged := share{budget: x.server.budget}, share{budget: x.server.leaving}
	requests.take(x.server.budget.capacity, nil)
	staged.take(x.server.leaving.capacity, nil)
	c.echo(1, "")
	c.expect(1, string(want))
	requests.give(requests.held)
	staged.give(staged.held)
}

// Responses that nobody reads take no memory of requests, and of their own no
// more than they may.
func TestUnreadResponsesLeaveRequestsTheirMemory(t *testing.T) {
	file, content := testFile(t, 1<<20)
	payload, _ := regions(file, content, []int{100_000, 100_000}, true)
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Network.QueuedMaxRequestBytes = 4 << 20
		x.echo = func(context.Context, *api.Request) (api.Reply, error) { return api.Reply{Encode: payload}, nil }
		for range 10 {
			x.connect().echo(1, "")
		}
		synctest.Wait()
		s := x.server
		if s.budget.used != 0 || s.leaving.used != s.leaving.capacity || s.leaving.capacity != 1<<20 {
			t.Errorf("requests hold %d bytes, responses %d of %d", s.budget.used, s.leaving.used, s.leaving.capacity)
		}
		s.mu.Lock()
		for c := range s.conns {
			c.kill(errIdle)
		}
		s.mu.Unlock()
		synctest.Wait()
		if s.leaving.used != 0 {
			t.Errorf("%d bytes are not given back", s.leaving.used)
		}
	})
}

// A region that ends early closes the connection: its length is out already.
func TestShortRegions(t *testing.T) {
	file, _ := testFile(t, 2<<20)
	for _, n := range []int{100, staging, 1 << 20} {
		for _, socket := range []bool{true, false} {
			x := newTest(t)
			connect := x.connect
			if socket {
				x.onSockets()
				connect = x.dial
			}
			released := make(chan struct{}, 1)
			x.echo = func(context.Context, *api.Request) (api.Reply, error) {
				return api.Reply{Encode: func(dst []byte) (api.Payload, error) {
					return api.Payload{Bytes: dst, Regions: []api.Region{{At: len(dst), Source: &fileRegion{file, 2<<20 - int64(n)/2, n}}}}, nil
				}, Release: func() { released <- struct{}{} }}, nil
			}
			c := connect()
			c.echo(1, "")
			if _, _, err := c.tryRead(); err == nil {
				t.Fatalf("a response of %d bytes came whole", n)
			}
			<-released
			x.stop()
			x.expectOne("records")
		}
	}
}

// A large response of bytes leaves through the socket, whole.
func TestLargeResponseOfBytes(t *testing.T) {
	x := newTest(t)
	x.onSockets()
	want := bytes.Repeat([]byte("0123456789"), 200_000)
	x.echo = func(context.Context, *api.Request) (api.Reply, error) { return reply(want), nil }
	c := x.dial()
	for i := range int32(3) {
		c.echo(i, "")
		if _, got := c.read(); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes", len(got))
		}
	}
}

// counted counts what is written to a connection.
type counted struct {
	addressed
	writes *atomic.Int32
}

func (c counted) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.addressed.Write(b)
}

// Replies to requests that arrived together leave by one write, and so does a
// reply with small regions.
func TestOneWrite(t *testing.T) {
	file, content := testFile(t, 1<<20)
	payload, want := regions(file, content, []int{1000, 50_000, 100_000}, false)
	for _, c := range []struct {
		name     string
		requests int
		reply    api.Reply
		want     string
	}{{"replies", 5, reply([]byte("answer")), "answer"}, {"regions", 1, api.Reply{Encode: payload}, string(want)}} {
		x := newTest(t)
		x.produce = func(context.Context, *api.Request) (api.Reply, error) { return c.reply, nil }
		x.start()
		near, far := net.Pipe()
		t.Cleanup(func() { near.Close() })
		var writes atomic.Int32
		x.pipe.accepted <- counted{addressed{far, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1}}, &writes}
		client := client{x, near}
		var frames []byte
		for i := range c.requests {
			frames = append(frames, request(testProduce, 3, int32(i), nil)...)
		}
		client.write(frames)
		for i := range c.requests {
			client.expect(int32(i), c.want)
		}
		if n := writes.Load(); n != 1 {
			t.Errorf("%s: %d writes", c.name, n)
		}
	}
}
