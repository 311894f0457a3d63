package interop

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/interop/target"
)

// writeGolden is the folder for small data folders of Kafka, for the tests of
// internal/broker: go test -run TestGoldenOfKafka -golden
// ../internal/broker/testdata/kafka
var writeGolden = flag.String("golden", "", "write small data folders of Kafka into a `folder`")

// goldenValues are the values in each partition of topic orders.
var goldenValues = [][]string{{"a0", "a1", "a2", "a3"}, {"b0", "b1"}}

// TestGoldenOfKafka checks the golden folders of internal/broker with the
// installed Kafka: Kafka opens each of them and serves its records. With
// -golden the test writes the folders first.
func TestGoldenOfKafka(t *testing.T) {
	target.Jars(t)
	root, err := target.ModuleRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []inPlace{
		{name: "stopped", format: []string{"--standalone"}, set: guarded, stop: (*target.Broker).Stop},
		{name: "killed", format: []string{"--release-version", "3.3-IV3"}, stop: func(b *target.Broker) error { b.Kill(); return nil }},
	} {
		if *writeGolden != "" {
			g.writeGolden(t, filepath.Join(*writeGolden, g.name))
		}
		if !target.Long() && *writeGolden == "" {
			continue
		}
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "internal/broker/testdata/kafka", g.name))); err != nil {
			t.Fatal(err)
		}
		kafka := target.Start(t, target.Options{Kind: target.Kafka, Dir: dir, Format: g.format, Set: append(loneTransactions, g.set...)})
		for p, values := range goldenValues {
			if got := Look(t, kafka.Addr, "orders", int32(p)).Records; len(got) != len(values) {
				t.Errorf("%s: orders-%d holds %v, want %q", g.name, p, got, values)
			}
		}
		kafka.Kill()
	}
}

func (f inPlace) writeGolden(t *testing.T, to string) {
	t.Helper()
	dir := t.TempDir()
	kafka := target.Start(t, target.Options{Kind: target.Kafka, Dir: dir, Format: f.format, Set: append(loneTransactions, f.set...)})
	withAdmin(t, kafka.Addr, func(ctx context.Context, admin *kadm.Client) error {
		forever := "-1"
		_, err1 := admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": &forever}, "orders")
		_, err2 := admin.CreateTopics(ctx, 1, 1, nil, "payments", "gone")
		return errors.Join(err1, err2)
	})
	cl, err := kgo.NewClient(kgo.SeedBrokers(kafka.Addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	records := []*kgo.Record{{Topic: "gone", Value: []byte("gone")}}
	for p, values := range goldenValues {
		for _, v := range values {
			records = append(records, &kgo.Record{Topic: "orders", Partition: int32(p), Key: []byte("k"), Value: []byte(v)})
		}
	}
	for _, r := range records {
		if err := cl.ProduceSync(callContext(t), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	goldenTransactions(t, kafka)
	commit(t, kafka, "orders")
	withAdmin(t, kafka.Addr, func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopics(ctx, "gone")
		return err
	})
	if f.guarded() {
		guard(t, kafka, "orders")
	}
	if err := f.stop(kafka); err != nil {
		t.Fatal(err)
	}
	copyGolden(t, dir, to)
}

// goldenTransactions writes one committed, one aborted and one open
// transaction.
func goldenTransactions(t *testing.T, b *target.Broker) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr), kgo.TransactionalID("golden"), kgo.DefaultProduceTopic("payments"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, value := range []string{"committed", "aborted", "open"} {
		err := errors.Join(cl.BeginTransaction(), cl.ProduceSync(callContext(t), &kgo.Record{Value: []byte(value)}).FirstErr())
		if value != "open" {
			err = errors.Join(err, cl.EndTransaction(callContext(t), kgo.TransactionEndTry(value == "committed")))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// copyGolden copies a folder without space that is allocated but unused.
func copyGolden(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == ".lock" {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if entry := map[string]int{".index": 8, ".timeindex": 12}[filepath.Ext(name)]; entry > 0 {
			content = bytes.TrimRight(content, "\x00")
			content = append(content, make([]byte, (entry-len(content)%entry)%entry)...)
		}
		relative, err := filepath.Rel(from, name)
		place := filepath.Join(to, relative)
		return errors.Join(err, os.MkdirAll(filepath.Dir(place), 0o755), os.WriteFile(place, content, 0o644))
	})
	if err != nil {
		t.Fatal(err)
	}
}
