package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxWindowBytes is the window that a zstd stream is decompressed with: 8 MiB
// is what every decoder must support (RFC 8878).
const maxWindowBytes = 8 << 20

// worker is the state of all codecs for one goroutine at a time.
type worker struct {
	in     source
	out    sink
	reader io.Reader // of the codec that is open; nil for snappy
	piece  []byte

	blocks snappyBlocks

	gzipReader *gzip.Reader
	lz4Reader  *lz4.Reader
	zstdReader *zstd.Decoder

	gzipWriter leveled[*gzip.Writer]
	lz4Writer  leveled[*lz4.Writer]
	zstdWriter leveled[*zstd.Encoder]
}

// leveled is a compressor and the level that it was made for.
type leveled[T any] struct {
	to    T
	level int
	made  bool
}

// open prepares to decompress src; next yields the pieces.
func (w *worker) open(codec Compression, src []byte) error {
	w.in = source{body: src}
	if w.piece == nil && codec != Snappy {
		w.piece = make([]byte, pieceBytes)
	}
	switch codec {
	case Gzip:
		return w.openGzip()
	case Snappy:
		w.reader = nil
		w.blocks.open(src)
		return nil
	case LZ4:
		return w.openLZ4()
	case Zstd:
		return w.openZstd()
	}
	return fmt.Errorf("no compression type has the id %d", codec)
}

// next returns the next piece, never an empty one, valid until the next call;
// io.EOF after the last.
func (w *worker) next() ([]byte, error) {
	if w.reader == nil {
		return w.blocks.next()
	}
	for {
		n, err := w.reader.Read(w.piece)
		if n > 0 {
			// An error that came along comes again with the next call.
			return w.piece[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// close drops the references to the caller's bytes.
func (w *worker) close() { w.in, w.out, w.reader, w.blocks.rest = source{}, sink{}, nil, nil }

func (w *worker) openGzip() error {
	if w.gzipReader == nil {
		w.gzipReader = new(gzip.Reader)
	}
	w.reader = w.gzipReader
	return w.gzipReader.Reset(&w.in)
}

// The beginning of an LZ4 frame: a magic number and a byte of flags.
const (
	lz4Magic       = 0x184D2204
	lz4FlagMask    = 0xe3 // version, independent blocks, reserved, dictionary
	lz4FlagAllowed = 0x60 // version 1, independent blocks, no dictionary
)

// openLZ4 accepts what Kafka's own clients can read: one frame of independent
// blocks. The library would take more.
func (w *worker) openLZ4() error {
	src := w.in.body
	if len(src) < 7 || binary.LittleEndian.Uint32(src) != lz4Magic {
		return errors.New("no LZ4 frame begins here")
	}
	if src[4]&lz4FlagMask != lz4FlagAllowed {
		return fmt.Errorf("the LZ4 frame has the flags %#x: version 1, independent blocks and no dictionary are supported", src[4])
	}
	if w.lz4Reader == nil {
		w.lz4Reader = lz4.NewReader(nil)
	}
	w.reader = w.lz4Reader
	w.lz4Reader.Reset(&w.in)
	return nil
}

func (w *worker) openZstd() error {
	if w.zstdReader == nil {
		// Buffers below 0: the shortcut for small inputs would decompress
		// into memory what the caller reads in pieces.
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindowBytes), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			return err
		}
		w.zstdReader = decoder
	}
	w.in = narrowZstdWindow(w.in.body)
	w.reader = w.zstdReader
	return w.zstdReader.Reset(&w.in)
}

// narrowZstdWindow replaces a larger window in the header of a zstd frame by
// maxWindowBytes. The decoder allocates the window before it has seen a byte,
// and a frame may name 128 MiB (levels 20 to 22) or, with its content in one
// segment, any size. A match never reaches further back than there is
// content, so that every batch of up to 8 MiB can still be read, and larger
// ones unless a match reaches further than that.
//
//	magic 4 bytes | descriptor | window (not with one segment) | dictionary
//	id 0, 1, 2 or 4 | content size 0, 1, 2, 4 or 8
func narrowZstdWindow(frame []byte) source {
	var h zstd.Header
	if err := h.Decode(frame); err != nil || h.Skippable || len(frame) < 6 {
		return source{body: frame}
	}
	const (
		singleSegment  = 1 << 5
		windowOf8MiB   = (23 - 10) << 3
		descriptorAt   = 4
		afterFixedPart = 5
	)
	head := append(make([]byte, 0, 6), frame[:afterFixedPart]...)
	switch {
	case h.SingleSegment && h.FrameContentSize > maxWindowBytes:
		// A content size above 8 MiB is stored in 4 or 8 bytes, whose reading
		// does not hang on the flag.
		head[descriptorAt] &^= singleSegment
		return source{head: append(head, windowOf8MiB), body: frame[afterFixedPart:]}
	case !h.SingleSegment && h.WindowSize > maxWindowBytes:
		return source{head: append(head, windowOf8MiB), body: frame[afterFixedPart+1:]}
	}
	return source{body: frame}
}

// source reads head, then body. It has ReadByte so that gzip reads from it
// without a buffer of its own.
type source struct {
	head, body []byte
}

func (s *source) Read(p []byte) (int, error) {
	if len(s.head)+len(s.body) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.head)
	s.head = s.head[n:]
	m := copy(p[n:], s.body)
	s.body = s.body[m:]
	return n + m, nil
}

func (s *source) ReadByte() (byte, error) {
	if len(s.head) > 0 {
		b := s.head[0]
		s.head = s.head[1:]
		return b, nil
	}
	if len(s.body) == 0 {
		return 0, io.EOF
	}
	b := s.body[0]
	s.body = s.body[1:]
	return b, nil
}

// sink appends what is written.
type sink struct {
	to []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.to = append(s.to, p...)
	return len(p), nil
}
