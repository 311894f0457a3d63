package record

import (
	"bytes"
	"testing"
)

// large is a batch of one record whose value is src.
func large(t testing.TB, c *Codecs, codec Compression, src []byte) Batch {
	t.Helper()
	b := NewBuilder(BuilderOptions{Compression: codec, Codecs: c})
	b.Append(someTime, nil, src)
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(batch)
}

// TestRecompressLarge: records beyond what is compressed at once come out the same,
// and cost little more memory than the result, twice.
func TestRecompressLarge(t *testing.T) {
	c := NewCodecs()
	src := payload(11, 8<<20)
	sizes := map[Compression]int{}
	for _, codec := range codecsUnderTest {
		sizes[codec] = len(large(t, c, codec, src))
	}
	for _, from := range codecsUnderTest {
		batch := large(t, c, from, src)
		for _, to := range codecsUnderTest {
			if from == to || from != None && to != None && from != Zstd {
				continue
			}
			rules := looseRules()
			rules.Compression, rules.MaxBytes = to, 0
			var got Validated
			var err error
			n := allocated(func() { got, err = c.Validate(batch, &rules) })
			if err != nil {
				t.Errorf("%v to %v: %v", from, to, err)
				continue
			}
			if limit := uint64(2*len(got.Batch) + 16<<20); n > limit {
				t.Errorf("%v to %v: %d bytes allocated for a result of %d", from, to, n, len(got.Batch))
			}
			if have, most := len(got.Batch), sizes[to]+sizes[to]/20; have > most {
				t.Errorf("%v to %v: %d bytes, but %d at once", from, to, have, sizes[to])
			}
			for r, err := range got.Batch.Records(c) {
				if err != nil || !bytes.Equal(r.Value, src) {
					t.Errorf("%v to %v: %v, %d bytes", from, to, err, len(r.Value))
				}
			}
			if err := got.Batch.CheckCRC(); err != nil || got.Batch.Count() != 1 || got.Batch.Compression() != to {
				t.Errorf("%v to %v: %v %v", from, to, got.Batch, err)
			}
			// Beyond the limit it is given up early, and nothing is kept of it.
			rules.MaxBytes = max(len(batch), 3<<20)
			if len(got.Batch) > rules.MaxBytes {
				n := allocated(func() { _, err = c.Validate(batch, &rules) })
				wantKind(t, "grown beyond the limit", err, nil, TooLarge)
				if n > uint64(rules.MaxBytes)+16<<20 {
					t.Errorf("%v to %v: %d bytes allocated for nothing", from, to, n)
				}
			}
		}
	}
}

// TestRecompressEdges: what is just as large as is compressed at once, a byte more,
// and records that are wrong at the end.
func TestRecompressEdges(t *testing.T) {
	c := NewCodecs()
	for _, size := range []int{smallRecords - 64, smallRecords - 12, smallRecords - 11, smallRecords - 10, smallRecords, smallRecords + pieceBytes} {
		src := payload(12, size)
		for _, to := range []Compression{None, Snappy, Zstd} {
			batch := large(t, c, LZ4, src)
			rules := looseRules()
			rules.Compression, rules.MaxBytes = to, 0
			got, err := c.Validate(batch, &rules)
			if err != nil {
				t.Fatal(err)
			}
			for r, err := range got.Batch.Records(c) {
				if err != nil || !bytes.Equal(r.Value, src) {
					t.Errorf("%d bytes to %v: %v, %d bytes", size, to, err, len(r.Value))
				}
			}
			batch.putInt32(atCount, 2)
			batch.putInt32(atLastOffsetDelta, 1)
			batch.setCRC()
			_, err = c.Validate(batch, &rules)
			wantKind(t, "a record is missing", err, nil, InvalidRecord)
		}
	}
}
