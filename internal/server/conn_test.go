package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ottla/internal/api"
)

func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		c := x.connect()
		c.echo(7, "hello")
		c.expect(7, "hello")
		c.echo(-8, "")
		c.expect(-8, "")
		x.stop()
		if lines := x.log.take(); len(lines) > 0 {
			t.Fatalf("log: %q", lines)
		}
	})
}

// What arrives in one piece is answered in one piece, and what arrives byte by
// byte all the same.
func TestRequestsTogetherAndInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		c := x.connect()
		var all []byte
		for i := range int32(3) {
			all = append(all, request(testProduce, 3, i, []byte{byte(i)})...)
		}
		go c.write(all)
		got := make([]byte, 1000)
		n, err := c.nc.Read(got)
		want := "\x00\x00\x00\x05\x00\x00\x00\x00\x00" + "\x00\x00\x00\x05\x00\x00\x00\x01\x01" + "\x00\x00\x00\x05\x00\x00\x00\x02\x02"
		if err != nil || string(got[:n]) != want {
			t.Fatalf("one read gave %q, %v", got[:n], err)
		}
		large := bytes.Repeat([]byte("x"), 10_000)
		go func() {
			for _, b := range append(request(testEcho, 0, 4, large), request(testEcho, 0, 5, []byte("y"))...) {
				c.write([]byte{b})
			}
		}()
		c.expect(4, string(large))
		c.expect(5, "y")
	})
}

// TestLongClientID checks that a handler gets the whole client id, and that the
// connection keeps only its beginning afterwards, and that a request with the
// same beginning is not mistaken for one with the same id.
func TestLongClientID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var got []string
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			got = append(got, r.Header.ClientID)
			return reply(nil), nil
		}
		c := x.connect()
		long := strings.Repeat("x", 30_000)
		want := []string{long, long, long[:keptClientID], "short"}
		for i, id := range want {
			b := binary.BigEndian.AppendUint32(nil, uint32(10+len(id)))
			b = append(b, 0, testEcho, 0, 0, 0, 0, 0, byte(i))
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(id))), id...)
			go c.write(b)
			c.expect(int32(i), "")
			synctest.Wait()
			for k := range x.server.conns {
				if len(k.header.ClientID) > keptClientID || len(k.request.Header.ClientID) > keptClientID {
					t.Errorf("an idle connection keeps %d bytes of a client id", len(k.header.ClientID))
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("handlers got client ids of %d and other bytes", len(got[0]))
		}
	})
}

func TestRequestCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var got *api.Request
		var session api.Session
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			got, session = r, *r.Session
			r.Session.ClientSoftwareName = "changed"
			return reply(nil), nil
		}
		c := x.connectFrom("10.1.2.3:999")
		c.echo(7, "body")
		c.read()
		if got.Header.Key != testEcho || got.Header.CorrelationID != 7 || got.Header.ClientID != "test" {
			t.Fatalf("%+v", got.Header)
		}
		if got.Listener != "PLAINTEXT" || got.Principal != "User:ANONYMOUS" || got.Received != time.Unix(1_700_000_000, 0) || got.Consumed != nil {
			t.Fatalf("%+v", got)
		}
		if session.ConnectionID != "127.0.0.1:9092-10.1.2.3:999-0" || session.ClientHost() != "/10.1.2.3" || session.Controller || session.ClientSoftwareName != "unknown" {
			t.Fatalf("%+v", session)
		}
		c.echo(8, "")
		c.read()
		if session.ClientSoftwareName != "changed" {
			t.Fatal("the session is not kept")
		}
		x.connectFrom("10.1.2.3:1000").echo(9, "")
		synctest.Wait()
		if !strings.HasSuffix(session.ConnectionID, "10.1.2.3:1000-1") {
			t.Fatal(session.ConnectionID)
		}
	})
}

// The body of a request, small or large, is gone when its handler returns.
func TestBodyIsPoisoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		var kept []byte
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			kept = r.Body
			return reply(bytes.Clone(r.Body)), nil
		}
		c := x.connect()
		for i, size := range []int{10, 5000, 200_000} {
			body := strings.Repeat("b", size)
			c.echo(int32(i), body)
			c.expect(int32(i), body)
			if !bytes.Equal(kept, bytes.Repeat([]byte{poisonByte}, size)) {
				t.Fatalf("size %d: the body is still there", size)
			}
		}
	})
}

