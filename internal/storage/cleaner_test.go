package storage

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// compactConfig is a compacted topic whose every batch may be alone in its
// segment, and where one dirty byte is enough for a pass.
func compactConfig() config.Topic {
	c := testConfig()
	c.Delete, c.Compact, c.DeleteRetentionMs = false, true, 1000
	c.MaxCompactionLagMs = 1 << 62
	return c
}

// cleanTest is a compacted partition.
type cleanTest struct {
	*oneLog
	clock *clock
}

func newCleanTest(t testing.TB, set func(*Options)) *cleanTest {
	c := &cleanTest{clock: &clock{startMs}}
	c.oneLog = newLogTest(t, func(o *Options) {
		o.Default, o.Now = compactConfig(), c.clock.now
		if set != nil {
			set(o)
		}
	})
	return c
}

// kv is a record to append: a key, and a value unless it is a tombstone.
func kv(key, value string) [2][]byte {
	r := [2][]byte{[]byte(key), []byte(value)}
	if value == "" {
		r[1] = nil
	}
	return r
}

// put appends one batch of records with ascending timestamps.
func (c *cleanTest) put(o record.BuilderOptions, records ...[2][]byte) {
	c.t.Helper()
	o.Codecs = c.o.Codecs
	b := record.NewBuilder(o)
	for i, r := range records {
		b.Append(c.clock.ms+int64(i), r[0], r[1], record.Header{Key: []byte("h"), Value: []byte("v")})
	}
	out, err := b.Build()
	if err != nil {
		c.t.Fatal(err)
	}
	c.appendBatch(out, record.Client)
}

func (c *cleanTest) appendBatch(b record.Batch, origin record.Origin) {
	c.t.Helper()
	if _, err := c.AppendAsLeader(bytes.Clone(b), AppendOptions{Origin: origin}); err != nil {
		c.t.Fatal(err)
	}
}

// end appends the end of a producer's transaction.
func (c *cleanTest) end(id int64, epoch int16, commit bool) {
	c.t.Helper()
	b, err := record.EndTxnBatch(record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, Epoch: epoch, BaseSequence: record.NoSequence}},
		c.clock.ms, record.EndTxnMarker{Commit: commit, CoordinatorEpoch: 1})
	if err != nil {
		c.t.Fatal(err)
	}
	c.appendBatch(b, record.Coordinator)
}

// txn are the options of a producer's batch in a transaction.
func txn(id int64, sequence int32) record.BuilderOptions {
	return record.BuilderOptions{Producer: &record.ProducerInfo{ID: id, BaseSequence: sequence}, Transactional: true}
}

