package storage

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ottla/internal/config"
	"ottla/internal/record"
	"ottla/internal/vfs"
)

// harm is what a disk or a person does to a segment's file of n batches of size
// bytes.
type harm struct {
	name   string
	change func(b []byte, size int) []byte
	// lost are the batches of the segment that cannot be served after it, by
	// number, the last one excluded; -1 is the last batch of the segment.
	from, to int
	junk     bool // bytes without a record
}

var harms = []harm{
	{"a zero block", func(b []byte, n int) []byte { clear(b[2*n : 4*n]); return b }, 2, 4, false},
	{"a zero block across batches", func(b []byte, n int) []byte { clear(b[2*n+5 : 3*n+9]); return b }, 2, 4, false},
	{"a flipped bit", func(b []byte, n int) []byte { b[3*n+70] ^= 1; return b }, 3, 4, false},
	{"another magic", func(b []byte, n int) []byte { b[3*n+16] = 1; return b }, 3, 4, false},
	{"a length that lies", func(b []byte, n int) []byte { b[3*n+8] = 0x7f; return b }, 3, 4, false},
	{"garbage over the first batch", func(b []byte, n int) []byte { copy(b, bytes.Repeat([]byte{2}, n)); return b }, 0, 1, false},
	{"cut inside a batch", func(b []byte, n int) []byte { return b[:4*n+20] }, 4, -1, false},
	{"cut between batches", func(b []byte, n int) []byte { return b[:4*n] }, 4, -1, false},
	{"emptied", func([]byte, int) []byte { return []byte{} }, 0, -1, false},
	{"all zeros", func(b []byte, n int) []byte { clear(b); return b }, 0, -1, false},
	{"zeros behind", func(b []byte, n int) []byte { return append(b, make([]byte, 4096)...) }, 0, 0, true},
	{"garbage behind", func(b []byte, n int) []byte { return append(b, bytes.Repeat([]byte{2}, 500)...) }, 0, 0, true},
}

// TestDamage does all kinds of harm to the first segment, one in the middle and
// the last one, of a node that was stopped or killed, with all of it flushed or
// the last part of it not. What must hold:
//
//   - what was flushed is on disk as it was, is named, and is told as
//     a CorruptError to who reads it, again after another start;
//   - everything else is served, and appends get the offsets behind all that
//     ever was there;
//   - above what is known to be flushed, in the last segment, the log ends
//     before the harm, and sound batches behind it are kept beside it.
func TestDamage(t *testing.T) {
	for _, base := range []int64{0, 17, 51} {
		for _, stop := range []string{"stopped", "killed", "killed before it was known to be flushed"} {
			for _, h := range harms {
				t.Run(fmt.Sprint(h.name, " at ", base, " ", stop), func(t *testing.T) {
					o, batches := damaged(t)
					if stop == "killed" {
						if err := o.m.dirs[0].writeFlushed(); err != nil {
							t.Fatal(err)
						}
					}
					o.down(stop == "stopped")
					if strings.HasPrefix(stop, "killed b") {
						o.forgetPoints()
					}
					h.at(o, base, len(batches[0]))
					var log bytes.Buffer
					o.o.Log = slog.New(slog.NewTextHandler(&log, nil))
					if err := o.up(); err != nil {
						t.Fatal(err)
					}
					if base == 51 && strings.HasPrefix(stop, "killed b") {
						h.isCut(o, batches, log.String())
						return
					}
					h.isKept(o, batches, base)
					h.goesOn(o, batches, base)
				})
			}
		}
	}
}

// forgetPoints makes a dir in which nothing says how far the log was flushed.
func (o *oneLog) forgetPoints() {
	o.t.Helper()
	for _, name := range []string{recoveryName, flushedName, recentName} {
		if err := ignoreMissing(o.mem.Remove(filepath.Join("/data", name))); err != nil {
			o.t.Fatal(err)
		}
	}
	for _, base := range o.snapshots.offsets {
		o.edit(segmentName(base, snapshotSuffix), func([]byte) []byte { return nil })
	}
}

