package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/pierrec/lz4/v4"
)

// pack compresses with the codec's defaults.
func pack(t *testing.T, c *Codecs, codec Compression, src []byte) []byte {
	t.Helper()
	packed, err := c.Compress(nil, codec, DefaultLevel, src)
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// framing is a batch's compressed records, and whether Apache Kafka 4.3.1 takes
// the batch (measured).
type framing struct {
	name  string
	codec Compression
	body  []byte
	taken bool
}

// TestFramings: what Kafka takes is taken and can be read back, what it refuses
// is refused, however the compressed records are framed.
func TestFramings(t *testing.T) {
	c := NewCodecs()
	whole := build(t, BuilderOptions{}, 10)
	records := whole.RecordBytes()
	cases := gzipFramings(t, c, records)
	cases = append(cases, snappyFramings(records)...)
	cases = append(cases, lz4Framings(t, records)...)
	cases = append(cases, zstdFramings(t, c, records)...)
	for _, f := range cases {
		batch := Batch(append(bytes.Clone(whole[:HeaderLen]), f.body...))
		batch.putInt32(atLength, int32(len(batch)-OverheadLen))
		batch.putInt16(atAttributes, int16(f.codec))
		batch.setCRC()
		rules := looseRules()
		_, err := c.Validate(batch, &rules)
		if (err == nil) != f.taken {
			t.Errorf("%v, %s: %v, want taken %v", f.codec, f.name, err, f.taken)
		}
		if err != nil {
			wantKind(t, f.name, err, nil, InvalidRecord)
			continue
		}
		n := 0
		for _, err := range batch.Records(c) {
			if err != nil {
				t.Errorf("%v, %s: record %d: %v", f.codec, f.name, n, err)
			}
			n++
		}
		if got, err := c.Decompress(nil, f.codec, f.body, len(records)); n != 10 || err != nil || !bytes.Equal(got, records) {
			t.Errorf("%v, %s: %d records, %d bytes, %v", f.codec, f.name, n, len(got), err)
		}
	}
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func gzipFramings(t *testing.T, c *Codecs, records []byte) []framing {
	gz := func(src []byte) []byte { return pack(t, c, Gzip, src) }
	one := gz(records)
	deflated := one[gzipFixedBytes:]
	head := func(flags byte, fields string) []byte {
		return append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3}, fields...)
	}
	wrong := func(member []byte, fromEnd int) []byte {
		out := bytes.Clone(member)
		out[len(out)-fromEnd] ^= 1
		return out
	}
	full := head(gzipHeaderCRC|gzipExtra|gzipName|gzipComment, "\x02\x00xyname\x00comment\x00")
	full = binary.LittleEndian.AppendUint16(full, uint16(crc32.ChecksumIEEE(full)))
	return []framing{
		{"one member", Gzip, one, true},
		{"a byte behind", Gzip, append(bytes.Clone(one), 0), true},
		{"much behind", Gzip, join(one, bytes.Repeat([]byte("q"), 9000)), true},
		{"two members", Gzip, join(gz(records[:40]), gz(records[40:])), true},
		{"empty members around", Gzip, join(gz(nil), one, gz(nil), gz(nil), []byte("zzz")), true},
		{"the records twice", Gzip, join(one, one), false},
		{"half of the records", Gzip, gz(records[:40]), false},
		{"bytes between members", Gzip, join(gz(records[:40]), []byte("gggggggggggggggggggggggggg"), gz(records[40:])), false},
		{"what is too short for a member behind", Gzip, join(one, head(0, "12345678")), true},
		{"a bad member behind", Gzip, join(one, head(0, "\xff\xff\xff\xff\xff\xff\xff\xff\xff")), false},
		{"a member that is cut behind", Gzip, join(one, one[:len(one)-1]), false},
		{"a name without an end behind", Gzip, join(one, head(gzipName, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa")), true},
		{"a wrong checksum", Gzip, wrong(one, 8), false},
		{"a wrong length", Gzip, wrong(one, 4), false},
		{"a wrong checksum in the first of two", Gzip, join(wrong(gz(records[:40]), 8), gz(records[40:])), false},
		{"a trailer that is cut", Gzip, one[:len(one)-1], false},
		{"no trailer", Gzip, one[:len(one)-8], false},
		{"reserved flags", Gzip, join(head(0xe0, ""), deflated), true},
		{"a long name", Gzip, join(head(gzipName, string(bytes.Repeat([]byte("a"), 3000))+"\x00"), deflated), true},
		{"every field", Gzip, join(full, deflated), true},
		{"a wrong header checksum", Gzip, join(head(gzipHeaderCRC, "\x00\x00"), deflated), false},
		{"an extra field beyond the end", Gzip, head(gzipExtra, "\xff\xff"), false},
		{"another method", Gzip, join([]byte{0x1f, 0x8b, 7}, one[3:]), false},
		{"nothing", Gzip, nil, false},
	}
}

func snappyFramings(records []byte) []framing {
	head := func(version, oldest string) []byte { return []byte("\x82SNAPPY\x00" + version + oldest) }
	block := func(src []byte) []byte {
		packed := s2.EncodeSnappy(nil, src)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(packed))), packed...)
	}
	v0, v1, v2 := "\x00\x00\x00\x00", "\x00\x00\x00\x01", "\x00\x00\x00\x02"
	one := join(snappyHeader, block(records))
	two := func(second []byte) []byte {
		return join(snappyHeader, block(records[:40]), second, block(records[40:]))
	}
	bare := s2.EncodeSnappy(nil, records)
	return []framing{
		{"one stream", Snappy, one, true},
		{"three bytes behind", Snappy, join(one, []byte("abc")), true},
		{"an empty block behind", Snappy, join(one, make([]byte, 4)), false},
		{"a block beyond the end", Snappy, join(one, []byte("\x00\x00\x00\x09abc")), false},
		{"a bad block behind", Snappy, join(one, []byte("\x00\x00\x00\x05aaaaa")), false},
		{"two streams", Snappy, two(snappyHeader), true},
		{"two streams of other versions", Snappy, two(head(v2, v1)), true},
		{"a second stream of version 0", Snappy, two(head(v0, v1)), false},
		{"a first stream of version 0", Snappy, join(head(v0, v0), block(records)), true},
		{"empty streams around", Snappy, join(snappyHeader, snappyHeader, one, snappyHeader, []byte("abc")), true},
		{"the records twice", Snappy, join(one, one), false},
		{"half a header behind", Snappy, join(one, snappyHeader[:8]), false},
		{"another magic behind", Snappy, join(one, []byte("\x82SNAxxxxxxxxxxxx")), true},
		{"another magic and a block behind", Snappy, join(one, []byte("\x82SNAxxxxxxxxxxxxzzzzzzzz")), false},
		{"a bare block", Snappy, bare, true},
		{"a byte behind a bare block", Snappy, append(bytes.Clone(bare), 0), false},
		{"a header alone", Snappy, snappyHeader, false},
		{"nothing", Snappy, nil, false},
	}
}