// roll finishes the active segment; everything is flushed and committed.
func (c *cleanTest) roll() {
	c.t.Helper()
	c.Log.write.Lock()
	_, err := c.Log.roll(c.Log.end, c.Log.config.Load())
	c.Log.write.Unlock()
	if err == nil {
		err = c.Flush()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.SetHighWatermark(c.EndOffset())
}

// settled appends a batch behind the last roll, so that the recovery point
// passes it, and commits it.
func (c *cleanTest) settled() {
	c.t.Helper()
	c.put(record.BuilderOptions{}, kv("last", "x"))
	if err := c.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.SetHighWatermark(c.EndOffset())
}

// clean runs as many passes as are due.
func (c *cleanTest) clean(want int) {
	c.t.Helper()
	n, err := c.m.Clean()
	if err != nil || n != want {
		c.t.Fatalf("%d passes, %v; expected %d", n, err, want)
	}
}

// content lists the batches and their records as one line each.
func (c *cleanTest) content() string {
	c.t.Helper()
	var lines []string
	for b, err := range c.Batches(c.StartOffset(), c.EndOffset()) {
		if err != nil {
			c.t.Fatal(err)
		}
		line := fmt.Sprintf("%d-%d", b.BaseOffset(), b.LastOffset())
		if b.IsControl() {
			line += "c"
		}
		if h, ok := b.DeleteHorizon(); ok {
			line += fmt.Sprintf("h%d", h-startMs)
		}
		for r, err := range b.Records(c.o.Codecs) {
			switch {
			case err != nil:
				c.t.Fatal(err)
			case b.IsControl():
				marker, err := record.ParseEndTxnMarker(&r)
				line += fmt.Sprint(" ", marker.Type(), err == nil)
			default:
				line += fmt.Sprintf(" %d:%s=%s", r.Offset, r.Key, r.Value)
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func (c *cleanTest) holds(want ...string) {
	c.t.Helper()
	if got := c.content(); got != strings.Join(want, "\n") {
		c.t.Fatalf("the log holds\n%s\nexpected\n%s", got, strings.Join(want, "\n"))
	}
}

// TestCleanRules appends, compacts, and compares what is left: a rule a row.
// Every row ends with two batches that no pass touches.
func TestCleanRules(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(c *cleanTest)
		want []string
	}{
		{"the last value of each key", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"), kv("b", "1"), kv("a", "2"))
			c.put(record.BuilderOptions{}, kv("b", "2"), kv("c", "1"))
		}, []string{"0-2 2:a=2", "3-4 3:b=2 4:c=1"}},
		{"a batch without records goes", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"))
			c.put(record.BuilderOptions{}, kv("a", "2"))
			c.put(record.BuilderOptions{}, kv("a", "3"))
		}, []string{"2-2 2:a=3"}},
		{"the last batch of a segment stays, empty", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"))
			c.put(record.BuilderOptions{}, kv("a", "2"))
			c.put(txn(7, 0), kv("b", "1"))
			c.end(7, 0, false)
		}, []string{"1-1 1:a=2", "2-2", "3-3c ABORT true"}},
		{"an empty key is a key", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("", "1"), kv("", "2"), kv("a", "1"))
		}, []string{"0-2 1:=2 2:a=1"}},
		{"a tombstone gets its horizon", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"), kv("b", "1"))
			c.put(record.BuilderOptions{}, kv("a", ""))
		}, []string{"0-1 1:b=1", "2-2h1000 2:a="}},
		{"the last batch of a producer stays, empty", func(c *cleanTest) {
			c.put(record.BuilderOptions{Producer: &record.ProducerInfo{ID: 5}}, kv("a", "1"))
			c.put(record.BuilderOptions{Producer: &record.ProducerInfo{ID: 5, BaseSequence: 1}}, kv("a", "2"), kv("a", "3"))
			c.put(record.BuilderOptions{}, kv("a", "4"))
		}, []string{"1-2", "3-3 3:a=4"}},
		{"aborted records go and delete nothing", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"))
			c.put(txn(7, 0), kv("a", "2"), kv("b", "2"))
			c.put(txn(7, 2), kv("a", "3"))
			c.end(7, 0, false)
		}, []string{"0-0 0:a=1", "3-3", "4-4c ABORT true"}},
		{"committed records count", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"))
			c.put(txn(7, 0), kv("a", "2"))
			c.end(7, 0, true)
		}, []string{"1-1 1:a=2", "2-2c COMMIT true"}},
		{"a marker without a transaction gets a horizon", func(c *cleanTest) {
			c.end(7, 0, true)
			c.put(record.BuilderOptions{}, kv("a", "1"))
		}, []string{"0-0ch1000 COMMIT true", "1-1 1:a=1"}},
		{"an open transaction stops the pass", func(c *cleanTest) {
			c.put(record.BuilderOptions{}, kv("a", "1"), kv("a", "2"))
			c.roll()
			c.put(record.BuilderOptions{}, kv("b", "1"), kv("b", "2"))
			c.put(txn(7, 0), kv("a", "3"))
		}, []string{"0-1 1:a=2", "2-3 2:b=1 3:b=2", "4-4 4:a=3"}},
	} {
		for _, codec := range []record.Compression{record.None, record.Snappy} {
			t.Run(fmt.Sprint(row.name, " ", codec), func(t *testing.T) {
				c := newCleanTest(t, nil)
				row.do(c)
				c.roll()
				c.settled()
				end := c.EndOffset()
				c.clean(1)
				c.holds(append(row.want, fmt.Sprintf("%d-%d %d:last=x", end-1, end-1, end-1))...)
				c.reopened(row.want, end)
				c.close()
			})
		}
	}
}

