package record

import (
	"math/rand/v2"
	"testing"
)

// TestFirst: First agrees with a walk over all records, in every codec, with
// gaps between the offsets, with both kinds of timestamp; and a batch that is
// cut behind the record tells the same.
func TestFirst(t *testing.T) {
	codecs := NewCodecs()
	rng := rand.New(rand.NewPCG(5, 6))
	for _, codec := range []Compression{None, Gzip, Snappy, LZ4, Zstd} {
		for round := range 40 {
			b := NewBuilder(BuilderOptions{Compression: codec, Codecs: codecs})
			n := 1 + rng.IntN(30)
			for range n {
				b.Append(1_000_000+rng.Int64N(1000), []byte("key"), make([]byte, rng.IntN(300)))
			}
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			batch.SetBaseOffset(100)
			if round%3 == 0 {
				batch.SetLogAppendTime(5)
			}
			for from := int64(90); from < int64(102+n); from++ {
				wantOffset, wantTime, want := int64(0), int64(0), false
				for r, err := range batch.Records(codecs) {
					if err != nil {
						t.Fatal(err)
					}
					if r.Offset >= from {
						wantOffset, wantTime, want = r.Offset, r.Timestamp, true
						break
					}
				}
				offset, timestamp, found, err := batch.First(codecs, from)
				if err != nil || found != want || offset != wantOffset || timestamp != wantTime {
					t.Fatalf("%s, from %d: %d at %d, %t, %v, want %d at %d, %t", codec, from, offset, timestamp, found, err, wantOffset, wantTime, want)
				}
			}
			if codec != None {
				continue
			}
			const head = HeaderLen + 16 // one varint of at most 5 bytes, a byte, one of 10 and one of 5 would be 21
			cut := batch[:min(head, len(batch))]
			if offset, timestamp, found, err := cut.First(nil, 0); err != nil || !found || offset != 100 || timestamp != firstTimestamp(t, batch) {
				t.Fatalf("cut: %d at %d, %t, %v", offset, timestamp, found, err)
			}
			if n > 1 {
				if _, _, found, err := cut.First(nil, int64(99+n)); err == nil && len(cut) < len(batch) {
					t.Fatalf("beyond the cut: found %t without an error", found)
				}
			}
		}
	}
}

func firstTimestamp(t *testing.T, b Batch) int64 {
	t.Helper()
	for r, err := range b.Records(nil) {
		if err != nil {
			t.Fatal(err)
		}
		return r.Timestamp
	}
	t.Fatal("no record")
	return 0
}
