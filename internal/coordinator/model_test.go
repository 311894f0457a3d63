package coordinator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// promise is a request of the model and what came of it.
type promise struct {
	value string // what it wrote; "" for a read
	n     int    // how many values there are, by the answer
	hw    int64  // the high watermark when the answer came
	err   error
}

// TestModel drives a shard through commits that lag, appends that fail, new
// leaders and crashes that take what was not committed, with requests all the
// while. After every step:
//
//   - what was told lies below the high watermark, and stays in the log (G5);
//   - the machine is the fold of the log (of what it led);
//   - nothing that failed to be appended is there.
func TestModel(t *testing.T) {
	seeds := uint64(150)
	if os.Getenv("OTTLA_TEST") == "long" {
		seeds = 5000
	}
	for seed := range seeds {
		bubble(t, func(w *world) {
			m := model{world: w, rng: rand.New(rand.NewPCG(seed, 0)), refused: map[string]bool{}}
			w.lead(self)
			for range 150 {
				m.step()
				m.check()
			}
			w.disk.change(func() { w.disk.lag, w.disk.failures = false, nil })
			w.lead(self)
			w.disk.catchUp()
			synctest.Wait()
			w.must(w.write("end"))
			m.check()
			if m.asked != len(m.told)+m.lost {
				t.Errorf("%d requests, %d answers, %d errors", m.asked, len(m.told), m.lost)
			}
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

type model struct {
	*world
	rng  *rand.Rand
	next int

	asked, lost int
	answers     chan promise
	told        []promise
	refused     map[string]bool // values whose append failed
}

var errAppend = errors.New("the append failed")

func (m *model) step() {
	if m.answers == nil {
		m.answers = make(chan promise, 1000)
	}
	d := m.disk
	switch m.rng.IntN(12) {
	case 0, 1, 2, 3:
		m.next++
		value := fmt.Sprint(m.next)
		m.asked++
		go func() { m.ask(value) }()
	case 4, 5:
		m.asked++
		go func() { m.ask("") }()
	case 6:
		d.change(func() { d.lag = !d.lag })
	case 7:
		d.catchUp()
	case 8:
		d.change(func() { d.failures = append(d.failures, errAppend) })
	case 9: // another leads, and may not have what was not committed
		d.change(func() {
			if m.rng.IntN(2) == 0 {
				d.truncate(d.hw)
			}
		})
		m.lead(int32(1 + m.rng.IntN(2)))
	case 10:
		m.lead(self)
	default:
		<-time.After(time.Duration(m.rng.IntN(3000)) * time.Millisecond)
	}
}

func (m *model) ask(value string) {
	p := promise{value: value}
	p.n, p.err = m.do(func(machine *toy, _ Moment, to Ticket) Output {
		if value == "" {
			return Answer(to, count(len(machine.values)))
		}
		out := write(to, value)
		out.Replies[0].Response = count(len(machine.values) + 1)
		return out
	})
	m.disk.mu.Lock()
	p.hw = m.disk.hw
	m.disk.mu.Unlock()
	m.answers <- p
}

func (m *model) check() {
	m.Helper()
	synctest.Wait()
	values := m.disk.values(m.TB)
	for len(m.answers) > 0 {
		switch p := <-m.answers; {
		case p.err != nil:
			m.lost++
			if errors.Is(p.err, errAppend) {
				m.refused[p.value] = true
			}
		default:
			m.told = append(m.told, p)
			if int64(p.n) > p.hw {
				m.Errorf("an answer tells of %d values when %d are committed", p.n, p.hw)
			}
		}
	}
	for _, p := range m.told {
		if p.value != "" && !slices.Contains(values, p.value) {
			m.Errorf("%s was acknowledged and is lost", p.value)
		}
		if p.n > len(values) {
			m.Errorf("an answer told of %d values, now there are %d", p.n, len(values))
		}
	}
	for _, v := range values {
		if m.refused[v] {
			m.Errorf("%s was refused and is there", v)
		}
	}
	if s := m.runtime.shards[0]; s != nil && s.state == active && !slices.Equal(m.machine.values, values) {
		m.Errorf("the machine has %v, the log %v", m.machine.values, values)
	}
}