// A broken request closes its connection with one line that names the peer and
// the reason; what came before it is answered, and others do not notice.
func TestBrokenRequests(t *testing.T) {
	tests := []struct {
		name   string
		bytes  []byte
		reason string
	}{
		{"negative", []byte{0xff, 0xff, 0xff, 0xff}, "a request of -1 bytes"},
		{"empty", []byte{0, 0, 0, 0}, "too short for a header"},
		{"shorter than a header", []byte{0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7}, "too short for a header"},
		{"too large", []byte{0x06, 0x40, 0, 1}, "socket.request.max.bytes is 104857600"},
		{"TLS", []byte{0x16, 3, 1, 2, 0, 1, 0, 1}, "a TLS handshake?"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), "an HTTP request?"},
		{"unknown key", request(93, 0, 1, nil), "api key 93 version 0 is not served"},
		{"negative key", request(-1, 0, 1, nil), "api key -1 version 0 is not served"},
		{"key beyond all", request(32000, 0, 1, nil), "api key 32000"},
		{"not served key", request(9, 5, 1, nil), "api key 9 version 5 is not served"},
		{"version too low", request(testProduce, 2, 1, nil), "api key 0 (Produce) version 2 is not served"},
		{"version too high", request(testEcho, 14, 1, nil), "version 14 is not served"},
		{"larger than the API's cap", request(testEcho, 0, 1, make([]byte, 1<<20)), "a Metadata request of 1048590 bytes, at most 1048576"},
		{"client id beyond the frame", []byte{0, 0, 0, 11, 0, 3, 0, 0, 0, 0, 0, 1, 0, 9, 'a'}, "malformed request: header"},
		{"truncated length", []byte{0, 0}, "ended in the middle"},
		{"truncated header", []byte{0, 0, 0, 20, 0, 3}, "ended in the middle"},
		{"truncated small body", request(testEcho, 0, 1, make([]byte, 100))[:50], "ended in the middle"},
		{"truncated large body", request(testEcho, 0, 1, make([]byte, 100_000))[:70_000], "ended in the middle"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTest(t)
				other := x.connect()
				c := x.connectFrom("10.9.8.7:4321")
				if strings.HasPrefix(test.name, "truncated") {
					c.echo(5, "before")
					c.expect(5, "before")
					c.write(test.bytes)
					c.nc.Close()
				} else {
					// The server stops reading where it sees the fault.
					go c.nc.Write(append(request(testEcho, 0, 5, []byte("before")), test.bytes...))
					c.expect(5, "before")
					c.expectClosed()
				}
				synctest.Wait()
				x.expectOne("WARN", test.reason, "10.9.8.7:4321", "listener=PLAINTEXT")
				other.echo(1, "unaffected")
				other.expect(1, "unaffected")
				if n := x.server.Connections(); n != 1 {
					t.Fatalf("%d connections", n)
				}
			})
		})
	}
}

// A version of ApiVersions that is not served reaches its handler.
func TestUnknownVersionOfAPIVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		c := x.connect()
		c.write(request(testVersions, 77, 3, []byte("\x00rest"))) // no tagged fields in the header
		c.expect(3, "rest")
	})
}

// Before authentication only the APIs that serve it are read, and little.
func TestBeforeAuthentication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Listeners[0].Protocol = "SASL_PLAINTEXT"
		c := x.connect()
		c.write(request(testVersions, 0, 3, []byte("ok")))
		c.expect(3, "ok")
		c.write(request(testEcho, 0, 4, nil))
		c.expectClosed()
		synctest.Wait()
		x.expectOne("before authentication")
		c = x.connect()
		go c.nc.Write(request(testVersions, 0, 3, make([]byte, 16<<10))) // is cut off
		c.expectClosed()
		synctest.Wait()
		x.expectOne("at most 16384")
	})
}

// An API is served only on the kinds of listeners of its row.
func TestControllerListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Listeners[0].Name = "CONTROLLER"
		x.options.Config.Listeners[0].Controller = true
		var controller bool
		x.echo = func(_ context.Context, r *api.Request) (api.Reply, error) {
			controller = r.Session.Controller
			return reply([]byte(r.Listener)), nil
		}
		c := x.connect()
		c.echo(1, "")
		c.expect(1, "CONTROLLER")
		if !controller {
			t.Fatal("the session does not say that it is a controller's listener")
		}
		c.produce(2, "")
		c.expectClosed()
		synctest.Wait()
		x.expectOne("api key 0 version 3 is not served here")
	})
}

