package record

import (
	"bytes"
	"testing"
)

// benchBatch is 100 KB of records of about 100 bytes.
func benchBatch(t testing.TB, c *Codecs, codec Compression) Batch {
	b := NewBuilder(BuilderOptions{Compression: codec, Codecs: c, Producer: &ProducerInfo{1, 0, 0}})
	values := payload(9, 100_000)
	for i := range 1000 {
		b.Append(someTime, nil, values[i*100:(i+1)*100])
	}
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// TestAllocations: nothing is allocated per record, and for an uncompressed
// batch nothing at all. The libraries of the codecs keep pools, from which the
// race detector takes at random.
func TestAllocations(t *testing.T) {
	c := NewCodecs()
	for codec, limit := range map[Compression]float64{None: 0, Gzip: 20, Snappy: 20, LZ4: 20, Zstd: 20} {
		batch := benchBatch(t, c, codec)
		rules := looseRules()
		got := testing.AllocsPerRun(50, func() {
			if _, err := c.Validate(batch, &rules); err != nil {
				t.Fatal(err)
			}
		})
		if got > limit {
			t.Errorf("Validate %v: %v allocations for 1000 records, at most %v", codec, got, limit)
		}
	}
	batch := benchBatch(t, c, None)
	got := testing.AllocsPerRun(50, func() {
		for _, err := range batch.Records(c) {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	if got > 2 {
		t.Errorf("Records: %v allocations for 1000 records", got)
	}
}

func BenchmarkValidate(b *testing.B) {
	c := NewCodecs()
	for _, codec := range codecsUnderTest {
		b.Run(codec.String(), func(b *testing.B) {
			batch := benchBatch(b, c, codec)
			rules := looseRules()
			b.SetBytes(100_000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Validate(batch, &rules); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkValidateSmall is one record of 100 bytes a request.
func BenchmarkValidateSmall(b *testing.B) {
	c := NewCodecs()
	batch := build(b, BuilderOptions{Producer: &ProducerInfo{1, 0, 0}}, 1)
	rules := looseRules()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Validate(batch, &rules); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecords(b *testing.B) {
	c := NewCodecs()
	for _, codec := range []Compression{None, Zstd} {
		b.Run(codec.String(), func(b *testing.B) {
			batch := benchBatch(b, c, codec)
			b.SetBytes(100_000)
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range batch.Records(c) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkCompress(b *testing.B) {
	c := NewCodecs()
	src := bytes.Clone(benchBatch(b, c, None).RecordBytes())
	for _, codec := range codecsUnderTest[1:] {
		b.Run(codec.String(), func(b *testing.B) {
			var out []byte
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = c.Compress(out[:0], codec, DefaultLevel, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
