package storage

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// manySegments is a log of n segments of one batch each, from so many producers.
func manySegments(t *testing.T, n, producers int) *oneLog {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1<<20, 1 })
	for i := range producers {
		if _, err := o.from(int64(i), 0, 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	c := o.Config()
	c.SegmentBytes = 100
	o.UpdateConfig(c)
	for range n {
		o.write(1, record.BuilderOptions{})
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	return o
}

// TestOpenIsLinear: four times the segments take about four times the I/Os to
// open after a kill, and each byte is read once.
func TestOpenIsLinear(t *testing.T) {
	cost := func(n int) (ios int, read int64) {
		o := manySegments(t, n, 1)
		o.down(false)
		before := o.fs.Count(vfs.OpAny)
		o.o.FS = &countingFS{FS: o.fs, read: &read}
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		ios = o.fs.Count(vfs.OpAny) - before
		if size := o.Size(); read > 3*size {
			t.Errorf("%d bytes were read of %d", read, size)
		}
		if len(o.bases()) < n {
			t.Fatal(len(o.bases()))
		}
		o.down(false)
		return ios, read
	}
	few, fewBytes := cost(200)
	many, manyBytes := cost(800)
	if many > 5*few || manyBytes > 5*fewBytes {
		t.Errorf("200 segments take %d I/Os and %d bytes, 800 take %d and %d", few, fewBytes, many, manyBytes)
	}
}

// TestSnapshotsAreSmall: producer snapshots never take more than the log, however
// many producers and however small segments it has. Retention and a recovery go
// on without one for each segment, and no producer is forgotten.
func TestSnapshotsAreSmall(t *testing.T) {
	const producers = 500
	o := manySegments(t, 300, producers)
	snapshots := func() (bytes int64) {
		for _, name := range names(t, o.mem, folderPath) {
			if strings.HasSuffix(name, snapshotSuffix) {
				bytes += must(o.mem.Stat(filepath.Join(folderPath, name)))(t).Size()
			}
		}
		return bytes
	}
	if got := snapshots(); got > o.Size() {
		t.Errorf("%d bytes of snapshots for a log of %d", got, o.Size())
	}
	// Retention waits until what the first segments say of producers is in a
	// snapshot below the recovery point.
	o.SetHighWatermark(o.EndOffset())
	if err := o.IncrementStartOffset(o.EndOffset()); err != nil {
		t.Fatal(err)
	}
	for round := 0; o.bases()[0] == 0; round++ {
		if round > 3 {
			t.Fatal("nothing is removed")
		}
		if _, err := o.m.CheckRetention(); err != nil {
			t.Fatal(err)
		}
		o.write(1, record.BuilderOptions{})
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := o.m.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	for _, clean := range []bool{false, true} {
		o.down(clean)
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if got := len(o.Producers()); got != producers {
			t.Fatalf("clean %t: %d producers are left", clean, got)
		}
	}
	o.close()
}

// TestProducerIDsAreBounded: beyond ottla.producer.ids.max the log that knows most
// forgets those that wrote longest ago, without an open transaction; the others
// forget none.
func TestProducerIDsAreBounded(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Producers.IDsMax = 100 })
	quiet := must(o.m.Create(TopicPartition{Topic: "quiet"}, o.o.Default, [16]byte{}))(t)
	for id := range int64(20) {
		if _, err := quiet.AppendAsLeader(batch(t, 1, record.BuilderOptions{Producer: &record.ProducerInfo{ID: id}}, "v"), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	o.write(1, record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 1}})
	for id := range int64(1000) {
		if _, err := o.from(1000+id, 0, 0, 1); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		states := o.Producers()
		if len(states) > 80+7 || len(states) < 70 || states[0].ProducerID != 1 || states[len(states)-1].ProducerID != 1999 {
			t.Fatalf("%d producers, from %d", len(states), states[0].ProducerID)
		}
		if !slices.IsSortedFunc(states, func(a, b ProducerState) int { return int(a.ProducerID - b.ProducerID) }) || states[1].ProducerID < 1900 {
			t.Fatal("the oldest one is", states[1].ProducerID)
		}
		if n := len(quiet.Producers()); n != 20 {
			t.Fatal("the other log knows", n)
		}
		if got, want := o.m.env.limit.known.Load(), int64(len(states)+20); got != want {
			t.Fatalf("counted are %d, known %d", got, want)
		}
	}
	check()
	for _, clean := range []bool{true, false} {
		if err := o.Flush(); err != nil {
			t.Fatal(err)
		}
		o.down(clean)
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		quiet = o.m.Log("quiet", 0)
		if clean {
			check()
		} else if got := o.m.env.limit.known.Load(); got > 107 {
			t.Fatal("after a kill:", got)
		}
	}
	o.close()
}
