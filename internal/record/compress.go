package record

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// lz4DefaultLevel means the fast compressor in Kafka's scale, although it
// stands amid the levels 1 to 17 of the thorough one.
const lz4DefaultLevel = 9

// zstdEncoderWindow bounds the memory of an encoder; batches are seldom
// larger than max.message.bytes' default.
const zstdEncoderWindow = 1 << 20

// compress appends src, compressed by a valid codec, to dst.
func (w *worker) compress(dst []byte, codec Compression, level int, src []byte) ([]byte, error) {
	switch codec {
	case None:
		return append(dst, src...), nil
	case Gzip:
		return w.gzipTo(dst, level, src)
	case Snappy:
		return w.snappyTo(dst, src), nil
	case LZ4:
		return w.lz4To(dst, level, src)
	default:
		return w.zstdTo(slices.Grow(dst, len(src)/4), level, src)
	}
}

// compressor is a stream that writes what comes, compressed by a valid codec, to
// out. It is closed, or not used again.
func (w *worker) compressor(codec Compression, level int, out io.Writer) (io.WriteCloser, error) {
	switch codec {
	case None:
		return plain{out}, nil
	case Gzip:
		return w.gzipWriterTo(level, out)
	case Snappy:
		_, err := out.Write(snappyHeader)
		return &snappyWriter{w: w, out: out}, err
	case LZ4:
		return w.lz4WriterTo(level, out)
	default:
		encoder, err := w.zstdEncoder(level)
		if err == nil {
			encoder.Reset(out)
		}
		return encoder, err
	}
}

// plain is the stream of no codec.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }

func (w *worker) gzipTo(dst []byte, level int, src []byte) ([]byte, error) {
	w.out.to = dst
	writer, err := w.gzipWriterTo(level, &w.out)
	if err != nil {
		return dst, err
	}
	return w.stream(dst, writer, src)
}

func (w *worker) gzipWriterTo(level int, out io.Writer) (*gzip.Writer, error) {
	if level == DefaultLevel {
		level = gzip.DefaultCompression
	}
	if !w.gzipWriter.made || w.gzipWriter.level != level {
		writer, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			return nil, err
		}
		w.gzipWriter = leveled[*gzip.Writer]{writer, level, true}
	}
	w.gzipWriter.to.Reset(out)
	return w.gzipWriter.to, nil
}

// stream appends what a codec that writes a stream to w.out makes of src to dst,
// which w.out has.
func (w *worker) stream(dst []byte, codec io.WriteCloser, src []byte) ([]byte, error) {
	if _, err := codec.Write(src); err != nil {
		return dst, err
	}
	if err := codec.Close(); err != nil {
		return dst, err
	}
	return w.out.to, nil
}

func (w *worker) lz4To(dst []byte, level int, src []byte) ([]byte, error) {
	w.out.to = dst
	writer, err := w.lz4WriterTo(level, &w.out)
	if err != nil {
		return dst, err
	}
	return w.stream(dst, writer, src)
}

// lz4WriterTo writes a frame as Kafka's Java client does: version 1, independent
// blocks of 64 KiB, no checksum but the header's.
func (w *worker) lz4WriterTo(level int, out io.Writer) (*lz4.Writer, error) {
	if !w.lz4Writer.made || w.lz4Writer.level != level {
		writer := lz4.NewWriter(nil)
		err := writer.Apply(lz4.BlockSizeOption(lz4.Block64Kb), lz4.ChecksumOption(false), lz4.ConcurrencyOption(1),
			lz4.CompressionLevelOption(lz4Level(level)))
		if err != nil {
			return nil, err
		}
		w.lz4Writer = leveled[*lz4.Writer]{writer, level, true}
	}
	w.lz4Writer.to.Reset(out)
	return w.lz4Writer.to, nil
}

// lz4Level maps Kafka's scale of 1 to 17 to the library's of 9 steps.
func lz4Level(level int) lz4.CompressionLevel {
	if level == DefaultLevel || level == lz4DefaultLevel {
		return lz4.Fast
	}
	return lz4.Level1 << (min(max(level, 1), 9) - 1)
}

func (w *worker) zstdTo(dst []byte, level int, src []byte) ([]byte, error) {
	encoder, err := w.zstdEncoder(level)
	if err != nil {
		return dst, err
	}
	return encoder.EncodeAll(src, dst), nil
}

func (w *worker) zstdEncoder(level int) (*zstd.Encoder, error) {
	if !w.zstdWriter.made || w.zstdWriter.level != level {
		speed := zstd.SpeedDefault
		if level != DefaultLevel {
			speed = zstd.EncoderLevelFromZstd(level)
		}
		encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false),
			zstd.WithEncoderLevel(speed), zstd.WithWindowSize(zstdEncoderWindow), zstd.WithZeroFrames(true))
		if err != nil {
			return nil, err
		}
		w.zstdWriter = leveled[*zstd.Encoder]{encoder, level, true}
	}
	return w.zstdWriter.to, nil
}

// snappyTo writes the framing of the Java library, which every Kafka client
// reads: a header of 16 bytes, then blocks of at most 32 KiB, each behind its
// compressed length.
func (w *worker) snappyTo(dst, src []byte) []byte {
	dst = append(dst, snappyHeader...)
	for len(src) > 0 {
		block := src[:min(len(src), snappyBlockBytes)]
		src = src[len(block):]
		dst = w.snappyBlock(dst, block)
	}
	return dst
}

// snappyBlock appends one block.
func (w *worker) snappyBlock(dst, block []byte) []byte {
	w.blocks.buffer = s2.EncodeSnappy(w.blocks.buffer[:cap(w.blocks.buffer)], block)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(w.blocks.buffer)))
	return append(dst, w.blocks.buffer...)
}

// snappyWriter is snappyTo for a stream, behind its header.
type snappyWriter struct {
	w     *worker
	out   io.Writer
	block []byte // what is not written yet
	buf   []byte
}

func (s *snappyWriter) Write(p []byte) (int, error) {
	written := len(p)
	for len(p) > 0 {
		n := min(len(p), snappyBlockBytes-len(s.block))
		s.block = append(s.block, p[:n]...)
		p = p[n:]
		if len(s.block) == snappyBlockBytes {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// Close writes the last block.
func (s *snappyWriter) Close() error {
	if len(s.block) == 0 {
		return nil
	}
	return s.flush()
}

func (s *snappyWriter) flush() error {
	s.buf = s.w.snappyBlock(s.buf[:0], s.block)
	s.block = s.block[:0]
	_, err := s.out.Write(s.buf)
	return err
}
