package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"path/filepath"
	"testing"
	"time"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

func (o *oneLog) bases() (bases []int64) {
	for _, s := range o.segments {
		bases = append(bases, s.base)
	}
	return bases
}

func (o *oneLog) wantBases(bases ...int64) {
	o.t.Helper()
	if got := o.bases(); fmt.Sprint(got) != fmt.Sprint(bases) {
		o.t.Fatalf("segments begin at %v, want %v", got, bases)
	}
}

// TestRollBySize: a segment takes what fits segment.bytes, to the byte.
func TestRollBySize(t *testing.T) {
	size := int32(len(batch(t, 1, record.BuilderOptions{}, "v")))
	for _, c := range []struct {
		bytes int32
		bases []int64
	}{{3 * size, []int64{0, 3, 6}}, {3*size - 1, []int64{0, 2, 4, 6}}, {size, []int64{0, 1, 2, 3, 4, 5, 6}}} {
		o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes = c.bytes })
		for range 7 {
			o.write(1, record.BuilderOptions{})
		}
		o.wantBases(c.bases...)
		if _, err := o.AppendAsLeader(append(batch(t, 1, record.BuilderOptions{}, "v"), batch(t, 1, record.BuilderOptions{}, string(make([]byte, c.bytes)))...), AppendOptions{Origin: record.Coordinator}); !errors.Is(err, ErrBatchTooLarge) {
			t.Fatal(err)
		}
		if o.EndOffset() != 7 {
			t.Fatal("something was appended")
		}
		o.reopen()
		o.wantBases(c.bases...)
		o.close()
	}
}

// TestRollByTime: segment.ms counts from the first batch's timestamp to the
// next one's; without timestamps by the clock.
func TestRollByTime(t *testing.T) {
	at := func(ms int64) []byte {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(ms, nil, nil)
		return must(b.Build())(t)
	}
	o := newLogTest(t, func(o *Options) { o.Default.SegmentAge = time.Second })
	send := func(ms int64) {
		t.Helper()
		if _, err := o.AppendAsLeader(at(ms), AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	send(startMs)
	send(startMs + 1000)
	send(startMs + 500)
	o.wantBases(0)
	o.reopen()
	send(startMs + 1001)
	o.wantBases(0, 3)
	send(startMs + 2001)
	o.wantBases(0, 3)
	send(startMs + 2002)
	o.wantBases(0, 3, 5)
	o.close()

	o = newLogTest(t, func(o *Options) { o.Default.SegmentAge = time.Second })
	send(record.NoTimestamp)
	o.time.ms += 1000
	send(record.NoTimestamp)
	o.wantBases(0)
	o.time.ms++
	send(record.NoTimestamp)
	o.wantBases(0, 2)
	o.close()
}

// TestRollJitter: segment.jitter.ms lets segments end earlier, each by another
// part of it.
func TestRollJitter(t *testing.T) {
	o := newLogTest(t, func(o *Options) {
		o.Default.SegmentAge, o.Default.SegmentJitter = time.Second, 500*time.Millisecond
	}).made()
	seen := map[int64]bool{}
	for range 20 {
		s := must(o.createSegment(1000, o.config.Load()))(t)
		if s.jitterMs < 0 || s.jitterMs >= 500 {
			t.Fatal(s.jitterMs)
		}
		seen[s.jitterMs] = true
	}
	if len(seen) < 10 {
		t.Fatal(seen)
	}
}

// TestRollByIndex: a full index ends the segment before it would overflow
// segment.index.bytes, as Kafka maps no more.
func TestRollByIndex(t *testing.T) {
	o := newLogTest(t, func(o *Options) { o.Default.IndexIntervalBytes, o.Default.SegmentIndexBytes = 1, 60 })
	for range 40 {
		o.write(1, record.BuilderOptions{})
	}
	if len(o.segments) < 5 {
		t.Fatal(o.bases())
	}
	for _, s := range o.segments {
		if s.offsets.count*offsetEntryLen > 60 || s.times.count*timeEntryLen > 60 {
			t.Fatalf("segment %d: %d and %d entries", s.base, s.offsets.count, s.times.count)
		}
	}
	// A follower's list may hold more batches than an index has room for.
	var list []byte
	for i := range int64(40) {
		list = append(list, batch(t, 1, record.BuilderOptions{BaseOffset: o.EndOffset() + i}, "v")...)
	}
	if err := o.AppendAsFollower(list); err != nil {
		t.Fatal(err)
	}
	if s := o.active(); s.offsets.count > 60/offsetEntryLen {
		t.Fatal(s.offsets.count)
	}
	o.reopen()
	o.close()
}

// TestRollByOffset: an offset that is further from the base than an int32
// begins a segment of its own.
func TestRollByOffset(t *testing.T) {
	o := newLogTest(t, nil)
	for _, c := range []struct {
		base  int64
		bases []int64
	}{
		{0, []int64{0}},
		{math.MaxInt32, []int64{0}},
		{math.MaxInt32 + 1, []int64{0, math.MaxInt32 + 1}},
		{1 << 40, []int64{0, math.MaxInt32 + 1, 1 << 40}},
	} {
		if err := o.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: c.base}, "v")); err != nil {
			t.Fatal(err)
		}
		o.wantBases(c.bases...)
	}
	if s := must(o.Read(5, o.EndOffset(), 1, true))(t); s.Len() == 0 {
		t.Fatal("nothing read over the gap")
	}
	o.reopen()
	o.wantBases(0, math.MaxInt32+1, 1<<40)
	o.close()
}

