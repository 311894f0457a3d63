package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

const folderPath = "/data/t-0"

// edit replaces the content of a file in the partition's folder.
func (o *oneLog) edit(name string, change func([]byte) []byte) {
	o.t.Helper()
	name = filepath.Join(folderPath, name)
	data, err := vfs.ReadFile(o.mem, name)
	if err == nil {
		err = o.mem.Remove(name)
	} else if suffix := filepath.Ext(name); isIndex(suffix) {
		err = ignoreMissing(err) // an index of the active segment may have none
	}
	if err != nil {
		o.t.Fatal(err)
	}
	if data = change(data); data == nil {
		return
	}
	if err := errors.Join(writeFile(o.mem, name, data), syncFile(o.mem, name), o.mem.SyncDir(filepath.Dir(name))); err != nil {
		o.t.Fatal(err)
	}
}

// down ends the process, cleanly or not, and leaves the folder to the test.
func (o *oneLog) down(clean bool) {
	o.t.Helper()
	if !clean {
		o.m.abandon()
	} else if err := o.m.Close(-1); err != nil {
		o.t.Fatal(err)
	}
}

func (o *oneLog) up() error {
	o.t.Helper()
	o.m = openManager(o.t, o.o)
	o.Log = o.m.Log("t", 0)
	for _, err := range o.m.Broken() {
		return err
	}
	return nil
}

// damaged is a log of 60 batches in four segments with producers and epochs,
// checkpointed after 50, so that the recovery point is inside the last segment.
func damaged(t *testing.T) (*oneLog, []record.Batch) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1300, 150 })
	for i := range 60 {
		b := record.BuilderOptions{Producer: &record.ProducerInfo{ID: int64(i % 3), BaseSequence: int32(i / 3)}}
		if _, err := o.AppendAsLeader(batch(t, 1, b, "value"), AppendOptions{LeaderEpoch: int32(i / 25)}); err != nil {
			t.Fatal(err)
		}
		if i == 50 {
			if err := errors.Join(o.Flush(), o.m.Checkpoint()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := o.Flush(); err != nil {
		t.Fatal(err)
	}
	o.wantBases(0, 17, 34, 51)
	var list []record.Batch
	for b, err := range o.Batches(0, 60) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, bytes.Clone(b))
	}
	return o, list
}

// whole checks that the log, its indexes, producers and epochs are as the
// batches make them.
func (o *oneLog) whole(batches []record.Batch) {
	o.t.Helper()
	w := &world{t: o.t, codecs: o.o.Codecs, doing: o.t.Name()}
	if o.EndOffset() != int64(len(batches)) {
		o.t.Fatalf("the log ends at %d, not at %d", o.EndOffset(), len(batches))
	}
	w.compare(o.Log, batches)
}

// TestRecoveryRebuilds: whatever is missing or damaged beside the batches is
// made anew, after a clean stop and after a crash.
func TestRecoveryRebuilds(t *testing.T) {
	gone := func([]byte) []byte { return nil }
	empty := func([]byte) []byte { return []byte{} }
	half := func(b []byte) []byte { return b[:(len(b)+1)/2] }
	zeros := func(b []byte) []byte { return make([]byte, len(b)) }
	garbage := func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) }
	padded := func(b []byte) []byte { return append(b, make([]byte, 4096)...) } // as Kafka leaves it at a crash
	for _, c := range []struct {
		file   string
		change func([]byte) []byte
		clean  bool // also after a clean stop
	}{
		{segmentName(0, offsetSuffix), gone, true}, {segmentName(0, timeSuffix), gone, true}, {segmentName(17, offsetSuffix), gone, true},
		{segmentName(0, offsetSuffix), func(b []byte) []byte { return b[:len(b)-3] }, true},
		{segmentName(51, offsetSuffix), gone, true}, {segmentName(51, timeSuffix), gone, true},
		{segmentName(51, offsetSuffix), empty, true}, {segmentName(51, timeSuffix), empty, true},
		{segmentName(51, offsetSuffix), half, true}, {segmentName(51, timeSuffix), half, true},
		{segmentName(51, offsetSuffix), zeros, true}, {segmentName(51, timeSuffix), zeros, true},
		{segmentName(51, offsetSuffix), garbage, true}, {segmentName(51, timeSuffix), garbage, true},
		{segmentName(51, offsetSuffix), padded, false}, {segmentName(51, timeSuffix), padded, false},
		{segmentName(51, snapshotSuffix), gone, true}, {segmentName(51, snapshotSuffix), empty, false}, {segmentName(51, snapshotSuffix), garbage, false},
		{segmentName(60, snapshotSuffix), gone, true}, {segmentName(60, snapshotSuffix), garbage, true},
		{segmentName(34, snapshotSuffix), gone, true},
		{epochsName, gone, true}, {epochsName, empty, true}, {epochsName, garbage, true},
	} {
		for _, clean := range []bool{true, false} {
			if clean && !c.clean || !clean && c.file == segmentName(60, snapshotSuffix) {
				continue
			}
			t.Run(fmt.Sprint(c.file, " clean=", clean), func(t *testing.T) {
				o, batches := damaged(t)
				o.down(clean)
				o.edit(c.file, c.change)
				if err := o.up(); err != nil {
					t.Fatal(err)
				}
				o.whole(batches)
				o.reopen()
				o.whole(batches)
				o.close()
			})
		}
	}
}