// reopened compares again after a clean stop, and an append goes on.
func (c *cleanTest) reopened(want []string, end int64) {
	c.t.Helper()
	c.down(true)
	if err := c.up(); err != nil {
		c.t.Fatal(err)
	}
	c.holds(append(want[:len(want):len(want)], fmt.Sprintf("%d-%d %d:last=x", end-1, end-1, end-1))...)
	if c.EndOffset() != end {
		c.t.Fatalf("the log ends at %d, not at %d", c.EndOffset(), end)
	}
}

// TestCleanTombstones: one goes with the first pass after its horizon, never
// before, and a marker likewise; the values beside them keep their timestamps.
func TestCleanTombstones(t *testing.T) {
	c := newCleanTest(t, nil)
	c.put(record.BuilderOptions{}, kv("a", "1"))
	c.put(record.BuilderOptions{}, kv("a", ""), kv("b", "1"))
	c.end(9, 0, false)
	c.roll()
	c.settled()
	c.clean(1)
	c.holds("1-2h1000 1:a= 2:b=1", "3-3ch1000 ABORT true", "4-4 4:last=x")
	again := func(after int64, want ...string) {
		t.Helper()
		c.clock.ms += after
		c.roll()
		c.settled()
		c.clean(1)
		c.holds(want...)
	}
	again(999, "1-2h1000 1:a= 2:b=1", "3-3ch1000 ABORT true", "4-4 4:last=x", "5-5 5:last=x")
	again(1, "1-2h1000 2:b=1", "3-3c", "5-5 5:last=x", "6-6 6:last=x")
	again(1, "1-2h1000 2:b=1", "3-3c", "6-6 6:last=x", "7-7 7:last=x")
	found, ok, err := c.OffsetForTimestamp(startMs + 1)
	if err != nil || !ok || found.Offset != 2 || found.Timestamp != startMs+1 {
		t.Fatalf("found %+v %t %v", found, ok, err)
	}
	c.close()
}

// TestCleanTimestamps: the largest timestamp of a batch is that of the records
// that are left, LogAppendTime stays, and the largest of the log is found
// where it belonged to a batch that is empty now.
func TestCleanTimestamps(t *testing.T) {
	c := newCleanTest(t, nil)
	c.put(record.BuilderOptions{}, kv("a", "1"), kv("b", "1"), kv("b", "2"), kv("b", "3"))
	late := record.BuilderOptions{Producer: &record.ProducerInfo{ID: 5}}
	c.clock.ms += 1000
	c.put(late, kv("b", "4"))
	c.clock.ms -= 900
	c.put(record.BuilderOptions{}, kv("b", "5"))
	c.roll()
	c.settled()
	c.clean(1)
	c.holds("0-3 0:a=1", "4-4", "5-5 5:b=5", "6-6 6:last=x")
	for b := range c.Batches(0, 1) {
		if b.MaxTimestamp() != startMs {
			t.Errorf("the largest timestamp is %d, the record's %d", b.MaxTimestamp(), startMs)
		}
	}
	found, ok, err := c.MaxTimestamp()
	if err != nil || !ok || found.Offset != 5 || found.Timestamp != startMs+100 {
		t.Fatalf("found %+v %t %v", found, ok, err)
	}
	c.close()

	o := record.BuilderOptions{TimestampType: record.LogAppendTime, MaxTimestamp: startMs + 50}
	b := record.NewBuilder(o)
	b.Append(startMs, []byte("a"), nil)
	b.Append(startMs+1, []byte("b"), nil)
	whole, _ := b.Build()
	f := &cleanFilter{keys: newKeyMap(1<<10, 0.9), txns: newCleanedTxns(c.o.Codecs), codecs: c.o.Codecs, nowMs: startMs, retainMs: 10, builder: record.NewBuilder(o)}
	f.keys.put([]byte("b"), 9)
	f.keys.latest = 9
	left, _, err := f.batch(whole, false)
	if err != nil || left.Count() != 1 || left.MaxTimestamp() != startMs+50 || left.TimestampType() != record.LogAppendTime {
		t.Fatalf("left is %v, %v", left, err)
	}
	for r := range left.Records(nil) {
		if r.Timestamp != startMs+50 {
			t.Errorf("the record has timestamp %d", r.Timestamp)
		}
	}
}

