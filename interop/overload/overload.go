// Package overload tests a broker with badly behaved connections: they are
// idle, never read the responses that they requested, announce requests that
// they never send, or all arrive at once. The broker must stay within its
// memory limit, and a well-behaved client must see only a pause.
//
// Start at overload_linux_test.go. Package bench also measures these loads.
package overload

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Crowd is a set of badly behaved connections.
type Crowd struct {
	mu    sync.Mutex
	conns []net.Conn
	errs  []error
}

// Close closes them all.
func (c *Crowd) Close() {
	for _, conn := range c.conns {
		_ = conn.Close() // errors do not matter
	}
}

// dialWidth is the number of connections that are opened concurrently.
const dialWidth = 64

// gather opens n connections and calls begin for each.
func gather(ctx context.Context, addr string, n int, begin func(net.Conn) error) (*Crowd, error) {
	c := &Crowd{}
	var running sync.WaitGroup
	numbers := make(chan int)
	for range min(n, dialWidth) {
		running.Go(func() {
			for i := range numbers {
				conn, err := dialer(i).DialContext(ctx, "tcp", addr)
				if err == nil {
					err = begin(conn)
				}
				c.add(conn, err)
			}
		})
	}
	for i := range n {
		numbers <- i
	}
	close(numbers)
	running.Wait()
	if err := errors.Join(c.errs...); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Crowd) add(conn net.Conn, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if conn != nil {
		c.conns = append(c.conns, conn)
	}
	if err != nil {
		c.errs = append(c.errs, err)
	}
}

// dialer connects from one of many local addresses if possible, so that there
// are enough ports.
func dialer(i int) *net.Dialer {
	d := &net.Dialer{Timeout: 30 * time.Second}
	if runtime.GOOS == "linux" {
		d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%16))}
	}
	return d
}

func frame(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("overload")).AppendRequest(nil, req, 1)
}

// Idle opens connections that make one request each and are then idle.
func Idle(ctx context.Context, addr string, n int) (*Crowd, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	request := frame(req)
	return gather(ctx, addr, n, func(conn net.Conn) error {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		return readAnswer(conn, make([]byte, 4))
	})
}

// Silent opens n connections that send nothing. Connections that the broker
// does not accept stay in the kernel's queue.
func Silent(ctx context.Context, addr string, n int) (*Crowd, error) {
	return gather(ctx, addr, n, func(net.Conn) error { return nil })
}

// readAnswer reads a response and discards it.
func readAnswer(conn net.Conn, buf []byte) error {
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, buf[:4]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(buf)))
	return err
}

// SlowReaders opens connections that repeatedly request all data of a topic's
// partitions and never read a response.
func SlowReaders(ctx context.Context, addr, topic string, n int) (*Crowd, error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxBytes, req.MinBytes = 4, 50<<20, 1
	t := kmsg.NewFetchRequestTopic()
	p := kmsg.NewFetchRequestTopicPartition()
	t.Topic, p.PartitionMaxBytes = topic, 200_000 // small enough to go through the broker's memory, not by sendfile
	for i := range 100 {
		p.Partition = int32(i)
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	request := frame(req)
	return gather(ctx, addr, n, func(conn net.Conn) error {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096) // a hint
		for range 4 {
			if _, err := conn.Write(request); err != nil {
				return err
			}
		}
		return nil
	})
}

// Askers opens connections that repeatedly request the metadata of all topics
// and never read a response.
func Askers(ctx context.Context, addr string, n int) (*Crowd, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 12 // no topics means all
	request := frame(req)
	return gather(ctx, addr, n, func(conn net.Conn) error {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096) // a hint
		for range 4 {
			if _, err := conn.Write(request); err != nil {
				return err
			}
		}
		return nil
	})
}

// Announcers opens connections that announce a Produce request of size bytes,
// send a header and first more bytes, and then nothing.
func Announcers(ctx context.Context, addr string, n, size, first int) (*Crowd, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, 1
	request := append(frame(req), make([]byte, first)...)
	binary.BigEndian.PutUint32(request, uint32(size))
	return gather(ctx, addr, n, func(conn net.Conn) error {
		go func() { _, _ = conn.Write(request) }() // it may block until Close
		return nil
	})
}

// Herd opens connections, then sends requests on all of them at once, and
// returns an error if a response is missing. It does not check the content of
// the responses.
func Herd(ctx context.Context, addr string, n, each int, req kmsg.Request) error {
	request := frame(req)
	c, err := gather(ctx, addr, n, func(net.Conn) error { return nil })
	if err != nil {
		return err
	}
	defer c.Close()
	errs := make([]error, n)
	var running sync.WaitGroup
	for i, conn := range c.conns {
		running.Go(func() {
			go func() {
				for range each {
					_, _ = conn.Write(request) // its response would be missing
				}
			}()
			buf := make([]byte, 4)
			for range each {
				if errs[i] = readAnswer(conn, buf); errs[i] != nil {
					return
				}
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}
