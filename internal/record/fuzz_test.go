package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fuzzBound is what one input of at most 64 KiB may make a parser allocate:
// the state of a decoder with its window, and what is asked for.
const fuzzBound = 48 << 20

func bounded(t *testing.T, in []byte, f func()) {
	if len(in) > 64<<10 {
		t.Skip("longer than the bound is made for")
	}
	if n := allocated(f); n > fuzzBound {
		t.Errorf("%d bytes made %d bytes of memory", len(in), n)
	}
}

func FuzzNext(f *testing.F) {
	good := unhex(f, twoRecords)
	f.Add(good)
	f.Add(append(bytes.Clone(good), good[:20]...))
	f.Fuzz(func(t *testing.T, in []byte) {
		rest := in
		for {
			batch, after, err := Next(rest)
			if err != nil {
				var invalid *InvalidError
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrTruncated) && !errors.As(err, &invalid) {
					t.Fatalf("an error of no known kind: %v", err)
				}
				return
			}
			if len(batch) < HeaderLen || len(batch)+len(after) != len(rest) || int(batch.Length())+OverheadLen != len(batch) {
				t.Fatalf("batch of %d bytes and %d left of %d", len(batch), len(after), len(rest))
			}
			_ = batch.String()
			rest = after
		}
	})
}

// addBatches seeds a fuzz target with a batch of every codec.
func addBatches(f *testing.F, c *Codecs) {
	for _, codec := range codecsUnderTest {
		f.Add([]byte(build(f, BuilderOptions{Compression: codec, Codecs: c, Producer: &ProducerInfo{1, 1, 1}}, 20)), int8(Producer))
		f.Add([]byte(build(f, BuilderOptions{Compression: codec, Codecs: c}, 1)), int8(Zstd))
	}
	f.Add(unhex(f, commitMarker), int8(None))
}

// FuzzValidate mends the CRC, so that the records are reached. What Validate
// lets pass must be readable and pass again.
func FuzzValidate(f *testing.F) {
	c := NewCodecs()
	addBatches(f, c)
	f.Fuzz(func(t *testing.T, in []byte, target int8) {
		batch, _, err := Next(in)
		if err != nil {
			return
		}
		batch = Batch(bytes.Clone(batch))
		batch.setCRC()
		rules := looseRules()
		rules.Origin = Origin(uint8(target) >> 4 % 3)
		rules.Compression = Compression(target&7)%6 - 1
		bounded(t, in, func() {
			got, err := c.Validate(batch, &rules)
			if err != nil || rules.Origin == Replication {
				return
			}
			count, newest := int32(0), NoTimestamp
			for r, err := range got.Batch.Records(c) {
				if err != nil || r.OffsetDelta != count {
					t.Fatalf("record %d of a valid batch: %v, delta %d", count, err, r.OffsetDelta)
				}
				count, newest = count+1, max(newest, r.Timestamp)
			}
			if count != got.Batch.Count() || newest != got.Batch.MaxTimestamp() || got.Batch.CheckCRC() != nil {
				t.Fatalf("%d records up to %d in %v", count, newest, got.Batch)
			}
			if _, err := c.Validate(got.Batch, &rules); err != nil {
				t.Fatalf("valid once, then not: %v", err)
			}
		})
	})
}

// decoded is the record at the front of b as another decoder reads it, and what
// follows it.
func decoded(b []byte) (r Record, rest []byte, err error) {
	length, n := binary.Varint(b)
	if n <= 0 || length < 0 || int64(len(b)-n) < length {
		return r, nil, fmt.Errorf("there is no record in %d bytes", len(b))
	}
	end := n + int(length)
	other := kmsg.NewRecord()
	err = other.ReadFrom(b[:end])
	r = Record{Attributes: other.Attributes, TimestampDelta: other.TimestampDelta64, OffsetDelta: other.OffsetDelta, Key: other.Key, Value: other.Value}
	for _, h := range other.Headers {
		r.Headers = append(r.Headers, Header{[]byte(h.Key), h.Value})
	}
	return r, b[end:], err
}

// FuzzRecords compares with another decoder, on anything that is taken.
func FuzzRecords(f *testing.F) {
	c := NewCodecs()
	addBatches(f, c)
	b := NewBuilder(BuilderOptions{})
	b.Append(someTime, nil, []byte{}, Header{[]byte("a"), nil}, Header{[]byte{}, []byte("1")})
	b.AppendAt(3, someTime-1, []byte{}, nil)
	nulls, err := b.Build()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nulls), int8(0))
	f.Fuzz(func(t *testing.T, in []byte, _ int8) {
		batch, _, err := Next(in)
		if err != nil {
			return
		}
		if batch.Compression() != None {
			// FuzzDecompress covers the codecs; here only the records count.
			batch.putInt16(atAttributes, 0)
		}
		bounded(t, in, func() {
			n, rest := int32(0), batch.RecordBytes()
			for r, err := range batch.Records(c) {
				if err != nil {
					return
				}
				if len(r.Key)+len(r.Value) > len(in) || len(r.Headers) > len(in) {
					t.Fatalf("a record larger than its batch: %+v", r)
				}
				var want Record
				if want, rest, err = decoded(rest); err != nil {
					t.Fatalf("record %d: %v", n, err)
				}
				want.Offset, want.Timestamp = r.Offset, r.Timestamp
				if !sameRecord(r, want) || r.Attributes != want.Attributes {
					t.Fatalf("record %d: got %+v, want %+v", n, r, want)
				}
				n++
			}
			if n != max(batch.Count(), 0) {
				t.Fatalf("%d records of %d without an error", n, batch.Count())
			}
		})
	})
}

// fuzzDecompress checks one codec: whatever the input, the limit holds.
func fuzzDecompress(f *testing.F, codec Compression) {
	c := NewCodecs()
	for _, size := range []int{0, 10, 1000, 40_000} {
		packed, err := c.Compress(nil, codec, 0, payload(1, size))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1 << 20
		bounded(t, in, func() {
			if got, _ := c.Decompress(nil, codec, in, limit); len(got) > limit {
				t.Fatalf("%d bytes where %d are allowed", len(got), limit)
			}
		})
	})
}

func FuzzGzip(f *testing.F)   { fuzzDecompress(f, Gzip) }
func FuzzSnappy(f *testing.F) { fuzzDecompress(f, Snappy) }
func FuzzLZ4(f *testing.F)    { fuzzDecompress(f, LZ4) }
func FuzzZstd(f *testing.F)   { fuzzDecompress(f, Zstd) }
