package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// sound is a cleanly stopped dir with transactions, epochs, several segments
// and full indexes.
func sound(t *testing.T) *oneLog {
	o := newLogTest(t, func(o *Options) { o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 1500, 200 })
	for i := range 40 {
		o.AssignEpoch(int32(i/15), o.EndOffset())
		p := record.BuilderOptions{Transactional: true, Producer: &record.ProducerInfo{ID: 1, BaseSequence: int32(i)}}
		b := record.NewBuilder(p)
		b.Append(startMs+int64(i), []byte("k"), []byte("value"))
		if _, err := o.AppendAsLeader(must(b.Build())(t), AppendOptions{LeaderEpoch: int32(i / 15)}); err != nil {
			t.Fatal(err)
		}
		if i%4 == 3 {
			if err := o.mark(1, 0, i%8 == 3, 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	o.SetHighWatermark(o.EndOffset())
	if err := o.IncrementStartOffset(2); err != nil {
		t.Fatal(err)
	}
	o.close()
	return o
}

// TestVerifyFindsDamage changes one thing after the other in a sound dir: each
// is found, with the file and the invariant that it breaks.
func TestVerifyFindsDamage(t *testing.T) {
	o := sound(t)
	bases := o.bases()
	if len(bases) < 3 {
		t.Fatal(bases)
	}
	base := bases[1]
	size := func(b []byte) int { return int(record.Batch(b).Length()) + record.OverheadLen }
	// second changes the second batch of a segment and renews its CRC if asked.
	second := func(change func(record.Batch)) func([]byte) []byte {
		return func(b []byte) []byte {
			change(record.Batch(b[size(b):][:size(b[size(b):])]))
			return b
		}
	}
	entry := func(width, n int, change func([]byte)) func([]byte) []byte {
		return func(b []byte) []byte { change(b[n*width : (n+1)*width]); return b }
	}
	part := func(suffix string) string { return "t-0/" + segmentName(base, suffix) }
	for _, c := range []struct {
		name, file string
		change     func([]byte) []byte
		invariant  string
	}{
		{"a bit of a record", part(logSuffix), second(func(b record.Batch) { b[70] ^= 4 }), "P5"},
		{"a batch with another magic", part(logSuffix), second(func(b record.Batch) { b[16] = 1 }), "P5"},
		{"a segment cut inside a batch", part(logSuffix), func(b []byte) []byte { return b[:len(b)-5] }, "P5"},
		{"a segment cut between batches", part(logSuffix), func(b []byte) []byte { return b[:size(b)] }, "P9"},
		{"an offset twice", part(logSuffix), second(func(b record.Batch) { b.SetBaseOffset(b.BaseOffset() - 1) }), "P2"},
		{"an offset too far away", part(logSuffix), second(func(b record.Batch) { b.SetBaseOffset(b.BaseOffset() + 1<<33) }), "P9"},
		{"an older leader epoch", part(logSuffix), second(func(b record.Batch) { b.SetLeaderEpoch(b.LeaderEpoch() - 1) }), "P4"},
		{"a leader epoch unlike the checkpoint", part(logSuffix), second(func(b record.Batch) { b.SetLeaderEpoch(b.LeaderEpoch() + 1) }), "P4"},
		{"a largest timestamp that lies", part(logSuffix), func(b []byte) []byte { return relabel(b, 9) }, "P8"},
		{"an offset index entry elsewhere", part(offsetSuffix), entry(8, 1, func(b []byte) { b[7]++ }), "P9"},
		{"an offset index entry about another offset", part(offsetSuffix), entry(8, 1, func(b []byte) { b[3]-- }), "P9"},
		{"an offset index entry about the batch of the next one", part(offsetSuffix), func(b []byte) []byte { copy(b[8:12], b[16:20]); return b }, "P9"},
		{"an offset index entry about an offset behind the end", part(offsetSuffix), entry(8, 1, func(b []byte) { b[1] = 1 }), "P9"},
		{"an offset index entry behind the end", part(offsetSuffix), func(b []byte) []byte { return append(b, 0, 0, 0xff, 0, 0, 0, 0xff, 0) }, "P9"},
		{"half an offset index entry", part(offsetSuffix), func(b []byte) []byte { return append(b, 1, 2, 3) }, "P9"},
		{"no offset index", part(offsetSuffix), func([]byte) []byte { return nil }, "P9"},
		{"a time index entry that lies", part(timeSuffix), entry(12, 1, func(b []byte) { b[7]++ }), "P9"},
		{"a time index entry about another offset", part(timeSuffix), entry(12, 1, func(b []byte) { b[11]++ }), "P9"},
		{"a time index that ends early", part(timeSuffix), func(b []byte) []byte { return b[:len(b)-12] }, "P9"},
		{"a time index entry behind the end", part(timeSuffix), func(b []byte) []byte { return append(b, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0) }, "P9"},
		{"no time index", part(timeSuffix), func([]byte) []byte { return nil }, "P9"},
		{"an aborted transaction missing", part(txnSuffix), func(b []byte) []byte { return b[:len(b)-34] }, "P9"},
		{"an aborted transaction too many", part(txnSuffix), func(b []byte) []byte { return append(b, b[:34]...) }, "P9"},
		{"an aborted transaction that lies", part(txnSuffix), entry(34, 0, func(b []byte) { b[9]++ }), "P9"},
		{"a snapshot that cannot be read", part(snapshotSuffix), func(b []byte) []byte { b[20] ^= 1; return b }, ""},
		{"a snapshot that lies", part(snapshotSuffix), func(b []byte) []byte {
			list, _ := decodeSnapshot(b)
			list[0].batches[0].lastSeq++
			return encodeSnapshot(list)
		}, "T3"},
		{"an epoch checkpoint that cannot be read", "t-0/" + epochsName, func([]byte) []byte { return []byte("1\n") }, ""},
		{"an epoch checkpoint that does not ascend", "t-0/" + epochsName, func([]byte) []byte { return []byte("0\n2\n1 5\n1 8\n") }, "P4"},
		{"an epoch checkpoint that lies", "t-0/" + epochsName, func(b []byte) []byte { return bytes.Replace(b, []byte("\n2 "), []byte("\n7 "), 1) }, "P4"},
		{"no epoch checkpoint", "t-0/" + epochsName, func([]byte) []byte { return nil }, ""},
		{"a recovery point beyond the end", recoveryName, func([]byte) []byte { return []byte("0\n1\nt 0 1000\n") }, "P1"},
		{"a recovery point that is not the end", recoveryName, func([]byte) []byte { return []byte("0\n1\nt 0 3\n") }, "P1"},
		{"a start where no epoch begins", startName, func([]byte) []byte { return []byte("0\n1\nt 0 3\n") }, "P1"},
		{"a partition that is not there", replicationName, func([]byte) []byte { return []byte("0\n2\nt 0 3\nu 0 0\n") }, "P1"},
		{"a clean stop's marker that is none", cleanName, func(b []byte) []byte { return b[:4] }, ""},
		{"a topic id that is none", "t-0/" + partitionName, func(b []byte) []byte { b[9] = '7'; return b }, ""},
		{"a start beyond the end", startName, func([]byte) []byte { return []byte("0\n1\nt 0 1000\n") }, "P1"},
		{"a high watermark beyond the end", replicationName, func([]byte) []byte { return []byte("0\n1\nt 0 1000\n") }, "P1"},
		{"a checkpoint that cannot be read", startName, func([]byte) []byte { return []byte("0\n7\n") }, ""},
		{"meta.properties that cannot be read", metaName, func([]byte) []byte { return []byte("version=1\n") }, ""},
		{"no meta.properties", metaName, func([]byte) []byte { return nil }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			broken := &oneLog{t: t, mem: o.mem.CrashClone(vfs.CrashOptions{KeepProbability: 1})}
			broken.edit("../"+c.file, c.change)
			problems, err := Verify("/data", VerifyOptions{FS: broken.mem, Codecs: o.o.Codecs})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(problems, func(p Problem) bool {
				return p.Invariant == c.invariant && strings.HasSuffix(c.name, "lies") && c.invariant == "P4" || p.Invariant == c.invariant && strings.TrimSuffix(p.File, filepath.Ext(p.File)) == strings.TrimSuffix("/data/"+c.file, filepath.Ext(c.file))
			}) {
				t.Fatalf("%v, want %s in %s", problems, c.invariant, c.file)
			}
			if text := problems[0].String(); !strings.Contains(text, problems[0].File) || !strings.Contains(text, problems[0].Message) {
				t.Error(text)
			}
		})
	}
}

// TestVerifyOfManyBatches: an entry of the offset index that an older Kafka made
// for an append of several batches is in order, and a reader that it leads gets
// what is asked for.
func TestVerifyOfManyBatches(t *testing.T) {
	o := sound(t)
	base := o.bases()[1]
	o.edit(segmentName(base, offsetSuffix), func(b []byte) []byte {
		for at := 0; at+12 < len(b); at += offsetEntryLen {
			next := binary.BigEndian.Uint32(b[at+8:])
			if first := binary.BigEndian.Uint32(b[at:]); next <= first+1 {
				t.Fatal("nothing is between two entries")
			}
			binary.BigEndian.PutUint32(b[at:], next-1)
		}
		return b
	})
	verifyClean(t, o.mem)
	if err := o.up(); err != nil {
		t.Fatal(err)
	}
	for offset := base; offset < o.EndOffset(); offset++ {
		for b, err := range o.Batches(offset, offset+1) {
			if err != nil || b.BaseOffset() != offset {
				t.Fatal(offset, b, err)
			}
		}
	}
	o.close()
}

// relabel sets the largest timestamp of the second batch in a segment and its
// CRC, which only a leader with a mistake could do.
func relabel(b []byte, plus int64) []byte {
	at := int(record.Batch(b).Length()) + record.OverheadLen
	x := record.Batch(b[at : at+int(record.Batch(b[at:]).Length())+record.OverheadLen])
	binary.BigEndian.PutUint64(x[35:], uint64(x.MaxTimestamp()+plus))
	binary.BigEndian.PutUint32(x[17:], crcOf(x))
	return b
}

func crcOf(b record.Batch) uint32 { return crc32.Checksum(b[21:], castagnoli) }

// TestVerifyOfRunningNode: without a clean stop, what recovery puts right is no
// problem: a torn tail, an index that is behind or padded with zeros.
func TestVerifyOfRunningNode(t *testing.T) {
	o, _ := damaged(t)
	o.down(false)
	o.edit(segmentName(51, logSuffix), func(b []byte) []byte { return b[:len(b)-5] })
	o.edit(segmentName(51, offsetSuffix), func(b []byte) []byte { return append(b, make([]byte, 800)...) })
	o.edit(segmentName(51, timeSuffix), func(b []byte) []byte { return append(b, make([]byte, 1200)...) })
	verifyClean(t, o.mem)
	problems, err := Verify(folderPath, VerifyOptions{FS: o.mem, Codecs: o.o.Codecs, Headers: true})
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
}

// TestVerifyLimit: a ruined dir does not make an endless list.
func TestVerifyLimit(t *testing.T) {
	o := sound(t)
	for _, base := range o.bases() {
		o.edit(segmentName(base, offsetSuffix), func(b []byte) []byte { return bytes.Repeat([]byte{1}, len(b)) })
	}
	for limit, want := range map[int]int{1: 1, 3: 3, 0: -1} {
		problems, err := Verify("/data", VerifyOptions{FS: o.mem, Codecs: o.o.Codecs, Limit: limit})
		if err != nil || len(problems) != want && want > 0 || len(problems) < 3 && want < 0 {
			t.Error(limit, len(problems), err)
		}
	}
}

// TestVerifyErrors: an I/O that fails is an error and no problem; a dir that
// is missing, too.
func TestVerifyErrors(t *testing.T) {
	o := sound(t)
	if _, err := Verify("/nowhere", VerifyOptions{FS: o.mem}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for i := 0; ; i++ {
		fault := vfs.NewFault(o.mem, vfs.Rule{Op: vfs.OpRead | vfs.OpOpen | vfs.OpReadDir, Skip: i, Count: 1, Err: syscall.EIO})
		_, err := Verify("/data", VerifyOptions{FS: fault, Codecs: o.o.Codecs})
		if fault.Count(vfs.OpRead|vfs.OpOpen|vfs.OpReadDir) <= i {
			if err != nil || i < 20 {
				t.Fatal(i, err)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("a fault at I/O %d: %v", i, err)
		}
	}
}

// TestVerifyFindsMissingSegments: Verify tells of lost segments as the start
// does.
func TestVerifyFindsMissingSegments(t *testing.T) {
	for _, base := range []int64{0, 17, 34} {
		o, _ := damaged(t)
		o.down(true)
		o.edit(segmentName(base, logSuffix), func([]byte) []byte { return nil })
		problems := must(Verify("/data", VerifyOptions{FS: o.mem, Codecs: o.o.Codecs}))(t)
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Invariant == "P12" && p.Offset == base }) {
			t.Errorf("without segment %d: %v", base, problems)
		}
	}
}
