package controller

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/raft"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// node is a controller on a quorum of one, with its log in fs.
func node(t *testing.T, fs vfs.FS) (*Controller, *raft.Node) {
	t.Helper()
	c, _ := newController(t)
	active := make(chan struct{})
	begin := time.Now()
	n, err := raft.Open(raft.Options{
		FS: fs, Dir: "/data", NodeID: 1, DirectoryID: uuid(0xd, 1), Now: time.Now, Elapsed: func() time.Duration { return time.Since(begin) }, Log: slog.New(slog.DiscardHandler), Codecs: record.NewCodecs(),
		Endpoints: []metadata.VoterEndpoint{{Name: "CONTROLLER", Host: "localhost", Port: 9093}}, SnapshotSource: c.Records, LeaderChanged: c.LeaderChanged,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Attach(n)
	err = n.Start(func(b raft.Committed) error {
		err := c.Apply(b)
		// Earlier epochs of this node are replayed first.
		c.mu.Lock()
		defer c.mu.Unlock()
		if b.LeaderChange != nil && c.role.active {
			close(active)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	<-active
	return c, n
}

// TestOnRaft runs the controller on the real quorum: what was answered is there
// after a restart, and after a power loss.
func TestOnRaft(t *testing.T) {
	fs := vfs.NewMem()
	if err := errors.Join(fs.MkdirAll("/data", 0o755), fs.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	c, n := node(t, fs)
	first := start(t, c, 1)
	id := create(t, c, "before", 3, "retention.ms", "77").ID
	want := c.Image()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	c.Close()

	c, n = node(t, fs.CrashClone(vfs.CrashOptions{Seed: 1}))
	defer n.Close()
	topic := c.Image().TopicByName("before")
	if topic == nil || topic.ID != id || topic.NumPartitions() != 3 || c.Image().Configs(metadata.ResourceTopic, "before")["retention.ms"] != "77" {
		t.Fatalf("after the restart: %+v", topic)
	}
	if d := metadata.Diff(want, c.Image()); !d.Empty() {
		t.Errorf("after the restart: %+v", d)
	}
	again := c.RegisterBroker(context.Background(), registration(1, 2))
	if again.ErrorCode != 0 || again.BrokerEpoch <= first {
		t.Fatalf("%+v, epoch %d before", again, first)
	}
	create2 := c.CreateTopics(context.Background(), createRequest("fenced"))
	if create2.Topics[0].ErrorCode == 0 {
		t.Error("a topic on a fenced broker")
	}
}
