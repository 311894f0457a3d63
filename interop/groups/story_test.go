package groups

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/clients"
	"ottla/interop/target"
)

func TestMain(m *testing.M) {
	if Work() {
		return
	}
	os.Exit(target.Main(m))
}

// stepLimit is the limit for one step of a story. It allows for a machine under
// load; the duration of a step is not checked.
const stepLimit = 90 * time.Second

// settings make groups fast. A killed member is removed after its session
// timeout.
var settings = []string{
	"offsets.topic.num.partitions=4", "offsets.topic.replication.factor=1",
	"group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=1000",
	"group.consumer.min.session.timeout.ms=1000", fmt.Sprintf("group.consumer.session.timeout.ms=%d", sessionMillis),
	"group.consumer.min.heartbeat.interval.ms=100", fmt.Sprintf("group.consumer.heartbeat.interval.ms=%d", heartbeatMillis),
	"group.consumer.assignment.interval.ms=0",
}

// TestClients tests each client: three members share six partitions while
// records are produced. One member is killed, one is added, the broker is
// killed and restarted, one member leaves. (Long form: the broker is also
// stopped and started.)
func TestClients(t *testing.T) {
	for _, k := range Kinds() {
		if k.Slow != "" && !target.Long() {
			continue
		}
		t.Run(strings.ReplaceAll(k.Name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			c := k.Command(t)
			tell(t, []Kind{k, k, k, k}, []clients.Command{c, c, c, c})
		})
	}
}

// TestMixedGroup puts clients of four languages into one classic group. All
// support the range assignor.
func TestMixedGroup(t *testing.T) {
	var kinds []Kind
	var commands []clients.Command
	for _, name := range []string{"kafka-python", "sarama", "kafkajs", "java eager"} {
		for _, k := range Kinds() {
			if k.Name == name {
				kinds, commands = append(kinds, k), append(commands, k.Command(t))
			}
		}
	}
	t.Parallel()
	tell(t, kinds, commands)
}

// story is one group and its broker.
type story struct {
	t       *testing.T
	broker  *target.Broker
	history *History
	topic   string
	load    *load
	spawn   func(i int) *Worker
}

// tell runs the story: members 0 to 2 from the beginning, member 3 later.
func tell(t *testing.T, kinds []Kind, commands []clients.Command) {
	s := &story{t: t, broker: target.Start(t, target.Options{Set: settings}), history: NewHistory(), topic: "rivers-0"}
	s.spawn = func(i int) *Worker {
		name := string(rune('a' + i))
		return StartWorker(t, s.history, name, commands[i], s.broker.Addr, kinds[i].member("readers", s.topic, name))
	}
	if err := clients.NewFranz(s.broker.Addr).Create(t.Context(), s.topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	s.load = startLoad(t, s.broker.Addr, s.topic)
	a, b, c := s.spawn(0), s.spawn(1), s.spawn(2)
	s.await("a, b and c share the partitions", stable(partitions, "a", "b", "c"))
	s.progress("after the start")
	a.Kill()
	s.await("b and c share the partitions of a, which was killed", stable(partitions, "b", "c"))
	s.progress("after a kill")
	d := s.spawn(3)
	s.await("d has its share", stable(partitions, "b", "c", "d"))
	s.progress("after a join")
	s.restart()
	s.await("b, c and d share the partitions after the restart", stable(partitions, "b", "c", "d"))
	s.stop(c)
	s.await("b and d share the partitions of c, which has left", stable(partitions, "b", "d"))
	s.progress("after a leave")
	ends := s.load.finish(t)
	s.await("all is read", read(ends))
	s.stop(b)
	s.stop(d)
	for _, wrong := range s.history.Check(ends) {
		t.Error(wrong)
	}
	s.checkCommitted(ends)
}

func (s *story) await(what string, done func([]event) bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), stepLimit)
	defer cancel()
	began := time.Now()
	if err := s.history.Await(ctx, what, done); err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%5.1f s until %s", time.Since(began).Seconds(), what)
}

// progress waits until in each partition a record was read that was written
// after the call.
func (s *story) progress(when string) {
	s.t.Helper()
	ends := s.load.acked()
	s.await("each partition goes on "+when, func(events []event) bool {
		beyond := map[string]bool{}
		for _, e := range events {
			if e.kind == "record" && e.offset >= ends[e.at[0]] {
				beyond[e.at[0]] = true
			}
		}
		return len(beyond) == partitions
	})
}

func (s *story) restart() {
	s.t.Helper()
	s.broker.Kill()
	if err := s.broker.Up(); err != nil {
		s.t.Fatal(err)
	}
	s.progress("after the broker was killed")
	if !target.Long() {
		return
	}
	if err := s.broker.Stop(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.broker.Up(); err != nil {
		s.t.Fatal(err)
	}
	s.progress("after the broker was stopped")
}

func (s *story) stop(w *Worker) {
	s.t.Helper()
	if err := w.Stop(); err != nil {
		s.t.Error(err)
	}
}

// checkCommitted: at the end the group has committed the end of every
// partition.
func (s *story) checkCommitted(ends map[string]int64) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.broker.Addr))
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	committed, err := kadm.NewClient(cl).FetchOffsets(s.t.Context(), "readers")
	if err != nil {
		s.t.Fatal(err)
	}
	for p, end := range ends {
		topic, number, _ := strings.Cut(p, "/")
		n, err := strconv.ParseInt(number, 10, 32)
		if err != nil {
			s.t.Fatal(err)
		}
		if o, _ := committed.Lookup(topic, int32(n)); o.At != end || o.Err != nil {
			s.t.Errorf("%s: committed %d, %v; the end is %d", p, o.At, o.Err, end)
		}
	}
}
