// Package wire uses Kafka's protocol on one raw connection, without a client
// library. It sends exactly what the test says, and treats a closed connection
// as a possible answer. Start here: Conn.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrClosed means that the broker closed the connection instead of answering.
var ErrClosed = errors.New("connection closed by the broker")

// answerLimit is the limit of the wait for one answer; maxAnswer that of its
// size.
const (
	answerLimit = 30 * time.Second
	maxAnswer   = 64 << 20
)

// Conn is a connection with at most one request in flight.
type Conn struct {
	conn        net.Conn
	in          *bufio.Reader
	format      *kmsg.RequestFormatter
	correlation int32
}

// Dial connects to a broker.
func Dial(addr string) (*Conn, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &Conn{
		conn:   conn,
		in:     bufio.NewReader(conn),
		format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("interop")),
	}, nil
}

// Close closes the connection. Errors do not matter.
func (c *Conn) Close() { _ = c.conn.Close() }

// Answer is one decoded response, and its bytes.
type Answer struct {
	Response kmsg.Response
	Body     []byte // after the response header
}

// Request sends req and reads its response. The error is ErrClosed if the
// broker closed the connection.
func (c *Conn) Request(req kmsg.Request) (Answer, error) {
	c.correlation++
	if err := c.write(c.format.AppendRequest(nil, req, c.correlation)); err != nil {
		return Answer{}, err
	}
	if p, ok := req.(*kmsg.ProduceRequest); ok && p.Acks == 0 {
		return Answer{}, nil
	}
	return c.read(req)
}

func (c *Conn) read(req kmsg.Request) (Answer, error) {
	frame, err := c.ReadFrame()
	if err != nil {
		return Answer{}, err
	}
	r := kbin.Reader{Src: frame}
	if got := r.Int32(); got != c.correlation {
		return Answer{}, fmt.Errorf("correlation id %d, want %d", got, c.correlation)
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != int16(kmsg.ApiVersions) {
		kmsg.SkipTags(&r)
	}
	if err := r.Complete(); err != nil {
		return Answer{}, fmt.Errorf("response header: %w", err)
	}
	a := Answer{Response: resp, Body: r.Src}
	if err := decode(resp, r.Src); err != nil {
		return a, fmt.Errorf("decoding %T v%d: %w (% x)", resp, resp.GetVersion(), err, r.Src)
	}
	return a, nil
}

// decode decodes a response. An ApiVersions response to an unsupported version
// is v0 (KIP-511); kmsg does not handle this.
func decode(resp kmsg.Response, body []byte) error {
	if resp.Key() == int16(kmsg.ApiVersions) && len(body) >= 2 && int16(binary.BigEndian.Uint16(body)) == 35 {
		resp.SetVersion(0)
	}
	return resp.ReadFrom(body)
}

// WriteRaw sends bytes unchanged.
func (c *Conn) WriteRaw(p []byte) error { return c.write(p) }

// WriteFrame sends p with a length prefix.
func (c *Conn) WriteFrame(p []byte) error {
	return c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...))
}

func (c *Conn) write(p []byte) error {
	if err := c.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return err
	}
	_, err := c.conn.Write(p)
	return closed(err)
}

// ReadFrame reads one response with a length prefix.
func (c *Conn) ReadFrame() ([]byte, error) {
	if err := c.conn.SetDeadline(time.Now().Add(answerLimit)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return nil, closed(err)
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > maxAnswer {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	frame := make([]byte, n)
	_, err := io.ReadFull(c.in, frame)
	return frame, closed(err)
}

// closed converts the possible errors of a closed connection to ErrClosed.
func closed(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return ErrClosed
	}
	return err
}
