package storage

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// testConfig is a topic with small segments and an index entry for almost
// every batch.
func testConfig() config.Topic {
	return config.Topic{
		SegmentBytes: 1 << 20, SegmentAge: 7 * 24 * time.Hour, SegmentIndexBytes: 64 << 10, IndexIntervalBytes: 256,
		RetentionBytes: -1, RetentionMs: -1, Delete: true, MaxMessageBytes: 1 << 20,
		FlushMessages: 1 << 62, FlushMs: 1 << 62,
		TimestampBeforeMaxMs: 1 << 62, TimestampAfterMaxMs: 1 << 62,
		Compression: config.Compression{Codec: config.Producer},
	}
}

// clock is a wall clock that a test moves.
type clock struct{ ms int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.ms) }

const startMs = 1_700_000_000_000

func testOptions(fsys vfs.FS) Options {
	c := &clock{startMs}
	return Options{
		FS: fsys, Dirs: []string{"/data"}, Now: c.now, Log: slog.New(slog.DiscardHandler), Codecs: record.NewCodecs(),
		NodeID: 1, ClusterID: "cluster", Default: testConfig(), manual: true,
	}
}

func openManager(t testing.TB, o Options) *Manager {
	t.Helper()
	m, err := OpenManager(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// batch makes a batch of n records.
func batch(t testing.TB, n int, o record.BuilderOptions, value string) []byte {
	t.Helper()
	b := record.NewBuilder(o)
	for i := range n {
		b.Append(startMs+int64(i), []byte("k"), []byte(value))
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
