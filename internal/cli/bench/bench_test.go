package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"ottla/internal/record"
)

// TestShare: every partition is assigned to a connection. No partition is
// assigned to two connections, unless there are more connections than
// partitions. A connection gets only partitions of its own broker.
func TestShare(t *testing.T) {
	for _, brokers := range [][]Broker{
		{{"a", []int32{0}}},
		{{"a", []int32{0, 1, 2, 3, 4, 5}}},
		{{"a", []int32{0, 2, 4}}, {"b", []int32{1, 3}}},
	} {
		for n := len(brokers); n < 12; n++ {
			got := map[int32]int{}
			for i := range n {
				addr, partitions := share(brokers, i, n)
				if len(partitions) == 0 {
					t.Fatalf("%v: connection %d of %d has nothing to do", brokers, i, n)
				}
				b := slices.IndexFunc(brokers, func(b Broker) bool { return b.Addr == addr })
				for _, p := range partitions {
					got[p]++
					if !slices.Contains(brokers[b].Partitions, p) {
						t.Errorf("%v: connection %d of %d sends partition %d to %s", brokers, i, n, p, addr)
					}
				}
			}
			for _, b := range brokers {
				for _, p := range b.Partitions {
					if got[p] == 0 || got[p] > 1 && n/len(brokers) < len(b.Partitions) {
						t.Errorf("%v: %d connections for partition %d of %d", brokers, got[p], p, n)
					}
				}
			}
		}
	}
}

