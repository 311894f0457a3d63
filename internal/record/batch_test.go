package record

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// twoRecords was computed outside this package from the format's description,
// with a CRC-32C of its own: offset 42, epoch 7, k=v at 1700000000000 and
// null="" with a header h=null 5 ms later.
const twoRecords = "000000000000002a00000044000000070213f3c0b70000000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffffffffff00000002" +
	"10000000026b027600" + "12000a02010002026801"

// commitMarker was made likewise: offset 9, epoch 2, producer 1234 epoch 5,
// coordinator epoch 3.
const commitMarker = "00000000000000090000004200000002028f96465e0030000000000000018bcfe568000000018bcfe5680000000000000004d20005ffffffff00000001" +
	"20000000080000" + "00010c00000000000300"

const someTime = int64(1_700_000_000_000)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// mustNext splits the only batch off b.
func mustNext(t testing.TB, b []byte) Batch {
	t.Helper()
	batch, rest, err := Next(b)
	if err != nil || len(rest) != 0 {
		t.Fatalf("Next: %v, %d bytes left", err, len(rest))
	}
	return batch
}

func TestGoldenBatch(t *testing.T) {
	b := mustNext(t, unhex(t, twoRecords))
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]int64{
		"BaseOffset": {b.BaseOffset(), 42}, "LastOffset": {b.LastOffset(), 43}, "NextOffset": {b.NextOffset(), 44},
		"Length": {int64(b.Length()), 68}, "LeaderEpoch": {int64(b.LeaderEpoch()), 7}, "Magic": {int64(b.Magic()), 2},
		"CRC": {int64(b.CRC()), 0x13f3c0b7}, "Attributes": {int64(b.Attributes()), 0}, "LastOffsetDelta": {int64(b.LastOffsetDelta()), 1},
		"BaseTimestamp": {b.BaseTimestamp(), someTime}, "MaxTimestamp": {b.MaxTimestamp(), someTime + 5}, "ProducerID": {b.ProducerID(), -1},
		"ProducerEpoch": {int64(b.ProducerEpoch()), -1}, "BaseSequence": {int64(b.BaseSequence()), -1}, "LastSequence": {int64(b.LastSequence()), -1},
		"Count": {int64(b.Count()), 2}, "RecordBytes": {int64(len(b.RecordBytes())), 19},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %d, want %d", name, pair[0], pair[1])
		}
	}
	if b.HasProducer() || b.IsControl() || b.IsTransactional() || b.HasDeleteHorizon() || b.Compression() != None || b.TimestampType() != CreateTime {
		t.Errorf("flags are wrong: %v", b)
	}

	made := NewBuilder(BuilderOptions{BaseOffset: 42, LeaderEpoch: 7})
	made.Append(someTime, []byte("k"), []byte("v"))
	made.Append(someTime+5, nil, []byte{}, Header{Key: []byte("h")})
	got, err := made.Build()
	if err != nil || hex.EncodeToString(got) != twoRecords {
		t.Errorf("Build = %x, %v\nwant    %s", []byte(got), err, twoRecords)
	}
}

func TestGoldenCommitMarker(t *testing.T) {
	b := mustNext(t, unhex(t, commitMarker))
	if err := b.CheckCRC(); err != nil {
		t.Fatal(err)
	}
	if !b.IsControl() || !b.IsTransactional() || b.ProducerID() != 1234 || b.ProducerEpoch() != 5 {
		t.Errorf("header is wrong: %v", b)
	}
	want := EndTxnMarker{Commit: true, CoordinatorEpoch: 3}
	for r, err := range b.Records(nil) {
		if err != nil {
			t.Fatal(err)
		}
		if m, err := ParseEndTxnMarker(&r); err != nil || m != want {
			t.Errorf("marker = %+v, %v, want %+v", m, err, want)
		}
	}
	got, err := EndTxnBatch(BuilderOptions{BaseOffset: 9, LeaderEpoch: 2, Producer: &ProducerInfo{1234, 5, NoSequence}}, someTime, want)
	if err != nil || hex.EncodeToString(got) != commitMarker {
		t.Errorf("EndTxnBatch = %x, %v\nwant %s", []byte(got), err, commitMarker)
	}
}

