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

// wire is one raw connection: one goroutine writes, one reads.
type wire struct {
	conn        net.Conn
	out         *bufio.Writer
	in          *bufio.Reader
	body        []byte
	correlation int32 // of the last request; the writer's
	answered    int32 // of the last response; the reader's
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

// limit lets nothing on the connection outlast a load's patience once ctx is done,
// until the function that it returns is called.
func (w *wire) limit(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Now().Add(patience(ctx))) })
}

// frame is a request made beforehand; only its correlation id changes.
type frame []byte

// correlationAt is where the correlation id stands: behind length, key and
// version.
const correlationAt = 8

// newFrame encodes a request.
func newFrame(request kmsg.Request) frame {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("ottla-bench")).AppendRequest(nil, request, 0)
}

// send writes a request; flush makes sure that it leaves.
func (w *wire) send(f frame) error {
	w.correlation++
	binary.BigEndian.PutUint32(f[correlationAt:], uint32(w.correlation))
	_, err := w.out.Write(f)
	return err
}

func (w *wire) flush() error { return w.out.Flush() }

// maxResponse bounds a response in bytes.
const maxResponse = 512 << 20

// receive reads the body of the response to the next request, which is valid
// until the next call: a broker answers in the order in which it was asked.
// flexible responses have tagged fields in their header.
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

// share deals partitions and brokers out to connections: number i of n gets a
// broker and those of its partitions that no other connection has, or all of
// them when there are more connections than partitions.
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