func lz4Framings(t *testing.T, records []byte) []framing {
	frame := func(src []byte, options ...lz4.Option) []byte {
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if err := w.Apply(append([]lz4.Option{lz4.ChecksumOption(false), lz4.BlockSizeOption(lz4.Block64Kb)}, options...)...); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(src)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	wrong := func(b []byte, fromEnd int) []byte {
		out := bytes.Clone(b)
		out[len(out)-fromEnd] ^= 1
		return out
	}
	one := frame(records)
	missized := frame(records, lz4.SizeOption(uint64(len(records))))
	missized[6]++
	for range 256 { // one of them is the header's checksum
		if ok, err := lz4.ValidFrameHeader(missized); ok && err == nil {
			break
		}
		missized[14]++
	}
	summed, checked := frame(records, lz4.ChecksumOption(true)), frame(records, lz4.BlockChecksumOption(true))
	stored := []byte("\x00\x00\x00\x80") // a stored block of no bytes
	return []framing{
		{"one frame", LZ4, one, true},
		{"much behind", LZ4, join(one, []byte("something else")), true},
		{"a frame behind", LZ4, join(one, one), true},
		{"two frames", LZ4, join(frame(records[:40]), frame(records[40:])), false},
		{"an empty frame first", LZ4, join(frame(nil), one), false},
		{"an empty frame", LZ4, frame(nil), false},
		{"no end", LZ4, one[:len(one)-4], false},
		{"an end that is cut", LZ4, one[:len(one)-1], false},
		{"an end that is stored", LZ4, join(one[:len(one)-4], stored), true},
		{"an end that is stored amid", LZ4, join(one[:7], stored, one[7:]), false},
		{"a content checksum", LZ4, summed, true},
		{"a wrong content checksum", LZ4, wrong(summed, 1), true},
		{"no content checksum where one belongs", LZ4, summed[:len(summed)-4], false},
		{"a wrong content size", LZ4, missized, true},
		{"block checksums", LZ4, checked, true},
		{"a wrong block checksum", LZ4, wrong(checked, 5), false},
		{"a wrong header checksum", LZ4, join(one[:6], []byte{one[6] ^ 1}, one[7:]), false},
		{"a block that is too large", LZ4, join(one[:len(one)-4], []byte("\xff\xff\xff\x00")), false},
		{"a frame to skip first", LZ4, join([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00a"), one), false},
		{"nothing", LZ4, nil, false},
	}
}

func zstdFramings(t *testing.T, c *Codecs, records []byte) []framing {
	zs := func(src []byte) []byte { return pack(t, c, Zstd, src) }
	// window is a frame whose header names the window 2^(10+exponent) times
	// 1+eighths/8.
	window := func(src []byte, exponent, eighths byte) []byte {
		frame := zstdFrame(t, src, 1<<20, false)
		if frame[zstdDescriptorAt]&zstdSingleSegment != 0 {
			t.Fatal("the frame names no window")
		}
		frame[zstdDescriptorAt+1] = exponent<<3 | eighths
		return frame
	}
	one, skip := zs(records), []byte("\x5a\x2a\x4d\x18\x04\x00\x00\x00abcd")
	out := []framing{
		{"one frame", Zstd, one, true},
		{"two frames", Zstd, join(zs(records[:40]), zs(records[40:])), true},
		{"an empty frame first", Zstd, join(zs(nil), one), true},
		{"frames to skip around", Zstd, join(skip, skip, one, skip), true},
		{"nothing but a frame to skip", Zstd, skip, false},
		{"the records twice", Zstd, join(one, one), false},
		{"a byte behind", Zstd, append(bytes.Clone(one), 0), false},
		{"much behind", Zstd, join(one, []byte("something else")), false},
		{"a frame that is cut", Zstd, one[:len(one)-1], false},
		{"a bad block behind", Zstd, join(one, zstdMagic, []byte("\x00\x58\xff\xff\xff")), false},
		{"window of 128 MiB", Zstd, window(records, 17, 0), true},
		{"window of 144 MiB", Zstd, window(records, 17, 1), false},
		{"window of 256 MiB", Zstd, window(records, 18, 0), false},
		{"window of 2 GiB", Zstd, window(records, 21, 0), false},
		{"windows of 128 MiB", Zstd, join(window(records[:40], 17, 0), window(records[40:], 17, 0)), true},
		{"window of 256 MiB in the second frame", Zstd, join(one, window(nil, 18, 0)), false},
		{"nothing", Zstd, nil, false},
	}
	for _, behind := range [][]byte{one, zs(nil), skip} {
		for cut := 1; cut < len(behind); cut++ {
			out = append(out, framing{"a frame that is cut behind", Zstd, join(one, behind[:cut]), true})
		}
	}
	return out
}
