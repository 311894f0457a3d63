package group

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/config"
	"ottla/internal/coordinator"
	"ottla/internal/metadata"
)

// someTime is when the stories of tests begin, in ms.
const someTime = 1_000_000

// logged is a record, or the end of its producer's transaction.
type logged struct {
	coordinator.Record
	at   coordinator.Origin
	ends string // commit, abort, or "": it is a record
}

// room is a machine with what a Runtime does for it: a log, a clock, tickets.
type room struct {
	t   testing.TB
	m   *Machine
	cfg config.Broker
	rng *rand.Rand

	now     time.Duration // since someTime
	log     []logged
	compact map[string]int // key → its last record in log
	// image is the committed metadata.
	image *metadata.Image
	// failing lets the next append fail.
	failing bool

	tickets coordinator.Ticket
	// answer takes the reply of each request.
	answer map[coordinator.Ticket]func(kmsg.Response)
	// wrote is told of each record.
	wrote func(r coordinator.Record)
}

func newRoom(t testing.TB, seed uint64) *room {
	e := &room{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), compact: map[string]int{},
		answer: map[coordinator.Ticket]func(kmsg.Response){}, wrote: func(coordinator.Record) {}, image: metadata.Empty(),
	}
	e.cfg.Groups = config.Groups{
		InitialRebalanceDelay: 3 * time.Second, MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute,
		MaxSize: 2147483647, RetentionCheckInterval: 1000 * time.Hour, OffsetsRetention: 7 * 24 * time.Hour,
	}
	e.m = e.machine()
	return e
}

func (e *room) machine() *Machine {
	return NewMachine(func() *config.Broker { return &e.cfg }, rand.New(rand.NewPCG(e.rng.Uint64(), 2)))
}

func (e *room) at() coordinator.Moment {
	return coordinator.Moment{Wall: someTime + e.now.Milliseconds(), Mono: e.now, Image: e.image}
}

// ticket is one for a request whose reply goes to f.
func (e *room) ticket(f func(kmsg.Response)) coordinator.Ticket {
	e.tickets++
	e.answer[e.tickets] = f
	return e.tickets
}

// do does with a step's output what a Runtime does. An answer that cannot be given
// is nil.
func (e *room) do(out coordinator.Output) {
	failed := e.failing && len(out.Records) > 0
	if failed {
		e.failing = false
	} else {
		for _, r := range out.Records {
			e.append(r, coordinator.NoProducer)
			e.wrote(r)
		}
	}
	for _, r := range out.Replies {
		f := e.answer[r.To]
		if f == nil {
			e.t.Fatalf("ticket %d is answered twice, or was never given: %+v", r.To, r.Response)
		}
		delete(e.answer, r.To)
		if failed {
			f(nil)
		} else {
			f(r.Response)
		}
	}
}

// append writes a record, of a transaction unless producer is NoProducer.
func (e *room) append(r coordinator.Record, producer int64) {
	e.t.Helper()
	if producer == coordinator.NoProducer {
		e.compact[string(r.Key)] = len(e.log)
	}
	e.fold(logged{Record: r, at: coordinator.Origin{Timestamp: e.at().Wall, ProducerID: producer}})
}

// end ends a producer's transaction.
func (e *room) end(producer int64, how string) {
	e.t.Helper()
	e.fold(logged{at: coordinator.Origin{ProducerID: producer}, ends: how})
}

func (e *room) fold(l logged) {
	e.t.Helper()
	l.at.Offset = int64(len(e.log))
	e.log = append(e.log, l)
	e.apply(e.m, l)
}

func (e *room) apply(m *Machine, l logged) {
	e.t.Helper()
	if l.ends != "" {
		m.EndTransaction(l.at.ProducerID, l.ends == "commit")
		return
	}
	key, value := append([]byte(nil), l.Key...), append([]byte(nil), l.Value...)
	if l.Value == nil {
		value = nil
	}
	if err := m.Apply(coordinator.Record{Key: key, Value: value}, l.at); err != nil {
		e.t.Fatal(err)
	}
	clear(key) // a machine keeps nothing of a record's bytes
	clear(value)
}

// advance lets time pass, and what is due happen when it is due.
func (e *room) advance(d time.Duration) {
	end := e.now + d
	for {
		next, some := e.m.Next()
		if !some || next > end {
			break
		}
		e.now = max(e.now, next)
		e.do(e.m.Tick(e.at()))
	}
	e.now = end
}

// loaded is a machine that reads the log, or what compaction left of it.
func (e *room) loaded(compacted bool) *Machine {
	m := e.machine()
	for i, l := range e.log {
		if !compacted || l.at.ProducerID != coordinator.NoProducer || e.compact[string(l.Key)] == i {
			e.apply(m, l)
		}
	}
	return m
}

// reload moves the partition: whoever waits is told nothing.
func (e *room) reload() {
	e.m = e.loaded(true)
	lost := e.answer
	e.answer = map[coordinator.Ticket]func(kmsg.Response){}
	for t := coordinator.Ticket(1); t <= e.tickets; t++ {
		if f := lost[t]; f != nil {
			f(nil)
		}
	}
	e.do(e.m.Loaded(e.at()))
}

// durable is what a GroupMetadata record says of a group.
func durable(g *classicGroup) string {
	if g == nil {
		return "none"
	}
	return fmt.Sprintf("%s %x", g.current, g.record(nil).Value)
}