// TestCleanWhen: the ratio, the lags, the policy and what is still missing
// decide whether and how far a log is compacted.
func TestCleanWhen(t *testing.T) {
	for _, row := range []struct {
		name  string
		set   func(c *config.Topic)
		after int64 // ms until the pass
		to    int64 // how far the log is compacted then; -1: not at all
	}{
		{"by default", func(*config.Topic) {}, 0, 4},
		{"not compacted", func(c *config.Topic) { c.Compact = false }, 0, -1},
		{"too little is dirty", func(c *config.Topic) { c.MinCleanableRatio = 1 }, 0, -1},
		{"overdue", func(c *config.Topic) { c.MinCleanableRatio, c.MaxCompactionLagMs = 1, 500 }, 502, 4},
		{"not overdue yet", func(c *config.Topic) { c.MinCleanableRatio, c.MaxCompactionLagMs = 1, 500 }, 499, -1},
		{"too young", func(c *config.Topic) { c.MinCompactionLagMs = 500 }, 400, -1},
		{"half of it too young", func(c *config.Topic) { c.MinCompactionLagMs = 500 }, 550, 2},
		{"old enough", func(c *config.Topic) { c.MinCompactionLagMs = 500 }, 700, 4},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCleanTest(t, nil)
			c.put(record.BuilderOptions{}, kv("a", "1"), kv("a", "2"))
			c.roll()
			c.clock.ms += 100
			c.put(record.BuilderOptions{}, kv("a", "3"), kv("a", "4"))
			c.roll()
			c.settled()
			c.clock.ms += row.after - 100
			topic := c.Config()
			row.set(&topic)
			c.UpdateConfig(topic)
			if row.to < 0 {
				c.clean(0)
			} else {
				c.clean(1)
				c.clean(0)
			}
			if c.Log.cleaned != row.to {
				t.Fatalf("compacted to %d, not to %d", c.Log.cleaned, row.to)
			}
			c.close()
		})
	}
}

// TestCleanUnknownConfig: a log whose topic's own config is not known yet is
// left alone, though the default would have it compacted.
func TestCleanUnknownConfig(t *testing.T) {
	c := newCleanTest(t, nil)
	c.put(record.BuilderOptions{}, kv("a", "1"), kv("a", "2"))
	c.roll()
	c.settled()
	c.down(true)
	if err := c.up(); err != nil {
		t.Fatal(err)
	}
	c.SetHighWatermark(c.EndOffset())
	c.clean(0)
	c.UpdateConfig(c.Config())
	c.clean(1)
	c.close()
}

// TestCleanMapFull: a pass ends where the map is full, and the next ones go on
// from there; each makes progress, though the map may hold a single key.
func TestCleanMapFull(t *testing.T) {
	c := newCleanTest(t, func(o *Options) { o.Logs.CleanerDedupeBufferSize = 3 * keySlotBytes })
	c.put(record.BuilderOptions{}, kv("a", "1"), kv("b", "1"), kv("c", "1"), kv("a", "2"))
	c.put(record.BuilderOptions{}, kv("b", "2"), kv("c", "2"))
	c.roll()
	c.settled()
	passes, err := c.m.Clean()
	if err != nil || passes < 3 {
		t.Fatalf("%d passes, %v", passes, err)
	}
	c.holds("0-3 3:a=2", "4-5 4:b=2 5:c=2", "6-6 6:last=x")
	c.close()
}

