package record

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// worker is the state of all codecs for one goroutine at a time.
type worker struct {
	in     source
	out    sink
	reader io.Reader // of the codec that is open; nil for snappy
	piece  []byte

	blocks snappyBlocks

	gzipReader *gzipReader
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
			return nil, w.ended(err)
		}
	}
}

// ended is io.EOF for the errors that are none to Kafka: what stands in a frame
// of LZ4 about its content, and a frame of zstd that is cut short behind others.
func (w *worker) ended(err error) error {
	switch {
	case w.reader == io.Reader(w.lz4Reader) && (errors.Is(err, lz4.ErrInvalidFrameChecksum) || errors.Is(err, lz4.ErrInvalidContentSize)),
		w.reader == io.Reader(w.zstdReader) && w.in.frames > 1 && errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	}
	return err
}

// close drops the references to the caller's bytes.
func (w *worker) close() {
	w.in, w.out, w.reader, w.blocks.rest = source{}, sink{}, nil, nil
	if w.gzipReader != nil {
		w.gzipReader.forget()
	}
}

// source reads head, then body, then what nextFrame makes of rest.
type source struct {
	head, body []byte
	rest       []byte // frames of zstd that follow
	frames     int    // of zstd that were begun
}

func (s *source) Read(p []byte) (int, error) {
	for len(s.head)+len(s.body) == 0 {
		if len(s.rest) == 0 {
			return 0, io.EOF
		}
		if err := s.nextFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.head)
	s.head = s.head[n:]
	m := copy(p[n:], s.body)
	s.body = s.body[m:]
	return n + m, nil
}

// sink appends what is written.
type sink struct {
	to []byte
}

func (s *sink) Write(p []byte) (int, error) {
	s.to = append(s.to, p...)
	return len(p), nil
}
