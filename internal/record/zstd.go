package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	// decoderWindow is the window that a zstd stream is decompressed with: 8 MiB
	// is what every decoder must support (RFC 8878).
	decoderWindow = 8 << 20
	// maxZstdWindow is the largest window that a frame may name: what the
	// reference library takes unless told otherwise, and so what Kafka and its
	// clients take.
	maxZstdWindow = 128 << 20
)

// Of the format: the magic number of a frame, that of a frame to skip (behind a
// byte 0x50 to 0x5f), and the bits of the descriptor.
var (
	zstdMagic     = []byte("\x28\xb5\x2f\xfd")
	zstdSkipMagic = []byte("\x2a\x4d\x18")
)

const (
	zstdDescriptorAt  = 4
	zstdSingleSegment = 1 << 5
	zstdChecksum      = 1 << 2
)

var errZstd = errors.New("no zstd frame begins here")

func (w *worker) openZstd() error {
	if w.zstdReader == nil {
		// Buffers below 0: the shortcut for small inputs would decompress
		// into memory what the caller reads in pieces.
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(decoderWindow), zstd.WithDecodeBuffersBelow(0))
		if err != nil {
			return err
		}
		w.zstdReader = decoder
	}
	w.in = source{rest: w.in.body}
	w.reader = w.zstdReader
	return w.zstdReader.Reset(&w.in)
}

// nextFrame takes the first frame of rest, with a window that the decoder can
// hold. Of a beginning of a frame behind others nothing is taken.
func (s *source) nextFrame() error {
	var h zstd.Header
	err := h.Decode(s.rest)
	if errors.Is(err, io.ErrUnexpectedEOF) && s.frames > 0 && zstdBegins(s.rest) {
		s.rest = nil
		return nil
	}
	if err != nil {
		return errZstd
	}
	s.frames++
	end := min(zstdFrameLength(&h, s.rest), int64(len(s.rest)))
	frame := s.rest[:end]
	s.rest = s.rest[end:]
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if window > maxZstdWindow {
		return fmt.Errorf("the zstd frame names a window of %d bytes, more than %d", window, maxZstdWindow)
	}
	s.head, s.body = nil, frame
	if window > decoderWindow {
		s.head, s.body = narrowZstdWindow(frame, h.SingleSegment)
	}
	return nil
}

// zstdBegins tells whether b is the beginning of a frame.
func zstdBegins(b []byte) bool {
	if len(b) > 0 && b[0]&0xf0 == 0x50 {
		return bytes.HasPrefix(zstdSkipMagic, b[1:min(len(b), 4)])
	}
	return bytes.HasPrefix(zstdMagic, b[:min(len(b), 4)])
}

// zstdFrameLength is the length of the frame whose header is h at the beginning of src.
// It may be more than src has.
//
//	header; then blocks: 3 bytes with last, type (1: one byte repeated) and
//	size, and their content; checksum 0 or 4
func zstdFrameLength(h *zstd.Header, src []byte) int64 {
	if h.Skippable {
		return int64(h.HeaderSize) + int64(h.SkippableSize)
	}
	for at := h.HeaderSize; at+3 <= len(src); {
		head := int(src[at]) | int(src[at+1])<<8 | int(src[at+2])<<16
		at += 3
		if head>>1&3 == 1 {
			at++
		} else {
			at += head >> 3
		}
		if head&1 != 0 {
			if src[zstdDescriptorAt]&zstdChecksum != 0 {
				at += 4
			}
			return int64(at)
		}
	}
	return int64(len(src))
}

// narrowZstdWindow replaces a larger window in the header of a zstd frame by
// decoderWindow. The decoder allocates the window before it has seen a byte,
// and a frame may name 128 MiB (levels 20 to 22) or, with its content in one
// segment, as much as it holds. A match never reaches further back than there
// is content, so that every batch of up to 8 MiB can still be read, and larger
// ones unless a match reaches further than that.
//
//	magic 4 bytes | descriptor | window (not with one segment) | dictionary
//	id 0, 1, 2 or 4 | content size 0, 1, 2, 4 or 8
func narrowZstdWindow(frame []byte, singleSegment bool) (head, body []byte) {
	const windowOf8MiB = (23 - 10) << 3
	body = frame[zstdDescriptorAt+1:]
	descriptor := frame[zstdDescriptorAt]
	if singleSegment {
		// A content size above 8 MiB is stored in 4 or 8 bytes, whose reading
		// does not hang on the flag.
		descriptor &^= zstdSingleSegment
	} else {
		body = body[1:]
	}
	return append(append(make([]byte, 0, 6), zstdMagic...), descriptor, windowOf8MiB), body
}