// TestRollOfEmptySegment: an empty log whose first offset is far away begins
// there.
func TestRollOfEmptySegment(t *testing.T) {
	o := newLogTest(t, nil)
	if err := o.AppendAsFollower(batch(t, 1, record.BuilderOptions{BaseOffset: 1 << 40}, "v")); err != nil {
		t.Fatal(err)
	}
	o.wantBases(1 << 40)
	if _, err := o.mem.Stat("/data/t-0/00000000000000000000.log"); err == nil {
		t.Fatal("the empty segment is still there")
	}
	o.close()
}

// TestFollowerSplits: a list that is larger than a segment is spread over
// several.
func TestFollowerSplits(t *testing.T) {
	size := int32(len(batch(t, 1, record.BuilderOptions{}, "v")))
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes = 2 * size })
	var list []byte
	for i := range int64(5) {
		list = append(list, batch(t, 1, record.BuilderOptions{BaseOffset: i, LeaderEpoch: int32(i / 2)}, "v")...)
	}
	if err := o.AppendAsFollower(append(list, list[:30]...)); err != nil { // cut at the end
		t.Fatal(err)
	}
	o.wantBases(0, 2, 4)
	if o.EndOffset() != 5 || o.LatestEpoch() != 2 || o.EpochAt(1) != 0 || o.EpochAt(2) != 1 {
		t.Fatal(o.EndOffset(), o.LatestEpoch())
	}
	if err := o.AppendAsFollower(nil); err != nil {
		t.Fatal(err)
	}
	o.close()
}

// TestFollowerRefuses: what a leader cannot have sent.
func TestFollowerRefuses(t *testing.T) {
	o := newLogTest(t, nil)
	at := func(offset int64, epoch int32) []byte {
		return batch(t, 1, record.BuilderOptions{BaseOffset: offset, LeaderEpoch: epoch}, "v")
	}
	if err := o.AppendAsFollower(append(at(0, 1), at(1, 2)...)); err != nil {
		t.Fatal(err)
	}
	damaged := at(2, 2)
	damaged[len(damaged)-1] ^= 1
	var invalid *record.InvalidError
	for name, c := range map[string]struct {
		batches []byte
		want    func(error) bool
	}{
		"an offset that is there":       {at(1, 2), func(err error) bool { return errors.Is(err, ErrUnexpectedOffset) }},
		"an older epoch":                {at(2, 1), func(err error) bool { return errors.Is(err, ErrFencedEpoch) }},
		"an epoch that goes back":       {append(at(2, 4), at(3, 3)...), func(err error) bool { return errors.As(err, &invalid) }},
		"offsets that go back":          {append(at(5, 2), at(4, 2)...), func(err error) bool { return errors.As(err, &invalid) }},
		"a bad CRC":                     {damaged, func(err error) bool { return errors.As(err, &invalid) && invalid.Kind == record.Corrupt }},
		"a bad CRC behind a good batch": {append(at(2, 2), append(damaged, at(3, 2)...)...), func(err error) bool { return errors.As(err, &invalid) }},
		"garbage":                       {make([]byte, 100), func(err error) bool { return errors.As(err, &invalid) }},
	} {
		if err := o.AppendAsFollower(c.batches); !c.want(err) {
			t.Errorf("%s: %v", name, err)
		}
		if o.EndOffset() != 2 {
			t.Fatalf("%s: appended", name)
		}
	}
	if _, err := o.AppendAsLeader(at(0, 0), AppendOptions{LeaderEpoch: 1}); !errors.Is(err, ErrFencedEpoch) {
		t.Error(err)
	}
	o.close()
}

