package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestRecords(t *testing.T) {
	c := NewCodecs()
	for _, codec := range codecsUnderTest {
		b := NewBuilder(BuilderOptions{BaseOffset: 100, Compression: codec, Codecs: c})
		b.Append(someTime, []byte("k"), []byte("v"), Header{[]byte("a"), []byte("1")}, Header{[]byte(""), nil})
		b.AppendAt(5, someTime-3, nil, []byte{})
		b.AppendAt(9, someTime+8, []byte{}, nil)
		batch, err := b.Build()
		if err != nil || b.Count() != 3 {
			t.Fatal(err)
		}
		want := []Record{
			{Offset: 100, Timestamp: someTime, Key: []byte("k"), Value: []byte("v"), Headers: []Header{{[]byte("a"), []byte("1")}, {[]byte{}, nil}}},
			{Offset: 105, Timestamp: someTime - 3, OffsetDelta: 5, TimestampDelta: -3, Value: []byte{}},
			{Offset: 109, Timestamp: someTime + 8, OffsetDelta: 9, TimestampDelta: 8, Key: []byte{}},
		}
		i := 0
		for r, err := range batch.Records(c) {
			if err != nil {
				t.Fatal(err)
			}
			if !sameRecord(r, want[i]) {
				t.Errorf("%v, record %d:\n%+v, want\n%+v", codec, i, r, want[i])
			}
			i++
		}
		if i != len(want) || batch.Count() != 3 || batch.LastOffset() != 109 || batch.MaxTimestamp() != someTime+8 {
			t.Errorf("%v: %d records of %v", codec, i, batch)
		}
	}
}

// sameRecord also tells null from empty.
func sameRecord(a, b Record) bool {
	same := func(x, y []byte) bool { return bytes.Equal(x, y) && (x == nil) == (y == nil) }
	if a.Offset != b.Offset || a.Timestamp != b.Timestamp || a.OffsetDelta != b.OffsetDelta || a.TimestampDelta != b.TimestampDelta ||
		!same(a.Key, b.Key) || !same(a.Value, b.Value) || len(a.Headers) != len(b.Headers) {
		return false
	}
	for i := range a.Headers {
		if !same(a.Headers[i].Key, b.Headers[i].Key) || !same(a.Headers[i].Value, b.Headers[i].Value) {
			return false
		}
	}
	return true
}

func TestRecordsReportsDamage(t *testing.T) {
	for name, batch := range map[string]Batch{
		"cut":       raw(t, 2, unhex(t, "0c000000010100"+"0c0000")),
		"left over": raw(t, 1, unhex(t, "0c000000010100"+"00")),
		"not zstd":  broken(t, BuilderOptions{}, func(b Batch) { b.putInt16(atAttributes, int16(Zstd)) }),
		"codec 6":   broken(t, BuilderOptions{}, func(b Batch) { b.putInt16(atAttributes, 6) }),
	} {
		var last error
		for _, err := range batch.Records(NewCodecs()) {
			last = err
		}
		var invalid *InvalidError
		if !errors.As(last, &invalid) {
			t.Errorf("%s: %v", name, last)
		}
	}
}

func TestBuilder(t *testing.T) {
	b := NewBuilder(BuilderOptions{})
	b.Append(1, nil, nil)
	b.AppendAt(0, 1, nil, nil)
	if _, err := b.Build(); err == nil || !strings.Contains(err.Error(), "offset delta 0 follows 0") {
		t.Errorf("a delta twice: %v", err)
	}
	b.Reset(BuilderOptions{Compression: Gzip})
	b.Append(1, nil, nil)
	if _, err := b.Build(); err == nil {
		t.Error("compressed without Codecs")
	}
	b.Reset(BuilderOptions{Compression: Gzip, Level: 50, Codecs: NewCodecs()})
	if _, err := b.Build(); err == nil {
		t.Error("gzip level 50 exists")
	}
	b.Reset(BuilderOptions{BaseOffset: 10, LastOffsetDelta: 4, MaxTimestamp: someTime, Producer: &ProducerInfo{1, 2, 3}})
	if b.Size() != HeaderLen || b.Count() != 0 {
		t.Errorf("after Reset: %d bytes, %d records", b.Size(), b.Count())
	}
	empty, err := b.Build()
	if err != nil || empty.BaseTimestamp() != NoTimestamp || empty.MaxTimestamp() != someTime || empty.LastOffset() != 14 || empty.LastSequence() != 7 || empty.CheckCRC() != nil {
		t.Errorf("what compaction leaves: %v, %v", empty, err)
	}
	b.Reset(BuilderOptions{TimestampType: LogAppendTime, MaxTimestamp: someTime})
	b.Append(someTime+50, nil, nil)
	if stamped, err := b.Build(); err != nil || stamped.MaxTimestamp() != someTime || stamped.TimestampType() != LogAppendTime {
		t.Errorf("LogAppendTime: %v, %v", stamped, err)
	}
}

func TestControlRecords(t *testing.T) {
	for kind := ControlAbort; kind <= ControlKRaftVoters; kind++ {
		batch, err := ControlBatch(BuilderOptions{BaseOffset: 3}, someTime, kind, []byte("body"))
		if err != nil || !batch.IsControl() || batch.CheckCRC() != nil {
			t.Fatalf("%v: %v, %v", kind, batch, err)
		}
		for r, err := range batch.Records(nil) {
			got, keyErr := ParseControlKey(r.Key)
			if err != nil || keyErr != nil || got != kind || string(r.Value) != "body" {
				t.Errorf("%v: %v, %v, %v", kind, got, err, keyErr)
			}
		}
	}
	for name, r := range map[string]Record{
		"short key":        {Key: []byte{0, 0, 1}, Value: make([]byte, 6)},
		"negative version": {Key: []byte{0x80, 0, 0, 1}, Value: make([]byte, 6)},
		"another type":     {Key: []byte{0, 0, 0, 2}, Value: make([]byte, 6)},
		"short value":      {Key: []byte{0, 0, 0, 1}, Value: make([]byte, 5)},
		"value version":    {Key: []byte{0, 0, 0, 0}, Value: []byte{0xff, 0, 0, 0, 0, 0}},
	} {
		_, err := ParseEndTxnMarker(&r)
		wantKind(t, name, err, nil, InvalidRecord)
	}
	abort := Record{Key: []byte{0, 1, 0, 0, 9}, Value: []byte{0, 1, 0, 0, 0, 8, 7}}
	if m, err := ParseEndTxnMarker(&abort); err != nil || m != (EndTxnMarker{CoordinatorEpoch: 8}) || m.Type() != ControlAbort {
		t.Errorf("a later version with more fields: %+v, %v", m, err)
	}
}
