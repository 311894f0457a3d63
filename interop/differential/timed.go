package differential

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/interop/wire"
)

// answeredPath is the line of a timed script with the time of an answer.
const answeredPath = "answered"

// when rounds the time of an answer to seconds. Scripts wait for whole seconds,
// and a busy machine adds less than one. A time slightly below a second still
// counts as this second.
func when(took time.Duration) string {
	const early = 100 * time.Millisecond
	if n := (took + early) / time.Second; n > 0 {
		return fmt.Sprintf("after %d s", n)
	}
	return "at once"
}

// begun is a request that was sent and whose answer comes later.
type begun struct {
	step Step
	req  kmsg.Request
	conn *wire.Conn
	done chan struct{} // closed when the fields below are set

	answer wire.Answer
	took   time.Duration
	err    error
}

// settled is the time for a begun request to reach the broker and to be handled
// as far as possible, before the next request is sent.
const settled = 300 * time.Millisecond

func (s *session) begin(step Step) error {
	req, err := s.build(step, step.Versions[0])
	if err != nil {
		return err
	}
	conn, err := wire.Dial(s.broker.Addr)
	if err != nil {
		return err
	}
	b := &begun{step: step, req: req, conn: conn, done: make(chan struct{})}
	s.begun[step.Case] = b
	go func() {
		began := time.Now()
		b.answer, b.err = conn.Request(req)
		b.took = time.Since(began)
		close(b.done)
	}()
	select {
	case <-b.done:
	case <-time.After(settled):
	}
	return nil
}

// await records the answer to a begun request.
func (s *session) await(step Step) error {
	b := s.begun[step.Case]
	if b == nil {
		return errors.New("no such request was begun")
	}
	<-b.done // the connection has a time limit
	s.version = b.step.Versions[0]
	return s.answered(b.step, b.req, b.answer, b.took, b.err)
}
