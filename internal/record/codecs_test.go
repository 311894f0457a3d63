package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// payload makes bytes that compress about three to one.
func payload(seed uint64, size int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	words := make([][]byte, 50)
	for i := range words {
		words[i] = make([]byte, 3+r.IntN(12))
		for j := range words[i] {
			words[i][j] = byte(r.IntN(256))
		}
	}
	var b []byte
	for len(b) < size {
		b = append(b, words[r.IntN(len(words))]...)
	}
	return b[:size]
}

func TestCodecsRoundTrip(t *testing.T) {
	c := NewCodecs()
	levels := map[Compression][]int{
		None: {0}, Snappy: {0}, Gzip: {DefaultLevel, -1, 1, 9}, LZ4: {DefaultLevel, 1, 3, 9, 12, 17}, Zstd: {DefaultLevel, -5, 1, 3, 9, 19, 22},
	}
	for codec, levels := range levels {
		for _, level := range levels {
			for _, size := range []int{0, 1, 100, pieceBytes - 1, pieceBytes, pieceBytes + 1, 300_000, 3 << 20} {
				if level != DefaultLevel && size > 1<<20 {
					continue // slow, and only a window matters there
				}
				src := payload(uint64(size), size)
				packed, err := c.Compress([]byte("head"), codec, level, src)
				if err != nil || string(packed[:4]) != "head" {
					t.Fatalf("%v level %d, %d bytes: %v", codec, level, size, err)
				}
				got, err := c.Decompress([]byte("head"), codec, packed[4:], size)
				if err != nil || string(got[:4]) != "head" || !bytes.Equal(got[4:], src) {
					t.Errorf("%v level %d, %d bytes: got %d back, %v", codec, level, size, len(got)-4, err)
				}
				if _, err := c.Decompress(nil, codec, packed[4:], size-1); size > 0 && !errors.Is(err, ErrTooLarge) {
					t.Errorf("%v level %d: %d bytes where %d are allowed: %v", codec, level, size, size-1, err)
				}
				if size >= 100_000 && codec != None && len(packed) > size*3/4 {
					t.Errorf("%v level %d: %d bytes became %d", codec, level, size, len(packed))
				}
			}
		}
	}
}

func TestCodecsRefuse(t *testing.T) {
	c := NewCodecs()
	if _, err := c.Compress(nil, 7, 0, nil); err == nil {
		t.Error("codec 7 compresses")
	}
	if _, err := c.Decompress(nil, 7, nil, 10); err == nil {
		t.Error("codec 7 decompresses")
	}
	if _, err := c.Compress(nil, Gzip, 77, nil); err == nil {
		t.Error("gzip level 77 exists")
	}
	for _, codec := range codecsUnderTest[1:] {
		packed, err := c.Compress(nil, codec, 0, payload(1, 200_000))
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []int{1, 3, 10, 30, len(packed) / 2, len(packed) - 1} {
			if got, err := c.Decompress(nil, codec, packed[:cut], 1<<20); err == nil && len(got) == 200_000 {
				t.Errorf("%v cut to %d of %d bytes gives everything", codec, cut, len(packed))
			}
		}
		// The state of a worker survives a failure.
		if got, err := c.Decompress(nil, codec, packed, 1<<20); err != nil || len(got) != 200_000 {
			t.Errorf("%v after failures: %d bytes, %v", codec, len(got), err)
		}
	}
}

// TestFramesOfJavaClients compares what we write with what Kafka's Java client
// writes: the headers of the framings.
func TestFramesOfJavaClients(t *testing.T) {
	c := NewCodecs()
	for codec, want := range map[Compression]string{
		// Magic, version 1, readable since version 1; then the block's length.
		Snappy: "82534e4150505900" + "00000001" + "00000001",
		// Magic, version 1 with independent blocks only, blocks of 64 KiB,
		// the header's checksum.
		LZ4:  "04224d18" + "60" + "40" + "82",
		Gzip: "1f8b08",
		Zstd: "28b52ffd",
	} {
		packed, err := c.Compress(nil, codec, 0, payload(1, 100_000))
		if err != nil || hex.EncodeToString(packed[:len(want)/2]) != want {
			t.Errorf("%v begins with %x, want %s (%v)", codec, packed[:16], want, err)
		}
	}
	packed, _ := c.Compress(nil, Snappy, 0, make([]byte, 40_000))
	first := binary.BigEndian.Uint32(packed[16:])
	if n, err := s2.DecodedLen(packed[20 : 20+first]); err != nil || n != 32<<10 {
		t.Errorf("the first block holds %d bytes, %v: want 32 KiB", n, err)
	}
}

