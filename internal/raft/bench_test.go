package raft

import (
	"testing"
	"time"

	"ottla/internal/metadata"
	"ottla/internal/vfs"
)

// benchNode is a single voter on the machine's disk.
func benchNode(b *testing.B, dir string) (*Node, int32) {
	o := testOptions(vfs.OS{})
	o.Dir, o.Now, o.Tick = dir, time.Now, defaultTick
	owner := newOwner()
	n, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	if err := n.Start(owner.apply); err != nil {
		b.Fatal(err)
	}
	return n, untilLeads(n, owner)
}

// BenchmarkFirstStart measures the time from an empty folder to a leader.
func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		n, _ := benchNode(b, b.TempDir())
		if err := n.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPropose measures sequential proposals until their commit, mostly the
// fsync.
func BenchmarkPropose(b *testing.B) {
	n, term := benchNode(b, b.TempDir())
	for b.Loop() {
		if _, done := n.Propose(term, metadata.CurrentLevel, topics("topic")); <-done != nil {
			b.Fatal("not committed")
		}
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkProposeTogether measures the cost per proposal of many concurrent
// ones.
func BenchmarkProposeTogether(b *testing.B) {
	n, term := benchNode(b, b.TempDir())
	var waiting []<-chan error
	wait := func() {
		for _, done := range waiting {
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		waiting = waiting[:0]
	}
	for b.Loop() {
		_, done := n.Propose(term, metadata.CurrentLevel, topics("topic"))
		if waiting = append(waiting, done); len(waiting) == 1000 {
			wait()
		}
	}
	wait()
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
}
