package ottlatest_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/ottlatest"
)

// TestOrders is an example of a test with a broker.
func TestOrders(t *testing.T) {
	node := ottlatest.Start(t, ottlatest.With(map[string]string{"num.partitions": "3"}))
	client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("one")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(topics["orders"].Partitions); n != 3 {
		t.Errorf("the topic has %d partitions, want 3", n)
	}
}

// TestInDir shows that a second node finds the data of the first.
func TestInDir(t *testing.T) {
	dir := t.TempDir()
	t.Run("write", func(t *testing.T) {
		node := ottlatest.Start(t, ottlatest.InDir(dir))
		produce(t, node.Addr(), "kept")
	})
	t.Run("read", func(t *testing.T) {
		node := ottlatest.Start(t, ottlatest.InDir(dir))
		client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()), kgo.ConsumeTopics("t"))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		records := client.PollFetches(t.Context()).Records()
		if len(records) != 1 || string(records[0].Value) != "kept" {
			t.Errorf("read %d records, want the one that was written", len(records))
		}
	})
}

func produce(t *testing.T, addr, value string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(context.Background(), &kgo.Record{Topic: "t", Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}
