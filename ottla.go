// Package ottla runs a node of Ottla, which is Apache Kafka as one Go program,
// inside another program.
//
//	node, err := ottla.Start(ctx, ottla.Config{})
//	…
//	defer node.Close()
//	client, err := kgo.NewClient(kgo.SeedBrokers(node.Addr()))
//
// The node is the same as that of `ottla serve`: Kafka's protocol on a TCP
// port, Kafka's files in a folder. Package ottlatest starts a node for a test.
// ARCHITECTURE.md describes the design.
package ottla

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"

	"ottla/internal/broker"
	"ottla/internal/config"
)

// Config configures a node. The zero Config is a working single node on a free
// port of 127.0.0.1 with its data in a temporary folder.
type Config struct {
	// Dir is the folder of the node's data. It is created if missing. Empty
	// means a new temporary folder that Close removes.
	Dir string
	// Properties are keys of server.properties with Kafka's names, such as
	// "num.partitions". Ottla's own keys begin with "ottla.". They override the
	// defaults. docs/configuration.md lists all keys. ottla.memory.max bounds
	// only the memory that requests hold; Start does not change the memory
	// limit of the process.
	Properties map[string]string
	// Listen and Dial, when set, replace the network.
	Listen func(network, addr string) (net.Listener, error)
	Dial   func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log receives the messages for the operator. Nil discards them.
	Log *slog.Logger
}

// Node is a running node.
type Node struct {
	node *broker.Node
	temp string // removed by Close
}

// Start runs a node and returns when clients can use it. ctx applies only to
// the start: the node runs until Close.
func Start(ctx context.Context, c Config) (*Node, error) {
	n := &Node{}
	if c.Dir == "" {
		dir, err := os.MkdirTemp("", "ottla-")
		if err != nil {
			return nil, err
		}
		c.Dir, n.temp = dir, dir
	}
	var err error
	if n.node, err = start(ctx, c); err != nil {
		return nil, errors.Join(err, n.removeTemp())
	}
	return n, nil
}

func start(ctx context.Context, c Config) (*broker.Node, error) {
	flags := map[string]string{"log.dirs": c.Dir, "listeners": "PLAINTEXT://127.0.0.1:0", "ottla.http.listener": "none"}
	maps.Copy(flags, c.Properties)
	cfg, err := config.Load(config.Sources{Flags: flags})
	if err != nil {
		return nil, err
	}
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	env := broker.OS(log)
	if c.Listen != nil {
		env.Listen = c.Listen
	}
	if c.Dial != nil {
		env.Dial = c.Dial
	}
	return broker.Start(ctx, cfg, env)
}

// Addr is the host:port that clients bootstrap from: the first advertised
// listener.
func (n *Node) Addr() string { return n.node.Addr() }

// ClusterID is the id of the cluster, in Kafka's format.
func (n *Node) ClusterID() string { return n.node.ClusterID() }

// Wait returns when the node has ended: nil after Close, otherwise the reason.
func (n *Node) Wait() error { return n.node.Wait() }

// Close shuts the node down. Clients get the outstanding responses, logs are
// flushed, and the next start needs no recovery scan. Closing twice is allowed.
func (n *Node) Close() error { return errors.Join(n.node.Close(), n.removeTemp()) }

func (n *Node) removeTemp() error {
	if n.temp == "" {
		return nil
	}
	return os.RemoveAll(n.temp)
}