// TestRecoveryDoubtsIndexes: an entry of the offset index that looks sound, but
// has no batch where it says, is not where the scan begins.
func TestRecoveryDoubtsIndexes(t *testing.T) {
	for name, shift := range map[string]int32{"inside the batch": 7, "at an earlier batch": -3, "behind the end": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(true)
			if shift < 0 {
				shift *= int32(len(batches[0]))
			}
			o.edit(segmentName(51, offsetSuffix), func(b []byte) []byte {
				pos := b[len(b)-4:]
				binary.BigEndian.PutUint32(pos, uint32(int32(binary.BigEndian.Uint32(pos))+shift))
				return b
			})
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			o.whole(batches)
			o.down(true)
			verifyClean(t, o.mem)
		})
	}
}

// TestRecoveryCuts: above the recovery point the first thing that is no batch
// ends the log, and what follows goes.
func TestRecoveryCuts(t *testing.T) {
	size := func(b []record.Batch) int { return len(b[0]) }
	for _, c := range []struct {
		name   string
		change func(b []byte, size int) []byte
		left   int // batches of the last segment
	}{
		{"cut inside a batch", func(b []byte, n int) []byte { return b[:3*n+20] }, 3},
		{"cut between batches", func(b []byte, n int) []byte { return b[:3*n] }, 3},
		{"cut inside a header", func(b []byte, n int) []byte { return b[:3*n+61+1] }, 3},
		{"a wrong CRC", func(b []byte, n int) []byte { b[4*n+70] ^= 1; return b }, 4},
		{"zeros", func(b []byte, n int) []byte { clear(b[2*n:]); return b }, 2},
		{"a zero block in the middle", func(b []byte, n int) []byte { clear(b[2*n+5 : 3*n]); return b }, 2},
		{"another magic", func(b []byte, n int) []byte { b[5*n+16] = 1; return b }, 5},
		{"a length that lies", func(b []byte, n int) []byte { b[5*n+8] = 0x7f; return b }, 5},
		{"a negative length", func(b []byte, n int) []byte { b[5*n+8] = 0xff; return b }, 5},
		{"an offset that goes back", func(b []byte, n int) []byte { record.Batch(b[5*n:]).SetBaseOffset(3); return b }, 5},
		{"an offset that is negative", func(b []byte, n int) []byte { record.Batch(b[5*n:]).SetBaseOffset(-3); return b }, 5},
		{"an offset that is too far", func(b []byte, n int) []byte { record.Batch(b[5*n:]).SetBaseOffset(1 << 40); return b }, 5},
		{"a leader epoch that goes back", func(b []byte, n int) []byte { record.Batch(b[5*n:]).SetLeaderEpoch(1); return b }, 5},
		{"garbage at the end", func(b []byte, n int) []byte { return append(b, bytes.Repeat([]byte{7}, 100)...) }, 9},
		{"preallocated zeros at the end", func(b []byte, n int) []byte { return append(b, make([]byte, 5000)...) }, 9},
		{"nothing but zeros", func(b []byte, n int) []byte { clear(b); return b }, 0},
		{"nothing left", func([]byte, int) []byte { return []byte{} }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(false)
			o.edit(segmentName(51, logSuffix), func(b []byte) []byte { return c.change(b, size(batches)) })
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			o.whole(batches[:51+c.left])
			if o.FlushedOffset() != o.EndOffset() {
				t.Fatal("the cut was not flushed")
			}
			clone := o.mem.CrashClone(vfs.CrashOptions{})
			o.close()
			o.o.FS = clone
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			o.whole(batches[:51+c.left])
		})
	}
}