// at does the harm, and keeps what the file holds then.
func (h *harm) at(o *oneLog, base int64, size int) {
	o.edit(segmentName(base, logSuffix), func(b []byte) []byte { return h.change(b, size) })
}

// bad are the offsets that are lost in the segment of a base.
func (h *harm) bad(base int64) (from, to int64) {
	to = base + int64(h.to)
	if h.to < 0 {
		to = map[int64]int64{0: 17, 17: 34, 51: 60}[base]
	}
	return base + int64(h.from), to
}

// isKept checks that what was not harmed is served, and the harm told.
func (h *harm) isKept(o *oneLog, batches []record.Batch, base int64) {
	o.t.Helper()
	from, to := h.bad(base)
	if o.StartOffset() != 0 || o.EndOffset() != 60 {
		o.t.Fatal(o.StartOffset(), o.EndOffset())
	}
	o.wantLost(batches, from, to)
	name := segmentName(base, logSuffix)
	damage := o.Damaged()
	switch {
	case h.junk && len(damage) <= 1:
	case len(damage) != 1 || damage[0].Segment != base || filepath.Base(damage[0].File) != name || damage[0].From != from || damage[0].To != to:
		o.t.Fatalf("told is %+v, not %d to %d of %s", damage, from, to, name)
	}
	if partitions, parts := o.m.Damaged(); partitions != len(damage) || parts != len(damage) {
		o.t.Fatal(partitions, parts)
	}
	for _, name := range names(o.t, o.mem, folderPath) {
		if strings.HasSuffix(name, cutSuffix) {
			o.t.Fatalf("%s was cut off", name)
		}
	}
}

// wantLost reads everything, and finds it as it was but for [from, to).
func (o *oneLog) wantLost(batches []record.Batch, from, to int64) {
	o.t.Helper()
	for range 2 {
		list, err := o.readAll(0, 1<<20)
		if from == to {
			if err != nil {
				o.t.Fatal(err)
			}
			sameBatches(o.t, list, batches)
			return
		}
		if !isCorrupt(err) {
			o.t.Fatalf("after %d batches: %v", len(list), err)
		}
		sameBatches(o.t, list, batches[:from])
		for offset := from; offset < to; offset++ {
			if _, err := o.readAll(offset, 100); !isCorrupt(err) {
				o.t.Fatalf("at %d: %v", offset, err)
			}
		}
		if list, err = o.readAll(to, 300); err != nil {
			o.t.Fatal(err)
		}
		sameBatches(o.t, list, batches[to:])
	}
}

// goesOn appends, and starts again after a kill and a stop.
func (h *harm) goesOn(o *oneLog, batches []record.Batch, base int64) {
	o.t.Helper()
	from, to := h.bad(base)
	for _, clean := range []bool{false, true} {
		a, err := o.AppendAsLeader(batch(o.t, 1, record.BuilderOptions{}, "behind"), AppendOptions{LeaderEpoch: 3})
		if err != nil || a.BaseOffset != int64(len(batches)) {
			o.t.Fatal(a, err)
		}
		if err := errors.Join(o.Flush(), o.m.dirs[0].writeFlushed()); err != nil {
			o.t.Fatal(err)
		}
		list, err := o.readAll(a.BaseOffset, 1000)
		if err != nil || len(list) != 1 {
			o.t.Fatal(list, err)
		}
		batches = append(batches, bytes.Clone(list[0]))
		o.down(clean)
		if err := o.up(); err != nil {
			o.t.Fatal(err)
		}
		if o.EndOffset() != int64(len(batches)) {
			o.t.Fatal(o.EndOffset())
		}
		o.wantLost(batches, from, to)
	}
	o.down(true)
}

