//go:build !race

package api

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/protocol"
)

// sender hands one request over and over to its handler, as a connection does:
// one buffer for the body, one for the response.
type sender struct {
	x       *fixture
	request Request
	body    []byte
	buffer  []byte
	out     []byte
	handle  Handle
}

func newSender(x *fixture, req kmsg.Request) *sender {
	s := &sender{x: x, body: req.AppendTo(nil), handle: find(req.Key()).Handle}
	s.buffer = make([]byte, len(s.body))
	s.request = Request{
		Header:   protocol.RequestHeader{Key: req.Key(), Version: req.GetVersion(), ClientID: x.clientID},
		Listener: x.listener, Principal: Anonymous, Session: x.session,
	}
	return s
}

// send is one request from its arrival to its release.
func (s *sender) send() {
	copy(s.buffer, s.body)
	s.request.Body = s.buffer
	reply, err := s.handle(s.x.h, s.x.Context(), &s.request)
	if err != nil {
		s.x.Fatal(err)
	}
	if reply.Done != nil {
		<-reply.Done
	}
	payload, err := reply.Encode(s.out[:0])
	if err != nil {
		s.x.Fatal(err)
	}
	s.out = payload.Bytes
	reply.Release()
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = "value"
	}
	return out
}

// The race detector allocates by itself, so that this is not run under it.
//
// An acks=1 and an acks=all Produce, and a Fetch, allocate a few times for each
// request (what a larger batch adds are entries of the indexes), not for each
// record.
func TestAllocations(t *testing.T) {
	x := newFixture(t, map[string]string{"ottla.durability": "page-cache", "message.max.bytes": "10000000"})
	x.topic("p", 1)
	acks := func(acks int16, n int) kmsg.Request {
		req := produceTo("p", 0, batch(many(n)...))
		req.Acks = acks
		return req
	}
	for _, n := range []int{1, 1000} {
		x.topic(fmt.Sprint("f", n), 1)
		x.produce(fmt.Sprint("f", n), 0, batch(many(n)...))
	}
	fetch := func(_ int16, n int) kmsg.Request { return fetchOf(12, fetchPart{topic: fmt.Sprint("f", n)}) }
	for _, c := range []struct {
		name    string
		request func(acks int16, n int) kmsg.Request
		acks    int16
		most    float64
	}{
		{"produce, acks=0", acks, 0, 1},
		{"produce, acks=1", acks, 1, 0},
		{"produce, acks=all", acks, -1, 4},
		{"fetch", fetch, 0, 0},
	} {
		var got [2]float64
		for i, n := range []int{1, 1000} {
			s := newSender(x, c.request(c.acks, n))
			s.send()
			got[i] = testing.AllocsPerRun(200, s.send)
		}
		t.Logf("%s: %v allocations with 1 record, %v with 1000", c.name, got[0], got[1])
		if got[0] > c.most || got[1] > got[0]+5 {
			t.Errorf("%s: %v allocations with 1 record and %v with 1000, at most %v", c.name, got[0], got[1], c.most)
		}
	}
}

// A request of many partitions does not leave its memory to the small ones that
// follow it.
func TestLargeCallsAreNotKept(t *testing.T) {
	x := newFixture(t, map[string]string{"ottla.durability": "page-cache"})
	x.topic("p", 1)
	produce, fetch := produceTo("p", 0, batch("v")), fetchOf(12, fetchPart{topic: "p"})
	for range mostReused {
		produce.Topics[0].Partitions = append(produce.Topics[0].Partitions, produce.Topics[0].Partitions[0])
		fetch.Topics = append(fetch.Topics, fetchPart{topic: "p", partition: int32(len(fetch.Topics))}.topicOf())
	}
	newSender(x, produce).send()
	newSender(x, fetch).send()
	if call := x.h.produces.Get(); call != nil {
		t.Error("a large Produce is kept")
	}
	if call := x.h.fetches.Get(); call != nil {
		t.Error("a large Fetch is kept")
	}
}

// A fetch in a session, and one that waits for more than there is, allocate a
// few times each, however many partitions there are.
func TestFetchAllocations(t *testing.T) {
	x := newFixture(t, map[string]string{"ottla.durability": "page-cache"})
	const partitions = 100
	x.topic("s", partitions)
	var parts []fetchPart
	for i := range partitions {
		parts = append(parts, fetchPart{topic: "s", partition: int32(i)})
	}
	s := newSessionSender(x, parts)
	if n := testing.AllocsPerRun(200, s.next); n > 0 {
		t.Errorf("%v allocations in a session", n)
	}
	req := fetchOf(12, parts[0])
	req.MinBytes, req.MaxWaitMillis = 1, 1
	waiting := newSender(x, req)
	waiting.send()
	if n := testing.AllocsPerRun(20, waiting.send); n > 12 {
		t.Errorf("%v allocations when it waits", n)
	}
}

// sessionSender sends the incremental requests of one fetch session.
type sessionSender struct {
	*sender
	epoch uint32
}

// sessionAt is where the session's id and epoch stand in version 12.
const sessionAt = 4 + 4 + 4 + 4 + 1

func newSessionSender(x *fixture, parts []fetchPart) *sessionSender {
	req := fetchOf(12, parts...)
	req.SessionEpoch = 0
	first := newSender(x, req)
	first.send()
	resp := kmsg.NewPtrFetchResponse()
	resp.Version = 12
	if err := resp.ReadFrom(first.out); err != nil {
		x.Fatal(err)
	}
	req.Topics, req.SessionID = nil, resp.SessionID
	s := &sessionSender{sender: newSender(x, req)}
	s.next()
	return s
}

// next sends the next request, which must be answered without an error.
func (s *sessionSender) next() {
	s.epoch++
	binary.BigEndian.PutUint32(s.body[sessionAt+4:], s.epoch)
	s.send()
	if code := binary.BigEndian.Uint16(s.out[4:]); code != 0 {
		s.x.Fatalf("epoch %d: error %d", s.epoch, code)
	}
}

func BenchmarkFetchSession(b *testing.B) {
	x := newFixture(b, map[string]string{"ottla.durability": "page-cache"})
	x.topic("s", 100)
	var parts []fetchPart
	for i := range 100 {
		parts = append(parts, fetchPart{topic: "s", partition: int32(i)})
	}
	s := newSessionSender(x, parts)
	b.ReportAllocs()
	for b.Loop() {
		s.next()
	}
}

func BenchmarkProduce(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint("records=", n), func(b *testing.B) {
			x := newFixture(b, map[string]string{"ottla.durability": "page-cache"})
			x.topic("p", 1, "retention.bytes", "1000000", "segment.bytes", "1048576", "segment.ms", "1000")
			req := produceTo("p", 0, batch(many(n)...))
			req.Acks = 1
			s := newSender(x, req)
			b.SetBytes(int64(len(s.body)))
			b.ReportAllocs()
			for b.Loop() {
				s.send()
			}
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	x := newFixture(b, map[string]string{"ottla.durability": "page-cache"})
	x.topic("f", 1)
	x.produce("f", 0, batch(many(1000)...))
	s := newSender(x, fetchOf(12, fetchPart{topic: "f"}))
	b.ReportAllocs()
	for b.Loop() {
		s.send()
	}
}