// TestRecoveryKeepsWhatWasFlushed: below the recovery point nothing can be
// torn. What is bad is told and kept, for the other batches' sake.
func TestRecoveryKeepsWhatWasFlushed(t *testing.T) {
	o, batches := damaged(t)
	if err := o.m.Checkpoint(); err != nil { // now up to 60
		t.Fatal(err)
	}
	o.down(false)
	n := len(batches[0])
	var before []byte
	o.edit(segmentName(51, logSuffix), func(b []byte) []byte { b[3*n+70] ^= 1; b[5*n+16] = 9; before = bytes.Clone(b); return b })
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	var lost [][2]int64
	for _, d := range o.Damaged() {
		lost = append(lost, [2]int64{d.From, d.To})
	}
	if want := [][2]int64{{54, 55}, {56, 57}}; o.EndOffset() != 60 || !slices.Equal(lost, want) {
		t.Fatal(o.EndOffset(), lost)
	}
	after := must(vfs.ReadFile(o.mem, filepath.Join(folderPath, segmentName(51, logSuffix))))(t)
	if !bytes.Equal(before, after) {
		t.Fatal("the damaged file was changed")
	}
	o.down(true)
}

// TestRecoveryMakesSnapshots: a recovery that passes from one segment to the
// next leaves the same snapshot there as the roll did.
func TestRecoveryMakesSnapshots(t *testing.T) {
	o, batches := damaged(t)
	o.down(false)
	want := map[int64][]byte{}
	for _, base := range []int64{17, 34, 51} {
		o.edit(segmentName(base, snapshotSuffix), func(b []byte) []byte { want[base] = b; return nil })
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.whole(batches)
	for base, data := range want {
		if got := must(vfs.ReadFile(o.mem, o.snapshotPath(base)))(t); !bytes.Equal(got, data) {
			t.Errorf("snapshot %d: %x, want %x", base, got, data)
		}
	}
	o.close()
}

// TestRecoveryOfHoles: a segment that ends before the next one begins is damage,
// or what compaction left: in a compacted topic, in a log where a batch has lost
// records too, or below the offset of the cleaner's checkpoint.
func TestRecoveryOfHoles(t *testing.T) {
	for _, c := range []struct {
		name    string
		point   int64
		compact bool
		emptied bool // the first batch
		cleaned int64
		end     int64
		lost    bool
	}{
		{"above the recovery point", 0, false, false, -1, 60, true},
		{"below", 60, false, false, -1, 60, true},
		{"compacted", 0, true, false, -1, 60, false},
		{"emptied", 0, false, true, -1, 60, false},
		{"cleaned up to the gap", 0, false, false, 33, 60, true},
		{"cleaned up to behind the gap", 0, false, false, 34, 60, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(false)
			n := len(batches[0])
			o.edit(segmentName(17, logSuffix), func(b []byte) []byte { return b[:13*n] }) // ends at 30
			if c.emptied {
				o.edit(segmentName(0, logSuffix), func(b []byte) []byte { return append(emptied(b[:n]), b[n:]...) })
			}
			if err := writeFile(o.mem, filepath.Join("/data", recoveryName), fmt.Appendf(nil, "0\n1\nt 0 %d\n", c.point)); err != nil {
				t.Fatal(err)
			}
			if c.cleaned >= 0 {
				if err := writeFile(o.mem, filepath.Join("/data", cleanerName), fmt.Appendf(nil, "0\n1\nt 0 %d\n", c.cleaned)); err != nil {
					t.Fatal(err)
				}
			}
			o.o.Default.Compact = c.compact
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			if _, err := o.readAll(0, 1<<20); isCorrupt(err) != c.lost {
				t.Fatal(err)
			}
			if damage := o.Damaged(); o.EndOffset() != c.end || (len(damage) > 0) != c.lost || c.lost && (damage[0].From != 30 || damage[0].To != 34) {
				t.Fatal(o.EndOffset(), damage)
			}
			o.down(true) // Verify would tell what the test did to the segment
		})
	}
}