// TestLeaderRefuses: each rule for a batch comes as the record room's error,
// and nothing is appended.
func TestLeaderRefuses(t *testing.T) {
	o := newLogTest(t, nil)
	good := batch(t, 1, record.BuilderOptions{}, "v")
	damaged := append([]byte(nil), good...)
	damaged[30] ^= 1
	for name, c := range map[string]struct {
		batches []byte
		origin  record.Origin
		kind    record.Kind
	}{
		"nothing":                {nil, record.Client, record.InvalidRecord},
		"nothing of coordinator": {nil, record.Coordinator, record.InvalidRecord},
		"two of a client":        {append(append([]byte(nil), good...), good...), record.Client, record.InvalidRecord},
		"cut":                    {good[:60], record.Client, record.InvalidRecord},
		"cut of a coordinator":   {append(append([]byte(nil), good...), good[:30]...), record.Coordinator, record.InvalidRecord},
		"damaged":                {damaged, record.Client, record.Corrupt},
		"too large":              {batch(t, 1, record.BuilderOptions{}, string(make([]byte, 1<<20))), record.Client, record.TooLarge},
	} {
		_, err := o.AppendAsLeader(c.batches, AppendOptions{Origin: c.origin})
		var invalid *record.InvalidError
		if !errors.As(err, &invalid) || invalid.Kind != c.kind || o.EndOffset() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.close()
}

// TestFilesAfterRoll: Kafka's files, indexes cut to their entries, a snapshot
// at the base of the new segment, whose indexes have no files before they have
// entries, or the log is closed.
func TestFilesAfterRoll(t *testing.T) {
	size := int32(len(batch(t, 1, record.BuilderOptions{}, "v")))
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 3*size, size })
	for range 4 {
		o.write(1, record.BuilderOptions{})
	}
	want := map[string]int64{
		"00000000000000000000.log": int64(3 * size), "00000000000000000000.index": 8, "00000000000000000000.timeindex": 12,
		"00000000000000000003.log": int64(size), "00000000000000000003.snapshot": 10, "partition.metadata": 43,
	}
	if files := o.sizes(); fmt.Sprint(files) != fmt.Sprint(want) {
		t.Fatalf("%v\nwant\n%v", files, want)
	}
	o.close()
	maps.Copy(want, map[string]int64{
		"00000000000000000003.index": 0, "00000000000000000003.timeindex": 12,
		"00000000000000000004.snapshot": 10, "leader-epoch-checkpoint": 8,
	})
	if files := o.sizes(); fmt.Sprint(files) != fmt.Sprint(want) {
		t.Fatalf("%v\nwant\n%v", files, want)
	}
}

// sizes lists the files of the folder.
func (o *oneLog) sizes() map[string]int64 {
	o.t.Helper()
	files := map[string]int64{}
	if err := vfs.Walk(o.mem, "/data/t-0", func(name string, info fs.FileInfo) error {
		if !info.IsDir() {
			files[filepath.Base(name)] = info.Size()
		}
		return nil
	}); err != nil {
		o.t.Fatal(err)
	}
	return files
}
