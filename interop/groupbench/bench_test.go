package groupbench

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ottla/interop/clients"
	"ottla/interop/target"
	"ottla/interop/wire"
)

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

const (
	rounds    = 5
	slice     = 2 * time.Second // of one load on one broker in one round
	committer = 16              // connections that commit at the same time
	pace      = 8               // connections that send heartbeats
)

// side is one broker and its measured values, one per round.
type side struct {
	name   string
	broker *target.Broker
	conns  []*wire.Conn
	group  []*seat // 100 members, 1,000 partitions
	crews  []*crew // 10,000 members in 100 groups
	values map[string][]float64
}

// measures are the rows of the table. up means that larger is better.
var measures = []struct {
	name string
	up   bool
}{
	{"commits/s, 16 connections", true},
	{"broker CPU µs/commit", false},
	{"rebalance of 100 members, 1000 partitions, ms", false},
	{"heartbeats/s of 10000 members, 8 connections", true},
	{"broker CPU µs/heartbeat", false},
}

// TestBench is not a test but the program behind `make bench-groups`. It fails
// only if a broker fails. With OTTLA_INTEROP_TARGET=kafka it compares Kafka
// with itself, which shows the noise of the ratios on this machine.
func TestBench(t *testing.T) {
	if os.Getenv("OTTLA_BENCH") != "groups" {
		t.Skip("OTTLA_BENCH=groups runs it")
	}
	ours := target.Default()
	sides := []*side{newSide(t, ours, string(ours)), newSide(t, target.Kafka, "kafka")}
	if ours == target.Ottla { // the same durability as Kafka
		sides = append(sides, newSide(t, ours, "page-cache", "ottla.durability=page-cache"))
	}
	for round := range rounds + 1 { // the first round is the warm-up
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			for name, v := range s.round(t) {
				if round > 0 {
					s.values[name] = append(s.values[name], v)
				}
			}
		}
	}
	kafka := sides[1]
	for _, s := range slices.Delete(sides, 1, 2) {
		fmt.Print(table(s, kafka))
	}
}

func newSide(t *testing.T, kind target.Kind, name string, set ...string) *side {
	t.Helper()
	s := &side{name: name, values: map[string][]float64{}, broker: target.Start(t, target.Options{Kind: kind, Set: append(set,
		"group.initial.rebalance.delay.ms=300", "offsets.topic.num.partitions=8", "offsets.topic.replication.factor=1",
		"group.max.session.timeout.ms=300000", "max.connections=20000",
	)})}
	if err := clients.NewFranz(s.broker.Addr).Create(t.Context(), "bench", 1000, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range s.conns {
			c.Close()
		}
	})
	return s
}

// settle forms the groups: 101 groups of a hundred members each, ten at a time.
func (s *side) settle() error {
	if err := awaitCoordinator(s.broker.Addr); err != nil {
		return err
	}
	var err error
	if s.conns, err = dialAll(s.broker.Addr, 1000); err != nil {
		return err
	}
	var groups [][]*seat
	for g := range 101 {
		var members []*seat
		for i := range 100 {
			members = append(members, &seat{conn: s.conns[g%10*100+i], group: "bench-" + strconv.Itoa(g)})
		}
		groups = append(groups, members)
	}
	for ten := range slices.Chunk(groups, 10) {
		if err := each(ten, func(members []*seat) error { return rebalance(members, 1000) }); err != nil {
			return err
		}
	}
	s.group = groups[100]
	s.crews = make([]*crew, pace)
	for i := range s.crews {
		s.crews[i] = &crew{}
		for g := i; g < 100; g += pace {
			for _, m := range groups[g] {
				m.conn = s.conns[i]
				s.crews[i].seats = append(s.crews[i].seats, m)
			}
		}
	}
	return nil
}

// round measures all loads once.
func (s *side) round(t *testing.T) map[string]float64 {
	t.Helper()
	var n int64
	must := func(err error) {
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	out := map[string]float64{}
	rate := func(up, cpu string, load func() (int64, error)) {
		began, used := time.Now(), cpuTime(t, s.broker.PID())
		var err error
		n, err = load()
		must(err)
		out[up] = float64(n) / time.Since(began).Seconds()
		out[cpu] = float64((cpuTime(t, s.broker.PID()) - used).Microseconds()) / float64(n)
	}
	workers := make([]int, committer)
	for i := range workers {
		workers[i] = i
	}
	rate(measures[0].name, measures[1].name, func() (int64, error) {
		return during(slice, workers, func(i int) error {
			return commit(s.conns[100+i], "committer-"+strconv.Itoa(i), 1)
		})
	})
	began := time.Now()
	must(rebalance(s.group, 1000))
	out[measures[2].name] = float64(time.Since(began).Microseconds()) / 1000
	rate(measures[3].name, measures[4].name, func() (int64, error) {
		return during(slice, s.crews, func(c *crew) error { return c.heartbeat() })
	})
	return out
}

// table prints the medians, and the median of the ratios of the rounds.
func table(ours, theirs *side) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-48s %12s %12s %8s\n", "median of "+strconv.Itoa(rounds)+" rounds", ours.name, theirs.name, "better")
	for _, m := range measures {
		var ratios []float64
		for i := range ours.values[m.name] {
			r := ours.values[m.name][i] / theirs.values[m.name][i]
			if !m.up {
				r = 1 / r
			}
			ratios = append(ratios, r)
		}
		fmt.Fprintf(&b, "%-48s %12.1f %12.1f %7.2f×\n", m.name, median(ours.values[m.name]), median(theirs.values[m.name]), median(ratios))
	}
	return b.String()
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[len(sorted)/2]
}

// cpuTime is the CPU time of a process in user and kernel mode (proc(5): fields
// 14 and 15 of stat, in hundredths of a second on Linux).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
