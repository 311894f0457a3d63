package cli

import (
	"testing"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/ottlatest"
)

// TestCheckTails asks a real leader: a partition is given up only when no
// record stands before its bound.
func TestCheckTails(t *testing.T) {
	node := ottlatest.Start(t)
	app := New(Streams{Env: []string{BootstrapEnv + "=" + node.Addr()}})
	client, err := app.linkFlags(pflag.NewFlagSet("", pflag.ContinueOnError)).connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topic, err := admin.CreateTopic(t.Context(), 1, 1, nil, "t")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		next, until int64
		givenUp     bool
	}{{3, 3, true}, {2, 3, false}, {0, 3, false}, {3, 4, false}, {3, -1, false}} {
		p := partition{"t", 0}
		r := &reading{app: app, client: client, stop: func(partition) {}, left: map[partition]*partitionPlan{
			p: {topicID: topic.ID, next: c.next, until: c.until},
		}}
		if err := r.checkTails(t.Context()); err != nil {
			t.Fatal(err)
		}
		if (r.left[p] == nil) != c.givenUp {
			t.Errorf("from %d until %d: given up %v", c.next, c.until, r.left[p] == nil)
		}
	}
}