// TestPace: due times do not depend on how long earlier work took, and the
// workers' due times alternate.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var due []time.Duration
		for worker := range 2 {
			p := newPace(100, worker, 2)
			p.start = start
			for range 3 {
				at, err := p.due(t.Context(), func() error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				due = append(due, at.Sub(start))
				time.Sleep(35 * time.Millisecond) // a stall
			}
		}
		slices.Sort(due)
		for i := range due {
			if due[i].Milliseconds() != int64(10*i) {
				t.Fatalf("due at %v", due)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		p := newPace(0.001, 1, 2)
		cancel()
		if _, err := p.due(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// TestRun: the warm-up is not counted, latencies count from the due time, and
// an error of a worker ends the load.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports int
		r, err := run(t.Context(), Span{Warmup: 2 * time.Second, Duration: 3 * time.Second}, 2, func(Progress) { reports++ }, func(ctx context.Context, m *meter, number int) error {
			for {
				due := time.Now()
				time.Sleep(100 * time.Millisecond)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				m.done(number, due, 10, 1000)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Elapsed != 3*time.Second || reports < 4 || r.Requests < 58 || r.Requests > 62 || r.Records != 10*r.Requests || r.Bytes != 1000*r.Requests {
			t.Errorf("%+v after %d reports", r, reports)
		}
		for _, l := range []time.Duration{r.Latency.Mean, r.Latency.P50, r.Latency.Highest} {
			if l < 99*time.Millisecond || l > 101*time.Millisecond {
				t.Errorf("%+v", r.Latency)
			}
		}
		broken := errors.New("broken")
		if _, err := run(t.Context(), Span{Duration: time.Hour}, 2, nil, func(ctx context.Context, _ *meter, number int) error {
			if number == 0 {
				return broken
			}
			<-ctx.Done()
			return nil
		}); !errors.Is(err, broken) {
			t.Errorf("a worker that fails: %v", err)
		}
		refusal := errors.New("refused")
		if _, err := run(t.Context(), Span{Duration: time.Second}, 1, nil, func(_ context.Context, m *meter, _ int) error {
			m.fail(refusal)
			return nil
		}); !errors.Is(err, refusal) {
			t.Errorf("nothing but refusals: %v", err)
		}
		if _, err := run(t.Context(), Span{}, 1, nil, nil); err == nil {
			t.Error("a load without an end began")
		}
	})
}

func TestAllowance(t *testing.T) {
	for _, c := range []struct {
		span Span
		want int
	}{{Span{Records: 25}, 2}, {Span{Bytes: 350}, 3}, {Span{Records: 25, Bytes: 150}, 1}, {Span{Duration: 1}, 5}} {
		a := allowance{span: &c.span}
		got := 0
		for range 5 {
			if a.take(10, 100) {
				got++
			}
		}
		if got != c.want {
			t.Errorf("%+v allows %d", c.span, got)
		}
	}
}

func TestCountRecords(t *testing.T) {
	var all []byte
	for i := range 3 {
		b := record.NewBuilder(record.BuilderOptions{BaseOffset: int64(10 * i)})
		for k := range 4 {
			b.Append(1, nil, fmt.Append(nil, k))
		}
		batch, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
	}
	for cut, want := range map[int][2]int64{0: {12, 24}, 1: {8, 14}, len(all) - 20: {0, 0}} {
		n, next, err := countRecords(all[:len(all)-cut])
		if n != want[0] || next != want[1] || err != nil {
			t.Errorf("without %d bytes: %d records, next %d, %v", cut, n, next, err)
		}
	}
	all[16] = 1 // magic
	if _, _, err := countRecords(all); err == nil {
		t.Error("a batch of an old format was counted")
	}
}

// Responses that come out of order or twice are rejected.
func TestReceiveInOrder(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []int32
		good    int
	}{{"in order", []int32{1, 2, 3}, 3}, {"swapped", []int32{1, 3, 2}, 1}, {"twice", []int32{1, 1}, 1}, {"none of ours", []int32{0}, 0}} {
		near, far := net.Pipe()
		w := newWire(near)
		go func() {
			defer far.Close()
			for _, id := range c.answers {
				_, _ = far.Write(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 6}, uint32(id)))
				_, _ = far.Write([]byte{0, 'x'}) // fails when the reader has ended
			}
		}()
		good := 0
		for {
			body, err := w.receive(true)
			if err != nil {
				break
			}
			if good++; string(body) != "x" {
				t.Errorf("%s: body %q", c.name, body)
			}
		}
		if good != c.good {
			t.Errorf("%s: %d responses were taken, want %d", c.name, good, c.good)
		}
		_ = near.Close()
	}
}

// TestStallAtTheEnd: a broker that stalls just before the end of a load is
// charged for everything that was due. Its late responses are not counted.
func TestStallAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, broker := net.Pipe()
		defer broker.Close()
		start := time.Now()
		asked := make(chan uint32, 1000)
		go func() {
			defer close(asked)
			in := newWire(broker).in
			for {
				var head [12]byte // length, key, version, correlation
				if _, err := io.ReadFull(in, head[:]); err != nil {
					return
				}
				if _, err := in.Discard(int(binary.BigEndian.Uint32(head[:])) - 8); err != nil {
					return
				}
				asked <- binary.BigEndian.Uint32(head[8:])
			}
		}()
		go func() {
			body := (&kmsg.ProduceResponse{Version: produceVersion}).AppendTo(nil)
			for id := range asked {
				if time.Since(start) > 500*time.Millisecond {
					time.Sleep(3*time.Second - time.Since(start))
				}
				answer := binary.BigEndian.AppendUint32(nil, uint32(5+len(body)))
				answer = append(binary.BigEndian.AppendUint32(answer, id), 0)
				_, _ = broker.Write(append(answer, body...))
			}
		}()
		load := &RawProduce{Topic: "t", InFlight: 1000, BatchesPerRequest: 1, RecordsPerBatch: 1, Acks: -1, Rate: 100, Connections: 1}
		batch, err := load.batch()
		if err != nil {
			t.Fatal(err)
		}
		span := Span{Duration: time.Second}
		r, err := run(t.Context(), span, 1, nil, func(ctx context.Context, m *meter, _ int) error {
			defer client.Close()
			p := producing{load: load, wire: newWire(client), meter: m, left: &allowance{span: &span}, pending: make(chan sentRequest, load.InFlight)}
			p.prepare(batch, []int32{0})
			return p.run(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		if r.Requests < 40 || r.Requests > 60 || r.Latency.Count < 90 || r.Latency.Highest < 2400*time.Millisecond || r.Latency.P90 < 2*time.Second {
			t.Errorf("%+v", r)
		}
	})
}

// TestPatience: a load that ended waits for outstanding responses; a failed one
// does not.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			cause error
			want  time.Duration
		}{{errEnded, drain}, {errors.New("broken"), 0}} {
			ctx, end := context.WithCancelCause(t.Context())
			late, cancel := lingering(ctx)
			began := time.Now()
			end(c.cause)
			<-late.Done()
			cancel()
			if got := time.Since(began); got != c.want {
				t.Errorf("%v: %v", c.cause, got)
			}
		}
	})
}
