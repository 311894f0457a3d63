package ottla_test

import (
	"context"
	"fmt"
	"log"

	"github.com/twmb/franz-go/pkg/kgo"

	"ottla"
)

// This example runs a node on a temporary folder, and a client that writes to
// it and reads back.
func ExampleStart() {
	ctx := context.Background()
	node, err := ottla.Start(ctx, ottla.Config{Properties: map[string]string{"num.partitions": "1"}})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()

	client, err := kgo.NewClient(
		kgo.SeedBrokers(node.Addr()),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("greetings"),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	record := &kgo.Record{Topic: "greetings", Value: []byte("hello")}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		log.Fatal(err)
	}
	for _, r := range client.PollFetches(ctx).Records() {
		fmt.Printf("%s[%d]@%d: %s\n", r.Topic, r.Partition, r.Offset, r.Value)
	}
	// Output: greetings[0]@0: hello
}