func TestHandlerFails(t *testing.T) {
	boom := errors.New("body does not parse")
	tests := []struct {
		name   string
		handle func(context.Context, *api.Request) (api.Reply, error)
		words  []string
	}{
		{"error", func(context.Context, *api.Request) (api.Reply, error) { return api.Reply{}, boom },
			[]string{"WARN", "body does not parse", "api=Metadata 0", "client=test"}},
		{"panic", func(context.Context, *api.Request) (api.Reply, error) { panic("a bug") },
			[]string{"ERROR", "panic: a bug", "conn_test.go"}},
		{"error of Encode", func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{Encode: func([]byte) (api.Payload, error) { return api.Payload{}, boom }}, nil
		}, []string{"WARN", "body does not parse"}},
		{"panic of Encode", func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{Encode: func([]byte) (api.Payload, error) { panic("a bug") }}, nil
		}, []string{"ERROR", "panic: a bug"}},
		{"payload without the begin", func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{Encode: func([]byte) (api.Payload, error) { return api.Payload{Bytes: []byte("x")}, nil }}, nil
		}, []string{"does not begin with"}},
		{"regions out of order", func(context.Context, *api.Request) (api.Reply, error) {
			return api.Reply{Encode: func(dst []byte) (api.Payload, error) {
				return api.Payload{Bytes: dst, Regions: []api.Region{{At: len(dst) + 1, Source: &memory{}}}}, nil
			}}, nil
		}, []string{"not in order"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newTest(t)
				other := x.connect()
				released := 0
				x.echo = func(ctx context.Context, r *api.Request) (api.Reply, error) {
					if len(r.Body) > 0 {
						return reply(nil), nil
					}
					p, err := test.handle(ctx, r)
					p.Release = func() { released++ }
					return p, err
				}
				c := x.connect()
				c.produce(1, "before")
				c.expect(1, "before")
				c.echo(2, "")
				c.expectClosed()
				synctest.Wait()
				x.expectOne(test.words...)
				if replied := strings.Contains(test.name, "Encode") || strings.Contains(test.name, "payload"); replied && released != 1 {
					t.Fatalf("released %d times", released)
				}
				other.echo(3, "unaffected")
				other.expect(3, "")
			})
		})
	}
}

func TestShutdownAnswersWhatArrived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.echo = func(ctx context.Context, _ *api.Request) (api.Reply, error) {
			<-ctx.Done() // as a Fetch that waits
			return reply([]byte("early")), nil
		}
		done := make(chan struct{})
		x.produce = func(context.Context, *api.Request) (api.Reply, error) {
			p := reply([]byte("committed"))
			p.Done = done
			return p, nil
		}
		idle, waiting, parked := x.connect(), x.connect(), x.connect()
		waiting.echo(1, "")
		parked.produce(2, "")
		synctest.Wait()
		go func() {
			<-time.After(time.Second) // of the bubble's clock
			close(done)
		}()
		stopped := make(chan error)
		go func() { stopped <- x.server.Shutdown(context.Background()) }()
		idle.expectClosed()
		waiting.expect(1, "early")
		waiting.expectClosed()
		parked.expect(2, "committed")
		parked.expectClosed()
		if err := <-stopped; err != nil {
			t.Fatal(err)
		}
		if lines := x.log.take(); len(lines) > 0 {
			t.Fatalf("log: %q", lines)
		}
	})
}

func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		released := make(chan struct{})
		x.produce = func(context.Context, *api.Request) (api.Reply, error) {
			p := reply(nil)
			p.Done, p.Release = make(chan struct{}), func() { close(released) }
			return p, nil
		}
		c := x.connect()
		c.produce(1, "never committed")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := x.server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		c.expectClosed()
		<-released
		// What comes later finds nobody.
		if x.server.add(&conn{}) {
			t.Fatal("a connection is taken after the end")
		}
	})
}

func TestListenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newTest(t)
		x.options.Config.Listeners = append(x.options.Config.Listeners, x.options.Config.Listeners[0])
		x.options.Config.Listeners[1].Name = "SECOND"
		first := x.pipe
		listen, calls := x.options.Listen, 0
		x.options.Listen = func(network, addr string) (net.Listener, error) {
			if calls++; calls == 2 {
				return nil, errors.New("address in use")
			}
			return listen(network, addr)
		}
		s, err := New(*x.options)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "listener SECOND: address in use") {
			t.Fatal(err)
		}
		<-first.closed
	})
}

// TestSendBuffer: what was chosen holds; else clients on this machine have a small
// buffer, and the kernel decides for the others.
func TestSendBuffer(t *testing.T) {
	for _, c := range []struct {
		chosen      int32
		peer, local string
		want        int
	}{
		{kafkaBufferBytes, "127.0.0.1", "127.0.0.1", localSendBytes},
		{kafkaBufferBytes, "127.0.1.5", "127.0.0.1", localSendBytes},
		{kafkaBufferBytes, "::1", "::1", localSendBytes},
		{kafkaBufferBytes, "10.0.0.1", "10.0.0.1", localSendBytes},
		{kafkaBufferBytes, "10.0.0.2", "10.0.0.1", 0},
		{65536, "10.0.0.2", "10.0.0.1", 65536},
		{65536, "127.0.0.1", "127.0.0.1", 65536},
		{-1, "127.0.0.1", "127.0.0.1", 0},
		{-1, "10.0.0.2", "10.0.0.1", 0},
	} {
		if got := sendBuffer(c.chosen, netip.MustParseAddr(c.peer), netip.MustParseAddr(c.local)); got != c.want {
			t.Errorf("%+v: %d", c, got)
		}
	}
}