// TestSameAsKmsg compares with an encoder that is not ours.
func TestSameAsKmsg(t *testing.T) {
	rec := kmsg.Record{Attributes: 0, TimestampDelta64: -3, OffsetDelta: 0, Key: []byte("key"), Value: bytes.Repeat([]byte("x"), 300), Headers: []kmsg.Header{{Key: "a", Value: []byte("b")}}}
	rec.Length = int32(len(rec.AppendTo(nil)) - 1)
	b := NewBuilder(BuilderOptions{BaseOffset: 1 << 40, LeaderEpoch: 3, Producer: &ProducerInfo{77, 2, 9}, Transactional: true, DeleteHorizon: ptr(someTime + 3)})
	b.Append(someTime, rec.Key, rec.Value, Header{Key: []byte("a"), Value: []byte("b")})
	got, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	theirs := kmsg.RecordBatch{
		FirstOffset: 1 << 40, Length: got.Length(), PartitionLeaderEpoch: 3, Magic: 2, CRC: int32(got.CRC()), Attributes: 0x50,
		FirstTimestamp: someTime + 3, MaxTimestamp: someTime, ProducerID: 77, ProducerEpoch: 2, FirstSequence: 9, NumRecords: 1,
		Records: rec.AppendTo(nil),
	}
	if want := theirs.AppendTo(nil); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", []byte(got), want)
	}
	if horizon, ok := got.DeleteHorizon(); !ok || horizon != someTime+3 {
		t.Errorf("DeleteHorizon = %d, %t", horizon, ok)
	}
}

func ptr[T any](v T) *T { return &v }

func TestLeaderFieldsAreOutsideTheCRC(t *testing.T) {
	b := mustNext(t, unhex(t, twoRecords))
	before := b.CRC()
	b.SetBaseOffset(1 << 50)
	b.SetLeaderEpoch(99)
	if err := b.CheckCRC(); err != nil || b.CRC() != before || b.BaseOffset() != 1<<50 || b.LeaderEpoch() != 99 {
		t.Errorf("after stamping: %v, %v", b, err)
	}
	b.SetLogAppendTime(someTime + 1000)
	if err := b.CheckCRC(); err != nil || b.CRC() == before || b.TimestampType() != LogAppendTime || b.MaxTimestamp() != someTime+1000 {
		t.Errorf("after SetLogAppendTime: %v, %v", b, err)
	}
	for r, err := range b.Records(nil) {
		if err != nil || r.Timestamp != someTime+1000 {
			t.Errorf("record %+v, %v: want the batch's timestamp", r, err)
		}
	}
}

// TestEveryByteIsChecked flips each byte that the CRC covers (P5).
func TestEveryByteIsChecked(t *testing.T) {
	good := unhex(t, twoRecords)
	for i := atCRC; i < len(good); i++ {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		var invalid *InvalidError
		if err := Batch(bad).CheckCRC(); !errors.As(err, &invalid) || invalid.Kind != Corrupt {
			t.Errorf("byte %d flipped: %v", i, err)
		}
	}
}

func TestNext(t *testing.T) {
	good := unhex(t, twoRecords)
	change := func(f func(b Batch)) []byte {
		b := bytes.Clone(good)
		f(b)
		return b
	}
	for _, test := range []struct {
		name string
		in   []byte
		want error
		kind Kind
	}{
		{"nothing", nil, io.EOF, 0},
		{"part of the header", good[:16], ErrTruncated, 0},
		{"magic but no more", good[:17], ErrTruncated, 0},
		{"all but a byte", good[:len(good)-1], ErrTruncated, 0},
		{"length too small", change(func(b Batch) { b.putInt32(atLength, HeaderLen-OverheadLen-1) }), nil, Corrupt},
		{"length negative", change(func(b Batch) { b.putInt32(atLength, -1) }), nil, Corrupt},
		{"length huge", change(func(b Batch) { b.putInt32(atLength, math.MaxInt32) }), ErrTruncated, 0},
		{"magic 0", change(func(b Batch) { b[atMagic] = 0 }), nil, InvalidRecord},
		{"magic 1", change(func(b Batch) { b[atMagic] = 1 }), nil, InvalidRecord},
		{"magic 3", change(func(b Batch) { b[atMagic] = 3 }), nil, Corrupt},
		{"magic -1", change(func(b Batch) { b[atMagic] = 0xff }), nil, Corrupt},
	} {
		_, rest, err := Next(test.in)
		wantKind(t, test.name, err, test.want, test.kind)
		if len(rest) != len(test.in) {
			t.Errorf("%s: %d of %d bytes left after an error", test.name, len(rest), len(test.in))
		}
	}
	first, rest, err := Next(append(bytes.Clone(good), good...))
	if err != nil || !bytes.Equal(first, good) || !bytes.Equal(rest, good) || cap(first) != len(first) {
		t.Errorf("two batches: %v, %v, %d left", first, err, len(rest))
	}
}

