package crash

import (
	"context"
	"os"
	"testing"
	"time"

	"ottla/interop"
	"ottla/interop/clients"
	"ottla/interop/target"
)

func TestMain(m *testing.M) { os.Exit(target.Main(m)) }

// patience is the limit of every wait for the broker.
const patience = 2 * time.Minute

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// TestKill kills the broker with SIGKILL several times while idempotent
// producers write with acks=all, and restarts it. The producers see only a
// pause. In the end every acknowledged record exists once, at its offset and in
// order.
func TestKill(t *testing.T) {
	broker := target.Start(t, target.Options{})
	const partitions = 3
	if err := clients.NewFranz(broker.Addr).Create(patient(t), "kill", partitions, nil); err != nil {
		t.Fatal(err)
	}
	cycles, step := int64(3), int64(2000)
	if target.Long() {
		cycles, step = 10, 10_000
	}
	l, err := startLoad(t.Context(), loadOptions{addr: broker.Addr, topic: "kill", partitions: partitions, idempotent: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	for cycle := range cycles {
		if err := l.await(patient(t), step*(cycle+1)); err != nil {
			t.Fatal(err)
		}
		broker.Kill()
		if err := broker.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.await(patient(t), l.acks.Load()+step); err != nil {
		t.Fatal(err)
	}
	if err := l.finish(patient(t)); err != nil {
		t.Fatal(err)
	}
	report(t, broker.Addr, "kill", l.acked)
	if err := broker.Stop(); err != nil {
		t.Errorf("stopping after all: %v", err)
	}
	t.Run("Kafka reads what recovery left", func(t *testing.T) {
		interop.CheckFiles(t, broker.Dir)
		interop.CheckIndexes(t, broker.Dir)
	})
}

// report reads a topic and reports every fault of its history as a test error.
func report(t *testing.T, addr, topic string, acked map[position]string) {
	t.Helper()
	records, err := readAll(patient(t), addr, topic)
	if err != nil {
		t.Fatal(err)
	}
	const enough = 10
	faults := judge(records, acked)
	for _, fault := range faults[:min(len(faults), enough)] {
		t.Error(fault)
	}
	t.Logf("%d records, %d acknowledged, %d faults", len(records), len(acked), len(faults))
}