// TestBareSnappy is what librdkafka sent and others send still.
func TestBareSnappy(t *testing.T) {
	c := NewCodecs()
	src := payload(3, 100_000)
	got, err := c.Decompress(nil, Snappy, s2.EncodeSnappy(nil, src), len(src))
	if err != nil || !bytes.Equal(got, src) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := c.Decompress(nil, Snappy, s2.Encode(nil, bytes.Repeat([]byte("abcdefgh"), 10_000)), 1<<20); err == nil {
		t.Error("s2's extension was accepted: no other client can read it")
	}
	// A block that claims more than it can hold is refused before it costs
	// memory.
	claim := append(binary.AppendUvarint(nil, 1<<31), 1, 2, 3)
	if n := allocated(func() { _, err = c.Decompress(nil, Snappy, claim, 1<<30) }); err == nil || n > 1<<20 {
		t.Errorf("a claim of 2 GiB: %v, %d bytes allocated", err, n)
	}
	for name, bad := range map[string]string{
		"beyond the end": string(snappyHeader) + "\x00\x00\x00\x09abc",
		"no varint":      string(snappyHeader) + "\x00\x00\x00\x02\xff\xff",
	} {
		if _, err := c.Decompress(nil, Snappy, []byte(bad), 100); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestLZ4Frames(t *testing.T) {
	c := NewCodecs()
	src := payload(4, 5<<20)
	for name, options := range map[string][]lz4.Option{
		"blocks of 4 MiB":    {lz4.BlockSizeOption(lz4.Block4Mb)},
		"blocks of 256 KiB":  {lz4.BlockSizeOption(lz4.Block256Kb)},
		"all checksums":      {lz4.BlockChecksumOption(true), lz4.ChecksumOption(true)},
		"content size":       {lz4.SizeOption(uint64(len(src)))},
		"compressed harder":  {lz4.CompressionLevelOption(lz4.Level5)},
		"like the reference": {lz4.CompressionLevelOption(lz4.CCompatFast)},
	} {
		var frame bytes.Buffer
		w := lz4.NewWriter(&frame)
		if err := w.Apply(options...); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(src)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := c.Decompress(nil, LZ4, frame.Bytes(), len(src))
		if err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	// Kafka's clients cannot read blocks that depend on each other; the library
	// can: a frame of one stored block of 3 bytes.
	dependent := unhex(t, "04224d18"+"40"+"40"+"c0"+"03000080"+"616263"+"00000000")
	if got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(dependent))); err != nil || string(got) != "abc" {
		t.Fatalf("the frame of this test is wrong: %q, %v", got, err)
	}
	if _, err := c.Decompress(nil, LZ4, dependent, 10); err == nil {
		t.Error("dependent blocks are accepted")
	}
}

// zstdFrame compresses with the given window, its size known or not.
func zstdFrame(t testing.TB, src []byte, window int, known bool) []byte {
	t.Helper()
	var frame bytes.Buffer
	e, err := zstd.NewWriter(&frame, zstd.WithWindowSize(window), zstd.WithSingleSegment(known))
	if err != nil {
		t.Fatal(err)
	}
	if known {
		return e.EncodeAll(src, nil)
	}
	_, _ = e.Write(src)
	_ = e.Flush()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return frame.Bytes()
}

// nearMatches are random bytes that repeat after 32 KiB and never again.
func nearMatches(size int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	var b []byte
	for chunk := make([]byte, 32<<10); len(b) < size; b = append(append(b, chunk...), chunk...) {
		_, _ = r.Read(chunk)
	}
	return b[:size]
}

// TestZstdWindows: producers at levels 20 to 22 name windows of up to 128 MiB,
// and content in one segment is its own window. Both are read with 8 MiB.
func TestZstdWindows(t *testing.T) {
	c := NewCodecs()
	small, large := payload(5, 300_000), nearMatches(9<<20)
	for _, test := range []struct {
		name   string
		src    []byte
		window int
		known  bool
	}{
		{"1 MiB", small, 1 << 20, false},
		{"8 MiB", large, 8 << 20, false},
		{"128 MiB, little content", small, 128 << 20, false},
		{"128 MiB, near matches", large, 128 << 20, false},
		{"one segment of 9 MiB", large, 1 << 20, true},
		{"one small segment", small, 1 << 20, true},
	} {
		frame := zstdFrame(t, test.src, test.window, test.known)
		var got []byte
		var err error
		size := allocated(func() { got, err = c.Decompress(make([]byte, 0, len(test.src)+pieceBytes), Zstd, frame, len(test.src)) })
		if err != nil || !bytes.Equal(got, test.src) {
			t.Errorf("%s: %d bytes, %v", test.name, len(got), err)
		}
		if size > 24<<20 {
			t.Errorf("%s: %d bytes allocated", test.name, size)
		}
	}
	// A match from beyond the window is refused, not answered with garbage.
	far := payload(7, 10<<20)
	far = append(append([]byte{}, far...), far[:100_000]...)
	if got, err := c.Decompress(nil, Zstd, zstdFrame(t, far, 64<<20, false), 1<<30); err == nil && !bytes.Equal(got, far) {
		t.Error("wrong bytes without an error")
	}
	// A header alone, with a content size that fits no memory.
	header := unhex(t, "28b52ffd"+"e0"+"ffffffffffffff0f"+"010000")
	var err error
	if n := allocated(func() { _, err = c.Decompress(nil, Zstd, header, 1<<40) }); err == nil || n > 24<<20 {
		t.Errorf("a claim of exabytes: %v, %d bytes allocated", err, n)
	}
}

// allocated counts the bytes that f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestBombs validates batches of 1 GiB of zeros in little space: refused, with
// little memory, however they are packed.
func TestBombs(t *testing.T) {
	c := NewCodecs()
	zeros := make([]byte, 1<<20)
	for codec, bomb := range map[Compression][]byte{Gzip: bomb(t, c, Gzip, zeros), Zstd: bomb(t, c, Zstd, zeros)} {
		batch := append(build(t, BuilderOptions{}, 1)[:HeaderLen:HeaderLen], bomb...)
		batch.putInt32(atLength, int32(len(batch)-OverheadLen))
		batch.putInt16(atAttributes, int16(codec))
		batch.setCRC()
		rules := looseRules()
		rules.MaxBytes = 0
		var err error
		n := allocated(func() { _, err = c.Validate(batch, &rules) })
		wantKind(t, codec.String(), err, nil, InvalidRecord)
		if err != nil && !strings.Contains(err.Error(), ErrTooLarge.Error()) {
			t.Errorf("%v: refused for another reason: %v", codec, err)
		}
		if n > 24<<20 {
			t.Errorf("%v: a bomb of %d bytes allocated %d", codec, len(batch), n)
		}
	}
}

// bomb is a record of 1 GiB of zeros as members or frames of 1 MiB.
func bomb(t testing.TB, c *Codecs, codec Compression, zeros []byte) []byte {
	start := binary.AppendVarint(nil, 1<<30)
	start = append(start, 0, 0, 0, 1)
	start = binary.AppendVarint(start, 1<<30-20)
	out, err := c.Compress(nil, codec, 0, start)
	if err != nil {
		t.Fatal(err)
	}
	member, err := c.Compress(nil, codec, 0, zeros)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, bytes.Repeat(member, 1<<10)...)
}

// TestCodecsConcurrently shares one Codecs between more goroutines than it has
// workers, and iterates inside an iteration.
func TestCodecsConcurrently(t *testing.T) {
	c := NewCodecs()
	batches := map[Compression][]byte{}
	for _, codec := range codecsUnderTest {
		batches[codec] = bytes.Clone(build(t, BuilderOptions{Compression: codec, Codecs: c}, 300))
	}
	var wg sync.WaitGroup
	for range 4 * cap(c.slots) {
		wg.Go(func() {
			for _, batch := range batches {
				own := Batch(bytes.Clone(batch))
				rules := looseRules()
				if _, err := c.Validate(own, &rules); err != nil {
					t.Error(err)
				}
				for range own.Records(c) {
					if _, err := c.Decompress(nil, own.Compression(), own.RecordBytes(), 1<<20); err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	wg.Wait()
	if len(c.idle) > cap(c.slots) {
		t.Errorf("%d workers for %d slots", len(c.idle), cap(c.slots))
	}
}