// emptied is a batch as compaction keeps it for its producer's sake.
func emptied(b []byte) []byte {
	const length, crc, attributes, count = 8, 17, 21, 57
	b = bytes.Clone(b[:record.HeaderLen])
	binary.BigEndian.PutUint32(b[length:], uint32(len(b)-record.OverheadLen))
	binary.BigEndian.PutUint32(b[count:], 0)
	binary.BigEndian.PutUint32(b[crc:], crc32.Checksum(b[attributes:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// TestOverlap: a segment that reaches into the next one (P2): what does so is
// damage, and no record is missing for it.
func TestOverlap(t *testing.T) {
	for _, point := range []int64{0, 55} {
		o, batches := damaged(t)
		o.down(false)
		o.edit(segmentName(34, logSuffix), func(b []byte) []byte { return append(b, batches[51]...) })
		if err := writeFile(o.mem, filepath.Join("/data", recoveryName), fmt.Appendf(nil, "0\n1\nt 0 %d\n", point)); err != nil {
			t.Fatal(err)
		}
		o.edit(segmentName(51, snapshotSuffix), func([]byte) []byte { return nil })
		if err := o.up(); err != nil {
			t.Fatal(point, err)
		}
		if d := o.Damaged(); len(d) != 1 || d[0].Segment != 34 || d[0].From != 51 || d[0].To != 51 || d[0].End-d[0].Pos != int64(len(batches[51])) {
			t.Fatal(point, d)
		}
		for range 2 {
			list, err := o.readAll(0, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			sameBatches(t, list, batches)
		}
		o.down(true)
	}
}

// TestStartAboveEnd: DeleteRecords reached further than what a power loss
// left; nothing of that may be read again. The leader epochs and the
// snapshots are lost as well.
func TestStartAboveEnd(t *testing.T) {
	o, _ := damaged(t)
	o.down(false)
	if err := o.mem.Remove(filepath.Join("/data", recoveryName)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{epochsName, segmentName(17, snapshotSuffix), segmentName(34, snapshotSuffix), segmentName(51, snapshotSuffix)} {
		o.edit(name, func([]byte) []byte { return nil })
	}
	if err := writeFile(o.mem, filepath.Join("/data", startName), []byte("0\n1\nt 0 75\n")); err != nil {
		t.Fatal(err)
	}
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	if o.StartOffset() != 75 || o.EndOffset() != 75 || len(o.Producers()) != 0 || o.LatestEpoch() != NoEpoch {
		t.Fatal(o.StartOffset(), o.EndOffset())
	}
	o.wantBases(75)
	o.reopen()
	if a := o.write(1, record.BuilderOptions{}); a.BaseOffset != 75 {
		t.Fatal(a)
	}
	o.close()
}

// TestInterruptedOperations: what recovery does with the files that Kafka's, or
// our own, unfinished deletions and compactions leave.
func TestInterruptedOperations(t *testing.T) {
	rename := func(o *oneLog, from, to string) {
		o.t.Helper()
		if err := o.mem.Rename(filepath.Join(folderPath, from), filepath.Join(folderPath, to)); err != nil {
			o.t.Fatal(err)
		}
	}
	copyTo := func(o *oneLog, from, to string) {
		o.t.Helper()
		data := must(vfs.ReadFile(o.mem, filepath.Join(folderPath, from)))(o.t)
		if err := writeFile(o.mem, filepath.Join(folderPath, to), data); err != nil {
			o.t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		do   func(o *oneLog)
		left func(b []record.Batch) []record.Batch
	}{
		{"deleted files are removed", func(o *oneLog) {
			copyTo(o, segmentName(0, logSuffix), segmentName(0, logSuffix+deletedSuffix))
			copyTo(o, segmentName(0, offsetSuffix), "00000000000000000000.index.deleted")
			copyTo(o, segmentName(17, snapshotSuffix), segmentName(17, snapshotSuffix+deletedSuffix))
		}, nil},
		{"unfinished compaction is dropped", func(o *oneLog) {
			copyTo(o, segmentName(0, logSuffix), segmentName(0, logSuffix+cleanedSuffix))
			copyTo(o, segmentName(0, offsetSuffix), segmentName(0, offsetSuffix+cleanedSuffix))
			copyTo(o, segmentName(17, logSuffix), segmentName(17, logSuffix+swapSuffix)) // of the same split
		}, nil},
		{"a finished compaction takes the place of its segments", func(o *oneLog) {
			// One segment with every second batch of the first two.
			b := must(vfs.ReadFile(o.mem, filepath.Join(folderPath, segmentName(0, logSuffix))))(o.t)
			b = append(b, must(vfs.ReadFile(o.mem, filepath.Join(folderPath, segmentName(17, logSuffix))))(o.t)...)
			var kept []byte
			for i := 0; len(b) > 0; i++ {
				x, rest, err := record.Next(b)
				if err != nil {
					o.t.Fatal(err)
				}
				if i%2 == 1 {
					kept = append(kept, x...)
				}
				b = rest
			}
			if err := writeFile(o.mem, filepath.Join(folderPath, segmentName(0, logSuffix+swapSuffix)), kept); err != nil {
				o.t.Fatal(err)
			}
		}, func(b []record.Batch) []record.Batch {
			var kept []record.Batch
			for i, x := range b {
				if i >= 34 || i%2 == 1 {
					kept = append(kept, x)
				}
			}
			return kept
		}},
		{"a swap that was half done", func(o *oneLog) { rename(o, segmentName(17, offsetSuffix), segmentName(17, offsetSuffix+swapSuffix)) }, nil},
		{"orphaned indexes are removed", func(o *oneLog) {
			copyTo(o, segmentName(17, offsetSuffix), segmentName(18, offsetSuffix))
			copyTo(o, segmentName(17, timeSuffix), segmentName(18, timeSuffix))
			copyTo(o, segmentName(17, timeSuffix), segmentName(18, txnSuffix))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, batches := damaged(t)
			o.down(true)
			c.do(o)
			if err := writeFile(o.mem, filepath.Join(folderPath, "notes.txt"), []byte("an operator's")); err != nil {
				t.Fatal(err)
			}
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			if c.left != nil {
				batches = c.left(batches)
			}
			var got []record.Batch
			for b, err := range o.Batches(0, o.EndOffset()) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, bytes.Clone(b))
			}
			if !slices.EqualFunc(got, batches, func(a, b record.Batch) bool { return bytes.Equal(a, b) }) {
				t.Fatalf("%d batches, want %d", len(got), len(batches))
			}
			for _, e := range must(o.mem.ReadDir(folderPath))(t) {
				name := e.Name()
				if strings.HasSuffix(name, deletedSuffix) || strings.HasSuffix(name, cleanedSuffix) || strings.HasSuffix(name, swapSuffix) || strings.HasPrefix(name, "00000000000000000018") {
					t.Errorf("%s is still there", name)
				}
			}
			if _, err := o.mem.Stat(filepath.Join(folderPath, "notes.txt")); err != nil {
				t.Error(err)
			}
			o.down(true)
			if c.left == nil { // that compaction lost producers, which Verify would tell
				verifyClean(t, o.mem)
			}
		})
	}
}

// TestCleanStopReadsLittle: after a clean stop a few KiB of the last segment
// are read, after a crash what lies behind the last checkpoint.
func TestCleanStopReadsLittle(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 4<<20, 4096 })
	value := string(make([]byte, 1000))
	for i := range 3000 {
		if _, err := o.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, value), AppendOptions{LeaderEpoch: int32(i / 1000)}); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			if err := errors.Join(o.Flush(), o.m.Checkpoint()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		clean bool
		limit int64
	}{"clean": {true, 64 << 10}, "crash": {false, snapshotEvery + 64<<10}} {
		var read int64
		counted := &countingFS{FS: o.mem, read: &read}
		o.down(c.clean)
		o.o.FS = counted
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if o.EndOffset() != 3000 || read > c.limit {
			t.Errorf("%s: %d bytes were read of %d", name, read, o.Size())
		}
		o.o.FS = o.mem
		o.reopen()
	}
	o.close()
}

// countingFS counts the bytes that are read from segments.
type countingFS struct {
	vfs.FS
	read *int64
}

func (c *countingFS) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err == nil && strings.HasSuffix(name, logSuffix) {
		f = &countingFile{f, c.read}
	}
	return f, err
}

type countingFile struct {
	vfs.File
	read *int64
}

func (c *countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.File.ReadAt(p, off)
	*c.read += int64(n)
	return n, err
}

// TestPointsOfOthers: a checkpoint that is written for one partition's sake
// says of the others what it said before.
func TestPointsOfOthers(t *testing.T) {
	for _, clean := range []bool{true, false} {
		o := newLogTest(t, nil)
		other := must(o.m.Create(TopicPartition{Topic: "u"}, o.o.Default, [16]byte{}))(t)
		for range 5 {
			o.write(1, record.BuilderOptions{})
			if _, err := other.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(o.Flush(), other.Flush(), o.m.Checkpoint()); err != nil {
			t.Fatal(err)
		}
		o.down(clean)
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if err := o.TruncateTo(3); err != nil {
			t.Fatal(err)
		}
		if got := string(must(vfs.ReadFile(o.mem, "/data/"+recoveryName))(t)); got != "0\n2\nt 0 3\nu 0 5\n" {
			t.Errorf("clean %t: %q", clean, got)
		}
		o.down(true)
	}
}

// TestOpenIsCancelled: a node that is stopped while it recovers stops.
func TestOpenIsCancelled(t *testing.T) {
	o, _ := damaged(t)
	o.down(false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := OpenManager(ctx, o.o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := o.up(); err != nil { // nothing is locked any more
		t.Fatal(err)
	}
	o.down(true)
}
