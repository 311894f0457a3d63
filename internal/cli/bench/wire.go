package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Broker is a broker and the partitions of the topic that it leads.
type Broker struct {
	Addr       string
	Partitions []int32
}

// wire is one raw connection. One goroutine writes, another reads.
type wire struct {
	conn        net.Conn
	out         *bufio.Writer
	in          *bufio.Reader
	body        []byte
	correlation int32 // of the last request; used by the writer
	answered    int32 // of the last response; used by the reader
}

const wireBuffer = 64 << 10

func dialWire(ctx context.Context, addr string) (*wire, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return newWire(conn), nil
}

func newWire(conn net.Conn) *wire {
	return &wire{conn: conn, out: bufio.NewWriterSize(conn, wireBuffer), in: bufio.NewReaderSize(conn, wireBuffer)}
}

// limit sets a deadline on the connection when ctx is done: the load's patience
// from then on. The returned function cancels this.
func (w *wire) limit(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Now().Add(patience(ctx))) })
}

// frame is an encoded request. Only its correlation id changes.
type frame []byte

// correlationAt is the offset of the correlation id, after length, key and
// version.
const correlationAt = 8

// newFrame encodes a request.
func newFrame(request kmsg.Request) frame {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("ottla-bench")).AppendRequest(nil, request, 0)
}

// send writes a request to the buffer; flush sends the buffer.
func (w *wire) send(f frame) error {
	w.correlation++
	binary.BigEndian.PutUint32(f[correlationAt:], uint32(w.correlation))
	_, err := w.out.Write(f)
	return err
}

func (w *wire) flush() error { return w.out.Flush() }

// maxResponse is the maximum size of a response in bytes.
const maxResponse = 512 << 20

// receive reads the body of the response to the next request. The body is valid
// until the next call. Brokers respond in request order. flexible responses
// have tagged fields in their header.
func (w *wire) receive(flexible bool) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(w.in, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	header := 4
	if flexible {
		header++
	}
	if n < header || n > maxResponse {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	if cap(w.body) < n {
		w.body = make([]byte, n)
	}
	w.body = w.body[:n]
	if _, err := io.ReadFull(w.in, w.body); err != nil {
		return nil, err
	}
	w.answered++
	if got := int32(binary.BigEndian.Uint32(w.body)); got != w.answered {
		return nil, fmt.Errorf("got the response to request %d instead of %d", got, w.answered)
	}
	if flexible && w.body[4] != 0 {
		return nil, fmt.Errorf("a response header with %d tagged fields", w.body[4])
	}
	return w.body[header:], nil
}

// share assigns a broker and partitions to connection i of n. The connection gets
// the partitions of the broker that no other connection has. If the broker has at
// least as many connections as partitions, it gets one, maybe shared.
func share(brokers []Broker, i, n int) (addr string, partitions []int32) {
	b := brokers[i%len(brokers)]
	rank, of := i/len(brokers), (n-i%len(brokers)+len(brokers)-1)/len(brokers)
	if of >= len(b.Partitions) {
		return b.Addr, b.Partitions[rank%len(b.Partitions):][:1]
	}
	for k := rank; k < len(b.Partitions); k += of {
		partitions = append(partitions, b.Partitions[k])
	}
	return b.Addr, partitions
}