// TestCleanGroups: segments are merged as far as one of them may be long, and
// what grows beyond is split; no hole comes up between two of them.
func TestCleanGroups(t *testing.T) {
	c := newCleanTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1000, 200 })
	for i := range 60 {
		c.put(record.BuilderOptions{}, kv(fmt.Sprint("key ", i%30), "a value"))
		if i%5 == 4 {
			c.roll()
		}
	}
	c.settled()
	before := len(c.Log.segments)
	c.clean(1)
	if after := len(c.Log.segments); after >= before {
		t.Fatalf("%d segments became %d", before, after)
	}
	for range 2 { // the next pass gives all tombstones a horizon, which makes them longer
		for i, s := range c.Log.segments {
			if s.size > 1000 {
				t.Fatalf("segment %d has %d bytes", s.base, s.size)
			}
			if i == 0 {
				continue
			}
			var end int64
			for b := range c.Batches(0, s.base) {
				end = b.NextOffset()
			}
			if end != s.base {
				t.Fatalf("segment %d begins behind %d", s.base, end)
			}
		}
		for i := range 30 {
			var list [][2][]byte
			for k := range 10 {
				list = append(list, kv(fmt.Sprint(i, k), ""))
			}
			c.put(record.BuilderOptions{}, list...)
		}
		c.roll()
		c.settled()
		c.clean(1)
	}
	c.close()
}

// TestCleanKeeps: what a batch is beside its records does not change.
func TestCleanKeeps(t *testing.T) {
	for _, codec := range []record.Compression{record.None, record.Gzip, record.Snappy, record.LZ4, record.Zstd} {
		c := newCleanTest(t, nil)
		o := record.BuilderOptions{Compression: codec, Producer: &record.ProducerInfo{ID: 3, Epoch: 2}}
		c.put(o, kv("a", "1"), kv("b", strings.Repeat("long ", 100)), kv("a", "2"), kv("c", ""))
		c.roll()
		c.settled()
		c.clean(1)
		for b, err := range c.Batches(0, 4) {
			if err != nil {
				t.Fatal(err)
			}
			if b.Compression() != codec || b.ProducerID() != 3 || b.ProducerEpoch() != 2 || b.BaseSequence() != 0 || b.LastSequence() != 3 || b.LeaderEpoch() != 0 || b.Count() != 3 {
				t.Errorf("%v: %v", codec, b)
			}
			for r := range b.Records(c.o.Codecs) {
				if len(r.Headers) != 1 || string(r.Headers[0].Value) != "v" || r.Timestamp != startMs+int64(r.OffsetDelta) {
					t.Errorf("%v: %+v", codec, r)
				}
			}
		}
		c.close()
	}
}

// TestCleanUnkeyed: records without a key from before the topic was compacted
// are dropped.
func TestCleanUnkeyed(t *testing.T) {
	c := newCleanTest(t, func(o *Options) { o.Default.Compact = false })
	c.put(record.BuilderOptions{}, [2][]byte{nil, []byte("1")}, kv("a", "1"))
	c.put(record.BuilderOptions{}, [2][]byte{nil, []byte("2")})
	c.put(record.BuilderOptions{}, kv("b", "1"))
	c.roll()
	c.settled()
	c.UpdateConfig(compactConfig())
	c.clean(1)
	c.holds("0-1 1:a=1", "3-3 3:b=1", "4-4 4:last=x")
	c.close()
}

