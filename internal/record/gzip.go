package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/flate"
)

// gzipReader decompresses the members of a gzip stream (RFC 1952) with the
// rules of Java's GZIPInputStream, which decides for Kafka what is stored and
// for Java's consumers what can be read. It differs from gzip.Reader in what it
// takes: names of any length, reserved flags, and bytes behind the last member.
type gzipReader struct {
	src     bytes.Reader
	body    []byte // all of src
	inflate io.ReadCloser
	sum     uint32 // CRC-32 of what the member gave
	size    uint32 // its length modulo 2^32
}

var (
	errGzip         = errors.New("no gzip member begins here")
	errGzipChecksum = errors.New("the gzip member's checksum or length is wrong")
)

// The flags of a member's header, and its sizes. Java does not look for a
// member in what is left when that is too short for one.
const (
	gzipHeaderCRC = 1 << 1
	gzipExtra     = 1 << 2
	gzipName      = 1 << 3
	gzipComment   = 1 << 4

	gzipFixedBytes   = 10
	gzipTrailerBytes = 8
)

func (w *worker) openGzip() error {
	if w.gzipReader == nil {
		w.gzipReader = new(gzipReader)
	}
	w.reader = w.gzipReader
	w.gzipReader.body = w.in.body
	if !w.gzipReader.begin(w.in.body) {
		return errGzip
	}
	return nil
}

// forget drops the reference to the caller's bytes.
func (g *gzipReader) forget() {
	g.body = nil
	g.src.Reset(nil)
}

// begin starts the member at the beginning of rest, the end of body; false when
// there is none.
func (g *gzipReader) begin(rest []byte) bool {
	n := gzipHeader(rest)
	if n < 0 {
		return false
	}
	g.src.Reset(rest[n:])
	g.sum, g.size = 0, 0
	if g.inflate == nil {
		g.inflate = flate.NewReader(&g.src)
		return true
	}
	return g.inflate.(flate.Resetter).Reset(&g.src, nil) == nil
}

// gzipHeader is the length of the header of a member; -1: there is none.
func gzipHeader(b []byte) int {
	if len(b) < gzipFixedBytes || b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 {
		return -1
	}
	flags, at := b[3], gzipFixedBytes
	if flags&gzipExtra != 0 {
		if len(b) < at+2 {
			return -1
		}
		at += 2 + int(binary.LittleEndian.Uint16(b[at:]))
	}
	for _, text := range []byte{gzipName, gzipComment} {
		if flags&text == 0 {
			continue
		}
		end := bytes.IndexByte(b[min(at, len(b)):], 0)
		if end < 0 {
			return -1
		}
		at += end + 1
	}
	if flags&gzipHeaderCRC != 0 {
		if len(b) < at+2 || binary.LittleEndian.Uint16(b[at:]) != uint16(crc32.ChecksumIEEE(b[:at])) {
			return -1
		}
		at += 2
	}
	if at > len(b) {
		return -1
	}
	return at
}

// Read implements io.Reader.
func (g *gzipReader) Read(p []byte) (int, error) {
	for {
		n, err := g.inflate.Read(p)
		if n > 0 {
			g.sum = crc32.Update(g.sum, crc32.IEEETable, p[:n])
			g.size += uint32(n)
			return n, nil // an error comes again with the next call
		}
		if errors.Is(err, io.EOF) {
			err = g.endMember()
		}
		if err != nil {
			return 0, err
		}
	}
}

// endMember checks a member against its trailer and begins the next one; io.EOF
// after the last. What is no member, or too short for one, is ignored.
func (g *gzipReader) endMember() error {
	rest := g.body[len(g.body)-g.src.Len():]
	if len(rest) < gzipTrailerBytes {
		return io.ErrUnexpectedEOF
	}
	if binary.LittleEndian.Uint32(rest) != g.sum || binary.LittleEndian.Uint32(rest[4:]) != g.size {
		return errGzipChecksum
	}
	rest = rest[gzipTrailerBytes:]
	if len(rest) <= gzipFixedBytes+gzipTrailerBytes || !g.begin(rest) {
		return io.EOF
	}
	return nil
}
