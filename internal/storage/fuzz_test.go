package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"ottla/internal/record"
	"ottla/internal/vfs"
)

// FuzzSegment opens whatever bytes as the only segment of a partition, without
// a recovery point. What is left must be a log of whole batches that are a
// prefix of the bytes, stay so at the next start, and satisfy Verify.
func FuzzSegment(f *testing.F) {
	good := batch(f, 3, record.BuilderOptions{Producer: &record.ProducerInfo{ID: 1}}, "value")
	second := bytes.Clone(good)
	record.Batch(second).SetBaseOffset(3)
	end, err := record.EndTxnBatch(record.BuilderOptions{BaseOffset: 6, Producer: &record.ProducerInfo{ID: 1, BaseSequence: -1}}, startMs, record.EndTxnMarker{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, false)
	f.Add(good, true)
	f.Add(slices.Concat(good, second, []byte(end)), true)
	f.Add(slices.Concat(good, second[:40]), false)
	f.Add(slices.Concat(good, good), false)
	f.Add(make([]byte, 200), true)
	codecs := record.NewCodecs()
	f.Fuzz(func(t *testing.T, data []byte, fix bool) {
		if fix {
			fixCRCs(data)
		}
		mem := vfs.NewMem()
		o := testOptions(mem)
		o.Codecs, o.scanBytes = codecs, 8<<10
		if err := mem.MkdirAll("/data/t-0", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeFile(mem, "/data/t-0/00000000000000000000.log", data); err != nil {
			t.Fatal(err)
		}
		m, err := OpenManager(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		l := m.Log("t", 0)
		if l == nil {
			t.Fatal(m.Broken())
		}
		size, end := l.Size(), l.EndOffset()
		var read []byte
		for b, err := range l.Batches(0, end) {
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, b...)
		}
		if !bytes.Equal(read, data[:size]) {
			t.Fatalf("%d bytes are left, %d are read", size, len(read))
		}
		// Control records that make no sense are not for storage to judge, so
		// neither does it fail on them, live or later.
		if _, _, err := l.OffsetForTimestamp(startMs); err != nil && !isCorrupt(err) {
			t.Fatal(err)
		}
		if err := m.Close(-1); err != nil {
			t.Fatal(err)
		}
		problems, err := Verify("/data", VerifyOptions{FS: mem, Codecs: codecs, Headers: true})
		if err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		if m, err = OpenManager(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if l = m.Log("t", 0); l.Size() != size || l.EndOffset() != end {
			t.Fatal("another start finds another log")
		}
		m.abandon()
	})
}

// fixCRCs gives each batch the CRC of its content, so that what lies behind
// that check is reached.
func fixCRCs(data []byte) {
	for {
		b, rest, err := record.Next(data)
		if err != nil {
			return
		}
		binary.BigEndian.PutUint32(b[17:], crcOf(b))
		data = rest
	}
}

// FuzzFolder puts whatever bytes into each file beside the batches of a good
// partition: a start after a crash never fails and serves the same batches.
func FuzzFolder(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 5, 0, 0, 0, 99})
	f.Add(byte(1), []byte("0\n1\n0 0\n"))
	f.Add(byte(2), make([]byte, 24))
	f.Add(byte(3), encodeSnapshot(nil))
	f.Add(byte(4), []byte("0\n1\nt 0 3\n"))
	codecs := record.NewCodecs()
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		mem := vfs.NewMem()
		o := testOptions(mem)
		o.Codecs, o.scanBytes = codecs, 8<<10
		o.Default.SegmentBytes, o.Default.IndexIntervalBytes = 500, 100
		m := openManager(t, o)
		l := must(m.Create(TopicPartition{Topic: "t", TopicID: [16]byte{1}}, o.Default, [16]byte{}))(t)
		for range 10 {
			if _, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		m.abandon()
		names := []string{
			"t-0/00000000000000000007.index", "t-0/leader-epoch-checkpoint", "t-0/00000000000000000007.timeindex", "t-0/00000000000000000007.snapshot",
			startName, replicationName, "t-0/00000000000000000007.txnindex", "t-0/partition.metadata", "t-0/00000000000000000000.index",
			cleanName, "t-0/00000000000000000003.log.swap", "t-0/00000000000000000000.log.cleaned",
		}
		if err := writeFile(mem, "/data/"+names[int(which)%len(names)], data); err != nil {
			t.Fatal(err)
		}
		m, err := OpenManager(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer m.abandon()
		l = m.Log("t", 0)
		if l == nil {
			return // a swap that is no segment
		}
		for b, err := range l.Batches(l.StartOffset(), l.EndOffset()) {
			if err != nil || b.CheckCRC() != nil {
				t.Fatal(b, err)
			}
		}
		for ts := range int64(3) {
			if _, _, err := l.OffsetForTimestamp(startMs - 1 + ts); err != nil && !isCorrupt(err) {
				t.Fatal(err)
			}
		}
		if _, err := l.AppendAsLeader(batch(t, 1, record.BuilderOptions{}, "v"), AppendOptions{LeaderEpoch: l.LatestEpoch() + 1}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSnapshot: a snapshot that is taken is written back the same.
func FuzzSnapshot(f *testing.F) {
	p := newProducer(7)
	p.batches[0], p.kept = batchMeta{lastOffset: 5, lastSeq: 5, offsetDelta: 2}, 1
	f.Add(encodeSnapshot([]producer{p}))
	f.Add(encodeSnapshot(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, why := decodeSnapshot(data)
		if why != "" {
			return
		}
		if again, why := decodeSnapshot(encodeSnapshot(list)); why != "" || !slices.Equal(list, again) {
			t.Fatal(list, again, why)
		}
	})
}

// FuzzCheckpoint: a checkpoint that is taken is written back with the same
// meaning.
func FuzzCheckpoint(f *testing.F) {
	f.Add([]byte("0\n2\norders 0 1500\norders 1 0\n"))
	f.Add([]byte("0\n2\n0 0\n3 120\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := decodeEpochs(data); err == nil {
			if again, err := decodeEpochs(encodeEpochs(list)); err != nil || !slices.Equal(list, again) {
				t.Fatal(list, again, err)
			}
		}
		offsets, err := decodeOffsets(data)
		if err != nil {
			return
		}
		var lines []offsetLine
		for key, offset := range offsets {
			lines = append(lines, offsetLine{key, offset})
		}
		again, err := decodeOffsets(encodeOffsets(lines))
		if err != nil || len(again) != len(offsets) {
			t.Fatal(offsets, again, err)
		}
	})
}

// FuzzMeta: neither of the two small files of names and ids lets a reader
// fail, and what is taken is written back the same.
func FuzzMeta(f *testing.F) {
	f.Add(encodeMeta(MetaProperties{ClusterID: "c", NodeID: 1, DirectoryID: [16]byte{1}}))
	f.Add(encodePartitionMetadata([16]byte{1}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if id, err := decodePartitionMetadata(data); err == nil {
			if again, err := decodePartitionMetadata(encodePartitionMetadata(id)); err != nil || again != id {
				t.Fatal(id, again, err)
			}
		}
		p, err := decodeMeta(data)
		if err != nil || strings.ContainsAny(p.ClusterID, "\r\x0b\x0c") {
			return
		}
		if p.DirectoryID == [16]byte{} {
			p.DirectoryID = [16]byte{1}
		}
		if again, err := decodeMeta(encodeMeta(p)); err != nil || again != p {
			t.Fatal(p, again, err)
		}
	})
}