// TestCleanDamaged: a damaged batch is never copied; the log is left as it is,
// the error says where, and other logs are compacted.
func TestCleanDamaged(t *testing.T) {
	c := newCleanTest(t, nil)
	other := must(c.m.Create(TopicPartition{Topic: "u", TopicID: [16]byte{2}}, c.o.Default, [16]byte{}))(t)
	fill := func(l *Log) {
		c.oneLog.Log = l
		c.put(record.BuilderOptions{}, kv("a", "1"))
		c.put(record.BuilderOptions{}, kv("a", "2"))
		c.roll()
		c.settled()
	}
	mine := c.Log
	fill(other)
	fill(mine)
	name := filepath.Join(mine.Path(), segmentName(0, logSuffix))
	data := must(vfs.ReadFile(c.mem, name))(t)
	data[len(data)-1] ^= 1
	if err := writeFile(c.mem, name, data); err != nil {
		t.Fatal(err)
	}
	n, err := c.m.Clean()
	var corrupt *CorruptError
	if n != 1 || !errors.As(err, &corrupt) || corrupt.File != name || corrupt.Offset != 1 || corrupt.Segment != 0 {
		t.Fatalf("%d passes, %v", n, err)
	}
	if bad := c.m.Uncleanable(); len(bad) != 1 || bad[mine.TP()] == nil {
		t.Fatalf("uncleanable are %v", bad)
	}
	if other.cleaned != 2 || len(c.m.Dirs()) != 1 || c.EndOffset() != 3 {
		t.Fatal(other.cleaned, c.m.Dirs(), c.EndOffset())
	}
	c.clean(0)
	c.m.abandon()
}

// TestCleanGivesUp: what happens to the log during a pass ends it, without an
// error, without a trace on disk, and the next pass does it.
func TestCleanGivesUp(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(c *cleanTest)
		gone bool // there is nothing left to compact
	}{
		{"truncation", func(c *cleanTest) { c.check(c.TruncateTo(c.EndOffset() - 1)) }, false},
		{"restart", func(c *cleanTest) { c.check(c.TruncateFullyAndStartAt(50)) }, true},
		{"delete", func(c *cleanTest) { c.check(c.m.Delete("t", 0)) }, true},
		{"another policy", func(c *cleanTest) { c.UpdateConfig(testConfig()) }, true},
		{"retention", func(c *cleanTest) {
			c.check(c.IncrementStartOffset(2))
			_, err := c.m.CheckRetention()
			c.check(err)
		}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newCleanTest(t, nil)
			for range 3 {
				c.put(record.BuilderOptions{}, kv("a", "1"), kv("a", "2"))
				c.roll()
			}
			c.settled()
			done := false
			c.fs.Add(vfs.Rule{Op: vfs.OpWrite, Path: "*.log.cleaned", Count: 1, Hook: func(vfs.Event) { done = true; row.do(c) }})
			if n, err := c.m.Clean(); n != 0 || err != nil || !done {
				t.Fatalf("%d passes, %v, %t", n, err, done)
			}
			c.fs.Clear()
			if entries, err := c.mem.ReadDir(c.Path()); err == nil {
				for _, e := range entries {
					if strings.HasSuffix(e.Name(), cleanedSuffix) || strings.HasSuffix(e.Name(), swapSuffix) {
						t.Errorf("%s is left", e.Name())
					}
				}
			}
			if !row.gone {
				c.settled()
				c.clean(1)
				c.close()
			}
		})
	}
}

func (c *cleanTest) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// TestCleanReaders: a reader that holds a slice of the old segment finishes,
// one that comes later finds the new.
func TestCleanReaders(t *testing.T) {
	c := newCleanTest(t, nil)
	c.put(record.BuilderOptions{}, kv("a", "1"))
	c.put(record.BuilderOptions{}, kv("a", "2"))
	c.roll()
	c.settled()
	before := must(c.Read(0, 2, 1<<20, true))(t)
	c.clean(1)
	old := make([]byte, before.Len())
	if _, err := before.ReadAt(old, 0); err != nil {
		t.Fatal(err)
	}
	if b, rest, err := record.Next(old); err != nil || b.BaseOffset() != 0 || len(rest) == 0 || b.CheckCRC() != nil {
		t.Fatalf("%v %v", b, err)
	}
	before.Release()
	c.holds("1-1 1:a=2", "2-2 2:last=x")
	c.close()
}

