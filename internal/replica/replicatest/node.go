// Package replicatest runs the logs and replicas of one node on a file system
// in memory, for the tests of higher packages. Appended records are flushed and
// counted as in a node.
//
// Start reading at Start.
package replicatest

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/metadata"
	"ottla/internal/record"
	"ottla/internal/replica"
	"ottla/internal/storage"
	"ottla/internal/vfs"
)

// Node is the part of a node below its APIs, and its metadata.
type Node struct {
	Config   *config.Broker
	Replicas *replica.Manager
	// Image is the committed metadata.
	Image *metadata.Image
	// Faults is between the logs and the file system.
	Faults *vfs.Fault

	t testing.TB
}

// Start starts a node that ends with the test, or with the synctest bubble. set
// are KEY=VALUE of server.properties.
func Start(t testing.TB, set ...string) *Node {
	t.Helper()
	cfg, err := config.Load(config.Sources{Set: append([]string{"log.dirs=/data"}, set...)})
	if err != nil {
		t.Fatal(err)
	}
	defaults, err := cfg.Topic(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Config: cfg, Image: metadata.Empty(), Faults: vfs.NewFault(vfs.NewMem()), t: t}
	log := slog.New(slog.NewTextHandler(new(bytes.Buffer), nil))
	store, err := storage.OpenManager(context.Background(), storage.Options{
		FS: n.Faults, Dirs: cfg.LogDirs, Now: time.Now, Log: log, Codecs: record.NewCodecs(), Seed: 1, NodeID: cfg.NodeID, ClusterID: "c",
		Durability: cfg.Ottla.Durability, Default: defaults, Logs: cfg.Logs, Producers: cfg.Producers,
		OnDirFailure: func(f storage.DirFailure) { n.Replicas.DirFailed(f) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Replicas = replica.NewManager(replica.Options{
		NodeID: cfg.NodeID, Storage: store, Durability: cfg.Ottla.Durability, TopicConfig: cfg.Topic, Log: log,
	})
	t.Cleanup(func() {
		n.Replicas.Close()
		_ = store.Close(-1) // a test may have taken its log dir offline
	})
	return n
}

// Commit commits metadata and applies it to the replicas.
func (n *Node) Commit(records ...metadata.Message) *metadata.Delta {
	n.t.Helper()
	image, delta, err := n.Image.Apply(records, n.Image.Offset+int64(len(records)), 1)
	if err != nil {
		n.t.Fatal(err)
	}
	n.Image = image
	if err := n.Replicas.Apply(image, delta); err != nil {
		n.t.Fatal(err)
	}
	return delta
}

// Topic returns the records of a topic whose partitions this node leads.
func (n *Node) Topic(name string, id metadata.UUID, partitions int32) []metadata.Message {
	records := []metadata.Message{&metadata.TopicRecord{Name: name, TopicID: id}}
	for p := range partitions {
		records = append(records, n.Partition(id, p, 0))
	}
	return records
}

// Partition returns the record of a partition that this node leads in an epoch.
func (n *Node) Partition(topic metadata.UUID, partition, epoch int32) *metadata.PartitionRecord {
	r := metadata.NewPartitionRecord()
	r.TopicID, r.PartitionID, r.Replicas, r.ISR = topic, partition, []int32{n.Config.NodeID}, []int32{n.Config.NodeID}
	r.Leader, r.LeaderEpoch, r.PartitionEpoch, r.Directories = n.Config.NodeID, epoch, epoch, make([]metadata.UUID, 1)
	return r
}