// wantKind checks an error against a sentinel or the kind of an InvalidError.
func wantKind(t *testing.T, name string, err, want error, kind Kind) {
	t.Helper()
	var invalid *InvalidError
	switch {
	case want != nil && !errors.Is(err, want):
		t.Errorf("%s: %v, want %v", name, err, want)
	case want == nil && kind == 0 && err != nil:
		t.Errorf("%s: %v", name, err)
	case want == nil && kind != 0 && (!errors.As(err, &invalid) || invalid.Kind != kind):
		t.Errorf("%s: %v, want a %v", name, err, kind)
	case invalid != nil && invalid.Message == "":
		t.Errorf("%s: no message", name)
	}
}

func TestSingle(t *testing.T) {
	good := unhex(t, twoRecords)
	if b, err := Single(good); err != nil || !bytes.Equal(b, good) {
		t.Errorf("Single = %v, %v", b, err)
	}
	for name, in := range map[string][]byte{
		"nothing": nil, "cut": good[:30], "two": append(bytes.Clone(good), good...), "garbage after": append(bytes.Clone(good), 1, 2, 3),
	} {
		_, err := Single(in)
		wantKind(t, name, err, nil, InvalidRecord)
	}
	bad := bytes.Clone(good)
	bad[atMagic] = 9
	_, err := Single(bad)
	wantKind(t, "magic", err, nil, Corrupt)
}

func TestIncrementSequence(t *testing.T) {
	for _, test := range [][3]int32{{0, 1, 1}, {5, 0, 5}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32 - 2, 5, 2}} {
		if got := IncrementSequence(test[0], test[1]); got != test[2] {
			t.Errorf("IncrementSequence(%d, %d) = %d, want %d", test[0], test[1], got, test[2])
		}
	}
	b := NewBuilder(BuilderOptions{Producer: &ProducerInfo{1, 0, math.MaxInt32}})
	b.Append(someTime, nil, nil)
	b.Append(someTime, nil, nil)
	batch, _ := b.Build()
	if batch.LastSequence() != 0 {
		t.Errorf("LastSequence = %d, want 0 after 2³¹−1", batch.LastSequence())
	}
}

func TestStrings(t *testing.T) {
	b := mustNext(t, unhex(t, twoRecords))
	if s := b.String(); !strings.Contains(s, "offsets=[42, 43]") || !strings.Contains(s, "compression=none") {
		t.Error(s)
	}
	if s := Batch("short").String(); s != "RecordBatch(5 bytes)" {
		t.Error(s)
	}
	for got, want := range map[string]string{
		Corrupt.String(): "CORRUPT_MESSAGE", InvalidRecord.String(): "INVALID_RECORD", InvalidTimestamp.String(): "INVALID_TIMESTAMP",
		TooLarge.String(): "MESSAGE_TOO_LARGE", UnsupportedCompression.String(): "UNSUPPORTED_COMPRESSION_TYPE", Kind(0).String(): "Kind(0)",
		LogAppendTime.String(): "LogAppendTime", CreateTime.String(): "CreateTime", Compression(7).String(): "unknown(7)",
		Producer.String(): "producer", None.String(): "none", Gzip.String(): "gzip", Snappy.String(): "snappy", LZ4.String(): "lz4", Zstd.String(): "zstd",
		ControlKRaftVoters.String(): "KRAFT_VOTERS", ControlAbort.String(): "ABORT", ControlType(9).String(): "UNKNOWN(9)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