// TestCleanFull: a full disk leaves the log as it was and the dir online; when
// there is room again the next pass does it.
func TestCleanFull(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite} {
		c := newCleanTest(t, nil)
		c.put(record.BuilderOptions{}, kv("a", "1"))
		c.put(record.BuilderOptions{}, kv("a", "2"))
		c.roll()
		c.settled()
		c.check(c.m.Checkpoint())
		before := c.content()
		c.fs.Add(vfs.Rule{Op: op, Err: syscall.ENOSPC})
		if n, err := c.m.Clean(); n != 0 || !IsNoSpace(err) {
			t.Fatalf("%d passes, %v", n, err)
		}
		if len(c.m.Dirs()) != 1 || len(c.m.Uncleanable()) != 0 || c.content() != before {
			t.Fatal(c.m.Dirs(), c.m.Uncleanable(), c.content())
		}
		c.fs.Clear()
		c.clean(1)
		c.holds("1-1 1:a=2", "2-2 2:last=x")
		c.close()
	}
}

// TestThrottle: what is read and written is paid for in time, over all threads,
// and a clock that jumps costs no more than a minute.
func TestThrottle(t *testing.T) {
	now := time.UnixMilli(startMs)
	var paused time.Duration
	x := newThrottle(1000, func() time.Time { return now }, func(d time.Duration, _ <-chan struct{}) bool {
		paused += d
		now = now.Add(d)
		return true
	})
	for range 100 {
		x.wait(50)
	}
	if paused < 4900*time.Millisecond || paused > 5*time.Second {
		t.Errorf("5,000 bytes at 1,000 a second took %v", paused)
	}
	now, paused = now.Add(-time.Hour), 0
	x.wait(500)
	if paused != 500*time.Millisecond {
		t.Errorf("after a jump of the clock 500 bytes took %v", paused)
	}
	now, paused = now.Add(time.Hour), 0
	x.wait(50)
	if paused != 0 {
		t.Errorf("an idle cleaner has to wait %v", paused)
	}
	x.setRate(0)
	x.wait(1 << 40)
	if paused != 0 {
		t.Errorf("without a limit it waits %v", paused)
	}
	x.pause = func(d time.Duration, changed <-chan struct{}) bool {
		x.setRate(1 << 40)
		if paused = d; d > 0 && !isDone(changed) {
			t.Error("another rate does not end a pause for the one before")
		}
		return true
	}
	x.setRate(1)
	x.wait(3600)
	if paused != time.Hour {
		t.Errorf("3,600 bytes at 1 a second take %v", paused)
	}
	x.wait(1)
	if paused != 0 {
		t.Errorf("at a high rate it pays %v for what came before", paused)
	}
}

// TestKeyMap compares the map with Go's, up to where it is full.
func TestKeyMap(t *testing.T) {
	for _, limit := range []int64{0, 100, 30_000, 3_000_000} {
		m, want := newKeyMap(limit, 0.9), make(map[string]int64)
		for i := int64(0); ; i++ {
			key := fmt.Sprint("key ", i%(1+i/2))
			if !m.put([]byte(key), i) {
				break
			}
			want[key] = i
			if len(m.slots) > m.limit || m.count >= len(m.slots) {
				t.Fatalf("%d of %d slots, %d are allowed", m.count, len(m.slots), m.limit)
			}
		}
		if len(want) != m.count || m.count < 1 || float64(m.count+1) < 0.79*float64(limit/keySlotBytes) {
			t.Errorf("limit %d: %d keys, not %d", limit, m.count, len(want))
		}
		for key, offset := range want {
			if got := m.get([]byte(key)); got != offset {
				t.Fatalf("limit %d: %s is at %d, not at %d", limit, key, got, offset)
			}
		}
		if got := m.get([]byte("unknown")); got != -1 {
			t.Errorf("an unknown key is at %d", got)
		}
	}
}
