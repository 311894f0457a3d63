// Package ottlatest runs a real Kafka broker inside a test. It is not a fake,
// but the node that `ottla serve` runs, started in milliseconds on a free port.
//
//	func TestOrders(t *testing.T) {
//		node := ottlatest.Start(t)
//		client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()))
//		…
//	}
package ottlatest

import (
	"context"
	"log/slog"
	"maps"
	"testing"

	"ottla"
)

// Option configures the node of a test.
type Option func(*ottla.Config)

// With sets keys of server.properties, such as "num.partitions".
func With(properties map[string]string) Option {
	return func(c *ottla.Config) {
		if c.Properties == nil {
			c.Properties = map[string]string{}
		}
		maps.Copy(c.Properties, properties)
	}
}

// InDir keeps the data in dir, so that a second node can find it.
func InDir(dir string) Option { return func(c *ottla.Config) { c.Dir = dir } }

// Start runs a node until the test ends. By default the node flushes only to
// the page cache, because a test need not survive a power loss.
// With(ottla.durability: fsync) changes that. The node logs to the test's log.
func Start(t testing.TB, options ...Option) *ottla.Node {
	t.Helper()
	c := ottla.Config{
		Dir:        t.TempDir(),
		Properties: map[string]string{"ottla.durability": "page-cache"},
		Log:        slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, o := range options {
		o(&c)
	}
	node, err := ottla.Start(context.Background(), c)
	if err != nil {
		t.Fatalf("starting a node: %v", err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Errorf("closing the node: %v", err)
		}
	})
	return node
}