// isCut checks a log whose end was not known to be flushed.
func (h *harm) isCut(o *oneLog, batches []record.Batch, log string) {
	o.t.Helper()
	end, _ := h.bad(51)
	if h.junk {
		end = 60
	}
	if o.EndOffset() != end || len(o.Damaged()) > 0 {
		o.t.Fatal(o.EndOffset(), o.Damaged())
	}
	o.wantLost(batches[:end], 0, 0)
	kept := 0
	for _, name := range names(o.t, o.mem, folderPath) {
		if strings.HasSuffix(name, cutSuffix) {
			data := must(vfs.ReadFile(o.mem, filepath.Join(folderPath, name)))(o.t)
			if !bytes.HasSuffix(data, batches[59]) {
				o.t.Fatal("the last batch is not in it")
			}
			kept++
		}
	}
	if behind := h.to > 0; kept != 0 != behind {
		o.t.Fatal("files beside the log:", kept)
	}
	if told := strings.Contains(log, "level=ERROR msg=\"cutting the end of a log"); told == (h.name == "cut between batches" || h.name == "emptied") {
		o.t.Fatal(log)
	}
	o.down(true)
}

// TestLostStart: a log that begins later than it did when the node was stopped,
// and no retention let it.
func TestLostStart(t *testing.T) {
	for _, removed := range [][]int64{{0}, {0, 17}} {
		o, batches := damaged(t)
		o.down(true)
		for _, base := range removed {
			o.edit(segmentName(base, logSuffix), func([]byte) []byte { return nil })
		}
		for range 2 {
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
			to := int64(len(removed) * 17)
			if d := o.Damaged(); o.StartOffset() != 0 || len(d) != 1 || d[0].From != 0 || d[0].To != to {
				t.Fatal(o.StartOffset(), d)
			}
			o.wantLost(batches, 0, to)
			o.down(true)
		}
	}
}

// TestRetentionIsNoLoss: what retention and DeleteRecords took is no damage,
// after a stop and after a kill, and damage goes with what they take.
func TestRetentionIsNoLoss(t *testing.T) {
	for _, clean := range []bool{true, false} {
		o, _ := damaged(t)
		o.down(true)
		o.edit(segmentName(17, logSuffix), func(b []byte) []byte { return b[:len(b)/2] })
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.readAll(17, 1<<20); !isCorrupt(err) || len(o.Damaged()) != 1 {
			t.Fatal(err, o.Damaged())
		}
		o.SetHighWatermark(60)
		if err := o.IncrementStartOffset(40); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := o.m.CheckRetention(); err != nil {
				t.Fatal(err)
			}
			if d := o.Damaged(); len(d) > 0 || o.bases()[0] != 34 {
				t.Fatal(d, o.bases())
			}
			o.down(clean)
			if err := o.up(); err != nil {
				t.Fatal(err)
			}
		}
		o.down(true)
	}
}

// TestTruncateOverDamage: a follower that cuts behind, in and before damage.
func TestTruncateOverDamage(t *testing.T) {
	for _, to := range []int64{58, 56, 55, 54, 53} {
		o, batches := damaged(t)
		o.down(true)
		n := len(batches[0])
		o.edit(segmentName(51, logSuffix), func(b []byte) []byte { clear(b[3*n : 5*n]); return b }) // 54 and 55
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if _, err := o.readAll(51, 1<<20); !isCorrupt(err) {
			t.Fatal(err)
		}
		if err := o.TruncateTo(to); err != nil {
			t.Fatal(err)
		}
		end := to
		if to == 55 || to == 56 {
			end = 54 // with what nobody can read
		}
		if d := o.Damaged(); o.EndOffset() != end || (len(d) > 0) != (to > 56) {
			t.Fatal(to, o.EndOffset(), d)
		}
		o.down(true)
		if err := o.up(); err != nil {
			t.Fatal(err)
		}
		if end == 54 {
			o.wantLost(batches[:54], 0, 0)
			verifyClean(t, o.mem)
		}
		o.down(true)
	}
}

// TestPageCacheTail: without fsync a power loss may tear a segment that another
// one follows. What was not flushed is no damage, and nothing of it is removed.
func TestPageCacheTail(t *testing.T) {
	o, batches := damaged(t)
	o.down(false)
	o.forgetPoints()
	n := len(batches[0])
	o.edit(segmentName(34, logSuffix), func(b []byte) []byte { return b[:5*n] })
	o.o.Durability = config.PageCache
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	o.wantLost(batches[:39], 0, 0)
	if files := names(t, o.mem, folderPath); !slices.Contains(files, segmentName(51, logSuffix)+".0.0"+cutSuffix) {
		t.Fatal(files)
	}
	o.down(true)
}
